// Links that redirect until they expire or are used up.

// KV's shortest time to live; also how long an ended link is remembered, so that it answers 410 and not 404.
const TTL_MIN_SECONDS = 60;
const REMEMBERED_SECONDS = 24 * 60 * 60;

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const [, first, code, ...rest] = pathname.split("/");
    if (rest.length > 0) return problem(404, "not found");
    if (first !== "invites") {
      if (code !== undefined || first === "") return problem(404, "not found");
      return request.method === "GET" ? follow(request, first, env, ctx) : problem(405, "use GET");
    }
    if (!(await isAdmin(request, env))) return problem(401, "the admin token is needed");
    if (request.method === "POST" && code === undefined) return create(request, env);
    if (request.method === "GET" && code) return show(code, env);
    return problem(404, "not found");
  },
};

async function follow(request, code, env, ctx) {
  const invite = await env.INVITES.get(key(code), "json");
  if (!invite) return problem(404, "no such invite");
  if (invite.expiresAt !== null && invite.expiresAt <= Date.now()) return problem(410, "the invite has expired");
  if (invite.maxUses !== null && invite.maxUses <= invite.uses) return problem(410, "the invite is used up");
  await store(env, code, { ...invite, uses: invite.uses + 1 });
  ctx.waitUntil(
    report({
      event: "invite_clicked",
      code,
      uses: invite.uses + 1,
      referrer: request.headers.get("Referer"),
      userAgent: request.headers.get("User-Agent"),
      country: request.cf?.country ?? null,
    }),
  );
  return new Response(null, { status: 302, headers: { Location: invite.target, "Cache-Control": "no-store" } });
}

async function create(request, env) {
  const wanted = await request.json().catch(() => null);
  const target = URL.parse(wanted?.target ?? "");
  // A redirect to `javascript:` or `data:` would run in the visitor's browser.
  if (!["https:", "http:"].includes(target?.protocol)) return problem(400, "target must be an http or https URL");
  const { maxUses = null, ttl = null } = wanted;
  if (maxUses !== null && !(Number.isInteger(maxUses) && maxUses >= 1)) {
    return problem(400, "maxUses must be a whole number of at least 1");
  }
  if (ttl !== null && !(Number.isInteger(ttl) && ttl >= TTL_MIN_SECONDS)) {
    return problem(400, `ttl must be a whole number of at least ${TTL_MIN_SECONDS}`);
  }
  const code = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  const expiresAt = ttl === null ? null : Date.now() + ttl * 1000;
  const invite = { target: target.href, maxUses, expiresAt, uses: 0 };
  await store(env, code, invite);
  const link = new URL(`/${code}`, request.url).href;
  return Response.json({ code, link, ...invite }, { status: 201 });
}

async function show(code, env) {
  const invite = await env.INVITES.get(key(code), "json");
  return invite ? Response.json({ code, ...invite }) : problem(404, "no such invite");
}

function store(env, code, invite) {
  const options = {};
  if (invite.expiresAt !== null) options.expiration = Math.ceil(invite.expiresAt / 1000) + REMEMBERED_SECONDS;
  return env.INVITES.put(key(code), JSON.stringify(invite), options);
}

async function isAdmin(request, env) {
  if (!env.ADMIN_TOKEN) return false;
  // Digests have one length, so the comparison tells nothing of the token's.
  const digest = async (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const given = await digest(request.headers.get("Authorization") ?? "");
  return crypto.subtle.timingSafeEqual(given, await digest(`Bearer ${env.ADMIN_TOKEN}`));
}

async function report(event) {
  console.log(JSON.stringify({ ...event, timestamp: Date.now() }));
}

const key = (code) => `invite:${code}`;
const problem = (status, error) => Response.json({ error }, { status });
