export default {
  async fetch(request, { KV }) {
    return outcomes({
      text: () => KV.put("text", "one"),
      replace: () => KV.put("text", "two"),
      read_text: () => KV.get("text"),
      empty: () => KV.put("empty", ""),
      read_empty: () => KV.get("empty"),
      bytes: () => KV.put("bytes", new Uint8Array([0, 1, 2, 253, 254, 255])),
      read_bytes: async () => [...new Uint8Array(await KV.get("bytes", "arrayBuffer"))],
      buffer: () => KV.put("buffer", new Uint8Array([0, 255]).buffer),
      read_buffer: async () => [...new Uint8Array(await KV.get("buffer", "arrayBuffer"))],
      stream: () => KV.put("stream", new Response("streamed").body),
      read_stream: () => KV.get("stream"),
      big: () => KV.put("big", new Uint8Array(3_000_000).fill(7)),
      read_big: async () => {
        const bytes = new Uint8Array(await KV.get("big", "arrayBuffer"));
        return [bytes.length, bytes.every((byte) => byte === 7)];
      },
      number: () => KV.put("number", 5),
      nothing: () => KV.put("nothing"),
      read_number: () => KV.get("number"),
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
