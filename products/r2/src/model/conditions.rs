//! Conditions on an object's etag and age, by the order of RFC 7232 section 6, with R2's rule that an etag condition that
//! holds makes its date condition hold too.

use crate::model::Object;

/// What must be so for a get to yield bytes, or for a put to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) etag_matches: Option<Vec<Etag>>,
    pub(crate) etag_does_not_match: Option<Vec<Etag>>,
    pub(crate) uploaded_before_ms: Option<i64>,
    pub(crate) uploaded_after_ms: Option<i64>,
    /// Times are compared as HTTP writes them.
    pub(crate) is_in_whole_seconds: bool,
}

/// One etag of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Etag {
    /// Without quotes; `*` is [`EtagMatch::Wildcard`] and has none.
    pub(crate) value: String,
    pub(crate) kind: EtagMatch,
}

/// How an etag of a condition was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EtagMatch {
    Strong,
    Weak,
    Wildcard,
}

impl Conditions {
    /// What HTTP's headers ask: their dates are whole seconds since 1970.
    pub(crate) fn of_http(
        etag_matches: Option<Vec<Etag>>,
        etag_does_not_match: Option<Vec<Etag>>,
        unmodified_since_s: Option<i64>,
        modified_since_s: Option<i64>,
    ) -> Self {
        let ms = |seconds: i64| seconds.saturating_mul(1000);
        Self {
            etag_matches,
            etag_does_not_match,
            // "Unmodified since" holds in the second itself, while `uploaded_before_ms` means before it.
            uploaded_before_ms: unmodified_since_s.map(|seconds| ms(seconds).saturating_add(1000)),
            uploaded_after_ms: modified_since_s.map(ms),
            is_in_whole_seconds: true,
        }
    }

    /// Of conditions that do not hold: whether all that must be so is so, and the reader only has the object already (RFC
    /// 9110 section 13.2.2: 304 then, else 412).
    pub(crate) fn mean_not_modified(&self, object: &Object) -> bool {
        let required = Self { etag_does_not_match: None, uploaded_after_ms: None, ..self.clone() };
        required.hold(Some(object))
    }

    /// Whether there is no condition at all.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self { is_in_whole_seconds: self.is_in_whole_seconds, ..Self::default() }
    }

    /// Whether an object (or its absence) satisfies all conditions.
    pub(crate) fn hold(&self, object: Option<&Object>) -> bool {
        let Some(object) = object else {
            return self.etag_matches.is_none() && self.uploaded_after_ms.is_none();
        };
        self.hold_for(&object.etag, object.uploaded_ms)
    }

    /// The same, for an object of which no more is known.
    pub(crate) fn hold_for(&self, etag: &str, uploaded_ms: u64) -> bool {
        let time = |ms: i64| if self.is_in_whole_seconds { ms.div_euclid(1000) * 1000 } else { ms };
        let uploaded = time(i64::try_from(uploaded_ms).unwrap_or(i64::MAX));
        let matches = self.etag_matches.as_ref().map(|etags| includes(etags, etag, EtagMatch::Strong));
        let differs = self.etag_does_not_match.as_ref().map(|etags| !includes(etags, etag, EtagMatch::Weak));
        let is_after = self.uploaded_after_ms.is_none_or(|after| time(after) < uploaded);
        let is_before = self.uploaded_before_ms.is_none_or(|before| uploaded < time(before));
        matches.unwrap_or(true)
            && differs.unwrap_or(true)
            && (is_after || differs == Some(true))
            && (is_before || matches == Some(true))
    }
}

fn includes(etags: &[Etag], etag: &str, comparison: EtagMatch) -> bool {
    etags.iter().any(|given| match given.kind {
        EtagMatch::Wildcard => true,
        EtagMatch::Strong => given.value == etag,
        EtagMatch::Weak => given.value == etag && comparison == EtagMatch::Weak,
    })
}

#[cfg(test)]
mod tests {
    use super::{Conditions, Etag, EtagMatch};

    fn etags(kind: EtagMatch, value: &str) -> Option<Vec<Etag>> {
        Some(vec![Etag { value: value.to_owned(), kind }])
    }

    #[test]
    fn an_etag_condition_that_holds_makes_its_date_condition_hold() {
        let now_ms = 1_000_500;
        let check = |conditions: Conditions| conditions.hold_for("a", now_ms);
        let all = Conditions::default;
        assert!(check(all()));
        assert!(check(Conditions { etag_matches: etags(EtagMatch::Strong, "a"), ..all() }));
        assert!(!check(Conditions { etag_matches: etags(EtagMatch::Weak, "a"), ..all() }));
        assert!(!check(Conditions { etag_does_not_match: etags(EtagMatch::Weak, "a"), ..all() }));
        assert!(!check(Conditions { etag_does_not_match: etags(EtagMatch::Wildcard, ""), ..all() }));
        assert!(!check(Conditions { uploaded_before_ms: Some(1), ..all() }));
        let matches = etags(EtagMatch::Strong, "a");
        assert!(check(Conditions { uploaded_before_ms: Some(1), etag_matches: matches, ..all() }));
        let differs = etags(EtagMatch::Strong, "b");
        let late = Some(9_000_000);
        assert!(!check(Conditions { uploaded_after_ms: late, ..all() }));
        assert!(check(Conditions { uploaded_after_ms: late, etag_does_not_match: differs, ..all() }));
        let after = Conditions { uploaded_after_ms: Some(1_000_400), ..all() };
        assert!(check(after.clone()));
        assert!(!check(Conditions { is_in_whole_seconds: true, ..after }));
    }

    #[test]
    fn a_missing_object_holds_only_what_asks_nothing_of_it() {
        let all = Conditions::default;
        assert!(Conditions { etag_does_not_match: etags(EtagMatch::Wildcard, ""), ..all() }.hold(None));
        assert!(Conditions { uploaded_before_ms: Some(1), ..all() }.hold(None));
        assert!(!Conditions { etag_matches: etags(EtagMatch::Wildcard, ""), ..all() }.hold(None));
        assert!(!Conditions { uploaded_after_ms: Some(1), ..all() }.hold(None));
    }
}
