// Who asks, what may pass, and where it goes.
export { RateLimiter } from "./limiter.js";
import { TokenError, verify } from "./jwt.js";
import { escapeHtml, validate } from "./validation.js";

const NAME = { name: { type: "string", required: true, maxLength: 100 } };
const WINDOW_SECONDS = 60;
const ORDER = {
  item: { type: "string", required: true, maxLength: 200 },
  quantity: { type: "integer", required: true, min: 1, max: 1000 },
};

export default {
  async fetch(request, env, ctx) {
    const requestId = crypto.randomUUID();
    const started = Date.now();
    const { response, userId } = await handle(request, env, requestId);
    ctx.waitUntil(log({ request, status: response.status, userId, requestId, ms: Date.now() - started }));
    return withHeaders(response, requestId);
  },
};

async function handle(request, env, requestId) {
  const { pathname } = new URL(request.url);
  if (pathname === "/health") return { response: Response.json({ status: "ok" }) };

  let claims;
  try {
    claims = await verify(bearer(request), env.JWT_SECRET);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const headers = { "WWW-Authenticate": 'Bearer realm="api"' };
    return { response: Response.json({ error: error.message }, { status: 401, headers }) };
  }
  const needed = request.method === "GET" || request.method === "HEAD" ? "read" : "write";
  if (!Array.isArray(claims.permissions) || !claims.permissions.includes(needed)) {
    return { response: problem(403, `permission '${needed}' is missing`), userId: claims.sub };
  }
  // One object for each user: all requests of one meet there, wherever they come from.
  const { allowed, retryAfter } = await env.RATE_LIMITER.getByName(claims.sub).check(env.RATE_LIMIT, WINDOW_SECONDS);
  if (!allowed) {
    const response = problem(429, "too many requests");
    response.headers.set("Retry-After", retryAfter);
    return { response, userId: claims.sub };
  }
  return { response: await route(request, env, pathname, claims.sub, requestId), userId: claims.sub };
}

async function route(request, env, pathname, userId, requestId) {
  if (pathname === "/api/users" || pathname.startsWith("/api/users/")) {
    return users(request, env, pathname.slice("/api/users".length), userId, requestId);
  }
  if (pathname === "/api/orders") return orders(request, env, userId);
  return problem(404, "not found");
}

// Over HTTP: the request goes on with headers of ours in place of the client's.
async function users(request, env, path, userId, requestId) {
  const headers = new Headers(request.headers);
  headers.delete("Authorization");
  headers.delete("Cookie");
  headers.set("X-User-ID", userId);
  headers.set("X-Request-ID", requestId);
  let body = null;
  if (request.method === "PUT") {
    const { value, errors } = validate(await json(request), NAME);
    if (errors) return invalid(errors);
    body = JSON.stringify({ name: escapeHtml(value.name) });
    headers.set("Content-Type", "application/json");
    headers.delete("Content-Length");
  }
  return env.USERS.fetch(`https://users.internal${path || "/"}`, { method: request.method, headers, body });
}

// By calls: no HTTP in between.
async function orders(request, env, userId) {
  if (request.method === "GET") return Response.json({ orders: await env.ORDERS.list(userId) });
  if (request.method !== "POST") return problem(405, "use GET or POST");
  const { value, errors } = validate(await json(request), ORDER);
  if (errors) return invalid(errors);
  try {
    const order = await env.ORDERS.place(userId, { ...value, item: escapeHtml(value.item) });
    return Response.json(order, { status: 201 });
  } catch (error) {
    // The type of an error survives the call.
    if (error instanceof RangeError) return problem(409, error.message);
    throw error;
  }
}

function bearer(request) {
  const [scheme, token] = (request.headers.get("Authorization") ?? "").split(" ");
  if (scheme?.toLowerCase() !== "bearer" || !token) throw new TokenError("a bearer token is needed");
  return token;
}

async function json(request) {
  try {
    return await request.json();
  } catch {
    return undefined;
  }
}

function withHeaders(response, requestId) {
  const answer = new Response(response.body, response);
  answer.headers.set("X-Request-ID", requestId);
  answer.headers.set("X-Content-Type-Options", "nosniff");
  answer.headers.delete("X-Powered-By");
  return answer;
}

async function log({ request, status, userId, requestId, ms }) {
  const { pathname } = new URL(request.url);
  console.log(JSON.stringify({ event: "request", requestId, method: request.method, path: pathname, status, userId, ms }));
}

const problem = (status, error) => Response.json({ error }, { status });
const invalid = (errors) => Response.json({ error: "the request is not valid", errors }, { status: 400 });
