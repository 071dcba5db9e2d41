//! Queries of the products' figures.

use serde_json::{Value, json};

use crate::harness::Api;

async fn ask(api: &Api, query: &str, variables: Value) -> Value {
    let body = json!({"query": query, "variables": variables});
    let answer = api.call(&api.token(), "POST", "/graphql", body).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json
}

#[tokio::test]
async fn a_query_filters_orders_limits_and_selects() {
    let api = Api::open().await;
    let query = "query fruit($account: String, $filter: Filter) {
        viewer { accounts(filter: {accountTag: $account}) {
            accountTag
            most: fruitAdaptiveGroups(limit: 2, filter: $filter, orderBy: [sum_eaten_DESC]) {
                sum { eaten } dimensions { when: datetime }
            }
            pears: fruitAdaptiveGroups(filter: {OR: [{fruit: \"pear\"}, {fruit_in: [\"plum\"]}]}) { sum { eaten } }
        } }
    }";
    let account = api.house.account.to_string();
    let variables = json!({"account": account, "filter": {"datetime_gt": "2027-01-01T00:00:00Z"}});
    let answer = ask(&api, query, variables).await;
    let second = "2027-01-02T00:00:00Z";
    let expected = json!({"viewer": {"accounts": [{
        "accountTag": account,
        "most": [
            {"sum": {"eaten": 5}, "dimensions": {"when": second}},
            {"sum": {"eaten": 4}, "dimensions": {"when": second}},
        ],
        "pears": [{"sum": {"eaten": 4}}],
    }]}});
    assert_eq!(answer, json!({"data": expected, "errors": null}));
}

#[tokio::test]
async fn a_query_that_cannot_be_answered_says_why() {
    let api = Api::open().await;
    let deep = format!("{{ viewer {} {}", "{ a ".repeat(10_000), "}".repeat(10_001));
    let wide = format!("{{ viewer {{ {} }} }}", "a ".repeat(10_000));
    let lists = format!("{{ viewer(a: {}) {{ a }} }}", "[".repeat(20_000));
    let rows = |inner: &str| format!("{{ viewer {{ accounts {{ fruitAdaptiveGroups{inner} }} }} }}");
    let cases = [
        ("", "error parsing query"),
        ("{ viewer", "error parsing query"),
        (deep.as_str(), "error parsing query"),
        (wide.as_str(), "error parsing query"),
        (lists.as_str(), "error parsing query"),
        ("query a { viewer } query b { viewer }", "operationName"),
        ("mutation { viewer }", "only queries"),
        ("{ viewer { ...all } }", "fragments"),
        ("fragment all on a { b } { viewer { c } }", "FragmentDefinition"),
        ("{ everybody { accounts } }", "unknown field \"everybody\""),
        ("{ viewer { zones } }", "unknown field \"zones\""),
        ("{ viewer { accounts(filter: {accountTag: \"other\"}) { accountTag } } }", "not authorized"),
        ("{ viewer { accounts { nothingAdaptiveGroups { count } } } }", "nothingAdaptiveGroups"),
        (&rows("{ sum { drunk } }"), "unknown field \"drunk\" for type \"sum\""),
        (&rows("(filter: {colour: \"red\"})"), "unknown field \"colour\" for type \"filter\""),
        (&rows("(orderBy: [fruit])"), "orderBy"),
    ];
    for (query, expected) in cases {
        let answer = ask(&api, query, json!({})).await;
        assert_eq!(answer["data"], Value::Null, "{query}");
        let message = answer["errors"][0]["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{query}: {message}");
    }
    let refused = api.call(&api.token(), "POST", "/graphql", json!({"variables": {}})).await;
    assert_eq!(refused.refusal().0, 400);
}
