export default {
  async fetch(request, { KV }) {
    return outcomes({
      ttl: () => KV.put("ttl", "1", { expirationTtl: 3600 }),
      at: () => KV.put("at", "1", { expiration: 2_000_000_000 }),
      least: () => KV.put("least", "1", { expirationTtl: 60 }),
      both: () => KV.put("both", "1", { expirationTtl: 60, expiration: 2_000_000_000 }),
      read: async () => [await KV.get("ttl"), await KV.get("at"), await KV.get("least")],
      listed: async () => {
        const now = Math.floor(Date.now() / 1000);
        const { keys } = await KV.list();
        return keys.map(({ name, expiration }) =>
          [name, expiration === 2_000_000_000 ? expiration : Math.round((expiration - now) / 10) * 10]);
      },
      too_short: () => KV.put("short", "1", { expirationTtl: 59 }),
      zero: () => KV.put("zero", "1", { expirationTtl: 0 }),
      negative: () => KV.put("negative", "1", { expirationTtl: -1 }),
      past: () => KV.put("past", "1", { expiration: 1000 }),
      no_number: () => KV.put("word", "1", { expirationTtl: "soon" }),
      removed_by_put: async () => {
        await KV.put("ttl", "2");
        const { keys } = await KV.list({ prefix: "ttl" });
        return keys;
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
