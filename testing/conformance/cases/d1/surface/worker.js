// What the binding's objects look like from outside, and what they refuse.
import { inspect } from "node:util";

const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { name: error.name, error: error.message, cause: error.cause?.message };
  }
};

// Names that begin with an underscore are the client's own business.
const described = (object) => {
  const prototypes = [];
  for (let at = Object.getPrototypeOf(object); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    const names = Object.getOwnPropertyNames(at).filter((name) => !name.startsWith("_")).sort();
    prototypes.push({ class: at.constructor.name, names });
  }
  return { fields: Object.keys(object).sort(), prototypes };
};

export default {
  async fetch(_request, { DB }) {
    const said = {};
    const statement = DB.prepare("SELECT 1 AS a");
    said.database = described(DB);
    said.statement = described(statement);
    said.session = described(DB.withSession());
    said.printed = [inspect(DB), inspect(statement.bind(1, "x")), inspect(DB.withSession())];
    said.clone = await outcome(() => structuredClone(DB));
    said.clone_statement = await outcome(() => structuredClone(statement));
    said.json = JSON.stringify(DB);
    said.keys = {
      all: Object.keys(await statement.all()),
      run: Object.keys(await statement.run()),
      batch: Object.keys((await DB.batch([statement]))[0]),
      exec: Object.keys(await DB.exec("SELECT 1")),
    };
    said.query = await outcome(() => DB.query({ queries: [{ sql: "SELECT 1" }] }));
    said.dump = await outcome(async () => typeof (await DB.dump()));
    said.bookmarks = [DB.withSession("  ").getBookmark(), DB.withSession(" first-primary ").getBookmark(), DB.withSession("x").getBookmark()];
    said.no_session = await outcome(() => DB.withSession(1));
    said.no_session_but_null = await outcome(() => DB.withSession(null).getBookmark());
    said.no_statements = await outcome(() => DB.batch("SELECT 1"));
    said.no_batch = await outcome(() => DB.batch());
    said.no_text = await outcome(() => DB.exec(1));
    said.no_sql = await outcome(() => DB.prepare().all());
    said.number_as_sql = await outcome(() => DB.prepare(1).all());
    said.inherited_column = await outcome(async () => typeof (await statement.first("toString")));
    said.null_column = await outcome(() => DB.prepare("SELECT NULL AS a").first("a"));
    said.null_as_column = await outcome(() => statement.first(null));
    said.proto = await outcome(async () => {
      const row = await DB.prepare("SELECT 1 AS a, 2 AS __proto__, 3 AS \"2\", 4 AS \"constructor\"").first();
      return [Object.keys(row), JSON.stringify(row), Object.getPrototypeOf(row) === Object.prototype];
    });
    for (const [name, value] of Object.entries({
      undefined, bigint: 1n, function: () => 1, symbol: Symbol("s"), object: { a: 1 }, date: new Date(0),
      holes: [1, , 2], large: [256], negative: [-1], text: ["1"], nested: [[1]], nan: NaN, infinity: Infinity,
      bytes: [0, 255, 1.5], empty: [], float32: new Float32Array([0.5]), view: new DataView(new ArrayBuffer(2)),
      slice: new Uint8Array([1, 2, 3]).subarray(1), shared: new ArrayBuffer(1), boxed: Object(1),
    })) {
      said[`bind_${name}`] = await outcome(() => DB.prepare("SELECT ? AS a, typeof(?1) AS t").bind(value).raw());
    }
    return Response.json(said);
  },
};
