// A number for each name.
export class Counter {
  constructor(state) {
    this.state = state;
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    let count = (await this.state.storage.get("count")) ?? 0;
    if (request.method === "POST" && pathname === "/increment") {
      count += 1;
      await this.state.storage.put("count", count);
    }
    return Response.json({ count });
  }
}
