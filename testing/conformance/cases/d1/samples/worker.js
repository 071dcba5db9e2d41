// What the guides build on D1, in one Worker.
const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS users (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     email TEXT UNIQUE NOT NULL,
     name TEXT,
     role TEXT DEFAULT 'member' CHECK (role IN ('admin', 'member', 'viewer')),
     created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
     metadata JSON
   )`,
  "CREATE INDEX idx_users_email ON users (email)",
  "CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0))",
  "CREATE TABLE transactions (id INTEGER PRIMARY KEY, from_id TEXT REFERENCES accounts (id), to_id TEXT REFERENCES accounts (id), amount INTEGER)",
  "CREATE VIRTUAL TABLE posts_fts USING fts5(title, content)",
  "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER CHECK (stock >= 0), price REAL)",
  "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), product_id INTEGER REFERENCES products (id), quantity INTEGER)",
  "CREATE TRIGGER stock AFTER INSERT ON orders BEGIN UPDATE products SET stock = stock - new.quantity WHERE id = new.product_id; END",
];

export default {
  async fetch(request, { DB }) {
    const { pathname, searchParams } = new URL(request.url);
    const asked = (name) => searchParams.get(name);
    try {
      switch (pathname) {
        case "/setup": {
          await DB.batch(SCHEMA.map((sql) => DB.prepare(sql)));
          const user = DB.prepare("INSERT INTO users (email, name, role, metadata) VALUES (?, ?, ?, ?)");
          const post = DB.prepare("INSERT INTO posts_fts (title, content) VALUES (?, ?)");
          const results = await DB.batch([
            user.bind("ada@example.com", "Ada", "admin", JSON.stringify({ role: "admin", permissions: ["read", "write"] })),
            user.bind("bob@example.com", "Bob", "member", JSON.stringify({ role: "member" })),
            user.bind("cyd@example.com", "Cyd", "viewer", null),
            DB.prepare("INSERT INTO accounts VALUES ('account1', 500), ('account2', 0)"),
            post.bind("Edge", "Running code on cloudflare workers at the edge"),
            post.bind("Bread", "Flour, water, salt"),
            DB.prepare("INSERT INTO products VALUES (1, 'Lamp', 10, 19.5), (2, 'Desk', 5, 200), (3, 'Chair', 4, 80)"),
          ]);
          return Response.json(results.map(({ success, meta }) => [success, meta.changes]));
        }
        case "/users":
          return Response.json({ users: (await DB.prepare("SELECT * FROM users WHERE created_at > ? ORDER BY id LIMIT ?").bind("2024-01-01", 1).all()).results });
        case "/admins":
          return Response.json((await DB.prepare(`
            SELECT id, name, json_extract(metadata, '$.role') AS role, json_extract(metadata, '$.permissions') AS permissions
            FROM users WHERE json_extract(metadata, '$.role') = 'admin'
          `).all()).results);
        case "/page": {
          const limit = Number(asked("limit"));
          const page = asked("cursor")
            ? DB.prepare("SELECT id, name FROM users WHERE id > ? ORDER BY id LIMIT ?").bind(asked("cursor"), limit)
            : DB.prepare("SELECT id, name FROM users ORDER BY id LIMIT ?").bind(limit);
          return Response.json((await page.all()).results);
        }
        case "/transfer": {
          const [from, to, amount] = [asked("from"), asked("to"), Number(asked("amount"))];
          const results = await DB.batch([
            DB.prepare("UPDATE accounts SET balance = balance - ? WHERE id = ?").bind(amount, from),
            DB.prepare("UPDATE accounts SET balance = balance + ? WHERE id = ?").bind(amount, to),
            DB.prepare("INSERT INTO transactions (from_id, to_id, amount) VALUES (?, ?, ?)").bind(from, to, amount),
          ]);
          return Response.json(results.map(({ meta }) => meta.changes));
        }
        case "/accounts":
          return Response.json(await DB.batch([DB.prepare("SELECT * FROM accounts"), DB.prepare("SELECT * FROM transactions")]).then((all) => all.map(({ results }) => results)));
        case "/search":
          return Response.json((await DB.prepare("SELECT * FROM posts_fts WHERE posts_fts MATCH ?").bind(asked("q")).all()).results);
        case "/order": {
          const order = DB.prepare("INSERT INTO orders (user_id, product_id, quantity) VALUES (?, ?, ?) RETURNING id, quantity");
          const made = await order.bind(asked("user"), asked("product"), asked("quantity")).first();
          return Response.json({ made, product: await DB.prepare("SELECT * FROM products WHERE id = ?").bind(asked("product")).first() });
        }
        case "/recommendations":
          return Response.json((await DB.prepare(`
            WITH mine AS (SELECT DISTINCT product_id FROM orders WHERE user_id = ?1)
            SELECT p.name, sum(o.quantity) AS bought FROM orders o JOIN products p ON p.id = o.product_id
            WHERE o.user_id IN (SELECT user_id FROM orders WHERE product_id IN mine) AND o.product_id NOT IN mine
            GROUP BY p.id ORDER BY bought DESC
          `).bind(asked("user")).all()).results);
        case "/duplicate":
          await DB.prepare("INSERT INTO users (email) VALUES ('ada@example.com')").run();
          return new Response("made");
      }
    } catch (error) {
      return new Response(error.message, { status: 409 });
    }
    return new Response("Not found", { status: 404 });
  },
};
