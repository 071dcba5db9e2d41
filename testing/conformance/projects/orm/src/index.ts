// Object-relational mappers on D1. Each path runs one step and answers what came of it; the steps build on each other.

import { drizzleSteps } from "./drizzle";
import { kyselySteps } from "./kysely";

interface Env {
  DB: D1Database;
}

const steps = { drizzle: drizzleSteps, kysely: kyselySteps };

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const [, library, step] = new URL(request.url).pathname.split("/");
    const run = steps[library]?.[step];
    if (run === undefined) return new Response("no such step", { status: 404 });
    return Response.json((await run(env.DB)) ?? null);
  },
};

/** What a call fails with, down to the first cause. */
export async function failure(call: () => Promise<unknown>): Promise<string> {
  try {
    return `succeeded: ${JSON.stringify(await call())}`;
  } catch (error) {
    let cause = error;
    while (cause.cause) cause = cause.cause;
    return cause.message;
  }
}
