// Passwords and tokens, with the runtime's own cryptography.

// What the runtime allows at most.
const ITERATIONS = 100_000;

export const randomToken = (): string => hex(crypto.getRandomValues(new Uint8Array(32)));

export async function sha256(text: string): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes(text))));
}

/** A password as it is kept: `<salt>:<key derived from both>`. */
export async function hashPassword(password: string, salt = randomToken()): Promise<string> {
  const key = await crypto.subtle.importKey("raw", bytes(password), "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: ITERATIONS };
  return `${salt}:${hex(new Uint8Array(await crypto.subtle.deriveBits(how, key, 256)))}`;
}

/** Takes as long for an unknown user, who has no hash, as for a known one. */
export async function isPassword(password: string, kept: string | undefined): Promise<boolean> {
  const salt = kept?.split(":")[0] ?? "";
  const found = await hashPassword(password, salt);
  return isSame(found, kept ?? "");
}

/** Compares in a time that does not tell where two texts differ. */
export function isSame(left: string, right: string): boolean {
  const [a, b] = [bytes(left), bytes(right)];
  return a.length === b.length && crypto.subtle.timingSafeEqual(a, b);
}

const bytes = (text: string) => new TextEncoder().encode(text);

const hex = (data: Uint8Array) => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
