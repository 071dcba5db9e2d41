export default {
  async fetch(request, { KV }) {
    return outcomes({
      put: () => KV.put("a", "1", { metadata: { nested: { list: [1, "zwei", null] }, umlaut: "äöü €" } }),
      get: async () => {
        const { value, metadata } = await KV.getWithMetadata("a");
        return { value, metadata };
      },
      get_json: async () => {
        const { value, metadata } = await KV.getWithMetadata("a", "json");
        return { value, metadata };
      },
      missing: async () => {
        const { value, metadata } = await KV.getWithMetadata("b");
        return { value, metadata };
      },
      none: () => KV.put("c", "1"),
      get_none: async () => {
        const { value, metadata } = await KV.getWithMetadata("c");
        return { value, metadata };
      },
      text: () => KV.put("d", "1", { metadata: "text" }),
      get_text: async () => (await KV.getWithMetadata("d")).metadata,
      zero: () => KV.put("e", "1", { metadata: 0 }),
      get_zero: async () => (await KV.getWithMetadata("e")).metadata,
      drop: () => KV.put("a", "2"),
      dropped: async () => (await KV.getWithMetadata("a")).metadata,
      largest: () => KV.put("f", "1", { metadata: "x".repeat(1022) }),
      too_large: () => KV.put("g", "1", { metadata: "x".repeat(1023) }),
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
