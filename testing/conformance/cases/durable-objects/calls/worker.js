import { DurableObject, RpcTarget } from "cloudflare:workers";

class Tally extends RpcTarget {
  n = 0;
  add(by) { this.n += by; return this.n; }
}

export class Thing extends DurableObject {
  n = 0;
  add(by) { this.n += by; return this.n; }
  async slowly(by) { const before = this.n; await scheduler.wait(10); this.n = before + by; return this.n; }
  async stored(by) { const n = (await this.ctx.storage.get("n")) ?? 0; await this.ctx.storage.put("n", n + by); return n + by; }
  blocked(by) { return this.ctx.blockConcurrencyWhile(async () => { const n = this.n; await scheduler.wait(5); this.n = n + by; return this.n; }); }
  fail() { throw new RangeError("too far"); }
  tally() { return new Tally(); }
  call(back) { return back(20); }
  stream() { return new Blob(["streamed"]).stream(); }
  #hidden() {}
  fetch(request) { return new Response(`${request.method} ${new URL(request.url).pathname} ${request.headers.get("x-a")}`, { status: 201, headers: { "x-b": "c" } }); }
}

export default {
  async fetch(_, { OBJECT }) {
    const object = OBJECT.getByName("x");
    return Response.json(await outcomes({
      add: () => object.add(2),
      again: () => object.add(3),
      other: () => OBJECT.getByName("y").add(1),
      interleaved: async () => { const all = await Promise.all([1, 1, 1].map((by) => object.slowly(by))); return all; },
      input_gate: () => Promise.all([1, 1, 1].map((by) => object.stored(by))),
      blocked: () => Promise.all([1, 1].map((by) => object.blocked(by))),
      fail: () => object.fail(),
      type: async () => { try { await object.fail(); } catch (error) { return [error instanceof RangeError, error.remote]; } },
      none: () => object.nothing(),
      hidden: () => object.hidden(),
      target: async () => { using tally = await object.tally(); await tally.add(1); return tally.add(2); },
      pipelined: () => object.tally().add(5),
      back: () => object.call((n) => n + 1),
      stream: async () => new Response(await object.stream()).text(),
      fetch: async () => { const answer = await object.fetch("https://x/path", { method: "POST", headers: { "x-a": "b" } }); return [answer.status, answer.headers.get("x-b"), await answer.text()]; },
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
