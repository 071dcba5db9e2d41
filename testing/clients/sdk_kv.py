"""KV as the official Python SDK sees it. Reads CLOUDFLARE_BASE_URL, CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID. Ends with 0
if every answer is as it should be."""

import os

import cloudflare

account = os.environ["CLOUDFLARE_ACCOUNT_ID"]
namespaces = cloudflare.Cloudflare().kv.namespaces


def is_missing(call):
    try:
        call()
    except cloudflare.NotFoundError:
        return True
    return False


made = namespaces.create(account_id=account, title="from the SDK")
renamed = namespaces.update(made.id, account_id=account, title="renamed")
assert renamed.title == "renamed", renamed
assert namespaces.get(made.id, account_id=account).title == "renamed"
titles = [namespace.title for namespace in namespaces.list(account_id=account, per_page=1)]
assert "renamed" in titles, titles

within = {"account_id": account, "namespace_id": made.id}
namespaces.values.update("user:ada", value=b"Lovelace", metadata='{"born": 1815}', **within)
namespaces.values.update("a/b c", value=b"escaped", expiration_ttl=3600, **within)
assert namespaces.values.get("user:ada", **within).text() == "Lovelace"
assert namespaces.values.get("a/b c", **within).text() == "escaped"
assert namespaces.metadata.get("user:ada", **within) == {"born": 1815}
assert is_missing(lambda: namespaces.values.get("none", **within))

pairs = [{"key": f"bulk-{number}", "value": str(number)} for number in range(25)]
written = namespaces.bulk_update(made.id, account_id=account, body=pairs)
assert written.successful_key_count == 25, written
several = namespaces.bulk_get(made.id, account_id=account, keys=["bulk-7", "none"])
assert several.values == {"bulk-7": "7", "none": None}, several
listed = [key.name for key in namespaces.keys.list(made.id, account_id=account, prefix="bulk-", limit=10)]
assert listed == sorted(pair["key"] for pair in pairs), listed
namespaces.bulk_delete(made.id, account_id=account, body=["bulk-1", "bulk-2"])
namespaces.values.delete("user:ada", **within)
left = list(namespaces.keys.list(made.id, account_id=account))
assert len(left) == 24, left
namespaces.delete(made.id, account_id=account)
assert is_missing(lambda: namespaces.get(made.id, account_id=account))
print("every answer is as it should be")
