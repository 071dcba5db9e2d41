// drizzle-orm as its documentation uses it on D1.

import { and, asc, count, desc, eq, exists, gt, inArray, isNull, like, max, or, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { migrate } from "drizzle-orm/d1/migrator";
import { union } from "drizzle-orm/sqlite-core";

import { failure } from "./index";
import * as schema from "./schema";

const { users, posts, tags } = schema;
const open = (database: D1Database) => drizzle(database, { schema });

export const drizzleSteps = {
  /** Twice: the second finds nothing to do. */
  async migrate(database: D1Database) {
    const db = open(database);
    for (let round = 0; round < 2; round += 1) await migrate(db, { migrationsFolder: "/bundle/drizzle" });
    const tables = sql`SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('users', 'posts', 'tags') ORDER BY name`;
    return {
      applied: await db.values(sql`SELECT hash, created_at FROM __drizzle_migrations ORDER BY created_at`),
      tables: await db.all(tables),
    };
  },

  async insert(database: D1Database) {
    const db = open(database);
    const born = new Date("1815-12-10T00:00:00Z");
    const ada = { name: "Ada", email: "ada@example.com", born, score: 9.5, settings: { theme: "dark" } };
    const made = await db
      .insert(users)
      .values([{ ...ada, avatar: Buffer.from([0, 127, 255]) }, { name: "Bob", email: "bob@example.com", active: false }])
      .returning();
    const bob = { name: "Robert", email: "bob@example.com" };
    const upserted = await db
      .insert(users)
      .values(bob)
      .onConflictDoUpdate({ target: users.email, set: { name: sql`excluded.name`, score: 1 } })
      .returning({ id: users.id, name: users.name, score: users.score });
    const ignored = await db.insert(users).values(bob).onConflictDoNothing().returning();
    await db.insert(posts).values([1, 1, 2].map((authorId, at) => ({ authorId, title: `post ${at}` })));
    await db.insert(tags).values([{ postId: 1, tag: "sql" }, { postId: 1, tag: "d1" }, { postId: 3, tag: "sql" }]);
    const duplicate = await failure(() => db.insert(users).values(ada));
    const orphan = await failure(() => db.insert(posts).values({ authorId: 99, title: "nobody's" }));
    return { made, upserted, ignored, duplicate, orphan };
  },

  async select(database: D1Database) {
    const db = open(database);
    const counted = db.$with("counted").as(
      db.select({ authorId: posts.authorId, n: count().as("n") }).from(posts).groupBy(posts.authorId),
    );
    const tagged = db.select().from(tags).where(eq(tags.postId, posts.id));
    return {
      all: await db.select().from(users).orderBy(asc(users.id)),
      filtered: await db
        .select({ name: users.name, upper: sql<string>`upper(${users.name})` })
        .from(users)
        .where(or(and(like(users.email, "ada%"), gt(users.score, 9)), isNull(users.id))),
      joined: await db
        .select({ user: users, title: posts.title, tag: tags.tag })
        .from(posts)
        .innerJoin(users, eq(users.id, posts.authorId))
        .leftJoin(tags, eq(tags.postId, posts.id))
        .orderBy(posts.id, tags.tag),
      // Both tables have a column `id`: rows come as arrays, or one would hide the other.
      whole: await db.select().from(users).leftJoin(posts, eq(posts.authorId, users.id)).orderBy(users.id, posts.id),
      grouped: await db
        .select({ authorId: posts.authorId, n: count(), last: max(posts.id) })
        .from(posts)
        .groupBy(posts.authorId)
        .having(({ n }) => gt(n, 1)),
      with: await db.with(counted).select().from(counted).orderBy(desc(counted.n)),
      exists: await db.select({ id: posts.id }).from(posts).where(exists(tagged)).orderBy(posts.id),
      paged: await db.select({ id: posts.id }).from(posts).orderBy(posts.id).limit(1).offset(1),
      distinct: await db.selectDistinct({ tag: tags.tag }).from(tags).orderBy(tags.tag),
      union: await union(db.select({ text: users.name }).from(users), db.select({ text: tags.tag }).from(tags)).orderBy(sql`1`),
      in: await db.select({ id: users.id }).from(users).where(inArray(users.name, ["Ada", "Nobody"])),
      get: await db.select().from(posts).where(eq(posts.id, 2)).get(),
      none: (await db.select().from(posts).where(eq(posts.id, 99)).get()) ?? "nothing",
      count: await db.$count(posts, eq(posts.authorId, 1)),
    };
  },

  async relational(database: D1Database) {
    const db = open(database);
    return {
      many: await db.query.users.findMany({
        columns: { id: true, name: true, settings: true },
        with: { posts: { columns: { title: true }, orderBy: desc(posts.id), with: { tags: { columns: { tag: true } } } } },
        orderBy: users.id,
      }),
      first: await db.query.posts.findFirst({
        where: (post, { eq }) => eq(post.id, 3),
        with: { author: true, tags: true },
        extras: { shout: sql<string>`upper(${posts.title})`.as("shout") },
      }),
      none: (await db.query.posts.findFirst({ where: eq(posts.id, 99) })) ?? "nothing",
    };
  },

  async batch(database: D1Database) {
    const db = open(database);
    const done = await db.batch([
      db.insert(posts).values({ authorId: 2, title: "batched" }).returning({ id: posts.id }),
      db.update(users).set({ score: sql`${users.score} + 1` }).where(eq(users.id, 2)),
      db.query.users.findMany({ columns: { id: true, score: true }, with: { posts: true }, orderBy: users.id }),
      db.select({ n: count() }).from(posts),
      db.delete(posts).where(eq(posts.title, "batched")).returning(),
    ]);
    // The second fails, so the first has not happened.
    const failed = await failure(() =>
      db.batch([
        db.insert(posts).values({ authorId: 1, title: "half" }),
        db.insert(users).values({ name: "Eve", email: "ada@example.com" }),
      ]),
    );
    const half = await db.$count(posts, eq(posts.title, "half"));
    return { returned: done[0], changes: done[1].meta.changes, found: done[2], counted: done[3], deleted: done[4], failed, half };
  },

  async prepared(database: D1Database) {
    const db = open(database);
    const byName = db.select().from(users).where(eq(users.name, sql.placeholder("name"))).prepare();
    const posted = db.query.posts
      .findMany({ where: eq(posts.authorId, sql.placeholder("author")), limit: sql.placeholder("limit") })
      .prepare();
    const add = db.insert(tags).values({ postId: sql.placeholder("post"), tag: sql.placeholder("tag") }).prepare();
    for (const tag of ["one", "two"]) await add.run({ post: 2, tag });
    return {
      all: await byName.all({ name: "Ada" }),
      get: await byName.get({ name: "Robert" }),
      values: await byName.values({ name: "Robert" }),
      posted: await posted.execute({ author: 1, limit: 1 }),
      added: await db.select().from(tags).where(eq(tags.postId, 2)).orderBy(tags.tag),
    };
  },

  /** D1 has no transactions but batches; drizzle's own say so, and nothing of them has happened. */
  async transaction(database: D1Database) {
    const db = open(database);
    const refused = await failure(() =>
      db.transaction(async (tx) => {
        await tx.insert(posts).values({ authorId: 1, title: "in a transaction" });
      }),
    );
    return { refused, left: await db.$count(posts, eq(posts.title, "in a transaction")) };
  },

  async change(database: D1Database) {
    const db = open(database);
    const updated = await db.update(users).set({ active: true, born: null }).where(eq(users.id, 1)).returning();
    const { meta } = await db.run(sql`UPDATE posts SET title = title || '!' WHERE author_id = ${1}`);
    const ran = { changes: meta.changes, changed: meta.changed_db };
    const one = await db.get(sql`SELECT title FROM posts ORDER BY id`);
    const gone = await db.delete(users).where(eq(users.id, 2)).returning({ id: users.id });
    const left = await db.select().from(posts).orderBy(posts.id);
    return { updated, ran, one, gone, left, tags: await db.$count(tags) };
  },

  async session(database: D1Database) {
    const session = database.withSession("first-primary");
    const db = drizzle(session as unknown as D1Database, { schema });
    await db.insert(posts).values({ authorId: 1, title: "in a session" });
    const seen = await db.$count(posts, eq(posts.title, "in a session"));
    return { seen, bookmark: typeof session.getBookmark() };
  },
};
