-- Who uses the application: tenants, what their plans allow, and their users.

CREATE TABLE plans (
  name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE limits (
  plan TEXT NOT NULL REFERENCES plans (name),
  resource TEXT NOT NULL CHECK (resource IN ('notes', 'file_bytes')),
  per_month INTEGER NOT NULL CHECK (0 <= per_month),
  PRIMARY KEY (plan, resource)
) STRICT, WITHOUT ROWID;

INSERT INTO plans VALUES ('free'), ('team');
INSERT INTO limits VALUES
  ('free', 'notes', 3), ('free', 'file_bytes', 1000000),
  ('team', 'notes', 10000), ('team', 'file_bytes', 10000000000);

CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  subdomain TEXT NOT NULL UNIQUE,
  custom_domain TEXT UNIQUE,
  plan TEXT NOT NULL DEFAULT 'free' REFERENCES plans (name),
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;

-- One person may belong to several tenants, and is another user in each.
CREATE TABLE users (
  tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id TEXT NOT NULL,
  email TEXT NOT NULL COLLATE NOCASE,
  role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
  password TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email)
) STRICT, WITHOUT ROWID;
