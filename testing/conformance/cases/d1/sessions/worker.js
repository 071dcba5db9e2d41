// Sessions and their bookmarks.
const outcome = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { error: error.message };
  }
};

export default {
  async fetch(_request, { DB }) {
    await DB.exec("CREATE TABLE t (a)");
    const said = {};
    const session = DB.withSession();
    said.before = session.getBookmark();
    said.read = await outcome(() => session.prepare("SELECT count(*) AS n FROM t").first());
    const first = session.getBookmark();
    said.type = typeof first;
    await session.prepare("INSERT INTO t VALUES (1)").run();
    const second = session.getBookmark();
    said.grew = first.localeCompare(second) < 0;
    said.length = first.length === second.length;
    const primary = DB.withSession("first-primary");
    said.primary = await outcome(async () => (await primary.batch([primary.prepare("INSERT INTO t VALUES (2)"), primary.prepare("SELECT a FROM t")]))[1].results);
    said.kept = second.localeCompare(primary.getBookmark()) < 0;
    const later = DB.withSession(primary.getBookmark());
    said.sees = await outcome(() => later.prepare("SELECT max(a) AS a FROM t").first("a"));
    said.no_earlier = primary.getBookmark().localeCompare(later.getBookmark()) <= 0;
    return Response.json(said);
  },
};
