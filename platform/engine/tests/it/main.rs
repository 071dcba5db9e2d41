//! Promises of the engine, kept with the pinned workerd: versions start on demand, are refused with the runtime's own words,
//! sleep and wake, come back after a crash, and drain without losing a request.

#![expect(clippy::unwrap_used, reason = "a failed expectation of a test is a failed test")]

mod house;
mod lifecycle;
mod trial;
