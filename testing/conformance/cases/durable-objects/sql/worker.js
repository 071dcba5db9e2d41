import { DurableObject } from "cloudflare:workers";

export class Thing extends DurableObject {
  run() {
    const { sql } = this.ctx.storage;
    return outcomes({
      create: () => sql.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB, real REAL)").toArray(),
      insert: () => sql.exec("INSERT INTO t (name, data, real) VALUES (?, ?, ?), ('b', NULL, 2)", "ä", new Uint8Array([1, 255]), 1.5).rowsWritten,
      all: () => sql.exec("SELECT id, name, real FROM t ORDER BY id").toArray(),
      blob: () => [...new Uint8Array(sql.exec("SELECT data FROM t WHERE id = 1").one().data)],
      raw: () => [...sql.exec("SELECT id, name FROM t").raw()],
      columns: () => sql.exec("SELECT id, name AS n FROM t").columnNames,
      one_of_two: () => sql.exec("SELECT id FROM t").one(),
      one_of_none: () => sql.exec("SELECT id FROM t WHERE id = 99").one(),
      several: () => sql.exec("UPDATE t SET name = 'c' WHERE id = 1; SELECT name FROM t WHERE id = 1").one(),
      returning: () => sql.exec("DELETE FROM t WHERE id = 2 RETURNING id").one(),
      json: () => sql.exec("SELECT json_extract('{\"a\": [1, 2]}', '$.a[1]') AS x").one(),
      fts: () => sql.exec("CREATE VIRTUAL TABLE f USING fts5(text); INSERT INTO f VALUES ('hello world'); SELECT count(*) AS n FROM f('world')").one(),
      foreign_keys: () => sql.exec("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id)); INSERT INTO c VALUES (7)").toArray(),
      wrong: () => sql.exec("SELEKT 1").toArray(),
      no_table: () => sql.exec("SELECT * FROM nothing").toArray(),
      begin: () => sql.exec("BEGIN TRANSACTION").toArray(),
      pragma: () => sql.exec("PRAGMA synchronous = OFF").toArray(),
      attach: () => sql.exec("ATTACH 'x' AS y").toArray(),
      own_table: () => sql.exec("SELECT * FROM _cf_KV").toArray(),
      too_few: () => sql.exec("SELECT ?").toArray(),
      bad_value: () => sql.exec("SELECT ?", {}).toArray(),
      size: () => 0 < sql.databaseSize && sql.databaseSize % 4096,
    });
  }
}

export default {
  fetch: async (_, env) => Response.json(await env.OBJECT.getByName("x").run()),
};

// Runs each step and reports its value or the error it threw.
async function outcomes(steps) {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = (await step()) ?? null;
    } catch (error) {
      results[name] = `${error.name}: ${error.message}`;
    }
  }
  return results;
}
