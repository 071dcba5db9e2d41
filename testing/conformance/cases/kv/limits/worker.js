export default {
  async fetch(request, { KV }) {
    return outcomes({
      largest: () => KV.put("largest", new Uint8Array(25 * 1024 * 1024)),
      read: async () => (await KV.get("largest", "arrayBuffer")).byteLength,
      too_large: () => KV.put("too large", new Uint8Array(25 * 1024 * 1024 + 1)),
      untouched: () => KV.get("too large"),
      cache_ttl: () => KV.get("a", { cacheTtl: 60 }),
      cache_ttl_least: () => KV.get("a", { cacheTtl: 30 }),
      cache_ttl_too_short: () => KV.get("a", { cacheTtl: 29 }),
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
