//! The figures we promise, each with the other side and the target.

use crate::sides::Side;

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) ours: Side,
    pub(crate) other: Side,
    pub(crate) target: Target,
}

/// What the two figures are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Ours divided by the other's is at least this.
    RatioMin(f64),
    /// Ours exceeds the other's by at most this many milliseconds.
    AddedMsMax(f64),
    /// Nothing is promised: the ratio is only reported.
    Reported,
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        what: "no-op, against bare workerd",
        ours: Side::SkerryNoop,
        other: Side::BareNoop,
        target: Target::RatioMin(0.80),
    },
    Row {
        what: "no-op, against wrangler dev",
        ours: Side::SkerryNoop,
        other: Side::DevNoop,
        target: Target::RatioMin(8.0),
    },
    Row {
        what: "KV hot get, against our no-op",
        ours: Side::SkerryGet,
        other: Side::SkerryNoop,
        target: Target::RatioMin(0.40),
    },
    Row {
        what: "KV hot get, against workerd's bundled KV",
        ours: Side::SkerryGet,
        other: Side::BundledGet,
        target: Target::RatioMin(2.0),
    },
    Row {
        what: "KV durable put, against our no-op",
        ours: Side::SkerryPut,
        other: Side::SkerryNoop,
        target: Target::RatioMin(0.35),
    },
    Row {
        what: "KV durable put, against workerd's bundled KV",
        ours: Side::SkerryPut,
        other: Side::BundledPut,
        target: Target::RatioMin(4.0),
    },
    Row {
        what: "JS RPC call to another Worker, against one bare workerd",
        ours: Side::SkerryCall,
        other: Side::BareCall,
        target: Target::Reported,
    },
    Row {
        what: "fetch to another Worker, against one bare workerd",
        ours: Side::SkerryBoundFetch,
        other: Side::BareBoundFetch,
        target: Target::Reported,
    },
    Row {
        what: "cold start, added to bare workerd's",
        ours: Side::SkerryCold,
        other: Side::BareCold,
        target: Target::AddedMsMax(10.0),
    },
];
