//! What the public door promises while others misuse it: what they hold of the server's memory is bounded, and whoever
//! behaves is served as if they were not there. Figures are generous: they tell a bound from none, not fast from slow.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

mod http2;
mod idle;
mod slow;
mod support;
