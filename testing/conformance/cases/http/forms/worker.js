export default {
  async fetch(request) {
    const form = await request.formData();
    const fields = [];
    for (const [name, value] of form) {
      fields.push(typeof value === "string" ? [name, value] : [name, value.name, value.type, await value.text()]);
    }
    return Response.json(fields);
  },
};
