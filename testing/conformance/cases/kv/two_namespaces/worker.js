export default {
  async fetch(request, { LEFT, RIGHT }) {
    await LEFT.put("key", "left");
    await RIGHT.put("key", "right");
    await RIGHT.put("other", "right");
    return Response.json({
      left: await LEFT.get("key"),
      right: await RIGHT.get("key"),
      other: await LEFT.get("other"),
      listed: (await LEFT.list()).keys,
    });
  },
};
