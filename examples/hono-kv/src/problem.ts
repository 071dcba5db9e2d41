// RFC 9457 problem details: the one shape in which this API says no.

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

export interface Complaint {
  path: string;
  message: string;
}

export function problem(
  c: Context,
  status: ContentfulStatusCode,
  title: string,
  detail?: string,
  errors?: Complaint[],
): Response {
  const type = `https://api.example.com/problems/${status}`;
  const body = { type, title, status, detail, errors, instance: c.req.path };
  return c.json(body, status, { "content-type": "application/problem+json" });
}
