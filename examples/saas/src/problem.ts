// How this API says no: a status and one sentence, with a list of what is wrong where a request is not valid.

import { zValidator } from "@hono/zod-validator";
import type { Context, ErrorHandler } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";

export function refuse(c: Context, status: ContentfulStatusCode, error: string, fields?: string[]): Response {
  return c.json({ error, fields }, status);
}

/** Like zValidator, but what it finds wrong is answered in this API's shape. */
export function validated<T extends z.ZodType, Part extends "json" | "query" | "param">(part: Part, schema: T) {
  return zValidator(part, schema, (result, c) => {
    if (result.success) return;
    const fields = result.error.issues.map(({ path }) => path.join("."));
    return refuse(c, 400, "the request is not valid", fields);
  });
}

/** Whether a statement failed because what it would insert is there already. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof Error && error.message.includes("UNIQUE constraint failed");
}

export const onError: ErrorHandler = (error, c) => {
  // What Hono itself refuses, such as a body that is no JSON.
  if ("getResponse" in error) return error.getResponse();
  console.error(error);
  return refuse(c, 500, "internal error");
};
