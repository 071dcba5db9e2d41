const PART_BYTES = 5 * 1024 * 1024;

export default {
  async fetch(request, { BUCKET }) {
    const { pathname, searchParams } = new URL(request.url);
    const route = `${request.method} ${pathname}`;
    if (route === "GET /v1/files") {
      const listed = await BUCKET.list({ prefix: searchParams.get("prefix") ?? "", limit: 100 });
      return Response.json({ objects: listed.objects.map(({ key, size }) => ({ key, size })) });
    }
    if (pathname.startsWith("/v1/files/")) return file(request, decodeURIComponent(pathname.slice(10)), BUCKET);
    if (route === "POST /stream") {
      const object = await BUCKET.put("path/to/file.pdf", request.body, {
        httpMetadata: { contentType: "application/pdf", cacheControl: "public, max-age=31536000" },
        customMetadata: { uploadedBy: "ada", version: "1.0" },
      });
      return Response.json({ size: object.size, etag: object.etag });
    }
    if (route === "GET /blob") {
      const object = await BUCKET.get("path/to/file.pdf");
      return new Response(await object.blob(), { headers: { "Content-Type": object.httpMetadata.contentType } });
    }
    if (route === "GET /described") {
      const { objects } = await BUCKET.list({ prefix: "path/", limit: 100, include: ["httpMetadata", "customMetadata"] });
      return Response.json(objects.map(({ key, httpMetadata, customMetadata }) => ({ key, httpMetadata, customMetadata })));
    }
    if (route === "POST /parts") {
      const upload = await BUCKET.createMultipartUpload("large-file");
      const parts = [];
      for (const number of [1, 2]) parts.push(await upload.uploadPart(number, new Uint8Array(PART_BYTES).fill(number)));
      const object = await upload.complete(parts);
      return Response.json({ size: object.size, etag: object.etag });
    }
    return new Response("no such route", { status: 404 });
  },
};

async function file(request, key, bucket) {
  if (request.method === "PUT") {
    const body = await request.arrayBuffer();
    const contentType = request.headers.get("Content-Type") ?? "application/octet-stream";
    await bucket.put(key, body, { httpMetadata: { contentType }, customMetadata: { uploadedBy: "ada" } });
    return Response.json({ key, size: body.byteLength }, { status: 201 });
  }
  if (request.method === "DELETE") {
    await bucket.delete(key);
    return new Response(null, { status: 204 });
  }
  const object = await bucket.get(key);
  if (object === null) return Response.json({ error: "Not found" }, { status: 404 });
  const headers = {
    "Content-Type": object.httpMetadata?.contentType ?? "application/octet-stream",
    ETag: object.etag,
  };
  return new Response(object.body, { headers });
}
