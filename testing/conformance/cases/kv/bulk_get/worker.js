export default {
  async fetch(request, { KV }) {
    return outcomes({
      fill: async () => {
        await KV.put("a", "1", { metadata: { m: 1 } });
        await KV.put("b", '{"x":2}');
      },
      text: async () => Object.fromEntries(await KV.get(["a", "b", "missing"])),
      json: async () => Object.fromEntries(await KV.get(["a", "b", "missing"], "json")),
      by_option: async () => Object.fromEntries(await KV.get(["b"], { type: "json" })),
      with_metadata: async () => Object.fromEntries(await KV.getWithMetadata(["a", "b", "missing"])),
      same_key_twice: async () => Object.fromEntries(await KV.get(["a", "a"])),
      none: () => KV.get([]),
      most: async () => (await KV.get(Array.from({ length: 100 }, (_, index) => `k${index}`))).size,
      too_many: () => KV.get(Array.from({ length: 101 }, (_, index) => `k${index}`)),
      bytes_refused: () => KV.get(["a"], "arrayBuffer"),
      not_json: async () => {
        await KV.put("t", "not json");
        try {
          await KV.get(["t"], "json");
        } catch (error) {
          return error.message.slice(0, 25);
        }
      },
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
