// A cart for each visitor; one that nobody touches for a week is emptied.
const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

export class ShoppingCart {
  constructor(state) {
    this.state = state;
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    switch (`${request.method} ${pathname}`) {
      case "GET /":
        return Response.json({ items: await this.items() });
      case "POST /add":
        return this.add(await request.json());
      case "DELETE /remove":
        return this.remove(await request.json());
      case "POST /checkout":
        return this.checkout();
      default:
        return new Response("Not Found", { status: 404 });
    }
  }

  async items() {
    return (await this.state.storage.get("items")) ?? [];
  }

  async add({ productId, quantity }) {
    const items = await this.items();
    const known = items.find((item) => item.productId === productId);
    if (known) known.quantity += quantity;
    else items.push({ productId, quantity });
    return this.keep(items);
  }

  async remove({ productId }) {
    return this.keep((await this.items()).filter((item) => item.productId !== productId));
  }

  async keep(items) {
    await this.state.storage.put("items", items);
    await this.state.storage.setAlarm(Date.now() + WEEK_MS);
    return Response.json({ success: true, items });
  }

  async checkout() {
    const items = await this.items();
    if (items.length === 0) return new Response("Cart is empty", { status: 400 });
    await this.state.storage.deleteAlarm();
    await this.state.storage.delete("items");
    return Response.json({ success: true, order: { user: this.state.id.name, items } });
  }

  async alarm() {
    await this.state.storage.deleteAll();
  }
}
