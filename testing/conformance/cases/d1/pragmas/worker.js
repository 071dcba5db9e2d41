// What is allowed, and what reaches out of the database.
const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { error: error.message };
  }
};

export default {
  async fetch(_request, { DB }) {
    const said = {};
    const attempt = async (sql) => {
      said[sql] = await outcome(() => DB.prepare(sql).raw());
    };
    await DB.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    await DB.exec("CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)");
    await DB.exec("CREATE INDEX by_name ON t (name)");
    for (const sql of [
      "PRAGMA table_info(t)", "PRAGMA table_xinfo('t')", "PRAGMA index_list(t)", "PRAGMA index_info(by_name)", "PRAGMA index_xinfo(by_name)",
      "PRAGMA foreign_key_list(child)", "PRAGMA foreign_key_check", "PRAGMA quick_check", "PRAGMA optimize", "PRAGMA foreign_keys",
      "PRAGMA defer_foreign_keys = on", "PRAGMA case_sensitive_like = true", "PRAGMA recursive_triggers = 1", "PRAGMA legacy_alter_table = off",
      "PRAGMA journal_mode", "PRAGMA journal_mode = delete", "PRAGMA synchronous = off", "PRAGMA page_size = 512", "PRAGMA cache_size = 1000000",
      "PRAGMA user_version", "PRAGMA user_version = 7", "PRAGMA writable_schema = 1", "PRAGMA integrity_check", "PRAGMA database_list",
      "PRAGMA wal_checkpoint", "PRAGMA temp_store_directory = '/tmp'", "PRAGMA mmap_size = 1", "PRAGMA max_page_count = 1", "PRAGMA data_version",
      "PRAGMA temp_store = memory", "PRAGMA function_list", "PRAGMA nothing",
      "SELECT name FROM pragma_table_info('t')",
      "ATTACH DATABASE '/tmp/x' AS x", "ATTACH ':memory:' AS x", "DETACH main", "VACUUM", "VACUUM INTO '/tmp/x'", "REINDEX", "ANALYZE",
      "CREATE TEMP TABLE x (a)", "CREATE TEMPORARY VIEW x AS SELECT 1", "SELECT load_extension('x')", "SELECT writefile('/tmp/x', 'x')",
      "SELECT readfile('/etc/passwd')", "SELECT fts3_tokenizer('x')", "SELECT sqlite_version() > '3.40'", "SELECT * FROM sqlite_master WHERE name = 'x'",
      "UPDATE sqlite_master SET sql = 'x'", "DELETE FROM sqlite_master", "CREATE TABLE _cf_mine (a)", "CREATE TABLE sqlite_mine (a)", "SELECT * FROM _cf_KV",
      "CREATE VIRTUAL TABLE f3 USING fts3(a)", "CREATE VIRTUAL TABLE f5 USING fts5(a, b)", "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)",
      "CREATE VIRTUAL TABLE c USING csv(filename = '/etc/passwd')", "CREATE VIRTUAL TABLE d USING dbstat",
      "INSERT INTO f5 VALUES ('the quick brown fox', 'jumps')", "SELECT highlight(f5, 0, '<', '>'), bm25(f5) < 0 FROM f5 WHERE f5 MATCH 'quick'",
      "INSERT INTO r VALUES (1, 0, 10)", "SELECT id FROM r WHERE x0 < 5", "SELECT sqrt(16), pi() > 3, log10(100), mod(7, 4)",
      "SELECT json_extract('{\"a\": {\"b\": [1, 2]}}', '$.a.b[1]'), '{\"a\": 1}' ->> 'a'", "SELECT value FROM json_each('[1, 2]')",
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
      "SELECT name, row_number() OVER (ORDER BY name) FROM t", "CREATE VIEW v AS SELECT * FROM t", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM t WHERE id = 99; END",
      "CREATE TABLE made AS SELECT 1 AS a", "SELECT strftime('%Y', 0, 'unixepoch')", "SELECT length(zeroblob(1000))", "SELECT soundex('x')",
      "INSERT INTO t (name) SELECT 'a' UNION SELECT 'A'", "SELECT count(*) FROM t WHERE name LIKE 'A'",
    ]) await attempt(sql);
    said.deferred = await outcome(async () => {
      const results = await DB.batch([
        DB.prepare("PRAGMA defer_foreign_keys = on"),
        DB.prepare("INSERT INTO child (t) VALUES (7)"),
        DB.prepare("INSERT INTO t (id, name) VALUES (7, 'late')"),
      ]);
      return results.length;
    });
    said.deferred_broken = await outcome(async () => (await DB.batch([DB.prepare("INSERT INTO child (t) VALUES (8)")])).length);
    said.children = await DB.prepare("SELECT t FROM child").raw();
    return Response.json(said);
  },
};
