// The operator's API: makes tenants, changes their plans, removes them, and reads what they used.

import { Hono } from "hono";
import { z } from "zod";

import type { App } from "./env";
import { forgetHosts } from "./hosts";
import { isDuplicate, onError, refuse, validated } from "./problem";
import { Scope } from "./scope";
import { hashPassword, isSame } from "./secrets";
import { endSessions } from "./sessions";
import { credentialsSchema } from "./users";

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const plan = z.enum(["free", "team"]);

const tenantSchema = z.object({
  name: z.string().min(1).max(100),
  subdomain: z.string().regex(LABEL),
  customDomain: z.hostname().toLowerCase().nullable().default(null),
  plan: plan.default("free"),
  owner: credentialsSchema,
});

export const operator = new Hono<App>();

operator.onError(onError);
operator.notFound((c) => refuse(c, 404, "there is nothing here"));

operator.use(async (c, next) => {
  const token = c.req.header("authorization")?.replace(/^Bearer /, "") ?? "";
  // Without a secret nobody is the operator, and an empty token least of all.
  const { OPERATOR_TOKEN } = c.env;
  if (!OPERATOR_TOKEN || !isSame(token, OPERATOR_TOKEN)) return refuse(c, 401, "the token is not the operator's");
  await next();
});

/** The tenant and its owner, both or none. */
operator.post("/tenants", validated("json", tenantSchema), async (c) => {
  const { name, subdomain, customDomain, plan, owner } = c.req.valid("json");
  if (customDomain !== null && `.${customDomain}`.endsWith(`.${c.env.BASE_DOMAIN}`)) {
    return refuse(c, 400, "hosts below the base domain go by subdomain", ["customDomain"]);
  }
  const [id, password] = [crypto.randomUUID(), await hashPassword(owner.password)];
  const insertTenant = c.env.DB.prepare(
    `INSERT INTO tenants (id, name, subdomain, custom_domain, plan) VALUES (?, ?, ?, ?, ?)
     RETURNING id, name, subdomain, custom_domain AS customDomain, plan, created_at AS createdAt`,
  ).bind(id, name, subdomain, customDomain, plan);
  const insertOwner = c.env.DB.prepare(
    "INSERT INTO users (tenant_id, id, email, role, password) VALUES (?, ?, ?, 'owner', ?)",
  ).bind(id, crypto.randomUUID(), owner.email, password);
  try {
    const [made] = await c.env.DB.batch([insertTenant, insertOwner]);
    return c.json(made?.results[0], 201);
  } catch (error) {
    if (isDuplicate(error)) return refuse(c, 409, "another tenant has this subdomain or domain");
    throw error;
  }
});

operator.get("/tenants", async (c) => {
  const { results } = await c.env.DB.prepare(
    `SELECT tenants.id, name, subdomain, custom_domain AS customDomain, plan, count(users.id) AS users
     FROM tenants LEFT JOIN users ON users.tenant_id = tenants.id
     GROUP BY tenants.id ORDER BY subdomain`,
  ).all();
  return c.json({ tenants: results });
});

operator.patch("/tenants/:id", validated("json", z.object({ plan })), async (c) => {
  const changed = await c.env.DB.prepare(
    "UPDATE tenants SET plan = ? WHERE id = ? RETURNING subdomain, custom_domain AS customDomain, plan",
  ).bind(c.req.valid("json").plan, c.req.param("id")).first<Hosts & { plan: string }>();
  if (changed === null) return refuse(c, 404, "no such tenant");
  await forgetHosts(c.env, changed);
  return c.json(changed);
});

/** Rows first: from then on nobody comes in. What is left if this ends half way can be removed by asking again. */
operator.delete("/tenants/:id", async (c) => {
  const id = c.req.param("id");
  const gone = await c.env.DB.prepare(
    "DELETE FROM tenants WHERE id = ? RETURNING subdomain, custom_domain AS customDomain",
  ).bind(id).first<Hosts>();
  if (gone !== null) await forgetHosts(c.env, gone);
  await Promise.all([endSessions(c.env, id), new Scope(c.env, id).deleteFiles()]);
  return c.body(null, 204);
});

/** What a bill is made from: the entries of a month, summed for each tenant. */
operator.get("/usage", validated("query", z.object({ month: z.string().regex(/^\d{4}-\d{2}$/) })), async (c) => {
  const { month } = c.req.valid("query");
  const { results } = await c.env.DB.prepare(
    `SELECT subdomain, resource, sum(amount) AS amount, count(*) AS entries
     FROM usage_entries JOIN tenants ON tenants.id = tenant_id
     WHERE strftime('%Y-%m', at) = ? GROUP BY tenant_id, resource ORDER BY subdomain, resource`,
  ).bind(month).all();
  return c.json({ month, usage: results });
});

interface Hosts {
  subdomain: string;
  customDomain: string | null;
}
