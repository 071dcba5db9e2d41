import { DurableObject } from "cloudflare:workers";

export class Thing extends DurableObject {
  async alarm(info) {
    const fired = (await this.ctx.storage.get("fired")) ?? [];
    const during = await this.ctx.storage.getAlarm();
    await this.ctx.storage.put("fired", [...fired, { retry: info.isRetry, count: info.retryCount, during, name: this.ctx.id.name }]);
  }

  run() {
    const { storage } = this.ctx;
    const far = Date.UTC(2099, 0, 1);
    return outcomes({
      none: () => storage.getAlarm(),
      set: () => storage.setAlarm(far),
      seen: () => storage.getAlarm(),
      date: () => storage.setAlarm(new Date(far + 5)),
      replaced: () => storage.getAlarm(),
      deleted: () => storage.deleteAlarm(),
      gone: () => storage.getAlarm(),
      wrong: () => storage.setAlarm("tomorrow"),
      negative: () => storage.setAlarm(-1),
      past: () => storage.setAlarm(Date.now() - 1000),
      fired: async () => {
        for (let n = 0; n < 200 && !(await storage.get("fired")); n++) await scheduler.wait(25);
        return storage.get("fired");
      },
      after: () => storage.getAlarm(),
    });
  }
}

export default {
  fetch: async (_, env) => Response.json(await env.OBJECT.getByName("x").run()),
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
