//! A person's SQL, run on a connection that is theirs alone: what it may do, how long and how much, what it did, and what
//! its values look like in JSON. It knows no protocol.

mod connection;
mod figures;
mod guard;
pub(crate) mod ours;
mod run;
mod script;
mod space;
mod split;
mod values;

pub(crate) use connection::{Access, open};
pub(crate) use figures::Plans;
pub(crate) use guard::{Allowance, Caller, Guard};
pub(crate) use run::{Done, Elsewhere, Ending, Ran, Results, SERVED_BY, Work, run};
pub(crate) use script::{
    Script, ScriptError, ScriptStatement, Sums, database_bytes, execute, with_long_statements,
};
pub(crate) use split::{Piece, begins_with, next_statement};
