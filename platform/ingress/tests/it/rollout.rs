//! Which version of a rollout gets a request: any, the one of its key, or the one it names.

use std::collections::HashSet;

use model::VersionId;

use crate::{
    process::VERSION,
    support::{Door, SPLIT_HOST, door, halves, idle},
};

const KEY: &str = "cloudflare-workers-version-key";
const OVERRIDES: &str = "cloudflare-workers-version-overrides";

async fn answering(door: &Door, headers: &[(&str, &str)]) -> VersionId {
    let headers = [&[("host", SPLIT_HOST)], headers].concat();
    assert_eq!(door.get("/", &headers).await.status(), 200);
    door.notes.last_headers()[VERSION].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_key_stays_with_one_version_and_other_requests_go_to_both() {
    let door = door().await;
    let mut of_keys = HashSet::new();
    for key in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let version = answering(&door, &[(KEY, key)]).await;
        for _ in 0..4 {
            assert_eq!(answering(&door, &[(KEY, key)]).await, version, "{key}");
        }
        of_keys.insert(version);
    }
    assert_eq!(of_keys, HashSet::from(halves()));
    let mut without_key = HashSet::new();
    // Sixty heads in a row: once in 10^18 runs.
    for _ in 0..60 {
        without_key.insert(answering(&door, &[]).await);
    }
    assert_eq!(without_key, HashSet::from(halves()));
}

#[tokio::test]
async fn a_request_may_name_a_version_of_the_deployment_and_no_other() {
    let door = door().await;
    let naming = |script: &str, version: VersionId| format!("{script}=\"{version}\"");
    let named = naming("split", idle());
    assert_eq!(answering(&door, &[(OVERRIDES, &named)]).await, idle());
    assert_eq!(answering(&door, &[(OVERRIDES, &named), (KEY, "1")]).await, idle(), "naming wins over a key");
    let other = naming("other", halves()[0]);
    assert_eq!(answering(&door, &[(OVERRIDES, &named), (OVERRIDES, &other)]).await, idle(), "in two lines");
    let by_key = answering(&door, &[(KEY, "1")]).await;
    for ignored in [&naming("split", VersionId::random()), &naming("other", idle()), "split=\"", "split"] {
        assert_eq!(answering(&door, &[(OVERRIDES, ignored), (KEY, "1")]).await, by_key, "{ignored}");
    }
}
