import { DurableObject } from "cloudflare:workers";

export class Thing extends DurableObject {
  run() {
    const { storage } = this.ctx;
    return outcomes({
      missing: () => storage.get("a"),
      put: () => storage.put("a", { list: [1, "zwei", null], date: new Date(0), big: 12n.toString() }),
      get: () => storage.get("a"),
      put_many: () => storage.put({ b: 1, c: new Map([["x", new Set([1])]]), d: new Uint8Array([1, 2]) }),
      get_many: async () => [...(await storage.get(["c", "zzz", "b"])).keys()],
      map: async () => [...(await storage.get("c")).get("x")],
      bytes: async () => [...(await storage.get("d"))],
      list: async () => [...(await storage.list()).keys()],
      list_some: async () => [...(await storage.list({ start: "b", limit: 2, reverse: false })).keys()],
      list_back: async () => [...(await storage.list({ reverse: true, end: "d" })).keys()],
      list_prefix: async () => [...(await storage.list({ prefix: "zz" })).keys()],
      delete: () => storage.delete("b"),
      delete_again: () => storage.delete("b"),
      delete_many: () => storage.delete(["c", "b"]),
      key_too_long: () => storage.put("x".repeat(2049), 1),
      value_too_long: () => storage.put("x", "y".repeat(3 * 1024 * 1024)),
      no_value: () => storage.put("x", undefined),
      sync_put: () => storage.kv.put("k", 5),
      sync_get: () => storage.kv.get("k"),
      sync_list: () => [...storage.kv.list()].map(([key]) => key),
      delete_all: () => storage.deleteAll(),
      nothing: async () => (await storage.list()).size,
    });
  }
}

export default {
  fetch: async (_, env) => Response.json(await env.OBJECT.getByName("x").run()),
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
