// A room: what is said in it is kept, and told to everybody who is there. Between messages the object may be out of memory
// while its sockets stay open.
const MESSAGES_MAX = 100;

export class ChatRoom {
  constructor(state) {
    this.state = state;
    state.blockConcurrencyWhile(async () => {
      this.messages = (await state.storage.get("messages")) ?? [];
    });
  }

  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/websocket":
        return this.join(request);
      case "/messages":
        return Response.json(this.messages);
      default:
        return new Response("Not Found", { status: 404 });
    }
  }

  join(request) {
    if (request.headers.get("Upgrade") !== "websocket") return new Response("use a WebSocket", { status: 426 });
    const [client, server] = Object.values(new WebSocketPair());
    this.state.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  async webSocketMessage(socket, text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      socket.send(JSON.stringify({ error: "a message is JSON" }));
      return;
    }
    this.messages = [...this.messages, message].slice(-MESSAGES_MAX);
    await this.state.storage.put("messages", this.messages);
    for (const other of this.state.getWebSockets()) other.send(JSON.stringify(message));
  }

  webSocketClose(socket, code) {
    // 1005 and 1006 are words for "none", which may not be sent.
    socket.close(code === 1005 || code === 1006 ? 1000 : code);
  }
}
