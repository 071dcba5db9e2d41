import data from "./data.bin";
import { greet } from "./greeting.js";
import text from "./text.txt";
import wasm from "./add.wasm";

const { exports } = new WebAssembly.Instance(wasm);

export default {
  fetch() {
    return Response.json({
      script: greet("modules"),
      text,
      data: [...new Uint8Array(data)],
      wasm: exports.add(19, 23),
      kinds: [typeof text, data.constructor.name, wasm.constructor.name],
    });
  },
};
