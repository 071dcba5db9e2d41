export default {
  fetch(request, { VERSION }) {
    const { id, tag, timestamp } = VERSION;
    return Response.json({
      keys: Object.keys(VERSION).sort(),
      isUuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id),
      tag,
      isTime: !Number.isNaN(Date.parse(timestamp)),
    });
  },
};
