import { RpcTarget } from "cloudflare:workers";

class Adder extends RpcTarget {
  add(n) { return n + 100; }
}

export default {
  async fetch(request, { OBJECT }) {
    if (new URL(request.url).pathname === "/socket") return OBJECT.getByName("room").fetch(request);
    const name = "n\u00e4me / %2F \u{1F600}";
    const object = OBJECT.getByName(name);
    const ask = (path, init) => object.fetch(`https://host.example:8443${path}`, init);
    return Response.json(await outcomes({
      name: async () => { const { id, name: seen } = await object.who(); return [id === object.id.toString(), seen === name]; },
      by_id: async () => { const id = OBJECT.newUniqueId(); const seen = await OBJECT.get(id).who(); return [seen.id === id.toString(), seen.name]; },
      from_string: async () => { const id = OBJECT.idFromString(OBJECT.idFromName("other").toString()); return (await OBJECT.get(id).who()).name; },
      foreign: () => OBJECT.idFromString("0".repeat(64)),
      add: () => object.add(2),
      again: () => object.add(3),
      same: () => OBJECT.get(OBJECT.idFromName(name)).add(1),
      other: () => OBJECT.getByName("y").add(1),
      in_order: async () => { const all = await Promise.all(Array.from({ length: 20 }, () => OBJECT.getByName("z").add(1))); return all.every((n, index) => n === index + 1); },
      input_gate: () => Promise.all([1, 1, 1].map((by) => object.stored(by))),
      property: async () => await object.size,
      nested: () => object.box.open(1),
      deeper: () => object.box.inner.deep(1),
      nested_target: () => object.kept.add(2),
      target: async () => { using tally = await object.tally(); await tally.add(1); return [await tally.add(2), await tally.value]; },
      pipelined: () => object.tally().add(5),
      back: () => object.call((n) => n + 1),
      passed: () => object.use(new Adder()),
      returned: async () => { using triple = await object.multiplier(3); return triple(4); },
      stream: async () => new Response(await object.stream()).text(),
      sent_stream: () => object.length(new Blob(["x".repeat(100_000)]).stream()),
      response: async () => { const answer = await object.response(); return [answer.status, await answer.text()]; },
      values: async () => { const { date, map, bytes, error } = await object.echo({ date: new Date(5), map: new Map([[1, 2]]), bytes: new Uint8Array([3]), error: new RangeError("r") }); return [date.getTime(), [...map], [...bytes], error instanceof RangeError]; },
      queue: () => object.queue(1),
      fail: () => object.fail(),
      type: async () => { try { await object.fail(); } catch (error) { return [error instanceof RangeError, error.remote]; } },
      more: async () => { try { await object.failWith(); } catch (error) { return [error.message, error.code, error.retryable]; } },
      text: async () => { try { await object.failText(); } catch (error) { return String(error); } },
      dom: async () => { try { await object.failDom(); } catch (error) { return [error instanceof DOMException, error.name]; } },
      none: () => object.nothing(),
      no_property: async () => await object.nothing,
      hidden: () => object.hidden(),
      reserved: () => object.alarm(),
      inside: async () => await object.ctx,
      fetch: async () => { const answer = await ask("/path?q=1", { method: "POST", headers: { "x-a": "b" }, body: "hello", cf: { colour: "red" } }); return [answer.status, answer.headers.get("x-b"), await answer.json()]; },
      passed_on: async () => { const answer = await object.fetch(new Request("http://do/passed", { method: "PUT", headers: { host: "was.example", "x-a": "c" }, body: new Blob(["y".repeat(10)]).stream() })); return answer.json(); },
      own_header: async () => { const answer = await ask("/", { headers: { "x-skerry-object": "%7B%22id%22%3A%2200%22%7D" } }); return answer.status; },
      redirect: async () => { const answer = await ask("/redirect", { redirect: "manual" }); return [answer.status, answer.headers.get("location")]; },
      followed: async () => (await (await ask("/redirect")).json()).href,
      empty: async () => { const answer = await ask("/empty"); return [answer.status, answer.body]; },
      cookies: async () => (await ask("/cookies")).headers.getSetCookie(),
      zipped: async () => { const answer = await ask("/zipped"); return [answer.headers.get("content-encoding"), await answer.text()]; },
      head: async () => { const answer = await ask("/", { method: "HEAD" }); return [answer.status, await answer.text()]; },
      thrown: async () => { try { await ask("/throw"); } catch (error) { return [error instanceof TypeError, error.message, error.remote]; } },
      thrown_dom: async () => { try { await ask("/dom"); } catch (error) { return [error instanceof DOMException, error.name]; } },
      socket: async () => {
        const { status, webSocket } = await ask("/", { headers: { Upgrade: "websocket" } });
        webSocket.accept();
        const answer = new Promise((resolve) => webSocket.addEventListener("message", ({ data }) => resolve(data)));
        webSocket.send("hello");
        const heard = await answer;
        const closed = new Promise((resolve) => webSocket.addEventListener("close", ({ code, reason }) => resolve([code, reason])));
        webSocket.send("close");
        return [status, heard.startsWith("hello to n"), await closed];
      },
    }));
  },
};

// Runs each step and reports its value or the error it threw.
async function outcomes(steps) {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = (await step()) ?? null;
    } catch (error) {
      results[name] = `${error.name}: ${error.message}`;
    }
  }
  return results;
}
