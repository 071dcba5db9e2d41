//! The little that we know of the stream of calls between two Workers: from the heads of its Cap'n Proto messages, whether
//! a question still waits; and the one message by which a stream is refused. What the calls say is workerd's own affair.
//!
//! Layout: the stream framing and pointers of <https://capnproto.org/encoding.html>, the messages of `rpc.capnp`.

use std::collections::HashSet;

/// Segments of one message; Cap'n Proto's own readers stop at 512.
const SEGMENTS_MAX: u32 = 512;
/// How far into a message's first segment its body may begin (workerd's begin after 24 bytes).
const HEAD_BYTES_MAX: usize = 256;
/// Questions that wait at once; more and the stream counts as busy for ever.
const QUESTIONS_MAX: usize = 64 * 1024;

/// The longest reason of a refusal.
const REASON_BYTES_MAX: usize = 4096;

const WORD_BYTES: usize = 8;

/// The questions of one stream that the caller has asked and not finished.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    from_caller: Messages,
    from_target: Messages,
    open: HashSet<u32>,
    was_asked: bool,
    /// A stream that cannot be read counts as busy until its end.
    is_unreadable: bool,
}

impl Questions {
    /// Notes what the caller sent next, before it is passed on.
    pub(crate) fn caller_says(&mut self, bytes: &[u8]) {
        let mut messages = std::mem::take(&mut self.from_caller);
        let outcome = messages.read(bytes, |message| match message {
            Message::Question(id) => {
                self.was_asked = true;
                self.open.insert(id);
            }
            Message::Finish(id) => {
                self.open.remove(&id);
            }
            Message::Answer { .. } | Message::Other => {}
        });
        self.from_caller = messages;
        self.is_unreadable |= outcome.is_err() || QUESTIONS_MAX < self.open.len();
    }

    /// Notes what the target sent next, before it is passed on: a number that it is done with may be used again at once.
    pub(crate) fn target_says(&mut self, bytes: &[u8]) {
        let mut messages = std::mem::take(&mut self.from_target);
        let outcome = messages.read(bytes, |message| {
            if let Message::Answer { question, is_last_word: true } = message {
                self.open.remove(&question);
            }
        });
        self.from_target = messages;
        self.is_unreadable |= outcome.is_err();
    }

    /// Whether something was asked, all of it is finished, and neither side is in the middle of a message.
    pub(crate) fn is_idle(&self) -> bool {
        self.was_asked
            && self.open.is_empty()
            && !self.is_unreadable
            && self.from_caller.is_between()
            && self.from_target.is_between()
    }
}

/// The message that ends a stream; the caller's calls fail with an `Error` that says `reason`.
pub(crate) fn abort(reason: &str) -> Vec<u8> {
    const ABORT: u64 = 1;
    const DISCONNECTED: u64 = 2;
    const BYTE_LIST: u64 = 1 | 2 << 32;
    let struct_pointer = |data_words: u64, pointers: u64| data_words << 32 | pointers << 48;

    // By this prefix workerd knows text that user code may see.
    let mut text = format!("jsg.Error: {reason}").into_bytes();
    text.truncate(REASON_BYTES_MAX);
    text.push(0);
    let text_pointer = BYTE_LIST | (text.len() as u64) << 35;
    text.resize(text.len().next_multiple_of(WORD_BYTES), 0);
    let head = [struct_pointer(1, 1), ABORT, struct_pointer(1, 1), DISCONNECTED << 32, text_pointer];
    let words = (head.len() + text.len() / WORD_BYTES) as u64;
    // One segment, and its size.
    let table = words << 32;
    let mut message: Vec<u8> = [table].iter().chain(&head).flat_map(|word| word.to_le_bytes()).collect();
    message.extend(text);
    message
}

/// What matters of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    /// `Call` or `Bootstrap`.
    Question(u32),
    /// `Return`; after a last word (`noFinishNeeded`) the caller says nothing more of the question.
    Answer {
        question: u32,
        is_last_word: bool,
    },
    Finish(u32),
    Other,
}

#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

/// One direction of the stream, in whatever pieces it comes.
#[derive(Debug)]
enum Messages {
    /// The table of segment sizes, as far as it has come.
    Table(Vec<u8>),
    /// The first bytes of the first segment, as far as they have come, and how many follow them.
    Head { head: Vec<u8>, head_bytes: usize, rest_bytes: u64 },
    /// So many bytes are of no interest.
    Rest(u64),
}

