// Notes: a tenant's rows in D1, each counted as it is made.

import { Hono } from "hono";
import { z } from "zod";

import type { App } from "./env";
import { refuse, validated } from "./problem";
import { isLimit } from "./scope";

const PAGE_ROWS = 50;
const COLUMNS = "id, author_id AS author, text, created_at AS createdAt";

export const notes = new Hono<App>();

/** Counted and made in one transaction: no note that is not counted, and none counted that was not made. */
notes.post("/", validated("json", z.object({ text: z.string().min(1).max(10_000) })), async (c) => {
  const { scope, user } = c.var;
  const insert = scope.prepare(
    `INSERT INTO notes (tenant_id, id, author_id, text) VALUES (?1, ?2, ?3, ?4) RETURNING ${COLUMNS}`,
    crypto.randomUUID(),
    user.id,
    c.req.valid("json").text,
  );
  try {
    const [, made] = await scope.batch([scope.use("notes", 1), insert]);
    return c.json(made?.results[0], 201);
  } catch (error) {
    if (isLimit(error)) return refuse(c, 402, "the plan allows no more notes this month");
    throw error;
  }
});

notes.get("/", validated("query", z.object({ after: z.string().default("") })), async (c) => {
  const { results } = await c.var.scope
    .prepare(
      `SELECT ${COLUMNS} FROM notes WHERE tenant_id = ?1 AND ?2 < id ORDER BY id LIMIT ?3`,
      c.req.valid("query").after,
      PAGE_ROWS,
    )
    .all<{ id: string }>();
  return c.json({ notes: results, after: results.length < PAGE_ROWS ? null : results.at(-1)?.id });
});

notes.get("/:id", async (c) => {
  const note = await c.var.scope
    .prepare(`SELECT ${COLUMNS} FROM notes WHERE tenant_id = ?1 AND id = ?2`, c.req.param("id"))
    .first();
  return note === null ? refuse(c, 404, "no such note") : c.json(note);
});

notes.delete("/:id", async (c) => {
  const { meta } = await c.var.scope
    .prepare("DELETE FROM notes WHERE tenant_id = ?1 AND id = ?2", c.req.param("id"))
    .run();
  return meta.changes === 0 ? refuse(c, 404, "no such note") : c.body(null, 204);
});
