import { DurableObject, RpcTarget } from "cloudflare:workers";

class Tally extends RpcTarget {
  n = 0;
  add(by) { this.n += by; return this.n; }
  get value() { return this.n; }
}

export class Thing extends DurableObject {
  n = 0;
  who() { return { id: this.ctx.id.toString(), name: this.ctx.id.name ?? null }; }
  add(by) { this.n += by; return this.n; }
  async stored(by) { const n = (await this.ctx.storage.get("n")) ?? 0; await this.ctx.storage.put("n", n + by); return n + by; }
  get size() { return 17; }
  get box() { return { open: (n) => n + 1, inner: { deep: (n) => n + 2 } }; }
  get kept() { return new Tally(); }
  tally() { return new Tally(); }
  call(back) { return back(20); }
  use(target) { return target.add(4); }
  multiplier(by) { return (n) => n * by; }
  stream() { return new Blob(["streamed"]).stream(); }
  async length(stream) { return (await new Response(stream).text()).length; }
  response() { return new Response("answered", { status: 203 }); }
  echo(value) { return value; }
  queue(n) { return ["queue", n]; }
  fail() { throw new RangeError("too far"); }
  failWith() { throw Object.assign(new Error("with more"), { code: "E_MORE", retryable: true }); }
  failText() { throw "a text"; }
  failDom() { throw new DOMException("not to be cloned", "DataCloneError"); }
  #hidden() {}
  async fetch(request) {
    const { pathname, href } = new URL(request.url);
    if (request.headers.get("Upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    if (pathname === "/throw") throw new TypeError("thrown");
    if (pathname === "/dom") return this.failDom();
    if (pathname === "/redirect") return new Response(null, { status: 302, headers: { location: "/there" } });
    if (pathname === "/empty") return new Response(null, { status: 204 });
    if (pathname === "/cookies") return new Response("", { headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] });
    if (pathname === "/zipped") return new Response("zipped", { headers: { "content-encoding": "gzip" } });
    const { method, headers, cf } = request;
    const told = { method, href, a: headers.get("x-a"), host: headers.get("host"), cf: cf?.colour, body: await request.text() };
    return Response.json(told, { status: 201, headers: { "x-b": "c" } });
  }
  webSocketMessage(socket, message) {
    if (message === "close") return socket.close(4001, "as asked");
    socket.send(`${message} to ${this.ctx.id.name}`);
  }
}

export default { fetch: () => new Response("the owner") };
