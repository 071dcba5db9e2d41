// Sessions in KV: each a JSON value that expires by itself, with its owner in the metadata so that a list needs no reads.

import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { z } from "zod";

import type { App } from "./env";
import { problem } from "./problem";

const PREFIX = "session:";
const TTL_SECONDS = 3600;

const sessionSchema = z.object({
  email: z.email().max(254),
  name: z.string().min(1).max(100),
  // KV keeps nothing for less than a minute.
  ttl: z.number().int().min(60).max(86_400).default(TTL_SECONDS),
});

const listSchema = z.object({
  prefix: z.string().max(64).default(""),
  cursor: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});

interface Session {
  id: string;
  email: string;
  name: string;
  createdAt: string;
}

interface Owner {
  email: string;
}

export const sessions = new Hono<App>();

sessions.post("/", validated("json", sessionSchema), async (c) => {
  const { email, name, ttl } = c.req.valid("json");
  const session: Session = { id: crypto.randomUUID(), email, name, createdAt: new Date().toISOString() };
  const metadata: Owner = { email };
  await c.env.SESSIONS.put(PREFIX + session.id, JSON.stringify(session), { expirationTtl: ttl, metadata });
  return c.json(session, 201, { location: `/v1/sessions/${session.id}` });
});

sessions.get("/", validated("query", listSchema), async (c) => {
  const { prefix, cursor, limit } = c.req.valid("query");
  const page = await c.env.SESSIONS.list<Owner>({ prefix: PREFIX + prefix, limit, cursor: cursor ?? null });
  return c.json({
    sessions: page.keys.map((key) => ({
      id: key.name.slice(PREFIX.length),
      email: key.metadata?.email,
      expiresAt: key.expiration,
    })),
    cursor: page.list_complete ? null : page.cursor,
  });
});

sessions.get("/:id", async (c) => {
  const session = await c.env.SESSIONS.get<Session>(PREFIX + c.req.param("id"), "json");
  if (session === null) return problem(c, 404, "No such session");
  return c.json(session);
});

sessions.delete("/:id", async (c) => {
  await c.env.SESSIONS.delete(PREFIX + c.req.param("id"));
  return c.body(null, 204);
});

/** Like zValidator, but what it finds wrong is answered as problem details. */
function validated<T extends z.ZodType, Part extends "json" | "query">(part: Part, schema: T) {
  return zValidator(part, schema, (result, c) => {
    if (result.success) return;
    const errors = result.error.issues.map(({ path, message }) => ({ path: path.join("."), message }));
    return problem(c, 400, "The request is not valid", undefined, errors);
  });
}
