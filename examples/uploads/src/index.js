// Files go from the browser straight into the bucket, by an address that the Worker signs; they come back through the
// Worker, in pieces where the browser asks for pieces.
import { AwsClient } from "aws4fetch";
import page from "./page.html";

const BUCKET = "uploads";
const SIGNED_FOR_SECONDS = 300;
const RANGE = /^bytes=(\d+-\d*|-\d+)$/;
const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,99}$/u;

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (request.method === "GET" && pathname === "/") {
      return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
    }
    if (request.method === "POST" && pathname === "/sign") {
      const asked = await request.json().catch(() => null);
      return asked ? sign(asked, env) : refuse("the body must be a JSON object");
    }
    if (request.method === "GET" && pathname === "/files") return list(env);
    if (pathname.startsWith("/files/")) {
      const name = decode(pathname.slice("/files/".length));
      if (name === null) return refuse("the name is not encoded as URLs are");
      if (request.method === "GET" || request.method === "HEAD") return read(name, request, env);
      if (request.method === "DELETE") {
        await env.FILES.delete(name);
        return new Response(null, { status: 204 });
      }
    }
    return Response.json({ error: "there is nothing here" }, { status: 404 });
  },
};

function refuse(error) {
  return Response.json({ error }, { status: 400 });
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** An address to which the browser may PUT this one file, of this type, for a few minutes. */
async function sign({ name, type }, env) {
  if (typeof name !== "string" || !NAME.test(name)) {
    return refuse("a name has 1 to 100 letters, digits, spaces, dots or dashes");
  }
  const client = new AwsClient({
    accessKeyId: env.S3_ACCESS_KEY_ID,
    secretAccessKey: env.S3_SECRET_ACCESS_KEY,
    service: "s3",
    region: "auto",
  });
  const url = new URL(`${env.S3_ENDPOINT}/${BUCKET}/${encodeURIComponent(name)}`);
  url.searchParams.set("X-Amz-Expires", SIGNED_FOR_SECONDS);
  const headers = { "content-type": type || "application/octet-stream" };
  const signed = await client.sign(new Request(url, { method: "PUT", headers }), {
    aws: { signQuery: true, allHeaders: true },
  });
  return Response.json({ url: signed.url, headers });
}

async function list(env) {
  const files = [];
  let cursor;
  do {
    const listed = await env.FILES.list({ cursor, include: ["httpMetadata"] });
    for (const { key, size, uploaded, httpMetadata } of listed.objects) {
      files.push({ name: key, size, uploaded, type: httpMetadata?.contentType });
    }
    cursor = listed.truncated ? listed.cursor : undefined;
  } while (cursor);
  return Response.json(files);
}

/** A file, or the part of it to which somebody seeks; nothing if the browser has it already. */
async function read(name, request, env) {
  const object = await env.FILES.get(name, { range: request.headers, onlyIf: request.headers });
  if (object === null) return Response.json({ error: "no such file" }, { status: 404 });
  const headers = new Headers({ "accept-ranges": "bytes", etag: object.httpEtag });
  object.writeHttpMetadata(headers);
  // What somebody uploaded is shown, and runs nothing on this page's origin.
  headers.set("content-security-policy", "sandbox");
  headers.set("x-content-type-options", "nosniff");
  if (!("body" in object)) {
    const failed = request.headers.has("if-match") || request.headers.has("if-unmodified-since");
    return new Response(null, { status: failed ? 412 : 304, headers });
  }
  if (!RANGE.test(request.headers.get("range"))) return new Response(object.body, { headers });
  // Also for all of it, `bytes=0-`: by the 206 a player knows that it may seek.
  const { offset, length } = object.range;
  headers.set("content-range", `bytes ${offset}-${offset + length - 1}/${object.size}`);
  return new Response(object.body, { status: 206, headers });
}
