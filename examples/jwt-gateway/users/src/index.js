// The users: knows only what the gateway says of a request.
const names = new Map();

export default {
  async fetch(request) {
    const userId = request.headers.get("X-User-ID");
    const { pathname } = new URL(request.url);
    if (pathname !== "/me") return Response.json({ error: "no such user" }, { status: 404 });
    if (request.method === "PUT") names.set(userId, (await request.json()).name);
    else if (request.method !== "GET") return Response.json({ error: "use GET or PUT" }, { status: 405 });
    return Response.json(
      {
        id: userId,
        name: names.get(userId) ?? null,
        requestId: request.headers.get("X-Request-ID"),
        sawToken: request.headers.has("Authorization"),
      },
      { headers: { "X-Powered-By": "users" } },
    );
  },
};
