//! Which bytes of an object are asked for.

use crate::R2Error;

/// A range as the caller writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Range {
    /// From `offset` (else the start), `length` bytes (else to the end).
    From { offset: Option<u64>, length: Option<u64> },
    /// The last bytes.
    Suffix(u64),
    /// The text of an HTTP `Range` header.
    Header(String),
}

/// The bytes meant: `start` up to and without `end`, within the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Span {
    /// All bytes.
    pub(crate) fn whole(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    pub(crate) fn length(self) -> u64 {
        self.end - self.start
    }

    /// What `Content-Range` says of it, in an object of `size`.
    pub(crate) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.end.saturating_sub(1))
    }
}

impl Range {
    /// Works out the bytes of an object of `size`. A header that cannot be understood, cannot be satisfied or asks for
    /// several ranges means the whole object, as R2 has it.
    pub(crate) fn resolve(&self, size: u64) -> Result<Span, R2Error> {
        match self {
            Self::Header(text) => Ok(header(text, size).unwrap_or_else(|| Span::whole(size))),
            // Nothing can be sent as a range.
            Self::Suffix(length) if *length == 0 || size == 0 => Err(R2Error::RangeInvalid),
            Self::Suffix(length) => Ok(Span { start: size.saturating_sub(*length), end: size }),
            Self::From { offset, length } => {
                let start = offset.unwrap_or(0);
                if size < start {
                    return Err(R2Error::RangeInvalid);
                }
                let length = length.unwrap_or(size - start);
                if length == 0 {
                    return Err(R2Error::RangeInvalid);
                }
                Ok(Span { start, end: start.saturating_add(length).min(size) })
            }
        }
    }
}

fn header(text: &str, size: u64) -> Option<Span> {
    let (unit, ranges) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    let (first, last) = ranges.split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    match (number(first)?, number(last)?) {
        (Some(first), Some(last)) if first <= last && first < size => {
            Some(Span { start: first, end: last.saturating_add(1).min(size) })
        }
        (Some(first), None) if first < size => Some(Span { start: first, end: size }),
        (None, Some(suffix)) if 0 < suffix => Some(Span { start: size.saturating_sub(suffix), end: size }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Range, Span};

    #[test]
    fn headers_are_read_as_http_says_or_mean_the_whole() {
        let check = |text: &str| {
            let span = Range::Header(text.to_owned()).resolve(10).unwrap();
            (span.start, span.end)
        };
        for (text, span) in [
            ("bytes=0-3", (0, 4)),
            (" ByTes = 2 - 30 ", (2, 10)),
            ("bytes=9-", (9, 10)),
            ("bytes=-3", (7, 10)),
            ("bytes=-30", (0, 10)),
            ("bytes=10-", (0, 10)),
            ("bytes=5-2", (0, 10)),
            ("bytes=-0", (0, 10)),
            ("bytes=1-2,4-5", (0, 10)),
            ("lines=1-2", (0, 10)),
            ("bytes=", (0, 10)),
            ("bytes=-", (0, 10)),
            ("bytes=1-99999999999999999999999", (1, 10)),
        ] {
            assert_eq!(check(text), span, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_range_yields_what_cutting_the_bytes_yields(
            size in 0u64..20,
            offset in proptest::option::of(0u64..25),
            length in proptest::option::of(0u64..25),
            suffix in 0u64..25,
        ) {
            let bytes: Vec<u64> = (0..size).collect();
            let cut = |span: Span| (span.start..span.end).collect::<Vec<_>>();
            let given = Range::From { offset, length };
            match given.resolve(size) {
                Ok(span) => {
                    let skipped = bytes.iter().copied().skip(usize::try_from(offset.unwrap_or(0)).unwrap());
                    let taken = skipped.take(usize::try_from(length.unwrap_or_else(|| u64::from(u32::MAX))).unwrap());
                    prop_assert_eq!(cut(span), taken.collect::<Vec<_>>());
                }
                Err(_) => {
                    let offset = offset.unwrap_or(0);
                    prop_assert!(size < offset || length == Some(0) || (length.is_none() && offset == size));
                }
            }
            match Range::Suffix(suffix).resolve(size) {
                Ok(span) => {
                    let skip = usize::try_from(size.saturating_sub(suffix)).unwrap();
                    prop_assert_eq!(cut(span), bytes[skip..].to_vec());
                }
                Err(_) => prop_assert!(suffix == 0 || size == 0),
            }
        }
    }
}
