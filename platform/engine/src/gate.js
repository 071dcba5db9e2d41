// How Durable Objects are reached from a process that does not run them. `proxied` makes a class for the caller's process: each
// of its objects stands for the one of the same id in the owner's process, and sends there what it is asked. `Gate` takes it
// in there, and asks the object. What the code of Workers has is a namespace and nothing of this.

import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

// Which object a request is for; what begins the name of the property that stands for one in a call.
const OBJECT_HEADER = "x-skerry-object";
const OBJECT_PROPERTY = "skerry:object:";
// Says that an answer is an exception. The server says so, too, where it cannot reach the owner.
const THREW_HEADER = "x-skerry-threw";

// What workerd looks for in a class by itself, and what would make a promise of it.
const RESERVED = new Set([
  "alarm", "connect", "constructor", "dup", "fetch", "then", "webSocketClose", "webSocketError", "webSocketMessage",
]);

export function proxied(binding) {
  return class extends DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      return forwarding(this, env[binding][OBJECT_PROPERTY + JSON.stringify(addressOf(ctx.id))]);
    }

    async fetch(request) {
      const forwarded = new Request(request);
      // HTTP has a Host always, and of its own.
      const address = { ...addressOf(this.ctx.id), host: request.headers.get("host") };
      forwarded.headers.set(OBJECT_HEADER, encodeURIComponent(JSON.stringify(address)));
      const response = await this.env[binding].fetch(forwarded);
      if (response.headers.has(THREW_HEADER)) throw revived(await response.json());
      return response;
    }
  };
}

export class Gate extends WorkerEntrypoint {
  constructor(ctx, env) {
    super(ctx, env);
    const get = (target, name) => {
      const isObject = typeof name === "string" && name.startsWith(OBJECT_PROPERTY);
      if (!isObject) return Reflect.get(target, name, target);
      return forwarding(new RpcTarget(), stub(this, JSON.parse(name.slice(OBJECT_PROPERTY.length))));
    };
    return new Proxy(this, { get });
  }

  async fetch(request) {
    const forwarded = new Request(request);
    const address = JSON.parse(decodeURIComponent(request.headers.get(OBJECT_HEADER)));
    forwarded.headers.delete(OBJECT_HEADER);
    if (address.host === null) forwarded.headers.delete("host");
    else forwarded.headers.set("host", address.host);
    try {
      return await stub(this, address).fetch(forwarded);
    } catch (error) {
      return new Response(described(error), { status: 500, headers: { [THREW_HEADER]: "1" } });
    }
  }
}

function addressOf(id) {
  return { id: id.toString(), name: id.name ?? null };
}

// By its name where it has one, so that the object learns it.
function stub({ ctx, env }, { id, name }) {
  const namespace = env[ctx.props.namespace];
  const named = name === null ? null : namespace.idFromName(name);
  return namespace.get(named?.toString() === id ? named : namespace.idFromString(id));
}

function forwarding(target, remote) {
  const isOwn = (name) => typeof name !== "string" || RESERVED.has(name) || name in target;
  return new Proxy(target, { get: (_, name) => isOwn(name) ? Reflect.get(target, name, target) : property(remote[name]) });
}

// What a name of a remote object stands for is known there alone: a method, a value, or something with names of its own. So this
// is called as a method, waited for as a value, and, looking to workerd like a plain object, asked for further names.
function property(remote) {
  const call = Object.setPrototypeOf((...args) => remote(...args), Object.prototype);
  const named = (name) => {
    if (typeof name !== "string") return undefined;
    return name === "then" ? (resolve, reject) => remote.then(resolve, reject) : property(remote[name]);
  };
  return new Proxy(call, {
    has: () => true,
    get: (_, name) => named(name),
    getOwnPropertyDescriptor: (_, name) => ({ value: named(name), configurable: true, enumerable: true }),
  });
}

// Calls carry exceptions; requests do not.
function described(error) {
  if (!(error instanceof Error)) return JSON.stringify({ name: "Error", message: String(error) });
  const { name, message, stack } = error;
  const isDom = error instanceof DOMException;
  try {
    return JSON.stringify({ name, message, stack, isDom, own: isDom ? {} : { ...error } });
  } catch {
    // Not everything that hangs on an exception can be written down.
    return JSON.stringify({ name, message, stack, isDom });
  }
}

const CLASSES = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function revived({ name, message, stack, isDom, own }) {
  if (isDom) return new DOMException(message, name);
  const error = Object.assign(new (CLASSES[name] ?? Error)(message), own);
  if (stack) error.stack = stack;
  return error;
}
