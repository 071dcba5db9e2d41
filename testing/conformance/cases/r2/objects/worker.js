export default {
  async fetch(request, { BUCKET }) {
    // What differs from run to run is left out: versions and times.
    const told = (object) => object && {
      key: object.key,
      size: object.size,
      etag: object.etag,
      httpEtag: object.httpEtag,
      range: object.range,
      httpMetadata: object.httpMetadata,
      customMetadata: object.customMetadata,
      md5: object.checksums.toJSON().md5,
      sha256: object.checksums.toJSON().sha256,
      hasVersion: object.version.length > 0,
      isNew: Math.abs(Date.now() - object.uploaded.getTime()) < 60_000,
    };
    const text = async (object) => object && { ...told(object), text: "body" in object ? await object.text() : undefined };
    const get = async (key, options) => text(await BUCKET.get(key, options));
    const put = async (key, value, options) => told(await BUCKET.put(key, value, options));
    const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const steps = {
      missing: () => get("missing"),
      "missing head": () => BUCKET.head("missing"),
      put: () => put("a/hello", "hello", {
        httpMetadata: { contentType: "text/plain", cacheControl: "max-age=60", contentLanguage: "en" },
        customMetadata: { owner: "ü", n: "1" },
      }),
      get: () => get("a/hello"),
      head: async () => told(await BUCKET.head("a/hello")),
      class: async () => (await BUCKET.head("a/hello")).storageClass,
      "put bytes": () => put("a/bytes", new Uint8Array([1, 2, 3])),
      "put nothing": () => put("a/nothing", ""),
      "get nothing": () => get("a/nothing"),
      "put null": () => put("a/null", null),
      "put stream": () => put("b/stream", new Response("streamed").body.pipeThrough(new FixedLengthStream(8))),
      "right checksum": () => put("b/sum", "hello", { sha256: hello }),
      "wrong checksum": () => put("b/wrong", "hullo", { sha256: hello }),
      "is not there": () => BUCKET.head("b/wrong"),
      "odd keys": async () => {
        const keys = ["odd/..", "odd/./x", "odd//y", "/odd/slash", "odd/ü €", "odd/%2F?#"];
        for (const key of keys) await BUCKET.put(key, key);
        return Promise.all(keys.map(async (key) => (await (await BUCKET.get(key)).text()) === key));
      },
      "long key": () => put("k".repeat(1025), "x"),
    };
    for (const range of [{ offset: 1 }, { offset: 1, length: 2 }, { length: 2 }, { suffix: 2 }, { offset: 0, length: 99 }, { suffix: 99 }, { offset: 99 }, { suffix: 0 }, { length: 0 }]) {
      steps[`range ${JSON.stringify(range)}`] = () => get("a/hello", { range });
    }
    for (const header of ["bytes=1-2", "bytes=1-", "bytes=-2", "bytes=0-0,2-3", "nonsense"]) {
      steps[`range header ${header}`] = () => get("a/hello", { range: new Headers({ range: header }) });
    }
    const etag = "5d41402abc4b2a76b9719d911017c592";
    const past = new Date(0), future = new Date(Date.now() + 3_600_000);
    for (const [name, onlyIf] of Object.entries({
      same: { etagMatches: etag },
      other: { etagMatches: "other" },
      "not same": { etagDoesNotMatch: etag },
      "not other": { etagDoesNotMatch: "other" },
      "before past": { uploadedBefore: past },
      "before future": { uploadedBefore: future },
      "after past": { uploadedAfter: past },
      "after future": { uploadedAfter: future },
      "same but too old": { etagMatches: etag, uploadedBefore: past },
      "header same": new Headers({ "if-match": `"${etag}"` }),
      "header none": new Headers({ "if-none-match": "*" }),
    })) {
      steps[`get if ${name}`] = () => get("a/hello", { onlyIf });
      steps[`put if ${name}`] = () => put("a/hello", "hello", { onlyIf });
    }
    const listed = async (options) => {
      const page = await BUCKET.list(options);
      return {
        keys: page.objects.map(({ key, httpMetadata, customMetadata }) => [key, httpMetadata, customMetadata]),
        prefixes: page.delimitedPrefixes,
        truncated: page.truncated,
        hasCursor: typeof page.cursor,
      };
    };
    Object.assign(steps, {
      "put metadata again": () => put("a/hello", "hello", { customMetadata: { n: "2" }, httpMetadata: { contentType: "text/plain" } }),
      list: () => listed(),
      "list with prefix": () => listed({ prefix: "a/" }),
      "list with metadata": () => listed({ prefix: "a/h", include: ["httpMetadata", "customMetadata"] }),
      "list with delimiter": () => listed({ delimiter: "/" }),
      "list behind": () => listed({ startAfter: "b/stream" }),
      "list in pages": async () => {
        const keys = [];
        let cursor;
        do {
          const page = await BUCKET.list({ limit: 2, cursor, prefix: "a/" });
          keys.push(page.objects.map(({ key }) => key));
          cursor = page.truncated ? page.cursor : undefined;
        } while (cursor);
        return keys;
      },
      "list too many": () => listed({ limit: 1001 }),
      "delete one": () => BUCKET.delete("a/bytes"),
      "delete many": () => BUCKET.delete(["a/nothing", "a/null", "never was"]),
      "what is left": () => listed({ prefix: "a/" }),
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
