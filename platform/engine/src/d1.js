// What `env.DB` is: D1's client, in the place of workerd's own. That one needs a third more of the process's only thread for a
// select by key, for a trace that nobody reads here, a URL and headers made anew each time, and rows taken apart cell by cell. What a
// Worker sees is the same, classes and fields by name; conformance holds the two against each other.

import wrappedBinding from "cloudflare-internal:wrapped-binding";

const SERVICE = "http://d1";
const QUERY = "/query?resultsFormat=ROWS_AND_COLUMNS";
// What a session says of itself, and what it is told: one of the two words below, or a bookmark.
const SESSION_HEADER = "x-cf-d1-session-commit-token";
const FIRST_PRIMARY = "first-primary";
const FIRST_UNCONSTRAINED = "first-unconstrained";

class D1Database extends wrappedBinding.WrappedBinding {
  #fetcher;
  #session;

  constructor(fetcher) {
    super(fetcher);
    this.#fetcher = fetcher;
    this.#session = new D1DatabaseSessionAlwaysPrimary(fetcher, null);
  }

  prepare(query) {
    return this.#session.prepare(query);
  }

  async batch(statements) {
    return this.#session.batch(statements);
  }

  async exec(query) {
    return this.#session.exec(query);
  }

  withSession(constraintOrBookmark) {
    return new D1DatabaseSession(this.#fetcher, constraintOrBookmark?.trim() || FIRST_UNCONSTRAINED);
  }

  // The flag is refused at deployment: it changes what is spoken between the binding and the service.
  async query() {
    throw new Error("D1_ERROR: D1Database.query() requires the d1_binding_jsrpc compatibility flag. Enable d1_binding_jsrpc before calling query().");
  }

  async dump() {
    return this.#session.dump();
  }
}

class D1DatabaseSession {
  #fetcher;
  #bookmarkOrConstraint;

  constructor(fetcher, bookmarkOrConstraint) {
    this.#fetcher = fetcher;
    this.#bookmarkOrConstraint = bookmarkOrConstraint;
  }

  prepare(sql) {
    return new D1PreparedStatement(this, sql, []);
  }

  async batch(statements) {
    const queries = statements.map(({ statement, params }) => ({ sql: statement, params }));
    const results = await this._ask(queries);
    return results.map(resultOf);
  }

  getBookmark() {
    const known = this.#bookmarkOrConstraint;
    return known === FIRST_PRIMARY || known === FIRST_UNCONSTRAINED ? null : known;
  }

  // The results of the queries: all of them, or an error.
  async _ask(queries) {
    const results = await this._send(QUERY, queries);
    const failed = results[0]?.error;
    if (failed) throw failure("D1_ERROR", failed);
    return results;
  }

  // A result for each query, or the one error of them all.
  async _send(path, queries) {
    const response = await this._fetch(path, { method: "POST", body: JSON.stringify(queries) });
    const answer = parsed(await response.text());
    return Array.isArray(answer) ? answer : [answer];
  }

  _fetch(path, request) {
    const known = this.#bookmarkOrConstraint;
    if (known === null) return this.#fetcher.fetch(SERVICE + path, request);
    request.headers = { [SESSION_HEADER]: known };
    return this.#fetcher.fetch(SERVICE + path, request).then((response) => {
      this.#remember(response.headers.get(SESSION_HEADER));
      return response;
    });
  }

  // Answers may come out of order.
  #remember(bookmark) {
    if (!bookmark) return;
    const known = this.getBookmark();
    if (known === null || known.localeCompare(bookmark) < 0) this.#bookmarkOrConstraint = bookmark;
  }
}

// Of `env.DB` itself: no session is asked for, so none is kept.
class D1DatabaseSessionAlwaysPrimary extends D1DatabaseSession {
  async exec(query) {
    const lines = query.trim().split("\n");
    const results = await this._send("/execute", lines.map((sql) => ({ sql })));
    let duration = 0;
    for (const [index, { error, meta }] of results.entries()) {
      if (error) {
        throw failure("D1_EXEC_ERROR", `Error in line ${index + 1}: ${lines[index]}: ${error}`);
      }
      duration += meta.duration;
    }
    return { count: results.length, duration };
  }

  async dump() {
    const response = await this._fetch("/dump", { method: "POST" });
    if (response.status !== 200) {
      throw failure("D1_DUMP_ERROR", `Status + ${response.status}`, `Status ${response.status}`);
    }
    return response.arrayBuffer();
  }
}

class D1PreparedStatement {
  #session;

  constructor(session, statement, params) {
    this.#session = session;
    this.statement = statement;
    this.params = params;
  }

  bind(...values) {
    return new D1PreparedStatement(this.#session, this.statement, values.map(parameterOf));
  }

  async first(colName) {
    const { results: { columns, rows } } = await this.#ask();
    if (rows.length === 0) return null;
    const [row] = objectsOf(columns, [rows[0]]);
    if (colName === undefined) return row;
    const cell = row[colName];
    if (cell === undefined) {
      throw failure("D1_COLUMN_NOTFOUND", `Column not found (${colName})`, "Column not found");
    }
    return cell;
  }

  async run() {
    return resultOf(await this.#ask());
  }

  async all() {
    return resultOf(await this.#ask());
  }

  async raw(options) {
    const { results: { columns, rows } } = await this.#ask();
    return options?.columnNames ? [columns, ...rows] : rows;
  }

  // Not by way of each other, since programs that watch put something of theirs in a method's place.
  async #ask() {
    const [result] = await this.#session._ask({ sql: this.statement, params: this.params });
    return result;
  }
}

export default ({ fetcher }) => new D1Database(fetcher);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw failure("D1_ERROR", `Failed to parse body as JSON, got: ${text}`);
  }
}

function resultOf({ meta, results: { columns, rows } }) {
  return { success: true, meta, results: objectsOf(columns, rows) };
}

function objectsOf(columns, rows) {
  // Such a name is a column's as any other, but an assignment would take it for the object's prototype.
  if (columns.includes("__proto__")) {
    return rows.map((row) => Object.fromEntries(row.map((cell, index) => [columns[index], cell])));
  }
  return rows.map((row) => {
    const object = {};
    for (let index = 0; index < columns.length; index++) object[columns[index]] = row[index];
    return object;
  });
}

function parameterOf(value) {
  switch (typeof value) {
    case "number":
    case "string":
      return value;
    case "boolean":
      return value ? 1 : 0;
    case "object":
      if (value === null) return value;
      if (Array.isArray(value) && value.every((byte) => typeof byte === "number" && 0 <= byte && byte < 256)) return value;
      if (value instanceof ArrayBuffer) return Array.from(new Uint8Array(value));
      if (ArrayBuffer.isView(value)) return Array.from(value);
  }
  throw failure("D1_TYPE_ERROR", `Type '${typeof value}' not supported for value '${value}'`);
}

function failure(code, message, cause = message) {
  return new Error(`${code}: ${message}`, { cause: new Error(cause) });
}
