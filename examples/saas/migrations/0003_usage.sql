-- What tenants use: an entry for each use, which a bill can be made from, and its sum for each month. An entry that would go
-- beyond the plan is refused, and with it the whole batch that it is part of.

CREATE TABLE usage_entries (
  id INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  resource TEXT NOT NULL,
  amount INTEGER NOT NULL,
  at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;

CREATE INDEX usage_entries_by_tenant ON usage_entries (tenant_id, at);

CREATE TABLE usage (
  tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  month TEXT NOT NULL,
  resource TEXT NOT NULL,
  amount INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, month, resource)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER usage_is_summed AFTER INSERT ON usage_entries BEGIN
  INSERT INTO usage VALUES (new.tenant_id, strftime('%Y-%m', new.at), new.resource, new.amount)
  ON CONFLICT DO UPDATE SET amount = amount + excluded.amount;

  SELECT RAISE(ABORT, 'the plan allows no more')
  FROM usage
  JOIN tenants ON tenants.id = usage.tenant_id
  JOIN limits ON limits.plan = tenants.plan AND limits.resource = usage.resource
  WHERE usage.tenant_id = new.tenant_id AND usage.month = strftime('%Y-%m', new.at)
    AND usage.resource = new.resource AND limits.per_month < usage.amount;
END;
