export default {
  async fetch(request, { KV }) {
    const all = async (promise) => Object.fromEntries(await promise);
    return outcomes({
      fill: async () => {
        await KV.put("json", '{"x":[1,2]}', { metadata: { m: { deep: "ü" } }, expirationTtl: 3600 });
        await KV.put("text", "plain");
        await KV.put("empty", "");
      },
      text: () => all(KV.getWithMetadata(["json", "text", "empty", "none"])),
      json: () => all(KV.getWithMetadata(["json", "none"], "json")),
      json_option: () => all(KV.getWithMetadata(["json"], { type: "json", cacheTtl: 60 })),
      cache_ttl: () => all(KV.get(["text"], { cacheTtl: 30 })),
      most: async () => (await KV.getWithMetadata(Array.from({ length: 100 }, (_, index) => `k${index}`))).size,
      too_many: () => KV.getWithMetadata(Array.from({ length: 101 }, (_, index) => `k${index}`)),
      none: () => KV.getWithMetadata([]),
      stream_refused: () => KV.getWithMetadata(["text"], "stream"),
      same_twice: async () => (await KV.getWithMetadata(["text", "text"])).size,
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
