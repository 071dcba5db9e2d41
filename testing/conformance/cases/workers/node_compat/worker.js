import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";
import path from "node:path";

export default {
  fetch() {
    let heard = "";
    const emitter = new EventEmitter().on("say", (word) => (heard = word));
    emitter.emit("say", "hello");
    return Response.json({
      base64: Buffer.from("hello").toString("base64"),
      sha256: createHash("sha256").update("hello").digest("hex"),
      heard,
      path: path.join("/a", "../b"),
      process: typeof process.nextTick,
    });
  },
};
