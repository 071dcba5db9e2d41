// What user code is told of mistakes.
const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { error: error.message, cause: error.cause?.message };
  }
};

export default {
  async fetch(_request, { DB }) {
    const said = {};
    const attempt = async (name, sql, ...values) => {
      said[name] = await outcome(() => DB.prepare(sql).bind(...values).raw());
    };
    await DB.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY)");
    await DB.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER CHECK (age >= 0), parent REFERENCES parent (id))");
    await DB.exec("CREATE TABLE strict (n INTEGER) STRICT");
    await DB.exec("INSERT INTO t (name) VALUES ('ada')");
    await attempt("syntax", "SELEC 1");
    await attempt("no_table", "SELECT * FROM nothing");
    await attempt("no_column", "SELECT nothing FROM t");
    await attempt("no_function", "SELECT nothing(1)");
    await attempt("incomplete", "SELECT (1");
    await attempt("empty", "");
    await attempt("comment", "-- nothing");
    await attempt("semicolon", ";");
    await attempt("unique", "INSERT INTO t (name) VALUES ('ada')");
    await attempt("primary_key", "INSERT INTO t (id, name) VALUES (1, 'bob')");
    await attempt("not_null", "INSERT INTO t (name) VALUES (NULL)");
    await attempt("check", "INSERT INTO t (name, age) VALUES ('bob', -1)");
    await attempt("foreign_key", "INSERT INTO t (name, parent) VALUES ('bob', 9)");
    await attempt("strict", "INSERT INTO strict VALUES ('text')");
    await attempt("raise", "SELECT json_extract('{', '$')");
    await attempt("overflow", "SELECT abs(-9223372036854775808)");
    await attempt("too_few", "SELECT ?, ?", 1);
    await attempt("too_many", "SELECT ?", 1, 2);
    await attempt("exists", "CREATE TABLE t (a)");
    await attempt("begin", "BEGIN TRANSACTION");
    await attempt("commit", "COMMIT");
    await attempt("savepoint", "SAVEPOINT s");
    await attempt("parameter_101", `SELECT ${Array(101).fill("?").join(", ")}`, ...Array(101).fill(1));
    await attempt("column_101", `CREATE TABLE wide (${Array.from({ length: 101 }, (_, index) => `c${index}`).join(", ")})`);
    await attempt("pattern_51", "SELECT 'a' LIKE ?", "x".repeat(51));
    await attempt("compound_6", Array(6).fill("SELECT 1").join(" UNION ALL "));
    await attempt("deep", `SELECT ${"(".repeat(101)}1${")".repeat(101)}`);
    await attempt("deep_plus", `SELECT ${"1+".repeat(150)}1`);
    said.exec = await outcome(() => DB.exec("SELECT 1\nSELEC 2"));
    said.batch = await outcome(() => DB.batch([DB.prepare("INSERT INTO t (name) VALUES ('in batch')"), DB.prepare("INSERT INTO t (name) VALUES ('ada')")]));
    said.left = await DB.prepare("SELECT name FROM t").raw();
    return Response.json(said);
  },
};
