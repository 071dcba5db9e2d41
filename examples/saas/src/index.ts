// The Worker's only door: the host decides whether the operator's API answers or a tenant's.

import type { Env } from "./env";
import { operator } from "./operator";
import { tenant } from "./tenant";

export default {
  fetch(request, env, ctx) {
    const { hostname } = new URL(request.url);
    const app = hostname === env.BASE_DOMAIN ? operator : tenant;
    return app.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
