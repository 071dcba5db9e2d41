const MEBIBYTE = 1024 * 1024;

export default {
  async fetch(request, { BUCKET }) {
    const part = (byte, bytes) => new Uint8Array(bytes).fill(byte);
    const five = 5 * MEBIBYTE;
    const steps = {
      whole: async () => {
        const upload = await BUCKET.createMultipartUpload("whole", {
          customMetadata: { a: "b" },
          httpMetadata: { contentType: "application/x" },
        });
        const resumed = BUCKET.resumeMultipartUpload("whole", upload.uploadId);
        const parts = [await upload.uploadPart(1, part(1, five)), await resumed.uploadPart(2, part(2, 100))];
        const object = await resumed.complete(parts);
        const found = await BUCKET.get("whole", { range: { offset: five - 2, length: 4 } });
        return {
          key: upload.key,
          etags: parts.map(({ etag, partNumber }) => [typeof etag, partNumber]),
          etag: object.etag,
          size: object.size,
          type: found.httpMetadata,
          custom: found.customMetadata,
          over: [...new Uint8Array(await found.arrayBuffer())],
        };
      },
      "a part again": async () => {
        const upload = await BUCKET.createMultipartUpload("again");
        await upload.uploadPart(1, part(1, 10));
        const later = await upload.uploadPart(1, part(2, 12));
        await upload.complete([later]);
        return (await BUCKET.head("again")).size;
      },
      "small part in the middle": async () => {
        const upload = await BUCKET.createMultipartUpload("small");
        const parts = [await upload.uploadPart(1, part(1, 10)), await upload.uploadPart(2, part(2, 10))];
        return upload.complete(parts);
      },
      "parts of several sizes": async () => {
        const upload = await BUCKET.createMultipartUpload("sizes");
        const parts = [
          await upload.uploadPart(1, part(1, five)),
          await upload.uploadPart(2, part(2, five + 1)),
          await upload.uploadPart(3, part(3, 1)),
        ];
        return upload.complete(parts);
      },
      "a part that was not uploaded": async () => {
        const upload = await BUCKET.createMultipartUpload("absent");
        return upload.complete([{ partNumber: 1, etag: "none" }]);
      },
      aborted: async () => {
        const upload = await BUCKET.createMultipartUpload("aborted");
        await upload.uploadPart(1, part(1, 10));
        await upload.abort();
        await upload.uploadPart(2, part(1, 10));
      },
      "nothing was made": async () => (await BUCKET.list()).objects.map(({ key, size }) => [key, size]),
    };
    const results = {};
    for (const [name, step] of Object.entries(steps)) {
      try {
        results[name] = (await step()) ?? null;
      } catch (error) {
        results[name] = `${error.name}: ${error.message}`;
      }
    }
    return Response.json(results);
  },
};
