// Kysely over the dialect kysely-d1: schema, queries, migrations and introspection.

import { Kysely, ParseJSONResultsPlugin, sql, type Generated } from "kysely";
import { jsonArrayFrom, jsonObjectFrom } from "kysely/helpers/sqlite";
import { Migrator } from "kysely/migration";
import { D1Dialect } from "kysely-d1";

import { failure } from "./index";

interface Database {
  person: { id: Generated<number>; name: string; age: number | null };
  pet: { id: Generated<number>; owner_id: number; name: string; kind: "cat" | "dog" };
}

const open = (database: D1Database) =>
  new Kysely<Database>({ dialect: new D1Dialect({ database }), plugins: [new ParseJSONResultsPlugin()] });

/** A migration as the documentation has it. */
const later = {
  up: (db: Kysely<unknown>) => db.schema.alterTable("pet").addColumn("born", "text").execute(),
  down: (db: Kysely<unknown>) => db.schema.alterTable("pet").dropColumn("born").execute(),
};

export const kyselySteps = {
  async create(database: D1Database) {
    const { schema } = open(database);
    await schema
      .createTable("person")
      .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
      .addColumn("name", "text", (column) => column.notNull().unique())
      .addColumn("age", "integer", (column) => column.check(sql`age >= 0`))
      .execute();
    await schema
      .createTable("pet")
      .addColumn("id", "integer", (column) => column.primaryKey())
      .addColumn("owner_id", "integer", (column) => column.notNull().references("person.id").onDelete("cascade"))
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("kind", "text", (column) => column.notNull().defaultTo("cat"))
      .execute();
    await schema.createIndex("pet_owner").on("pet").column("owner_id").execute();
  },

  /** Up, down and up again. */
  async migrate(database: D1Database) {
    const migrator = new Migrator({ db: open(database), provider: { getMigrations: async () => ({ later }) } });
    const runs = [await migrator.migrateToLatest(), await migrator.migrateDown(), await migrator.migrateToLatest()];
    return runs.map(({ error, results }) => (error ? String(error) : results));
  },

  async introspect(database: D1Database) {
    return await failure(async () => {
      const tables = await open(database).introspection.getTables();
      return tables.find(({ name }) => name === "pet").columns.map(({ name, dataType }) => `${name} ${dataType}`);
    });
  },

  async insert(database: D1Database) {
    const db = open(database);
    const people = [{ name: "Ada", age: 36 }, { name: "Bob", age: null }];
    const made = await db.insertInto("person").values(people).returningAll().execute();
    const upserted = await db
      .insertInto("person")
      .values({ name: "Bob", age: 5 })
      .onConflict((conflict) => conflict.column("name").doUpdateSet((eb) => ({ age: eb.ref("excluded.age") })))
      .returning(["id", "age"])
      .executeTakeFirstOrThrow();
    const pet = await db.insertInto("pet").values({ owner_id: 1, name: "Tom", kind: "cat" }).executeTakeFirst();
    await db.insertInto("pet").values({ owner_id: 2, name: "Rex", kind: "dog" }).execute();
    const refused = await failure(() => db.insertInto("person").values({ name: "Old", age: -1 }).execute());
    return { made, upserted, insertId: String(pet.insertId), rows: String(pet.numInsertedOrUpdatedRows), refused };
  },

  async select(database: D1Database) {
    const db = open(database);
    return {
      joined: await db
        .selectFrom("person")
        .innerJoin("pet", "pet.owner_id", "person.id")
        .select(["person.name as person", "pet.name as pet"])
        .where("kind", "in", ["cat", "dog"])
        .orderBy("pet.id")
        .execute(),
      nested: await db
        .selectFrom("person")
        .select((eb) => [
          "name",
          jsonArrayFrom(eb.selectFrom("pet").select(["pet.name", "kind"]).whereRef("owner_id", "=", "person.id")).as("pets"),
          jsonObjectFrom(eb.selectFrom("pet").select("pet.id").whereRef("owner_id", "=", "person.id").limit(1)).as("first"),
        ])
        .orderBy("person.id")
        .execute(),
      with: await db
        .with("adult", (eb) => eb.selectFrom("person").selectAll().where("age", ">", 17))
        .selectFrom("adult")
        .select((eb) => [eb.fn.countAll<number>().as("n"), eb.fn.max("age").as("oldest")])
        .executeTakeFirst(),
      raw: (await sql<{ n: number }>`SELECT count(*) AS n FROM person WHERE name = ${"Ada"}`.execute(db)).rows,
    };
  },

  async change(database: D1Database) {
    const db = open(database);
    const updated = await db.updateTable("person").set((eb) => ({ age: eb("age", "+", 1) })).executeTakeFirst();
    const deleted = await db.deleteFrom("person").where("name", "=", "Bob").executeTakeFirst();
    const left = await db.selectFrom("pet").select("name").execute();
    const refused = await failure(() => db.transaction().execute((tx) => tx.deleteFrom("pet").execute()));
    return { updated: String(updated.numUpdatedRows), deleted: String(deleted.numDeletedRows), left, refused };
  },
};
