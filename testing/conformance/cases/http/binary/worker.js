export default {
  async fetch(request) {
    if (request.method === "POST") {
      const bytes = new Uint8Array(await request.arrayBuffer());
      return new Response(bytes.reverse(), { headers: { "content-type": "application/octet-stream" } });
    }
    return new Response(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  },
};
