// One room: everybody in it hears everybody, and it remembers what was said.

import { type Connection, type ConnectionContext, Server, type WSMessage } from "partyserver";

interface Guest {
  name: string;
}

export class Room extends Server {
  // The object may be let go while its guests are silent.
  static options = { hibernate: true };

  onStart() {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS said (guest TEXT NOT NULL, text TEXT NOT NULL)");
  }

  onConnect(connection: Connection<Guest>, { request }: ConnectionContext) {
    const name = new URL(request.url).searchParams.get("name") ?? "somebody";
    connection.setState({ name });
    this.broadcast(`${name} came into ${this.name}`, [connection.id]);
  }

  onMessage(connection: Connection<Guest>, message: WSMessage) {
    const guest = connection.state?.name ?? "somebody";
    this.ctx.storage.sql.exec("INSERT INTO said VALUES (?, ?)", guest, String(message));
    this.broadcast(`${guest}: ${message}`);
  }

  onClose(connection: Connection<Guest>) {
    this.broadcast(`${connection.state?.name ?? "somebody"} left`, [connection.id]);
  }

  onRequest() {
    return Response.json(this.ctx.storage.sql.exec("SELECT guest, text FROM said ORDER BY rowid").toArray());
  }
}
