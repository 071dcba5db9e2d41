// The API: what every request passes through, and what answers when nothing else does.

import { Hono } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import { logger } from "hono/logger";

import type { App } from "./env";
import { problem } from "./problem";
import { sessions } from "./sessions";

const app = new Hono<App>();

app.use(logger());
app.use((c, next) => cors({ origin: c.env.ALLOWED_ORIGINS, credentials: true, maxAge: 600 })(c, next));

app.get("/health", (c) => c.json({ status: "ok", environment: c.env.ENVIRONMENT }));
app.route("/v1/sessions", sessions);

app.notFound((c) => problem(c, 404, "Not found", `${c.req.method} ${c.req.path} leads nowhere.`));

app.onError((error, c) => {
  if (error instanceof HTTPException) return problem(c, error.status, error.message);
  console.error(error);
  return problem(c, 500, "Internal server error");
});

export default app;