impl Default for Messages {
    fn default() -> Self {
        Self::Table(Vec::new())
    }
}

impl Messages {
    fn is_between(&self) -> bool {
        matches!(self, Self::Table(table) if table.is_empty())
    }

    fn read(&mut self, mut bytes: &[u8], mut see: impl FnMut(Message)) -> Result<(), Unreadable> {
        while !bytes.is_empty() {
            match self {
                Self::Table(table) => {
                    move_up_to(&mut bytes, table, table_bytes(table)?);
                    if table.len() == table_bytes(table)? {
                        let segments_bytes = segments_bytes(table);
                        let first_bytes = u64::from(u32_at(table, 4)) * WORD_BYTES as u64;
                        let head_bytes =
                            usize::try_from(first_bytes).unwrap_or(HEAD_BYTES_MAX).min(HEAD_BYTES_MAX);
                        let rest_bytes = segments_bytes - head_bytes as u64;
                        *self = Self::Head { head: Vec::with_capacity(head_bytes), head_bytes, rest_bytes };
                    }
                }
                Self::Head { head, head_bytes, .. } => move_up_to(&mut bytes, head, *head_bytes),
                Self::Rest(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[count..];
                    *left -= count as u64;
                }
            }
            if let Self::Head { head, head_bytes, rest_bytes } = self
                && head.len() == *head_bytes
            {
                see(message(head)?);
                *self = Self::Rest(*rest_bytes);
            }
            if matches!(self, Self::Rest(0)) {
                *self = Self::default();
            }
        }
        Ok(())
    }
}

/// Moves bytes until `target` has `length`.
fn move_up_to(bytes: &mut &[u8], target: &mut Vec<u8>, length: usize) {
    let (moved, left) = bytes.split_at(length.saturating_sub(target.len()).min(bytes.len()));
    target.extend_from_slice(moved);
    *bytes = left;
}

/// How long the table of segment sizes is, as far as its beginning says.
fn table_bytes(table: &[u8]) -> Result<usize, Unreadable> {
    if table.len() < WORD_BYTES {
        return Ok(WORD_BYTES);
    }
    // The count less one, a size for each segment, all padded to a word.
    let others = u32_at(table, 0);
    if SEGMENTS_MAX <= others {
        return Err(Unreadable);
    }
    let others = usize::try_from(others).map_err(|_too_many| Unreadable)?;
    Ok((others.div_ceil(2) + 1) * WORD_BYTES)
}

fn segments_bytes(table: &[u8]) -> u64 {
    let sizes = (0..=u32_at(table, 0)).map(|index| u32_at(table, 4 * (index as usize + 1)));
    sizes.map(|words| u64::from(words) * WORD_BYTES as u64).sum()
}

/// What the beginning of a message's first segment says.
fn message(head: &[u8]) -> Result<Message, Unreadable> {
    const CALL: u16 = 2;
    const RETURN: u16 = 3;
    const FINISH: u16 = 4;
    const BOOTSTRAP: u16 = 8;
    const NO_FINISH_NEEDED: u8 = 1 << 1;

    let root = Struct::behind(head, 0)?;
    let tag = if root.data_words == 0 { 0 } else { u16_at(head.get(root.at..).ok_or(Unreadable)?) };
    if ![CALL, RETURN, FINISH, BOOTSTRAP].contains(&tag) {
        return Ok(Message::Other);
    }
    let body = Struct::behind(head, root.at + root.data_words * WORD_BYTES)?;
    // All four begin with the question's number; what is missing from a struct is zero.
    let data = if body.data_words == 0 {
        &[0; WORD_BYTES]
    } else {
        head.get(body.at..body.at + WORD_BYTES).ok_or(Unreadable)?
    };
    let question = u32_at(data, 0);
    Ok(match tag {
        RETURN => Message::Answer { question, is_last_word: data[4] & NO_FINISH_NEEDED != 0 },
        FINISH => Message::Finish(question),
        _call_or_bootstrap => Message::Question(question),
    })
}

/// A struct within the head.
struct Struct {
    /// Where its data begins.
    at: usize,
    data_words: usize,
}

