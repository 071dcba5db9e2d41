// R2 as the official JavaScript SDK for S3 sees it. Reads AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_REGION, and is given the folder with the SDK. Ends with 0 if every answer is as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const [modules] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} = require("@aws-sdk/client-s3");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const client = new S3Client({ maxAttempts: 1, forcePathStyle: true });
const Bucket = "javascript";
const send = (command) => client.send(command);

await send(new CreateBucketCommand({ Bucket }));
await send(new PutObjectCommand({ Bucket, Key: "text", Body: "hello", Metadata: { a: "1" } }));
const got = await send(new GetObjectCommand({ Bucket, Key: "text", ChecksumMode: "ENABLED" }));
assert.equal(await got.Body.transformToString(), "hello");
assert.deepEqual(got.Metadata, { a: "1" });

// A stream is sent in chunks with the checksum behind it.
const pieces = Array.from({ length: 64 }, (_, index) => Buffer.alloc(64 * 1024, index));
const length = pieces.length * 64 * 1024;
await send(
  new PutObjectCommand({ Bucket, Key: "stream", Body: Readable.from(pieces), ContentLength: length }),
);
const stream = await send(new GetObjectCommand({ Bucket, Key: "stream" }));
assert.deepEqual(Buffer.from(await stream.Body.transformToByteArray()), Buffer.concat(pieces));
const head = await send(new HeadObjectCommand({ Bucket, Key: "stream" }));
assert.equal(head.ContentLength, length);
assert.equal(head.ContentEncoding, undefined, "aws-chunked is about the request alone");

const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: "signed" }), { expiresIn: 60 });
assert.equal((await fetch(put, { method: "PUT", body: "by a browser" })).status, 200);
const get = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "signed" }), { expiresIn: 60 });
assert.equal(await (await fetch(get)).text(), "by a browser");

// What the SDK moves from headers into the address counts; what R2 does not have is refused there, too.
const said = { Bucket, Key: "signed", Metadata: { said: "this ü" }, StorageClass: "STANDARD_IA" };
const moved = await getSignedUrl(client, new PutObjectCommand(said), { expiresIn: 60 });
assert.equal((await fetch(moved, { method: "PUT", body: "again" })).status, 200);
const told = await send(new HeadObjectCommand({ Bucket, Key: "signed" }));
assert.deepEqual([told.Metadata, told.StorageClass], [{ said: "=?UTF-8?B?dGhpcyDDvA==?=" }, "STANDARD_IA"]);
const from = { Bucket, Key: "copy", CopySource: `${Bucket}/signed` };
const copy = await getSignedUrl(client, new CopyObjectCommand(from), { expiresIn: 60 });
assert.equal((await fetch(copy, { method: "PUT" })).status, 200);
const copied = await send(new GetObjectCommand({ Bucket, Key: "copy" }));
assert.equal(await copied.Body.transformToString(), "again");
const tagged = new PutObjectCommand({ Bucket, Key: "signed", Tagging: "a=b" });
assert.equal((await fetch(await getSignedUrl(client, tagged), { method: "PUT", body: "" })).status, 501);

await assert.rejects(send(new GetObjectCommand({ Bucket, Key: "none" })), { name: "NoSuchKey" });
const listed = await send(new ListObjectsV2Command({ Bucket }));
const keys = listed.Contents.map(({ Key }) => Key);
assert.deepEqual(keys, ["copy", "signed", "stream", "text"]);
const deleted = await send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
assert.equal(deleted.Deleted.length, 4);
console.log("every answer is as it should be");
