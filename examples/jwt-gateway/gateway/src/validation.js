// Checks a body against rules and keeps only what the rules name.

/** Returns `{ value }` with the known fields, or `{ errors }`: one entry for each field that is wrong. */
export function validate(data, rules) {
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    return { errors: [{ field: "", message: "must be a JSON object" }] };
  }
  const value = {};
  const errors = [];
  for (const [field, rule] of Object.entries(rules)) {
    const given = Object.hasOwn(data, field) ? data[field] : undefined;
    const message = complaint(given, rule);
    if (message) errors.push({ field, message });
    else if (given !== undefined) value[field] = typeof given === "string" ? given.trim() : given;
  }
  return errors.length > 0 ? { errors } : { value };
}

function complaint(given, rule) {
  if (given === undefined || given === null) return rule.required ? "is required" : null;
  if (rule.type === "integer") {
    if (!Number.isInteger(given)) return "must be a whole number";
    return given < rule.min || rule.max < given ? `must be between ${rule.min} and ${rule.max}` : null;
  }
  if (typeof given !== "string") return "must be text";
  if (given.trim() === "") return rule.required ? "is required" : null;
  return rule.maxLength < given.length ? `must have at most ${rule.maxLength} characters` : null;
}

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Makes text safe to show in a page. */
export const escapeHtml = (text) => text.replace(/[&<>"']/g, (char) => ESCAPES[char]);
