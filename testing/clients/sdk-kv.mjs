// KV as the official JavaScript SDK sees it. Reads CLOUDFLARE_BASE_URL, CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID,
// and is given the folder with the SDK. Ends with 0 if every answer is as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [modules] = process.argv.slice(2);
const { default: Cloudflare } = createRequire(`${modules}/`)("cloudflare");
const client = new Cloudflare();
const account_id = process.env.CLOUDFLARE_ACCOUNT_ID;
const { namespaces } = client.kv;

const made = await namespaces.create({ account_id, title: "from the SDK" });
const renamed = await namespaces.update(made.id, { account_id, title: "renamed" });
assert.equal(renamed.title, "renamed");
assert.equal((await namespaces.get(made.id, { account_id })).title, "renamed");
const titles = [];
for await (const namespace of namespaces.list({ account_id, per_page: 1 })) titles.push(namespace.title);
assert.ok(titles.includes("renamed"));

const on = { account_id };
const within = { account_id, namespace_id: made.id };
// An object would be sent as fields of their own; the API takes JSON text.
const metadata = JSON.stringify({ born: 1815 });
await namespaces.values.update("user:ada", { ...within, value: "Lovelace", metadata });
await namespaces.values.update("a/b c", { ...within, value: "escaped", expiration_ttl: 3600 });
const read = async (key) => (await namespaces.values.get(key, within)).text();
assert.equal(await read("user:ada"), "Lovelace");
assert.equal(await read("a/b c"), "escaped");
assert.deepEqual(await namespaces.metadata.get("user:ada", within), { born: 1815 });
await assert.rejects(namespaces.values.get("none", within), (error) => error.status === 404);

const body = Array.from({ length: 25 }, (_, index) => ({ key: `bulk-${index}`, value: `${index}` }));
const written = await namespaces.bulkUpdate(made.id, { ...on, body });
assert.equal(written.successful_key_count, 25);
const several = await namespaces.bulkGet(made.id, { ...on, keys: ["bulk-7", "none"] });
assert.deepEqual(several.values, { "bulk-7": "7", none: null });
const listed = [];
for await (const key of namespaces.keys.list(made.id, { ...on, prefix: "bulk-", limit: 10 })) listed.push(key.name);
assert.deepEqual(listed, body.map(({ key }) => key).sort());
await namespaces.bulkDelete(made.id, { ...on, body: ["bulk-1", "bulk-2"] });
await namespaces.values.delete("user:ada", within);
const left = [];
for await (const key of namespaces.keys.list(made.id, on)) left.push(key.name);
assert.equal(left.length, 24);
await namespaces.delete(made.id, { account_id });
await assert.rejects(namespaces.get(made.id, { account_id }), (error) => error.status === 404);
console.log("every answer is as it should be");
