import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  async fetch(request) {
    return Response.json({ greeting: this.env.GREETING, path: new URL(request.url).pathname });
  }
}
