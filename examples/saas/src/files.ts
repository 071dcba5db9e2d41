// Files: a tenant's objects in R2, whose bytes are counted as they come in.

import { Hono } from "hono";
import { z } from "zod";

import type { App } from "./env";
import { refuse, validated } from "./problem";
import { isLimit } from "./scope";

const named = validated("param", z.object({ name: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,99}$/u) }));

export const files = new Hono<App>();

files.get("/", validated("query", z.object({ cursor: z.string().optional() })), async (c) =>
  c.json(await c.var.scope.listFiles(c.req.valid("query").cursor)),
);

files.put("/:name", named, async (c) => {
  const { scope } = c.var;
  const { body } = c.req.raw;
  const bytes = Number(c.req.header("content-length") ?? NaN);
  if (body === null || !Number.isInteger(bytes)) return refuse(c, 411, "say how long the file is");
  try {
    await scope.use("file_bytes", bytes).run();
  } catch (error) {
    if (isLimit(error)) return refuse(c, 402, "the plan allows no more bytes this month");
    throw error;
  }
  try {
    const type = c.req.header("content-type") ?? "application/octet-stream";
    const { size } = await scope.putFile(c.req.valid("param").name, body, type);
    return c.json({ name: c.req.valid("param").name, size }, 201);
  } catch (error) {
    // It did not come in, so it is not paid for.
    await scope.use("file_bytes", -bytes).run();
    throw error;
  }
});

files.get("/:name", named, async (c) => {
  const object = await c.var.scope.getFile(c.req.valid("param").name);
  if (object === null) return refuse(c, 404, "no such file");
  // What somebody uploaded is shown, and runs nothing on this host's origin.
  const headers = new Headers({ "content-security-policy": "sandbox", "x-content-type-options": "nosniff" });
  object.writeHttpMetadata(headers);
  headers.set("etag", object.httpEtag);
  return new Response(object.body, { headers });
});

files.delete("/:name", named, async (c) => {
  await c.var.scope.deleteFile(c.req.valid("param").name);
  return c.body(null, 204);
});
