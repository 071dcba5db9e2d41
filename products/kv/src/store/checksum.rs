//! A row's checksum: SQLite does not notice a bit that flips within a page's content. It guards against the disk, not
//! against a person.

use crc32fast::Hasher;

/// What a list shows of a row in the upper half, the value in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checksum(i64);

impl Checksum {
    /// Makes a row's checksum; `value` is what lies in the row, or the SHA-256 of its file.
    pub(super) fn of(key: &[u8], expires_s: Option<u64>, metadata: Option<&str>, value: &[u8]) -> Self {
        let head = i64::from(head(key, expires_s, metadata));
        Self(head << u32::BITS | i64::from(crc32fast::hash(value)))
    }

    pub(super) fn from_column(column: i64) -> Self {
        Self(column)
    }

    pub(super) fn into_column(self) -> i64 {
        self.0
    }

    /// Whether what a list shows is what was written.
    pub(super) fn fits_head(self, key: &[u8], expires_s: Option<u64>, metadata: Option<&str>) -> bool {
        let value_bits = i64::from(u32::MAX);
        self.0 & !value_bits == i64::from(head(key, expires_s, metadata)) << u32::BITS
    }
}

fn head(key: &[u8], expires_s: Option<u64>, metadata: Option<&str>) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(key);
    // No key holds a 0xFF: it ends there.
    hasher.update(&[0xFF]);
    hasher.update(&expires_s.unwrap_or(u64::MAX).to_le_bytes());
    if let Some(metadata) = metadata {
        hasher.update(metadata.as_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::Checksum;

    #[test]
    fn any_other_row_has_another_checksum() {
        let row = Checksum::of(b"key", Some(1), Some("{}"), b"value");
        let others = [
            Checksum::of(b"kez", Some(1), Some("{}"), b"value"),
            Checksum::of(b"key", None, Some("{}"), b"value"),
            Checksum::of(b"key", Some(1), Some("{]"), b"value"),
            Checksum::of(b"key", Some(1), None, b"value"),
        ];
        for other in others {
            assert_ne!(other, row);
            assert!(!other.fits_head(b"key", Some(1), Some("{}")));
        }
        let other_value = Checksum::of(b"key", Some(1), Some("{}"), b"valuf");
        assert_ne!(other_value, row);
        assert!(other_value.fits_head(b"key", Some(1), Some("{}")));
        assert_eq!(Checksum::from_column(row.into_column()), row);
    }
}
