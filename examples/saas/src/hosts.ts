// Which tenant a host belongs to: D1 knows, and KV remembers so that most requests need not ask.

import type { Env, Tenant } from "./env";

// KV keeps nothing for less than a minute; on Cloudflare it may also show a deleted key for that long.
const REMEMBERED_SECONDS = 300;

const key = (host: string) => `host:${host}`;

export async function findTenant(env: Env, host: string): Promise<Tenant | null> {
  const remembered = await env.TENANTS.get<Tenant>(key(host), "json");
  if (remembered !== null) return remembered;
  const subdomain = host.endsWith(`.${env.BASE_DOMAIN}`) ? host.slice(0, -env.BASE_DOMAIN.length - 1) : null;
  const found = await env.DB.prepare(
    "SELECT id, name, plan FROM tenants WHERE subdomain = ? OR custom_domain = ?",
  ).bind(subdomain, host).first<Tenant>();
  if (found !== null) {
    await env.TENANTS.put(key(host), JSON.stringify(found), { expirationTtl: REMEMBERED_SECONDS });
  }
  return found;
}

/** To be called when a tenant changes or goes. */
export async function forgetHosts(env: Env, tenant: { subdomain: string; customDomain: string | null }) {
  const hosts = [`${tenant.subdomain}.${env.BASE_DOMAIN}`, ...(tenant.customDomain ? [tenant.customDomain] : [])];
  await Promise.all(hosts.map((host) => env.TENANTS.delete(key(host))));
}
