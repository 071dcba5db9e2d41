// Values on their way in and out.
const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { error: error.message, cause: error.cause?.message };
  }
};
const shown = (value) => (value instanceof Array ? { array: value } : value === undefined ? "undefined" : value);

export default {
  async fetch(_request, { DB }) {
    const bound = {};
    const values = {
      integer: 7, negative: -7, zero: 0, fraction: 1.5, huge: 9007199254740991, beyond: 1e300, tiny: 5e-324, minus_zero: -0,
      infinity: Infinity, not_a_number: NaN, text: "text", empty: "", null: null, yes: true, no: false,
      bytes: new Uint8Array([0, 1, 255]), buffer: new Uint8Array([9, 8]).buffer, no_bytes: new Uint8Array(), array: [1, 2],
      undefined: undefined, object: { a: 1 }, symbol: Symbol("s"), bigint: 7n, date: new Date(0), view: new Uint16Array([258]),
    };
    for (const [name, value] of Object.entries(values)) {
      bound[name] = await outcome(async () => {
        const { value: back, type } = await DB.prepare("SELECT ?1 AS value, typeof(?1) AS type").bind(value).first();
        return { back: shown(back), type };
      });
    }
    const selected = {};
    const literals = {
      integer: "42", largest: "9223372036854775807", smallest: "-9223372036854775808", real: "0.1", whole_real: "2.0",
      infinity: "9e999", blob: "x'00ff'", empty_blob: "x''", null: "NULL", text: "'it''s'", truth: "1 = 1", concatenated: "1 || ''",
      cast: "CAST('12abc' AS INTEGER)", quotient: "7 / 2", real_quotient: "7.0 / 2", json: "json('{\"a\": [1, 2]}')", bad_utf8: "CAST(x'ff41' AS TEXT)",
    };
    for (const [name, literal] of Object.entries(literals)) {
      selected[name] = await outcome(async () => shown(await DB.prepare(`SELECT ${literal} AS value`).first("value")));
    }
    await DB.exec("CREATE TABLE t (i INTEGER, r REAL, x TEXT, b BLOB, n NUMERIC, a)");
    const stored = await outcome(async () => {
      await DB.prepare("INSERT INTO t VALUES (?1, ?1, ?1, ?1, ?1, ?1)").bind(3).run();
      await DB.prepare("INSERT INTO t VALUES (?1, ?1, ?1, ?1, ?1, ?1)").bind("3").run();
      await DB.prepare("INSERT INTO t VALUES (?1, ?1, ?1, ?1, ?1, ?1)").bind(1.5).run();
      const types = ["i", "r", "x", "b", "n", "a"].map((column) => `${column}, typeof(${column})`).join(", ");
      return DB.prepare(`SELECT ${types} FROM t`).raw();
    });
    const limited = await outcome(() => DB.prepare("SELECT i FROM t LIMIT ? OFFSET ?").bind(2, 1).raw());
    return Response.json({ bound, selected, stored, limited });
  },
};
