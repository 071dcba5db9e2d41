export default {
  async fetch(request, { BUCKET }) {
    const bytes = new TextEncoder().encode("hello");
    const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const steps = {};
    const told = (object) => object && {
      key: object.key,
      size: object.size,
      checksums: object.checksums.toJSON(),
      range: object.range,
    };
    const text = async (object) => object && { ...told(object), text: "body" in object ? await object.text() : undefined };

    const names = { sha1: "SHA-1", sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512", md5: "MD5" };
    for (const [name, algorithm] of Object.entries(names)) {
      const sum = await crypto.subtle.digest(algorithm, bytes);
      const wrong = new Uint8Array(sum);
      wrong[0] ^= 1;
      steps[`${name} as bytes`] = async () => told(await BUCKET.put(name, bytes, { [name]: sum }));
      steps[`${name} as text`] = async () => told(await BUCKET.put(name, bytes, { [name]: hex(sum) }));
      steps[`${name} kept`] = async () => told(await BUCKET.head(name));
      steps[`${name} wrong`] = () => BUCKET.put(name, bytes, { [name]: wrong });
      steps[`${name} too short`] = () => BUCKET.put(name, bytes, { [name]: hex(sum).slice(2) });
      steps[`${name} no hex`] = () => BUCKET.put(name, bytes, { [name]: "z".repeat(hex(sum).length) });
    }
    steps["two sums"] = () => BUCKET.put("two", bytes, { sha1: "00".repeat(20), sha256: "00".repeat(32) });

    const key = new Uint8Array(32).fill(7).buffer, other = new Uint8Array(32).fill(8).buffer;
    const ssec = (ssecKey) => ({ ssecKey });
    Object.assign(steps, {
      "sealed put": async () => told(await BUCKET.put("sealed", "0123456789", ssec(key))),
      "sealed get": async () => text(await BUCKET.get("sealed", ssec(key))),
      "sealed range": async () => text(await BUCKET.get("sealed", { ...ssec(key), range: { offset: 2, length: 3 } })),
      "key's sum": async () => (await BUCKET.head("sealed")).ssecKeyMd5,
      "sealed head": async () => told(await BUCKET.head("sealed")),
      "key as hex": async () => text(await BUCKET.get("sealed", ssec("07".repeat(32)))),
      "plain with key": () => BUCKET.get("sha1", ssec(key)),
      "key too short": () => BUCKET.put("sealed", "x", ssec(new Uint8Array(5).buffer)),
      "still there": async () => text(await BUCKET.get("sealed", ssec(key))),
      "no key": async () => (await BUCKET.get("sealed")) === null,
      "wrong key": async () => (await BUCKET.get("sealed", ssec(other))) === null,
    });

    const put = await BUCKET.put("timed", "t");
    const second = new Date(Math.floor(put.uploaded.getTime() / 1000) * 1000);
    for (const secondsGranularity of [false, true]) {
      for (const [name, date] of [["uploadedBefore", second], ["uploadedAfter", second]]) {
        if (put.uploaded.getTime() === second.getTime()) continue;
        const onlyIf = { [name]: date, secondsGranularity };
        steps[`${name} ${secondsGranularity}`] = async () => "body" in (await BUCKET.get("timed", { onlyIf }));
      }
    }

    const many = Array.from({ length: 1001 }, (_, number) => `many/${number}`);
    Object.assign(steps, {
      "delete too many": () => BUCKET.delete(many),
      "delete a thousand": () => BUCKET.delete(many.slice(1)),
      "folded pages": async () => {
        for (const name of ["f/a/1", "f/a/2", "f/b", "f/c/1", "f/d", "f/e/1"]) await BUCKET.put(name, "");
        const pages = [];
        let cursor;
        do {
          const page = await BUCKET.list({ prefix: "f/", delimiter: "/", limit: 2, cursor });
          pages.push([...page.objects.map((object) => object.key), ...page.delimitedPrefixes].sort());
          cursor = page.truncated ? page.cursor : undefined;
        } while (cursor);
        return pages.flat().sort();
      },
    });
    return outcomes(steps);
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
