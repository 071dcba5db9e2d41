// The tables of drizzle/*.sql as drizzle-orm describes them.

import { relations, sql } from "drizzle-orm";
import { blob, index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const users = sqliteTable("users", {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull(),
  email: text().notNull().unique(),
  active: integer({ mode: "boolean" }).notNull().default(sql`true`),
  born: integer({ mode: "timestamp" }),
  score: real(),
  settings: text({ mode: "json" }).$type<{ theme: string }>(),
  avatar: blob({ mode: "buffer" }),
});

export const posts = sqliteTable(
  "posts",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    authorId: integer("author_id").notNull().references(() => users.id, { onDelete: "cascade" }),
    title: text().notNull(),
  },
  (table) => [index("posts_author").on(table.authorId)],
);

export const tags = sqliteTable(
  "tags",
  {
    postId: integer("post_id").notNull().references(() => posts.id, { onDelete: "cascade" }),
    tag: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.postId, table.tag] })],
);

export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));

export const postsRelations = relations(posts, ({ one, many }) => ({
  author: one(users, { fields: [posts.authorId], references: [users.id] }),
  tags: many(tags),
}));

export const tagsRelations = relations(tags, ({ one }) => ({
  post: one(posts, { fields: [tags.postId], references: [posts.id] }),
}));
