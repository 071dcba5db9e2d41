// The reference's side of sqllogictest: runs the statement that it is sent, on the database that the path names.
export default {
  async fetch(request, env) {
    const database = env[new URL(request.url).pathname.slice(1)];
    try {
      return Response.json({ rows: await database.prepare(await request.text()).raw() });
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};
