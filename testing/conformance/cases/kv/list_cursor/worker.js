export default {
  async fetch(request, { KV }) {
    return outcomes({
      fill: async () => {
        for (let index = 0; index < 25; index++) await KV.put(`k${String(index).padStart(2, "0")}`, "1");
      },
      pages: async () => {
        const pages = [];
        let cursor;
        do {
          const page = await KV.list({ limit: 10, cursor });
          pages.push(page.keys.map((key) => key.name));
          cursor = page.list_complete ? undefined : page.cursor;
        } while (cursor);
        return pages;
      },
      with_prefix: async () => {
        const first = await KV.list({ prefix: "k1", limit: 4 });
        const second = await KV.list({ prefix: "k1", limit: 10, cursor: first.cursor });
        return [first.keys.map((key) => key.name), second.keys.map((key) => key.name), second.list_complete];
      },
      deleted_meanwhile: async () => {
        const first = await KV.list({ limit: 5 });
        await KV.delete("k04");
        await KV.delete("k06");
        await KV.put("k055", "1");
        const second = await KV.list({ limit: 4, cursor: first.cursor });
        return second.keys.map((key) => key.name);
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
