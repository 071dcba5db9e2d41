import { DurableObject } from "cloudflare:workers";

export class Thing extends DurableObject {
  run() {
    const { storage } = this.ctx;
    const { sql } = storage;
    const rows = () => sql.exec("SELECT n FROM t ORDER BY n").toArray().map(({ n }) => n);
    return outcomes({
      create: () => sql.exec("CREATE TABLE t (n)").toArray(),
      kept: () => storage.transactionSync(() => { sql.exec("INSERT INTO t VALUES (1)"); return rows(); }),
      undone: () => storage.transactionSync(() => { sql.exec("INSERT INTO t VALUES (2)"); throw new RangeError("no"); }),
      after: rows,
      nested: () => storage.transactionSync(() => {
        sql.exec("INSERT INTO t VALUES (3)");
        try { storage.transactionSync(() => { sql.exec("INSERT INTO t VALUES (4)"); throw new Error("inner"); }); } catch {}
        return rows();
      }),
      spanning: () => storage.transaction(async () => { sql.exec("INSERT INTO t VALUES (5)"); await scheduler.wait(5); return rows(); }),
      spanning_undone: () => storage.transaction(async (txn) => { await txn.put("a", 1); await scheduler.wait(5); throw new Error("no"); }),
      no_a: () => storage.get("a"),
      rolled_back: () => storage.transaction(async (txn) => { await txn.put("a", 1); txn.rollback(); return "said"; }),
      still_no_a: () => storage.get("a"),
      end: rows,
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
