//! A page as its difference from an earlier image of it: most commits change a few bytes of the same few pages. Where a
//! patch is kept, and against which image, is `record`'s business.

/// Equal bytes between two changes that cost less to repeat than to skip.
const GAP_BYTES_MIN: usize = 8;

/// Appends `number` seven bits at a time, lowest first.
pub(super) fn put_number(number: u64, to: &mut Vec<u8>) {
    let mut left = number;
    while left > 0x7f {
        to.push(u8::try_from(left & 0x7f).expect("seven bits are a byte") | 0x80);
        left >>= 7;
    }
    to.push(u8::try_from(left).expect("seven bits are a byte"));
}

/// Takes a number from the front; `None` if it is cut off or too large.
pub(super) fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes a number that counts bytes or pages.
pub(super) fn take_count(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_number(from)?).ok()
}

/// Takes `count` bytes from the front.
pub(super) fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

/// Appends what turns `old` into `new`, both of one length: pairs of bytes kept and bytes replaced, ended by the page's end.
pub(super) fn put(old: &[u8], new: &[u8], to: &mut Vec<u8>) {
    let mut done = 0;
    let mut at = first_difference(old, new, 0);
    while at < new.len() {
        let end = end_of_change(old, new, at);
        put_number((at - done) as u64, to);
        put_number((end - at) as u64, to);
        to.extend_from_slice(&new[at..end]);
        done = end;
        at = first_difference(old, new, end);
    }
    put_number((new.len() - done) as u64, to);
}

/// Takes a patch from the front and applies it; `None` if it does not fit.
pub(super) fn apply(from: &mut &[u8], page: &mut [u8]) -> Option<()> {
    let mut at = 0_usize;
    loop {
        at = at.checked_add(take_count(from)?)?;
        if at >= page.len() {
            return (at == page.len()).then_some(());
        }
        let count = take_count(from)?;
        page.get_mut(at..at.checked_add(count)?)?.copy_from_slice(take(from, count)?);
        at += count;
        // A change up to the page's end leaves nothing to keep, and says so.
    }
}

/// Where the first byte differs at or after `from`; the length if none does.
fn first_difference(old: &[u8], new: &[u8], from: usize) -> usize {
    let (old_words, new_words) = (old[from..].as_chunks::<8>().0, new[from..].as_chunks::<8>().0);
    let equal = old_words.iter().zip(new_words).take_while(|(old, new)| old == new).count();
    let from = from + equal * 8;
    from + old[from..].iter().zip(&new[from..]).take_while(|(old, new)| old == new).count()
}

/// Where the change that begins at `from` ends: before enough equal bytes to be worth a skip.
fn end_of_change(old: &[u8], new: &[u8], from: usize) -> usize {
    let first = from + 1;
    let mut end = first;
    for at in first..new.len() {
        if old[at] != new[at] {
            end = at + 1;
        } else if at + 1 - end >= GAP_BYTES_MIN {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_patch_turns_the_old_page_into_the_new(
            old in prop::collection::vec(0_u8..3, 512),
            changes in prop::collection::vec((0_usize..512, 0_u8..3), 0..200),
        ) {
            let mut new = old.clone();
            for (at, byte) in changes {
                new[at] = byte;
            }
            let mut bytes = Vec::new();
            put(&old, &new, &mut bytes);
            bytes.push(7);
            let (mut page, mut rest) = (old, &bytes[..]);
            prop_assert_eq!(apply(&mut rest, &mut page), Some(()));
            prop_assert_eq!(page, new);
            prop_assert_eq!(rest, &[7]);
        }

        #[test]
        fn hostile_patches_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = apply(&mut &bytes[..], &mut [0; 64]);
        }

        #[test]
        fn numbers_return(number in any::<u64>()) {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            prop_assert_eq!(take_number(&mut &bytes[..]), Some(number));
        }
    }
}