impl Struct {
    /// Follows the struct pointer at `at`. Pointers into other segments do not occur so early in a message.
    fn behind(head: &[u8], at: usize) -> Result<Self, Unreadable> {
        let pointer = head.get(at..at + WORD_BYTES).ok_or(Unreadable)?;
        let low = u32_at(pointer, 0);
        let words_from_end = usize::try_from(low >> 2).map_err(|_too_far| Unreadable)?;
        // The lowest two bits say "struct"; the highest would make the distance negative.
        if low & 0b11 != 0 || low >> 31 != 0 {
            return Err(Unreadable);
        }
        let at = at + WORD_BYTES + words_from_end * WORD_BYTES;
        Ok(Self { at, data_words: usize::from(u16_at(&pointer[4..])) })
    }
}

fn u16_at(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES_MAX, Questions, SEGMENTS_MAX};

    const CALL: u16 = 2;
    const RETURN: u16 = 3;
    const FINISH: u16 = 4;
    const RELEASE: u16 = 6;
    const BOOTSTRAP: u16 = 8;

    /// A message as workerd lays it out: pointer, tag, pointer, body; then content, and further segments.
    fn message(tag: u16, first_data_word: u64, content_words: usize, segments: &[u32]) -> Vec<u8> {
        let struct_pointer =
            |data_words: u64, pointers: u64| (data_words << 32 | pointers << 48).to_le_bytes();
        let words: Vec<[u8; 8]> = [
            struct_pointer(1, 1),
            u64::from(tag).to_le_bytes(),
            struct_pointer(3, 3),
            first_data_word.to_le_bytes(),
        ]
        .into_iter()
        .chain((0..content_words).map(|_| [0xff; 8]))
        .collect();
        let mut bytes = u32::try_from(segments.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(u32::try_from(words.len()).unwrap().to_le_bytes());
        bytes.extend(segments.iter().flat_map(|words| words.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(words.concat());
        bytes.extend(segments.iter().flat_map(|words| vec![0xee; *words as usize * 8]));
        bytes
    }

    fn simple(tag: u16, question: u64) -> Vec<u8> {
        message(tag, question, 2, &[])
    }

    #[test]
    fn a_stream_is_idle_once_each_question_is_finished() {
        let mut questions = Questions::default();
        assert!(!questions.is_idle(), "nothing was asked yet");
        questions.caller_says(&[simple(BOOTSTRAP, 0), simple(CALL, 1)].concat());
        questions.caller_says(&simple(FINISH, 0));
        assert!(!questions.is_idle());
        questions.target_says(&simple(RETURN, 1));
        assert!(!questions.is_idle(), "an answer may hold what the caller still uses");
        questions.caller_says(&[simple(FINISH, 1), simple(RELEASE, 9)].concat());
        assert!(questions.is_idle());
        questions.caller_says(&simple(CALL, 0));
        assert!(!questions.is_idle());
        questions.target_says(&simple(RETURN, 1 << 33));
        assert!(questions.is_idle(), "`noFinishNeeded` ends a question too");
    }

    #[test]
    fn messages_are_read_in_any_pieces() {
        let stream = [
            simple(BOOTSTRAP, 0),
            message(CALL, 1, 1000, &[70, 3]),
            message(FINISH, 0, 0, &[1]),
            message(FINISH, 1, HEAD_BYTES_MAX, &[]),
        ]
        .concat();
        for size in [1, 3, 8, 13, 500, stream.len()] {
            let mut questions = Questions::default();
            for (index, piece) in stream.chunks(size).enumerate() {
                let is_last = (index + 1) * size >= stream.len();
                questions.caller_says(piece);
                assert_eq!(questions.is_idle(), is_last, "piece {index} of {size} bytes");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_busy_for_ever() {
        let too_many_segments = [SEGMENTS_MAX.to_le_bytes(), [1, 0, 0, 0]].concat();
        let no_struct = [[0, 0, 0, 0, 1, 0, 0, 0], [0xff; 8]].concat();
        let far = [[0, 0, 0, 0, 1, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]].concat();
        let empty = vec![0; 8];
        for bytes in [too_many_segments, no_struct, far, empty, vec![0xff; 64]] {
            let mut questions = Questions::default();
            questions.caller_says(&[simple(CALL, 0), simple(FINISH, 0)].concat());
            assert!(questions.is_idle());
            questions.caller_says(&bytes);
            questions.caller_says(&[simple(CALL, 0), simple(FINISH, 0)].concat());
            assert!(!questions.is_idle(), "{bytes:?}");
        }
    }
}
