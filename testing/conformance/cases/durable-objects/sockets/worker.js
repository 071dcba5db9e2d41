import { DurableObject } from "cloudflare:workers";

export class Thing extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  fetch(request) {
    const [client, server] = Object.values(new WebSocketPair());
    const tag = new URL(request.url).searchParams.get("tag");
    this.ctx.acceptWebSocket(server, [tag, "all"]);
    server.serializeAttachment({ tag, heard: 0 });
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(socket, message) {
    if (message === "close") return socket.close(4001, "as asked");
    const attachment = socket.deserializeAttachment();
    attachment.heard += 1;
    socket.serializeAttachment(attachment);
    const sockets = (tag) => this.ctx.getWebSockets(tag).length;
    socket.send(JSON.stringify({ message, attachment, tags: this.ctx.getTags(socket), all: sockets("all"), none: sockets("none"), state: socket.readyState }));
  }
}

export default {
  fetch: (request, env) => env.OBJECT.getByName("room").fetch(request),
};

// Runs each step and reports its value or the error it threw.
async function outcomes(steps) {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = (await step()) ?? null;
    } catch (error) {
      results[name] = `${error.name}: ${error.message}`;
    }
  }
  return results;
}
