#!/usr/bin/env node
// A stand-in for the server's binary: just enough of its contract to test the harness with.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const words = process.argv.slice(2);
const data = words[words.indexOf("--data") + 1];

if (words[0] === "env") {
  console.log("export CLOUDFLARE_API_TOKEN='secret-token'\nexport CLOUDFLARE_ACCOUNT_ID=0123");
} else {
  const child = spawn("sleep", ["10"]);
  const listen = (handler) =>
    new Promise((resolve) => {
      const server = createServer(handler).listen(0, "127.0.0.1", () =>
        resolve(`http://127.0.0.1:${server.address().port}`));
    });
  const http = await listen((request, response) => {
    if (request.url === "/complain") console.log("2026-11-21T06:00:00Z  WARN stand_in: asked to complain");
    response.setHeader("x-host", request.headers.host).end(`${request.method} ${request.url}`);
  });
  const api = await listen((request, response) =>
    response.end(JSON.stringify({ path: request.url, token: request.headers.authorization })));
  const s3 = await listen((request, response) => response.end());
  mkdirSync(`${data}/run`, { recursive: true });
  writeFileSync(`${data}/run/addresses.json`, JSON.stringify({ http, api, s3, pid: process.pid }));
  console.log('{"level":"INFO","message":"listening"}');
  process.on("SIGTERM", () => {
    child.kill();
    process.exit(words.includes("--fail") ? 3 : 0);
  });
}
