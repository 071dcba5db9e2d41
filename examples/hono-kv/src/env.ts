// What the Worker finds in `env`: the bindings of wrangler.toml, typed.

export interface Env {
  SESSIONS: KVNamespace;
  ENVIRONMENT: "production" | "staging";
  ALLOWED_ORIGINS: string[];
}

export type App = { Bindings: Env };
