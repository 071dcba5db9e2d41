// A tenant's users: its owner lets them in.

import { Hono } from "hono";
import { z } from "zod";

import type { App } from "./env";
import { isDuplicate, refuse, validated } from "./problem";
import { hashPassword } from "./secrets";

export const credentialsSchema = z.object({ email: z.email().max(254), password: z.string().min(8).max(200) });

export const users = new Hono<App>();

users.get("/", async (c) => {
  const { results } = await c.var.scope
    .prepare("SELECT id, email, role FROM users WHERE tenant_id = ?1 ORDER BY email")
    .all();
  return c.json({ users: results });
});

users.post("/", validated("json", credentialsSchema), async (c) => {
  if (c.var.user.role !== "owner") return refuse(c, 403, "only the owner may add users");
  const { email, password } = c.req.valid("json");
  const insert = c.var.scope.prepare(
    `INSERT INTO users (tenant_id, id, email, role, password) VALUES (?1, ?2, ?3, 'member', ?4)
     RETURNING id, email, role`,
    crypto.randomUUID(),
    email,
    await hashPassword(password),
  );
  try {
    return c.json(await insert.first(), 201);
  } catch (error) {
    if (isDuplicate(error)) return refuse(c, 409, "there is a user with this address");
    throw error;
  }
});
