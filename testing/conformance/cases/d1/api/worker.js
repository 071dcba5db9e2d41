// Every method of the binding.
const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { error: error.message, cause: error.cause?.message };
  }
};
const rows = ({ success, results }) => ({ success, results });

export default {
  async fetch(_request, { DB }) {
    const said = {};
    said.exec = await outcome(async () => (await DB.exec("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)")).count);
    said.exec_lines = await outcome(async () =>
      (await DB.exec("INSERT INTO user (name, age) VALUES ('ada', 36)\nINSERT INTO user (name, age) VALUES ('bob', 20)")).count);
    const insert = DB.prepare("INSERT INTO user (name, age) VALUES (?1, ?2)");
    said.run = await outcome(async () => rows(await insert.bind("cyd", 41).run()));
    said.returning = await outcome(async () =>
      rows(await DB.prepare("INSERT INTO user (name, age) VALUES (?, ?) RETURNING id, name").bind("dan", 7).run()));
    const select = DB.prepare("SELECT id, name, age FROM user WHERE age > ? ORDER BY id");
    said.all = await outcome(async () => rows(await select.bind(10).all()));
    said.none = await outcome(async () => rows(await select.bind(100).all()));
    said.run_select = await outcome(async () => rows(await select.bind(30).run()));
    said.first = await outcome(() => select.bind(10).first());
    said.first_column = await outcome(() => select.bind(10).first("name"));
    said.first_none = await outcome(() => select.bind(100).first());
    said.first_no_column = await outcome(() => select.bind(10).first("nothing"));
    said.raw = await outcome(() => select.bind(10).raw());
    said.raw_columns = await outcome(() => select.bind(10).raw({ columnNames: true }));
    said.raw_empty = await outcome(() => select.bind(100).raw({ columnNames: true }));
    said.same_names = await outcome(() => DB.prepare("SELECT 1 AS a, 2 AS a, 3 AS b").raw({ columnNames: true }));
    said.same_names_object = await outcome(() => DB.prepare("SELECT 1 AS a, 2 AS a, 3 AS b").first());
    said.batch = await outcome(async () =>
      (await DB.batch([insert.bind("eve", 1), DB.prepare("SELECT count(*) AS n FROM user"), DB.prepare("DELETE FROM user WHERE name = 'eve'")])).map(rows));
    said.batch_of_none = await outcome(() => DB.batch([]));
    said.numbered = await outcome(() => DB.prepare("SELECT ?2 AS b, ?1 AS a, ?2 AS c").bind("x", "y").first());
    said.repeated_question_marks = await outcome(() => DB.prepare("SELECT ? AS a, ? AS b").bind("x", "y").first());
    said.reused = await outcome(async () => [await select.bind(30).first("name"), await select.bind(10).first("name")]);
    said.bound_twice = await outcome(() => select.bind(100).bind(10).first("name"));
    said.two_statements = await outcome(() => DB.prepare("SELECT 1 AS a; SELECT 2 AS b").first());
    said.trailing = await outcome(() => DB.prepare("  SELECT 1 AS a ;  -- the end\n").first());
    said.unicode = await outcome(() => DB.prepare("SELECT ? AS \"ключ\"").bind("naïve ☃ 𝄞 \u0000 end").first());
    said.explain = await outcome(async () => (await DB.prepare("EXPLAIN QUERY PLAN SELECT * FROM user WHERE id = 1").all()).results.length);
    said.count = await outcome(() => DB.prepare("SELECT count(*) AS n FROM user").first("n"));
    return Response.json(said);
  },
};
