// What meta says of each statement.
export default {
  async fetch(_request, { DB }) {
    const said = {};
    const run = async (name, sql, ...values) => {
      const { meta } = await DB.prepare(sql).bind(...values).run();
      const { rows_read, rows_written, changes, last_row_id, changed_db, served_by_primary } = meta;
      said[name] = { rows_read, rows_written, changes, last_row_id, changed_db, served_by_primary };
      said[name].shape = Object.entries(meta).map(([key, value]) => `${key}: ${typeof value}`).sort();
    };
    await run("create", "CREATE TABLE item (id INTEGER PRIMARY KEY, kind TEXT, price REAL, note TEXT)");
    await run("index", "CREATE INDEX by_kind ON item (kind)");
    await run("insert", "INSERT INTO item (kind, price) VALUES ('a', 1)");
    await run("insert_many", "INSERT INTO item (kind, price) VALUES ('a', 2), ('b', 3), ('b', 4), ('c', 5)");
    await run("by_key", "SELECT * FROM item WHERE id = ?", 2);
    await run("by_key_none", "SELECT * FROM item WHERE id = ?", 99);
    await run("by_index", "SELECT id FROM item WHERE kind = 'b'");
    await run("by_index_and_row", "SELECT price FROM item WHERE kind = 'b'");
    await run("scan", "SELECT * FROM item WHERE price > 3");
    await run("all", "SELECT * FROM item");
    await run("limited", "SELECT * FROM item LIMIT 2");
    await run("sorted", "SELECT * FROM item ORDER BY price DESC LIMIT 2");
    await run("constant", "SELECT 1");
    await run("sum", "SELECT sum(price) FROM item");
    await run("update_plain", "UPDATE item SET note = 'x' WHERE kind = 'b'");
    await run("update_indexed", "UPDATE item SET kind = 'd' WHERE id = 1");
    await run("update_none", "UPDATE item SET note = 'x' WHERE id = 99");
    await run("upsert", "INSERT INTO item (id, kind) VALUES (1, 'e') ON CONFLICT (id) DO UPDATE SET price = 9");
    await run("delete", "DELETE FROM item WHERE id = 3");
    await run("delete_all", "DELETE FROM item");
    await run("select_after", "SELECT * FROM item");
    await run("drop", "DROP TABLE item");
    const batch = await DB.batch([DB.prepare("CREATE TABLE t (a)"), DB.prepare("INSERT INTO t VALUES (1), (2)"), DB.prepare("SELECT * FROM t")]);
    said.batch = batch.map(({ meta }) => ({ changes: meta.changes, changed_db: meta.changed_db, rows_read: meta.rows_read, rows_written: meta.rows_written }));
    return Response.json(said);
  },
};
