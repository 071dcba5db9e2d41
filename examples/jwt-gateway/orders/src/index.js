// The orders: a service without HTTP, called by name.
import { WorkerEntrypoint } from "cloudflare:workers";

const ORDERS_MAX = 3;
const orders = new Map();

export class Orders extends WorkerEntrypoint {
  list(userId) {
    return orders.get(userId) ?? [];
  }

  place(userId, { item, quantity }) {
    const mine = this.list(userId);
    if (ORDERS_MAX <= mine.length) throw new RangeError(`at most ${ORDERS_MAX} orders may be open`);
    const order = { id: crypto.randomUUID(), item, quantity, placedAt: new Date() };
    orders.set(userId, [...mine, order]);
    return order;
  }
}

export default {
  fetch: () => new Response("This service is called, not requested.\n", { status: 404 }),
};
