// A session store, feature flags, a usage counter, deduplication and a cache with invalidation by prefix, as the guides
// build them on KV.
export default {
  async fetch(request, { KV }) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/login": {
        const session = { user: "ada", roles: ["admin"] };
        await KV.put(`session:${searchParams.get("id")}`, JSON.stringify(session), { expirationTtl: 3600 });
        return Response.json({ ok: true });
      }
      case "/me": {
        const session = await KV.get(`session:${searchParams.get("id")}`, "json");
        return session ? Response.json(session) : new Response("Unauthorized", { status: 401 });
      }
      case "/logout":
        await KV.delete(`session:${searchParams.get("id")}`);
        return Response.json({ ok: true });
      case "/flags": {
        if (request.method === "PUT") await KV.put("flags", await request.text(), { metadata: { version: 2 } });
        const { value, metadata } = await KV.getWithMetadata("flags", "json");
        return Response.json({ value, metadata });
      }
      case "/count": {
        const key = `usage:${searchParams.get("tenant")}:2026-11`;
        const count = Number((await KV.get(key)) ?? "0") + 1;
        await KV.put(key, String(count));
        return Response.json({ count });
      }
      case "/order": {
        const id = request.headers.get("x-request-id");
        const seen = await KV.get(`dedup:${id}`);
        if (seen) return new Response(seen, { headers: { "x-replayed": "true" } });
        const answer = `order of ${await request.text()}`;
        await KV.put(`dedup:${id}`, answer, { expirationTtl: 86400 });
        return new Response(answer, { headers: { "x-replayed": "false" } });
      }
      case "/page": {
        const key = `cache:${searchParams.get("path")}`;
        const cached = await KV.get(key, "stream");
        if (cached) return new Response(cached, { headers: { "x-cache": "HIT" } });
        const body = `rendered ${searchParams.get("path")}`;
        await KV.put(key, body, { expirationTtl: 300 });
        return new Response(body, { headers: { "x-cache": "MISS" } });
      }
      case "/invalidate": {
        const prefix = `cache:${searchParams.get("prefix")}`;
        let cursor, deleted = 0;
        do {
          const page = await KV.list({ prefix, limit: 2, cursor });
          await Promise.all(page.keys.map(({ name }) => KV.delete(name)));
          deleted += page.keys.length;
          cursor = page.list_complete ? undefined : page.cursor;
        } while (cursor);
        return Response.json({ deleted });
      }
      case "/keys":
        return Response.json((await KV.list({ prefix: searchParams.get("prefix") })).keys.map(({ name }) => name));
    }
    return new Response("Not found", { status: 404 });
  },
};
