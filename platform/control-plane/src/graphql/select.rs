//! Filter, order, limit and fields of a dataset (Cloudflare: GraphQL Analytics API, "Filtering" and "Sorting"). A row's
//! `dimensions` are what filters speak of.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{query::Field, unknown};

/// Most rows of an answer (Cloudflare: GraphQL Analytics API limits).
const ROWS_MAX: usize = 10_000;

/// The rows that a query asks for.
pub(super) fn select(mut rows: Vec<Value>, asked: &Field) -> Result<Value, String> {
    if let Some(filter) = asked.arguments.get("filter").and_then(Value::as_object) {
        let mut kept = Vec::new();
        for row in rows {
            if fits(&row["dimensions"], filter)? {
                kept.push(row);
            }
        }
        rows = kept;
    }
    for order in asked.arguments.get("orderBy").and_then(Value::as_array).into_iter().flatten().rev() {
        let order = order.as_str().unwrap_or_default();
        let (path, is_falling) = match (order.strip_suffix("_DESC"), order.strip_suffix("_ASC")) {
            (Some(path), _) => (path, true),
            (_, Some(path)) => (path, false),
            _ => return Err(format!("orderBy '{order}' ends neither in _ASC nor in _DESC")),
        };
        rows.sort_by(|one, other| {
            let ordering = compare(at(one, path), at(other, path)).unwrap_or(Ordering::Equal);
            if is_falling { ordering.reverse() } else { ordering }
        });
    }
    let limit = asked.arguments.get("limit").and_then(Value::as_u64);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(ROWS_MAX).min(ROWS_MAX);
    rows.truncate(limit);
    rows.iter().map(|row| project(row, &asked.fields, &asked.name)).collect()
}

/// The value that an order names: `datetime` is a dimension, `sum_rowsRead` lies in `sum`.
fn at<'a>(row: &'a Value, path: &str) -> &'a Value {
    match path.split_once('_') {
        Some((group, name)) => &row[group][name],
        None if row.get(path).is_some() => &row[path],
        None => &row["dimensions"][path],
    }
}

fn fits(dimensions: &Value, filter: &Map<String, Value>) -> Result<bool, String> {
    for (condition, wanted) in filter {
        let does_fit = match (condition.as_str(), wanted) {
            ("AND", Value::Array(all)) => all
                .iter()
                .try_fold(true, |so_far, filter| Ok::<_, String>(so_far && fits_one(dimensions, filter)?))?,
            ("OR", Value::Array(any)) => any
                .iter()
                .try_fold(false, |so_far, filter| Ok::<_, String>(so_far || fits_one(dimensions, filter)?))?,
            (condition, wanted) => holds(dimensions, condition, wanted)?,
        };
        if !does_fit {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One filter of an `AND` or `OR`.
fn fits_one(dimensions: &Value, filter: &Value) -> Result<bool, String> {
    filter.as_object().map_or(Ok(true), |filter| fits(dimensions, filter))
}

fn holds(dimensions: &Value, condition: &str, wanted: &Value) -> Result<bool, String> {
    let (name, operator) = match condition.rsplit_once('_') {
        Some((name, operator @ ("geq" | "gt" | "leq" | "lt" | "neq" | "in"))) => (name, operator),
        _ => (condition, "eq"),
    };
    let found = dimensions.get(name).ok_or_else(|| unknown(condition, "filter"))?;
    if operator == "in" {
        return Ok(wanted.as_array().is_some_and(|wanted| wanted.contains(found)));
    }
    let ordering = compare(found, wanted);
    Ok(match operator {
        "eq" => ordering == Some(Ordering::Equal),
        "neq" => ordering != Some(Ordering::Equal),
        "geq" => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        "leq" => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        "gt" => ordering == Some(Ordering::Greater),
        _ => ordering == Some(Ordering::Less),
    })
}

/// Moments are texts that order as they are written: all in UTC, with a four-digit year.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// The fields of a row that are asked for.
fn project(row: &Value, fields: &[Field], of: &str) -> Result<Value, String> {
    if fields.is_empty() {
        return Ok(row.clone());
    }
    let mut projected = Map::new();
    for field in fields {
        let value = row.get(&field.name).ok_or_else(|| unknown(&field.name, of))?;
        projected.insert(field.key.clone(), project(value, &field.fields, &field.name)?);
    }
    Ok(Value::Object(projected))
}
