//! From a query's text to the fields it asks for, with variables put in.

use apollo_parser::{
    Parser,
    cst::{self, Definition, Selection, Value as Written},
};
use serde_json::{Map, Value};

/// Most tokens of a query, and how deep it may go; wrangler's queries have some 60 and five.
const TOKENS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 32;

/// A field that is asked for.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// Under which key it is answered.
    pub(super) key: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) fields: Vec<Self>,
}

/// The fields of the query that is named, or of the only one.
pub(super) fn parse(
    text: &str,
    operation: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<Vec<Field>, String> {
    let tree = Parser::new(text).token_limit(TOKENS_MAX).recursion_limit(DEPTH_MAX).parse();
    if let Some(error) = tree.errors().next() {
        return Err(format!("error parsing query: {}", error.message()));
    }
    let mut operations = Vec::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => operations.push(operation),
            other => return Err(format!("{} is not supported", other.kind())),
        }
    }
    let is_named = |found: &cst::OperationDefinition| {
        operation.is_none_or(|name| found.name().is_some_and(|found| found.text() == name))
    };
    let mut named = operations.into_iter().filter(is_named);
    let (Some(query), None) = (named.next(), named.next()) else {
        return Err("operationName must name one of the query's operations".to_owned());
    };
    if query.operation_type().is_some_and(|kind| kind.query_token().is_none()) {
        return Err("only queries are supported".to_owned());
    }
    fields(query.selection_set(), variables)
}

fn fields(set: Option<cst::SelectionSet>, variables: &Map<String, Value>) -> Result<Vec<Field>, String> {
    let Some(set) = set else { return Ok(Vec::new()) };
    let field = |selection| match selection {
        Selection::Field(field) if field.directives().is_none() => one(&field, variables),
        Selection::Field(_) => Err("directives are not supported".to_owned()),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => {
            Err("fragments are not supported".to_owned())
        }
    };
    set.selections().map(field).collect()
}

fn one(field: &cst::Field, variables: &Map<String, Value>) -> Result<Field, String> {
    let name = text(field.name());
    let alias = field.alias().map(|alias| text(alias.name()));
    let mut arguments = Map::new();
    for argument in field.arguments().into_iter().flat_map(|arguments| arguments.arguments()) {
        arguments.insert(text(argument.name()), value(argument.value(), variables)?);
    }
    let fields = fields(field.selection_set(), variables)?;
    Ok(Field { key: alias.unwrap_or_else(|| name.clone()), name, arguments, fields })
}

/// A value as JSON; the name of an enum's value is a text.
fn value(written: Option<Written>, variables: &Map<String, Value>) -> Result<Value, String> {
    let Some(written) = written else { return Err("an argument has no value".to_owned()) };
    Ok(match written {
        Written::Variable(variable) => {
            let name = text(variable.name());
            variables.get(&name).cloned().unwrap_or(Value::Null)
        }
        Written::StringValue(text) => String::from(text).into(),
        Written::IntValue(number) => number_of(i32::try_from(number).ok().map(Value::from))?,
        Written::FloatValue(number) => number_of(f64::try_from(number).ok().map(Value::from))?,
        Written::BooleanValue(truth) => truth.true_token().is_some().into(),
        Written::NullValue(_) => Value::Null,
        Written::EnumValue(name) => text(name.name()).into(),
        Written::ListValue(list) => {
            list.values().map(|item| value(Some(item), variables)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Written::ObjectValue(object) => {
            let field = |field: cst::ObjectField| Ok((text(field.name()), value(field.value(), variables)?));
            object.object_fields().map(field).collect::<Result<Map<_, _>, String>>()?.into()
        }
    })
}

fn number_of(number: Option<Value>) -> Result<Value, String> {
    number.ok_or_else(|| "a number is out of range".to_owned())
}

fn text(name: Option<cst::Name>) -> String {
    name.map(|name| name.text().to_string()).unwrap_or_default()
}
