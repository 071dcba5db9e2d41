// Sessions in KV. A key begins with its tenant, so that a token is worth nothing at another tenant's host; the token itself
// is not kept, only its hash.

import { createMiddleware } from "hono/factory";

import type { App, Env, User } from "./env";
import { refuse } from "./problem";
import { randomToken, sha256 } from "./secrets";

const SESSION_SECONDS = 86_400;

const prefix = (tenantId: string) => `session:${tenantId}:`;
const key = async (tenantId: string, token: string) => prefix(tenantId) + (await sha256(token));

export async function beginSession(env: Env, tenantId: string, user: User): Promise<string> {
  const token = randomToken();
  const options = { expirationTtl: SESSION_SECONDS };
  await env.SESSIONS.put(await key(tenantId, token), JSON.stringify(user), options);
  return token;
}

export const needsSession = createMiddleware<App>(async (c, next) => {
  const token = bearer(c.req.header("authorization"));
  const user = token && (await c.env.SESSIONS.get<User>(await key(c.var.tenant.id, token), "json"));
  if (!user) return refuse(c, 401, "log in first");
  c.set("user", user);
  await next();
});

export async function endSession(env: Env, tenantId: string, authorization: string | undefined): Promise<void> {
  await env.SESSIONS.delete(await key(tenantId, bearer(authorization)));
}

/** Ends all sessions of a tenant. */
export async function endSessions(env: Env, tenantId: string): Promise<void> {
  let cursor: string | null = null;
  do {
    const page: KVNamespaceListResult<unknown> = await env.SESSIONS.list({ prefix: prefix(tenantId), cursor });
    await Promise.all(page.keys.map(({ name }) => env.SESSIONS.delete(name)));
    cursor = page.list_complete ? null : page.cursor;
  } while (cursor !== null);
}

const bearer = (authorization: string | undefined) => authorization?.replace(/^Bearer /, "") ?? "";
