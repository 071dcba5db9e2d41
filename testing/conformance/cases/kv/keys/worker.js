export default {
  async fetch(request, { KV }) {
    return outcomes({
      empty: () => KV.get(""),
      dot: () => KV.get("."),
      dots: () => KV.get(".."),
      put_empty: () => KV.put("", "1"),
      put_dot: () => KV.put(".", "1"),
      put_dots: () => KV.put("..", "1"),
      delete_empty: () => KV.delete(""),
      delete_dots: () => KV.delete(".."),
      longest: () => KV.put("k".repeat(512), "longest"),
      read_longest: () => KV.get("k".repeat(512)),
      too_long: () => KV.put("k".repeat(513), "1"),
      too_long_get: () => KV.get("k".repeat(513)),
      too_long_in_bytes: () => KV.put("ä".repeat(257), "1"),
      ...Object.fromEntries(
        ["a/b/../c", "a b", "a%20b", "?a=b&c", "#a", "ä€😀", "...", "/", "a\n\tb", "%", "+", "__proto__"].flatMap((key) => [
          [`put ${key}`, () => KV.put(key, `value of ${key}`)],
          [`get ${key}`, () => KV.get(key)],
        ]),
      ),
      list: async () => (await KV.list()).keys.map((key) => key.name),
    });
  },
};

// Runs each step and reports its value or the error it threw.
async function outcomes(steps) {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = (await step()) ?? null;
    } catch (error) {
      results[name] = `${error.name}: ${error.message}`;
    }
  }
  return Response.json(results);
}
