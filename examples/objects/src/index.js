// Which object a request is for. The objects do the rest.
export { ChatRoom } from "./chat.js";
export { Counter } from "./counter.js";
export { ShoppingCart } from "./cart.js";

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const [, kind, name, rest = ""] = pathname.match(/^\/(counters|rooms|carts)\/([^/]+)(\/.*)?$/) ?? [];
    const namespace = { counters: env.COUNTER, rooms: env.CHAT_ROOM, carts: env.CART }[kind];
    if (!namespace) return new Response("Not Found", { status: 404 });
    const object = namespace.get(namespace.idFromName(name));
    return object.fetch(new Request(`https://object${rest || "/"}`, request));
  },
};
