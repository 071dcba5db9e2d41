let requests = 0;

export default {
  async fetch(request, env, ctx) {
    requests += 1;
    let background = "not run";
    const work = scheduler.wait(1).then(() => (background = "run"));
    ctx.waitUntil(work);
    await work;
    return Response.json({ requests, background, signal: request.signal.aborted });
  },
};
