// A tenant's API, at its own host. Which tenant is decided here, once; what comes behind sees no other.

import { Hono } from "hono";

import type { App } from "./env";
import { files } from "./files";
import { findTenant } from "./hosts";
import { notes } from "./notes";
import { onError, refuse, validated } from "./problem";
import { Scope } from "./scope";
import { isPassword } from "./secrets";
import { beginSession, endSession, needsSession } from "./sessions";
import { credentialsSchema, users } from "./users";

export const tenant = new Hono<App>();

tenant.onError(onError);
tenant.notFound((c) => refuse(c, 404, "there is nothing here"));

tenant.use(async (c, next) => {
  const found = await findTenant(c.env, new URL(c.req.url).hostname);
  if (found === null) return refuse(c, 404, "no tenant has this host");
  c.set("tenant", found);
  c.set("scope", new Scope(c.env, found.id));
  await next();
});

tenant.get("/", (c) => c.json({ name: c.var.tenant.name, plan: c.var.tenant.plan }));

tenant.post("/login", validated("json", credentialsSchema), async (c) => {
  const { email, password } = c.req.valid("json");
  const user = await c.var.scope
    .prepare("SELECT id, role, password FROM users WHERE tenant_id = ?1 AND email = ?2", email)
    .first<{ id: string; role: "owner" | "member"; password: string }>();
  if (!(await isPassword(password, user?.password)) || user === null) {
    return refuse(c, 401, "the address or the password is wrong");
  }
  const token = await beginSession(c.env, c.var.tenant.id, { id: user.id, role: user.role });
  return c.json({ token });
});

tenant.use(needsSession);

tenant.post("/logout", async (c) => {
  await endSession(c.env, c.var.tenant.id, c.req.header("authorization"));
  return c.body(null, 204);
});

tenant.route("/users", users);
tenant.route("/notes", notes);
tenant.route("/files", files);

/** What was used this month, of what the plan allows. */
tenant.get("/usage", async (c) => {
  const { results } = await c.var.scope
    .prepare(
      `SELECT limits.resource, coalesce(usage.amount, 0) AS used, limits.per_month AS allowed
       FROM tenants
       JOIN limits ON limits.plan = tenants.plan
       LEFT JOIN usage ON usage.tenant_id = tenants.id AND usage.resource = limits.resource
         AND usage.month = strftime('%Y-%m', 'now')
       WHERE tenants.id = ?1 ORDER BY limits.resource`,
    )
    .all();
  return c.json({ usage: results });
});
