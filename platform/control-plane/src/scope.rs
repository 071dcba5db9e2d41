//! What a token may do: permission groups under Cloudflare's names and ids, and the one function that decides.

use axum::http::Method;
use model::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The parts of the API that are granted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    /// Who am I: every valid token may ask.
    Identity,
    /// API tokens.
    Tokens,
    /// Scripts and all that hangs on them.
    Workers,
    /// KV namespaces and their keys.
    Kv,
    /// R2 buckets and their objects.
    R2,
    /// D1 databases and what is in them.
    D1,
    /// What GraphQL queries select from: figures of all products.
    Analytics,
    /// What has no group of its own yet: only a token for everything reaches it.
    Other,
}

/// How much of an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Read,
    Write,
}

/// A permission group as the API lists it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// `None` is every area.
    area: Option<Area>,
    access: Access,
}

/// Groups with Cloudflare's ids (API: List Token Permission Groups), and two of our own for everything.
pub(crate) const GROUPS: [Group; 13] = [
    Group { id: EVERYTHING_ID, name: "All Write", area: None, access: Access::Write },
    Group { id: "00000000000000000000000000000001", name: "All Read", area: None, access: Access::Read },
    Group {
        id: "e086da7e2179491d91ee5f35b3ca210a",
        name: "Workers Scripts Write",
        area: Some(Area::Workers),
        access: Access::Write,
    },
    Group {
        id: "1a71c399035b4950a1bd1466bbe4f420",
        name: "Workers Scripts Read",
        area: Some(Area::Workers),
        access: Access::Read,
    },
    Group {
        id: "f7f0eda5697f475c90846e879bab8666",
        name: "Workers KV Storage Write",
        area: Some(Area::Kv),
        access: Access::Write,
    },
    Group {
        id: "8b47d2786a534c08a1f94ee8f9f599ef",
        name: "Workers KV Storage Read",
        area: Some(Area::Kv),
        access: Access::Read,
    },
    Group {
        id: "bf7481a1826f439697cb59a20b22293e",
        name: "Workers R2 Storage Write",
        area: Some(Area::R2),
        access: Access::Write,
    },
    Group {
        id: "b4992e1108244f5d8bfbd5744320c2e1",
        name: "Workers R2 Storage Read",
        area: Some(Area::R2),
        access: Access::Read,
    },
    Group {
        id: "09b2857d1c31407795e75e3fed8617a1",
        name: "D1 Write",
        area: Some(Area::D1),
        access: Access::Write,
    },
    Group {
        id: "192192df92ee43ac90f2aeeffce67e35",
        name: "D1 Read",
        area: Some(Area::D1),
        access: Access::Read,
    },
    Group {
        id: "b89a480218d04ceb98b4fe57ca29dc1f",
        name: "Account Analytics Read",
        area: Some(Area::Analytics),
        access: Access::Read,
    },
    Group {
        id: "686d18d5ac6c441c867cbf6771e58a0a",
        name: "API Tokens Write",
        area: Some(Area::Tokens),
        access: Access::Write,
    },
    Group {
        id: "0cc3a61731504c89b99ec1be78b77aa0",
        name: "API Tokens Read",
        area: Some(Area::Tokens),
        access: Access::Read,
    },
];

const EVERYTHING_ID: &str = "00000000000000000000000000000002";

/// Most policies of a token, and most groups of a policy.
const POLICIES_MAX: usize = 50;

/// One policy of a token, as the API writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// Only `allow`.
    effect: String,
    /// What it is about: this installation's one account.
    resources: Map<String, Value>,
    permission_groups: Vec<GroupName>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GroupName {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Policy {
    /// The policy of a token that may do everything.
    pub(crate) fn everything(account: &AccountId) -> Self {
        let resources = [(resource(account), Value::from("*"))].into_iter().collect();
        let group = GroupName { id: EVERYTHING_ID.to_owned(), name: None };
        Self { effect: "allow".to_owned(), resources, permission_groups: vec![group] }
    }

    fn groups(&self) -> impl Iterator<Item = &'static Group> {
        self.permission_groups.iter().filter_map(|named| group(&named.id))
    }
}

/// Says what is wrong with policies that someone asks for.
pub(crate) fn check(policies: &[Policy], account: &AccountId) -> Result<(), String> {
    if policies.is_empty() || POLICIES_MAX < policies.len() {
        return Err(format!("a token has 1 to {POLICIES_MAX} policies"));
    }
    for policy in policies {
        if policy.effect != "allow" {
            return Err(format!("effect '{}' is not supported; only 'allow' is", policy.effect));
        }
        let of_account = resource(account);
        let is_ours = |name: &String| {
            *name == of_account
                || name == "com.cloudflare.api.account.*"
                || name.starts_with("com.cloudflare.api.user.")
        };
        if let Some(foreign) = policy.resources.keys().find(|name| !is_ours(name)) {
            return Err(format!("resource '{foreign}' is not on this server"));
        }
        if policy.permission_groups.is_empty() || POLICIES_MAX < policy.permission_groups.len() {
            return Err(format!("a policy has 1 to {POLICIES_MAX} permission groups"));
        }
        if let Some(unknown) = policy.permission_groups.iter().find(|named| group(&named.id).is_none()) {
            return Err(format!("permission group '{}' is not known here", unknown.id));
        }
    }
    Ok(())
}

