import { DurableObject } from "cloudflare:workers";

export class Thing extends DurableObject {
  who() {
    return { id: this.ctx.id.toString(), name: this.ctx.id.name ?? null };
  }
}

export default {
  async fetch(_, { OBJECT }) {
    const named = OBJECT.idFromName("room");
    const unique = OBJECT.newUniqueId();
    return Response.json(await outcomes({
      length: () => named.toString().length,
      stable: () => named.equals(OBJECT.idFromName("room")),
      other: () => named.equals(OBJECT.idFromName("Room")),
      name: () => named.name,
      from_string: () => OBJECT.idFromString(named.toString()).equals(named),
      from_string_name: () => OBJECT.idFromString(named.toString()).name,
      unique: () => unique.equals(OBJECT.newUniqueId()),
      unique_name: () => unique.name,
      seen: async () => {
        const { id, name } = await OBJECT.get(named).who();
        return { same: id === named.toString(), name };
      },
      seen_by_name: async () => (await OBJECT.getByName("other")).who().then(({ name }) => name),
      seen_by_id: async () => (await OBJECT.get(unique).who()).id === unique.toString(),
      foreign: () => OBJECT.idFromString("0".repeat(64)),
      short: () => OBJECT.idFromString("00"),
      stub: async () => { const stub = OBJECT.getByName("room"); return [stub.name, stub.id.equals(named)]; },
    }));
  },
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
