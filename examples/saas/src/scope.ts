// All that a tenant's request may touch. Handlers get a scope and neither the database nor the bucket, so that no statement
// and no key can leave the tenant by an oversight.

import type { Env } from "./env";

export class Scope {
  constructor(
    private readonly env: Env,
    private readonly tenantId: string,
  ) {}

  /** A statement whose first parameter, `?1`, is the tenant; the values are `?2` and so on. */
  prepare(sql: string, ...values: (string | number | null)[]): D1PreparedStatement {
    if (!sql.includes("?1")) throw new Error(`the statement names no tenant: ${sql}`);
    return this.env.DB.prepare(sql).bind(this.tenantId, ...values);
  }

  /** Runs statements as one transaction. */
  batch<Row>(statements: D1PreparedStatement[]): Promise<D1Result<Row>[]> {
    return this.env.DB.batch<Row>(statements);
  }

  /** The statement that counts a use. It fails, with the batch it is in, if the plan allows no more. */
  use(resource: "notes" | "file_bytes", amount: number): D1PreparedStatement {
    const sql = "INSERT INTO usage_entries (tenant_id, resource, amount) VALUES (?1, ?2, ?3)";
    return this.prepare(sql, resource, amount);
  }

  putFile(name: string, body: ReadableStream, type: string): Promise<R2Object> {
    return this.env.FILES.put(this.prefix + name, body, { httpMetadata: { contentType: type } });
  }

  getFile(name: string): Promise<R2ObjectBody | null> {
    return this.env.FILES.get(this.prefix + name);
  }

  deleteFile(name: string): Promise<void> {
    return this.env.FILES.delete(this.prefix + name);
  }

  /** Up to 1,000 files, with a cursor while there are more. */
  async listFiles(cursor?: string) {
    const listed = await this.env.FILES.list({ prefix: this.prefix, cursor });
    const files = listed.objects.map(({ key, size }) => ({ name: key.slice(this.prefix.length), size }));
    return { files, cursor: listed.truncated ? listed.cursor : null };
  }

  /** Removes all of the tenant's files, once its rows are gone. */
  async deleteFiles(): Promise<void> {
    for (;;) {
      const { objects } = await this.env.FILES.list({ prefix: this.prefix });
      if (objects.length === 0) return;
      await this.env.FILES.delete(objects.map(({ key }) => key));
    }
  }

  private get prefix(): string {
    return `${this.tenantId}/`;
  }
}

/** Whether a batch failed because the plan allows no more. */
export function isLimit(error: unknown): boolean {
  return error instanceof Error && error.message.includes("the plan allows no more");
}
