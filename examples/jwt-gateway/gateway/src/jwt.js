// JSON Web Tokens with HMAC-SHA-256 (RFC 7515, RFC 7519).

export class TokenError extends Error {}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Returns the claims of a token, or throws a TokenError. */
export async function verify(token, secret) {
  if (!secret) throw new Error("the secret JWT_SECRET is not set");
  const parts = token.split(".");
  if (parts.length !== 3) throw new TokenError("the token is malformed");
  const [header, payload, signature] = parts;
  // The algorithm is ours to choose: a token that says "none" or another one is not believed.
  if (object(header).alg !== "HS256") throw new TokenError("the token's algorithm is not HS256");
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  // `verify` compares in constant time.
  const isValid = await crypto.subtle.verify("HMAC", key, bytes(signature), encoder.encode(`${header}.${payload}`));
  if (!isValid) throw new TokenError("the token's signature is wrong");
  const claims = object(payload);
  const now = Date.now() / 1000;
  if (typeof claims.exp !== "number" || claims.exp <= now) throw new TokenError("the token has expired");
  if (claims.nbf !== undefined && !(claims.nbf <= now)) throw new TokenError("the token is not valid yet");
  if (typeof claims.sub !== "string" || !/^[\w.@-]{1,100}$/.test(claims.sub)) throw new TokenError("the token names no user");
  return claims;
}

function object(part) {
  let value;
  try {
    value = JSON.parse(decoder.decode(bytes(part)));
  } catch {
    throw new TokenError("the token is malformed");
  }
  if (value === null || typeof value !== "object") throw new TokenError("the token is malformed");
  return value;
}

function bytes(base64Url) {
  if (!/^[A-Za-z0-9_-]*$/.test(base64Url)) throw new TokenError("the token is malformed");
  try {
    return Uint8Array.from(atob(base64Url.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  } catch {
    throw new TokenError("the token is malformed");
  }
}
