//! The ray id: one random number per request, which the client sees in `CF-Ray` and which finds the log line.

use std::fmt;

/// Identifies one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ray(u64);

impl Ray {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Ray {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}
