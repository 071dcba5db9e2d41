// A Worker with two kinds of WebSockets: rooms, which are Durable Objects, and an echo without any.

import { Hono } from "hono";
import { upgradeWebSocket } from "hono/cloudflare-workers";
import { routePartykitRequest } from "partyserver";

import { Room } from "./room";

export { Room };

interface Env {
  Room: DurableObjectNamespace<Room>;
}

const app = new Hono<{ Bindings: Env }>();

app.get(
  "/echo",
  upgradeWebSocket((context) => {
    const greeting = context.req.query("greeting") ?? "you said";
    let count = 0;
    return {
      onMessage(event, socket) {
        count += 1;
        if (event.data === "bye") socket.close(4000, `after ${count}`);
        else socket.send(`${greeting}: ${event.data}`);
      },
    };
  }),
);

// `/parties/room/<name>`: a WebSocket, or what was said there.
app.all("/parties/*", async (context) => {
  const answer = await routePartykitRequest(context.req.raw, { Room: context.env.Room });
  return answer ?? context.text("There is no such room", 404);
});

export default app;
