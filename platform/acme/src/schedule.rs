//! When: renewal after two thirds of a certificate's life, and pauses that grow with failures. Nothing here looks at a clock.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{
    AcmeError,
    limits::{ERROR_CHARS_MAX, PAUSES_SECS, RATE_LIMITED_PAUSE_SECS},
};

/// What is known of a host whose last try failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Tries in a row.
    pub tries: u32,
    /// When the next one may be, in seconds since 1970.
    pub next_unix_secs: u64,
    /// What the last one ended with.
    pub error: String,
}

impl Failure {
    /// One more failure; a tenth of the pause is drawn at random, so that many hosts do not come at once.
    pub(crate) fn after(earlier: Option<&Self>, error: &AcmeError, now_unix_secs: u64) -> Self {
        let tries = earlier.map_or(0, |earlier| earlier.tries).saturating_add(1);
        let index = usize::try_from(tries - 1).unwrap_or(usize::MAX).min(PAUSES_SECS.len() - 1);
        let at_least = if error.is_rate_limited() { RATE_LIMITED_PAUSE_SECS } else { 0 };
        let pause = PAUSES_SECS[index].max(at_least);
        let next_unix_secs = now_unix_secs + pause + rand::random_range(0..=pause / 10);
        let printable = |sign: char| if sign.is_control() { ' ' } else { sign };
        let error = error.to_string().chars().take(ERROR_CHARS_MAX).map(printable).collect();
        Self { tries, next_unix_secs, error }
    }
}

/// When a certificate is to be renewed: after two thirds of its life, and up to a thirtieth later.
pub(crate) fn renewal(validity: &RangeInclusive<i64>) -> u64 {
    let life = validity.end().saturating_sub(*validity.start()).max(0);
    let spread = rand::random_range(0..=life / 30);
    u64::try_from(validity.start() + life / 3 * 2 + spread).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Failure, renewal};
    use crate::AcmeError;

    #[test]
    fn renewal_is_after_two_thirds_of_the_life() {
        const DAY: i64 = 86_400;
        for _ in 0..100 {
            let at = i64::try_from(renewal(&(1000 * DAY..=1090 * DAY))).unwrap();
            assert!((1060 * DAY..=1063 * DAY).contains(&at), "{at}");
        }
    }

    #[test]
    fn pauses_grow_and_stay_below_five_tries_an_hour() {
        let (mut now, mut failure, mut starts) = (0, None, vec![0]);
        for _ in 0..20 {
            let next = Failure::after(failure.as_ref(), &AcmeError::Slow, now);
            now = next.next_unix_secs;
            starts.push(now);
            failure = Some(next);
        }
        for (index, start) in starts.iter().enumerate() {
            let within = starts[index..].iter().filter(|later| **later < start + 3_600).count();
            assert!(within < 5, "{starts:?}");
        }
        assert!(24 * 3_600 <= starts[20] - starts[19]);
    }

    #[test]
    fn a_limit_of_the_server_is_waited_for() {
        let error =
            AcmeError::Refused { kind: "rateLimited".to_owned(), detail: "too many\nnew orders".to_owned() };
        let failure = Failure::after(None, &error, 0);
        assert!(3_600 <= failure.next_unix_secs);
        assert!(failure.error.contains("too many new orders"), "{}", failure.error);
    }
}
