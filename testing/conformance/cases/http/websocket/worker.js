export default {
  fetch(request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("not a WebSocket", { status: 426 });
    const { 0: client, 1: server } = new WebSocketPair();
    let messages = 0;
    server.accept();
    server.addEventListener("message", ({ data }) => {
      messages += 1;
      if (data === "bye") server.close(4001, "as you wish");
      else if (data === "big") server.send("x".repeat(70_000));
      else server.send(`${messages}: ${data} at ${new URL(request.url).pathname}`);
    });
    return new Response(null, { status: 101, webSocket: client });
  },
};
