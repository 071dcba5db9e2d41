export default {
  async fetch(request, { KV }) {
    return outcomes({
      fill: async () => {
        for (const key of ["b/2", "a", "b/1", "c", "B", "ä", "b/10", "z", "Ω", "😀", "b"]) {
          await KV.put(key, key, { metadata: { key } });
        }
      },
      all: () => KV.list(),
      prefix: async () => (await KV.list({ prefix: "b/" })).keys.map((key) => key.name),
      prefix_of_all: async () => (await KV.list({ prefix: "" })).keys.length,
      prefix_utf8: async () => (await KV.list({ prefix: "ä" })).keys,
      prefix_of_none: () => KV.list({ prefix: "nothing" }),
      wildcards_are_literal: async () => (await KV.list({ prefix: "%" })).keys,
      underscore_is_literal: async () => (await KV.list({ prefix: "_" })).keys,
      limit: async () => {
        const page = await KV.list({ limit: 2 });
        return [page.keys.map((key) => key.name), page.list_complete, typeof page.cursor];
      },
      exact_limit: async () => {
        const page = await KV.list({ prefix: "b/", limit: 3 });
        return [page.keys.length, page.list_complete, typeof page.cursor];
      },
      limit_zero: () => KV.list({ limit: 0 }),
      limit_negative: () => KV.list({ limit: -1 }),
      limit_too_large: () => KV.list({ limit: 1001 }),
      null_options: async () => (await KV.list({ prefix: null, limit: null, cursor: null })).keys.length,
    });
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
  return Response.json(results);
}
