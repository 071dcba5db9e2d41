// What the Worker finds in `env`, typed, and what a request knows once its tenant and its user are known.

import type { Scope } from "./scope";

export interface Env {
  DB: D1Database;
  TENANTS: KVNamespace;
  SESSIONS: KVNamespace;
  FILES: R2Bucket;
  BASE_DOMAIN: string;
  OPERATOR_TOKEN: string;
}

export interface Tenant {
  id: string;
  name: string;
  plan: string;
}

export interface User {
  id: string;
  role: "owner" | "member";
}

export type App = { Bindings: Env; Variables: { tenant: Tenant; scope: Scope; user: User } };
