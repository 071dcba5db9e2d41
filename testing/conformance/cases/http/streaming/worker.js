export default {
  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/echo") return new Response(request.body, { headers: { "content-type": "text/plain" } });
    const encoder = new TextEncoder();
    const stream = new ReadableStream({
      async start(controller) {
        for (let index = 0; index < 5; index++) {
          controller.enqueue(encoder.encode(`part ${index}\n`));
          await scheduler.wait(5);
        }
        controller.close();
      },
    });
    const headers = { "content-type": "text/plain" };
    if (path === "/upper") {
      const upper = new TransformStream({
        transform: (chunk, controller) => controller.enqueue(encoder.encode(new TextDecoder().decode(chunk).toUpperCase())),
      });
      return new Response(stream.pipeThrough(upper), { headers });
    }
    if (path === "/fixed") {
      const { readable, writable } = new FixedLengthStream(10);
      const writer = writable.getWriter();
      writer.write(encoder.encode("0123456789")).then(() => writer.close());
      return new Response(readable, { headers });
    }
    return new Response(stream, { headers });
  },
};
