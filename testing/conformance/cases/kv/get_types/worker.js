export default {
  async fetch(request, { KV }) {
    return outcomes({
      put: () => KV.put("a", '{"n":1,"s":"ä€😀"}'),
      text: () => KV.get("a"),
      text_by_name: () => KV.get("a", "text"),
      text_by_option: () => KV.get("a", { type: "text" }),
      json: () => KV.get("a", "json"),
      bytes: async () => [...new Uint8Array(await KV.get("a", "arrayBuffer"))],
      stream: async () => new Response(await KV.get("a", "stream")).text(),
      missing: () => KV.get("b"),
      missing_json: () => KV.get("b", "json"),
      missing_bytes: () => KV.get("b", "arrayBuffer"),
      missing_stream: () => KV.get("b", "stream"),
      put_text: () => KV.put("t", "not json"),
      not_json: async () => {
        try {
          return await KV.get("t", "json");
        } catch (error) {
          return error.name;
        }
      },
      unknown_type: () => KV.get("a", "xml"),
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
