//! Versions, rollouts and secrets as operators use them: both real wranglers against a running server, and the requests
//! that arrive meanwhile.

mod secrets;
mod traffic;
mod versions;
