//! What it means that two answers agree: status, chosen headers, and the body as JSON where it is JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use testkit::Answer;

use crate::case::{Ask, Case};

/// A place where two answers differ.
#[derive(Debug, PartialEq)]
pub(crate) struct Disagreement {
    pub(crate) at: String,
    pub(crate) reference: String,
    pub(crate) ours: String,
}

/// All places where two answers to a request differ.
pub(crate) fn disagreements(case: &Case, ask: &Ask, reference: &Answer, ours: &Answer) -> Vec<Disagreement> {
    let mut found = Vec::new();
    let mut compare = |at: String, reference: String, ours: String| {
        if reference != ours {
            found.push(Disagreement { at, reference, ours });
        }
    };
    compare("status".into(), reference.status.to_string(), ours.status.to_string());
    for name in ["content-type"].into_iter().chain(ask.compare_headers.iter().map(String::as_str)) {
        compare(format!("header {name}"), header(reference, name), header(ours, name));
    }
    let (reference, ours) = (body(case, reference), body(case, ours));
    differences("body", &reference, &ours, &mut found);
    found
}

fn header(answer: &Answer, name: &str) -> String {
    let values = answer.headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(" | ")
}

fn body(case: &Case, answer: &Answer) -> Value {
    let Ok(text) = std::str::from_utf8(&answer.body) else {
        return Value::String(format!("base64:{}", BASE64_STANDARD.encode(&answer.body)));
    };
    let mut value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    for pointer in &case.description.mask {
        let steps: Vec<_> = pointer.split('/').skip(1).collect();
        mask(&mut value, &steps);
    }
    value
}

/// Replaces what a pointer leads to, so that only its presence and its type are compared.
fn mask(value: &mut Value, steps: &[&str]) {
    let Some((step, rest)) = steps.split_first() else {
        *value = Value::String(format!("<{}>", kind(value)));
        return;
    };
    match value {
        Value::Object(members) if *step == "*" => members.values_mut().for_each(|member| mask(member, rest)),
        Value::Array(items) if *step == "*" => items.iter_mut().for_each(|item| mask(item, rest)),
        Value::Object(members) => members.get_mut(*step).into_iter().for_each(|member| mask(member, rest)),
        Value::Array(items) => {
            let item = step.parse().ok().and_then(|index: usize| items.get_mut(index));
            item.into_iter().for_each(|item| mask(item, rest));
        }
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn differences(at: &str, reference: &Value, ours: &Value, found: &mut Vec<Disagreement>) {
    match (reference, ours) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                let (left, right) = (left.get(key), right.get(key));
                member_differences(&format!("{at}/{key}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for index in 0..left.len().max(right.len()) {
                member_differences(&format!("{at}/{index}"), left.get(index), right.get(index), found);
            }
        }
        _ if reference == ours => {}
        _ => found.push(Disagreement {
            at: at.into(),
            reference: reference.to_string(),
            ours: ours.to_string(),
        }),
    }
}

fn member_differences(
    at: &str,
    reference: Option<&Value>,
    ours: Option<&Value>,
    found: &mut Vec<Disagreement>,
) {
    if let (Some(reference), Some(ours)) = (reference, ours) {
        return differences(at, reference, ours, found);
    }
    let shown = |value: Option<&Value>| value.map_or_else(|| "(missing)".to_owned(), ToString::to_string);
    found.push(Disagreement { at: at.into(), reference: shown(reference), ours: shown(ours) });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(reference: &Value, ours: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differences("body", reference, ours, &mut found);
        found.into_iter().map(|place| place.at).collect()
    }

    #[test]
    fn each_place_that_differs_is_named() {
        assert_eq!(check(&json!({"a": [1, 2]}), &json!({"a": [1, 2]})), [""; 0]);
        assert_eq!(check(&json!({"a": [1, 2]}), &json!({"a": [1, 3], "b": 1})), ["body/a/1", "body/b"]);
        assert_eq!(check(&json!([1]), &json!([])), ["body/0"]);
        assert_eq!(check(&json!("a"), &json!({"a": 1})), ["body"]);
    }

    #[test]
    fn a_mask_keeps_the_type_only() {
        let mut value = json!({"list": [{"id": 1, "x": 2}, {"id": "a", "x": 3}]});
        mask(&mut value, &["list", "*", "id"]);
        assert_eq!(value, json!({"list": [{"id": "<number>", "x": 2}, {"id": "<string>", "x": 3}]}));
    }
}
