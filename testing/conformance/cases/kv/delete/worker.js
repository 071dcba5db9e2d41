export default {
  async fetch(request, { KV }) {
    return outcomes({
      put: () => KV.put("a", "1", { metadata: 1 }),
      delete: () => KV.delete("a"),
      gone: () => KV.get("a"),
      unlisted: async () => (await KV.list()).keys,
      again: () => KV.delete("a"),
      never: () => KV.delete("never was"),
      put_again: () => KV.put("a", "2"),
      back: async () => {
        const { value, metadata } = await KV.getWithMetadata("a");
        return { value, metadata };
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
