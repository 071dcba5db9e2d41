export default {
  async fetch(request, { KV }) {
    const count = async (stream) => {
      let bytes = 0, sum = 0;
      for await (const chunk of stream) {
        bytes += chunk.length;
        for (const byte of chunk) sum = (sum + byte) % 65521;
      }
      return [bytes, sum];
    };
    const pieces = (sizes) => {
      let next = 0;
      return new ReadableStream({
        pull(controller) {
          if (next === sizes.length) controller.close();
          else controller.enqueue(new Uint8Array(sizes[next]).fill(++next));
        },
      });
    };
    const steps = {};
    for (const [name, sizes] of Object.entries({ none: [], one: [1], row: [70000, 70000, 5], large: Array(40).fill(65536) })) {
      steps[`put ${name}`] = () => KV.put(name, pieces(sizes), { metadata: { name } });
      steps[`get ${name}`] = async () => count(await KV.get(name, "stream"));
      steps[`get ${name} with metadata`] = async () => {
        const { value, metadata } = await KV.getWithMetadata(name, { type: "stream" });
        return [await count(value), metadata];
      };
    }
    steps.broken = async () => {
      const broken = new ReadableStream({
        pull(controller) {
          controller.error(new Error("the source broke off"));
        },
      });
      try {
        await KV.put("one", broken);
      } catch (error) {
        return "refused";
      }
    };
    steps["one is untouched"] = async () => count(await KV.get("one", "stream"));
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
