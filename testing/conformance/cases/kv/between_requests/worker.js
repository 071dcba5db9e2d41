export default {
  async fetch(request, { KV }) {
    const key = new URL(request.url).pathname;
    if (request.method === "PUT") {
      await KV.put(key, request.body, { metadata: { type: request.headers.get("content-type") } });
      return new Response(null, { status: 204 });
    }
    if (request.method === "DELETE") {
      await KV.delete(key);
      return new Response(null, { status: 204 });
    }
    const { value, metadata } = await KV.getWithMetadata(key, "stream");
    if (value === null) return new Response("no such key", { status: 404 });
    return new Response(value, { headers: { "content-type": metadata.type } });
  },
};
