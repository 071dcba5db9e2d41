// Counts each user's requests in a sliding window. In memory: a limit may be forgotten when the object is, and costs no write.
import { DurableObject } from "cloudflare:workers";

export class RateLimiter extends DurableObject {
  times = [];

  check(limit, windowSeconds) {
    const now = Date.now();
    this.times = this.times.filter((time) => now - windowSeconds * 1000 < time);
    if (limit <= this.times.length) {
      return { allowed: false, retryAfter: Math.ceil((this.times[0] + windowSeconds * 1000 - now) / 1000) };
    }
    this.times.push(now);
    return { allowed: true, remaining: limit - this.times.length };
  }
}
