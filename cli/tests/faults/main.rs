//! What the whole server promises when something goes wrong: each test is one promise, kept through the public doors with
//! the real engine behind them. What works when nothing goes wrong is shown elsewhere.

mod d1;
mod d1_disk;
mod d1_kills;
mod d1_ledger;
mod d1_points;
mod deploys;
mod disk;
mod hostile;
mod kills;
mod kv_disk;
mod kv_ledger;
mod ledger;
mod memory;
mod outgoing;
mod pages;
mod points;
mod r2_disk;
mod r2_ledger;
mod recovery;
mod refusals;
mod secrets;
mod shutdown;
mod sleep;
mod streams;
mod support;
mod worker_view;