/// Whether `policies` let a request through. `path` begins below `/client/v4`.
pub(crate) fn allows(policies: &[Policy], method: &Method, path: &str) -> bool {
    let area = area_of(path);
    let access = access_of(method, path);
    if area == Area::Identity && access == Access::Read {
        return true;
    }
    let fits = |group: &Group| access <= group.access && group.area.is_none_or(|granted| granted == area);
    policies.iter().flat_map(Policy::groups).any(fits)
}

fn area_of(path: &str) -> Area {
    let mut segments = path.trim_start_matches('/').split('/');
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some("user"), Some("tokens"), Some("verify"), None) => Area::Identity,
        (Some("user"), Some("tokens"), ..) => Area::Tokens,
        (Some("accounts"), Some(_), Some("tokens"), Some("verify")) => Area::Identity,
        (Some("user" | "accounts" | "memberships" | "zones"), None, ..) => Area::Identity,
        (Some("accounts"), Some(_), None, None) => Area::Identity,
        (Some("zones"), Some(_), None, None) => Area::Identity,
        (Some("zones"), Some(_), Some("workers"), _) => Area::Workers,
        (Some("accounts"), Some(_), Some("workers"), _) => Area::Workers,
        (Some("accounts"), Some(_), Some("storage"), Some("kv")) => Area::Kv,
        (Some("accounts"), Some(_), Some("r2"), _) => Area::R2,
        (Some("accounts"), Some(_), Some("d1"), _) => Area::D1,
        (Some("graphql"), None, ..) => Area::Analytics,
        _ => Area::Other,
    }
}

fn access_of(method: &Method, path: &str) -> Access {
    // A POST only because the query, or the list of keys, needs a body.
    let is_read_by_body = path == "/graphql" || path.ends_with("/bulk/get");
    let is_read = *method == Method::GET || *method == Method::HEAD || is_read_by_body;
    if is_read { Access::Read } else { Access::Write }
}

fn group(id: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.id == id)
}

fn resource(account: &AccountId) -> String {
    format!("com.cloudflare.api.account.{account}")
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use model::AccountId;
    use serde_json::json;

    use super::{GROUPS, Policy, allows};

    fn policy(groups: &[&str]) -> Vec<Policy> {
        let groups: Vec<_> = groups
            .iter()
            .map(|name| GROUPS.iter().find(|group| group.name == *name).expect("a group of ours"))
            .map(|group| json!({"id": group.id}))
            .collect();
        let policy = json!({"effect": "allow", "resources": {}, "permission_groups": groups});
        vec![serde_json::from_value(policy).expect("a policy")]
    }

    #[test]
    fn a_token_reaches_what_its_groups_name_and_nothing_else() {
        let scripts = "/accounts/a/workers/scripts/hello";
        let keys = "/accounts/a/storage/kv/namespaces/n/keys";
        let bulk_get = "/accounts/a/storage/kv/namespaces/n/bulk/get";
        let cases = [
            ("All Write", Method::DELETE, "/accounts/a/d1/database/x", true),
            ("All Read", Method::GET, "/accounts/a/d1/database/x", true),
            ("All Read", Method::PUT, scripts, false),
            ("Workers Scripts Write", Method::PUT, scripts, true),
            ("Workers Scripts Write", Method::GET, scripts, true),
            ("Workers Scripts Write", Method::GET, keys, false),
            ("Workers Scripts Read", Method::GET, scripts, true),
            ("Workers Scripts Read", Method::DELETE, scripts, false),
            ("Workers Scripts Write", Method::POST, "/zones/z/workers/routes", true),
            ("Workers KV Storage Read", Method::GET, "/zones/z/workers/routes", false),
            ("Workers Scripts Write", Method::POST, "/zones", false),
            ("Workers Scripts Read", Method::GET, "/zones/z", true),
            ("Workers KV Storage Read", Method::POST, bulk_get, true),
            ("Workers KV Storage Read", Method::PUT, keys, false),
            ("Workers R2 Storage Read", Method::GET, "/accounts/a/r2/buckets/b/objects/k", true),
            ("Workers R2 Storage Read", Method::PUT, "/accounts/a/r2/buckets/b/objects/k", false),
            ("Workers R2 Storage Write", Method::POST, "/accounts/a/r2/buckets", true),
            ("Workers KV Storage Write", Method::GET, "/accounts/a/r2/buckets", false),
            ("D1 Read", Method::GET, "/accounts/a/d1/database/x", true),
            ("D1 Read", Method::POST, "/accounts/a/d1/database/x/query", false),
            ("D1 Write", Method::POST, "/accounts/a/d1/database/x/query", true),
            ("Workers R2 Storage Write", Method::GET, "/accounts/a/d1/database/x", false),
            ("Account Analytics Read", Method::POST, "/graphql", true),
            ("Workers R2 Storage Write", Method::POST, "/graphql", false),
            ("Account Analytics Read", Method::GET, "/accounts/a/r2/buckets", false),
            ("All Read", Method::POST, "/graphql", true),
            ("Workers KV Storage Read", Method::GET, "/user", true),
            ("Workers KV Storage Read", Method::GET, "/user/tokens/verify", true),
            ("Workers KV Storage Read", Method::GET, "/user/tokens", false),
            ("API Tokens Write", Method::POST, "/user/tokens", true),
            ("API Tokens Read", Method::DELETE, "/user/tokens/t", false),
        ];
        for (group, method, path, expected) in cases {
            assert_eq!(allows(&policy(&[group]), &method, path), expected, "{group}: {method} {path}");
        }
        assert!(allows(&[Policy::everything(&AccountId::random())], &Method::POST, "/user/tokens"));
    }
}
