// The reference side: Miniflare, given new options for each case. Reads one JSON object per line from stdin (the options
// of the next case) and writes one per line to stdout ({"url"} or {"error"}). Ends with its stdin.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules] = process.argv.slice(2);
const { Miniflare, Log, LogLevel, convertV4MiniflareOptions } = createRequire(`${modules}/`)("miniflare");

const common = {
  host: "127.0.0.1",
  port: 0,
  cf: false,
  log: new Log(LogLevel.NONE),
  handleStructuredLogs: () => {},
};

/** Miniflare wants module contents as bytes where JSON has base64. */
function parse(line) {
  const options = JSON.parse(line);
  for (const { modules } of options.workers ?? [options]) {
    for (const module of modules ?? []) module.contents = Buffer.from(module.contents, "base64");
  }
  // The shape of version 4: flat, and the one that its documentation describes.
  return convertV4MiniflareOptions({ ...common, ...options });
}

let miniflare;
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const options = parse(line);
    if (miniflare === undefined) miniflare = new Miniflare(options);
    else await miniflare.setOptions(options);
    answer = { url: (await miniflare.ready).origin };
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  console.log(JSON.stringify(answer));
}
await miniflare?.dispose();
