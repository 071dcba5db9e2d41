//! What we know of the messages between two Workers' calls: which numbers stand in them, and where, so that a stream can
//! be told apart by them and its numbers changed. What the calls say is workerd's own affair.
//!
//! Layout: the stream framing and pointers of <https://capnproto.org/encoding.html>, the messages of `rpc.capnp`.

use std::ops::Range;

/// Segments of one message; Cap'n Proto's own readers stop at 512.
const SEGMENTS_MAX: usize = 512;
/// Bytes of one message: Cap'n Proto's own readers stop there (8 Mi words). workerd's calls carry 32 MiB at most.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

const WORD_BYTES: usize = 8;

// The union `Message` of `rpc.capnp`, as far as workerd speaks it.
const ABORT: u16 = 1;
const CALL: u16 = 2;
const RETURN: u16 = 3;
const FINISH: u16 = 4;
const RESOLVE: u16 = 5;
const RELEASE: u16 = 6;
const BOOTSTRAP: u16 = 8;
const DISEMBARGO: u16 = 13;

/// Not a message that we know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of calls cannot be read: {0}")]
pub(crate) struct Unreadable(&'static str);

impl Unreadable {
    pub(crate) const ELSEWHERE: Self = Self("it names what belongs to another process");
    pub(crate) const ENDED: Self = Self("the stream ended");
    pub(crate) const NUMBER: Self = Self("a number is out of its range");
    pub(crate) const TOO_MANY: Self = Self("too many processes answer at once");
}

/// A number in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) value: u32,
    /// Its place, in bytes from the message's beginning.
    at: usize,
}

impl Id {
    /// Changes the number, here and in the message.
    pub(crate) fn set(&mut self, message: &mut [u8], value: u32) {
        self.value = value;
        message[self.at..self.at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// What a message says, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Asks for the object from which everything else comes.
    Bootstrap { question: u32 },
    /// Asks a question of an object.
    Call { question: Id, target: Target, params: Vec<Capability> },
    /// Answers a question.
    Return {
        answer: Id,
        /// Whether the capabilities that came with the question count as released.
        releases_params: bool,
        /// Whether the question is over, without a `Finish`.
        is_last_word: bool,
        results: Vec<Capability>,
        /// The results are those of this question of the speaker's.
        taken_from: Option<Id>,
    },
    /// The speaker needs nothing more of its question.
    Finish { question: Id, releases_results: bool },
    /// A promise that was exported became something, or failed.
    Resolve { promise: Id, capability: Option<Capability> },
    /// The speaker gives back references to what the listener exported.
    Release { export: Id, count: u32 },
    /// Lets calls on after a promise became something; `is_echo` on the way back.
    Disembargo { target: Target, embargo: Id, is_echo: bool },
    /// The speaker gives up.
    Abort,
}

/// What a call is made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Something that the listener exported.
    Export(Id),
    /// What the answer to a question of the speaker's will hold.
    Answer { question: Id, place: TargetPlace },
}

/// Where a message says what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetPlace(usize);

impl TargetPlace {
    /// Makes the message one for something that the listener exported.
    pub(crate) fn set_export(self, message: &mut [u8], export: u32) {
        // The number, the union's tag, and the pointer that is not needed any more.
        let words = [u64::from(export), 0].map(u64::to_le_bytes).concat();
        message[self.0..self.0 + words.len()].copy_from_slice(&words);
    }
}

/// A capability that a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capability {
    pub(crate) kind: CapabilityKind,
    pub(crate) id: Id,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapabilityKind {
    /// The speaker exports it.
    Hosted,
    /// The speaker exports it and will say later what it became.
    Promise,
    /// The listener exported it.
    Returned,
    /// It is in the answer to a question of the speaker's.
    Answered,
}

/// Whose tables a number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Speaker,
    Listener,
}

impl Body {
    /// Shows every number that belongs to one side's tables.
    pub(crate) fn for_each_id(&mut self, owner: Owner, mut see: impl FnMut(&mut Id)) {
        let mut see = |whose: Owner, id: &mut Id| {
            if whose == owner {
                see(id);
            }
        };
        match self {
            Self::Bootstrap { .. } | Self::Abort => {}
            Self::Call { question, target, params } => {
                see(Owner::Speaker, question);
                target.for_each_id(&mut see);
                params.iter_mut().for_each(|capability| capability.for_each_id(&mut see));
            }
            Self::Return { answer, results, taken_from, .. } => {
                see(Owner::Listener, answer);
                results.iter_mut().for_each(|capability| capability.for_each_id(&mut see));
                if let Some(question) = taken_from {
                    see(Owner::Speaker, question);
                }
            }
            Self::Finish { question, .. } => see(Owner::Speaker, question),
            Self::Resolve { promise, capability } => {
                see(Owner::Speaker, promise);
                capability.iter_mut().for_each(|capability| capability.for_each_id(&mut see));
            }
            Self::Release { export, .. } => see(Owner::Listener, export),
            Self::Disembargo { target, embargo, is_echo } => {
                target.for_each_id(&mut see);
                see(if *is_echo { Owner::Listener } else { Owner::Speaker }, embargo);
            }
        }
    }
}

impl Target {
    fn for_each_id(&mut self, see: &mut impl FnMut(Owner, &mut Id)) {
        match self {
            Self::Export(id) => see(Owner::Listener, id),
            Self::Answer { question, .. } => see(Owner::Speaker, question),
        }
    }
}

impl Capability {
    fn for_each_id(&mut self, see: &mut impl FnMut(Owner, &mut Id)) {
        let owner = match self.kind {
            CapabilityKind::Hosted | CapabilityKind::Promise | CapabilityKind::Answered => Owner::Speaker,
            CapabilityKind::Returned => Owner::Listener,
        };
        see(owner, &mut self.id);
    }
}

/// How long the message is that `bytes` begin with; `None` while too few of them have come to say.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
    if bytes.len() < WORD_BYTES {
        return Ok(None);
    }
    let segments = as_usize(u32_at(bytes, 0)).saturating_add(1);
    if SEGMENTS_MAX < segments {
        return Err(Unreadable("too many segments"));
    }
    let table = table_bytes(segments);
    if bytes.len() < table {
        return Ok(None);
    }
    let words: usize = (0..segments).map(|index| as_usize(u32_at(bytes, 4 + 4 * index))).sum();
    let length = words.saturating_mul(WORD_BYTES).saturating_add(table);
    if MESSAGE_BYTES_MAX < length {
        return Err(Unreadable("it is too long"));
    }
    Ok(Some(length))
}

/// Reads one whole message.
pub(crate) fn read(message: &[u8]) -> Result<Body, Unreadable> {
    let reader = Reader { bytes: message };
    let root = reader.root()?;
    let tag = reader.u16(root, 0);
    let body = reader.child(root, 0)?;
    if tag == ABORT {
        return Ok(Body::Abort);
    }
    let body = body.ok_or(Unreadable("it is empty"))?;
    let flag = |byte: usize, bit: u8| reader.byte(body, byte) & 1 << bit != 0;
    Ok(match tag {
        BOOTSTRAP => Body::Bootstrap { question: reader.u32(body, 0) },
        CALL => Body::Call {
            question: reader.id(body, 0)?,
            target: reader.target(body, 0)?,
            params: reader.payload(body, 1)?,
        },
        RETURN => {
            const RESULTS: u16 = 0;
            const TAKEN_FROM_OTHER_QUESTION: u16 = 4;
            let kind = reader.u16(body, 6);
            Body::Return {
                answer: reader.id(body, 0)?,
                // Flags whose default is "yes" are stored turned round.
                releases_params: !flag(4, 0),
                is_last_word: flag(4, 1),
                results: if kind == RESULTS { reader.payload(body, 0)? } else { Vec::new() },
                taken_from: (kind == TAKEN_FROM_OTHER_QUESTION).then(|| reader.id(body, 8)).transpose()?,
            }
        }
        FINISH => Body::Finish { question: reader.id(body, 0)?, releases_results: !flag(4, 0) },
        RESOLVE => {
            let has_failed = reader.u16(body, 4) != 0;
            let became = if has_failed { None } else { reader.child(body, 0)? };
            let capability = became.map(|became| reader.capability(became)).transpose()?.flatten();
            Body::Resolve { promise: reader.id(body, 0)?, capability }
        }
        RELEASE => Body::Release { export: reader.id(body, 0)?, count: reader.u32(body, 4) },
        DISEMBARGO => {
            let is_echo = match reader.u16(body, 4) {
                0 => false,
                1 => true,
                _ => return Err(Unreadable("a third party is meant")),
            };
            Body::Disembargo { target: reader.target(body, 0)?, embargo: reader.id(body, 0)?, is_echo }
        }
        _ => return Err(Unreadable("it is of an unknown kind")),
    })
}

/// A message whose pointers are followed.
struct Reader<'a> {
    bytes: &'a [u8],
}

/// A struct: where its data begins, and how much there is.
#[derive(Debug, Clone, Copy)]
struct Struct {
    segment: u32,
    at: usize,
    data_bytes: usize,
    pointers: usize,
}

/// What a pointer leads to, and the word that says what it is.
struct Content {
    segment: u32,
    at: usize,
    word: u64,
}

impl Reader<'_> {
    fn root(&self) -> Result<Struct, Unreadable> {
        let start = self.segment(0)?.start;
        self.struct_behind(0, start)?.ok_or(Unreadable("it is empty"))
    }

    fn segment(&self, index: u32) -> Result<Range<usize>, Unreadable> {
        let (index, segments) = (as_usize(index), as_usize(u32_at(self.bytes, 0)).saturating_add(1));
        if segments <= index {
            return Err(Unreadable("a pointer leads out of it"));
        }
        let size = |index: usize| as_usize(u32_at(self.bytes, 4 + 4 * index)) * WORD_BYTES;
        let start = table_bytes(segments) + (0..index).map(size).sum::<usize>();
        Ok(start..start + size(index))
    }

    /// The part `at..at + length`, if it lies in the segment.
    fn part(&self, segment: u32, at: usize, length: usize) -> Result<&[u8], Unreadable> {
        let bounds = self.segment(segment)?;
        let end = at.checked_add(length).filter(|end| bounds.start <= at && *end <= bounds.end);
        let part = end.and_then(|end| self.bytes.get(at..end));
        part.ok_or(Unreadable("a pointer leads out of it"))
    }

    fn word(&self, segment: u32, at: usize) -> Result<u64, Unreadable> {
        let word = self.part(segment, at, WORD_BYTES)?;
        Ok(u64::from(u32_at(word, 0)) | u64::from(u32_at(word, 4)) << 32)
    }

    /// Follows a pointer, through other segments too; `None` if it is null.
    fn content(&self, segment: u32, at: usize) -> Result<Option<Content>, Unreadable> {
        const FAR: u64 = 2;
        let word = self.word(segment, at)?;
        if word == 0 {
            return Ok(None);
        }
        if word & 0b11 != FAR {
            return near(segment, at, word).map(Some);
        }
        let landing = |word: u64| -> Result<(u32, usize), Unreadable> {
            let segment = high(word);
            Ok((segment, self.segment(segment)?.start + as_usize(low(word) >> 3) * WORD_BYTES))
        };
        let (segment, at) = landing(word)?;
        let pad = self.word(segment, at)?;
        let is_double = word & 0b100 != 0;
        if !is_double {
            return near(segment, at, pad).map(Some);
        }
        let (content_segment, content_at) = landing(pad)?;
        Ok(Some(Content {
            segment: content_segment,
            at: content_at,
            word: self.word(segment, at + WORD_BYTES)?,
        }))
    }

    fn struct_behind(&self, segment: u32, at: usize) -> Result<Option<Struct>, Unreadable> {
        let Some(Content { segment, at, word }) = self.content(segment, at)? else { return Ok(None) };
        if word & 0b11 != 0 {
            return Err(Unreadable("a struct is missing"));
        }
        self.sized(segment, at, word).map(Some)
    }

    /// The struct at a place, whose size stands in the upper half of `word`.
    fn sized(&self, segment: u32, at: usize, word: u64) -> Result<Struct, Unreadable> {
        let (data_words, pointers) = (as_usize(high(word) & 0xffff), as_usize(high(word) >> 16));
        self.part(segment, at, (data_words + pointers) * WORD_BYTES)?;
        Ok(Struct { segment, at, data_bytes: data_words * WORD_BYTES, pointers })
    }

    fn child(&self, parent: Struct, index: usize) -> Result<Option<Struct>, Unreadable> {
        match parent.pointer(index) {
            Some(at) => self.struct_behind(parent.segment, at),
            None => Ok(None),
        }
    }

    /// A number that can be changed in its place.
    fn id(&self, of: Struct, offset: usize) -> Result<Id, Unreadable> {
        if of.data_bytes < offset + 4 {
            return Err(Unreadable("a number is missing"));
        }
        let at = of.at + offset;
        Ok(Id { value: u32_at(self.bytes, at), at })
    }

    // What is missing from a struct is zero.

    fn u32(&self, of: Struct, offset: usize) -> u32 {
        if offset + 4 <= of.data_bytes { u32_at(self.bytes, of.at + offset) } else { 0 }
    }

    fn u16(&self, of: Struct, offset: usize) -> u16 {
        u16::from(self.byte(of, offset)) | u16::from(self.byte(of, offset + 1)) << 8
    }

    fn byte(&self, of: Struct, offset: usize) -> u8 {
        if offset < of.data_bytes { self.bytes[of.at + offset] } else { 0 }
    }

    fn target(&self, parent: Struct, index: usize) -> Result<Target, Unreadable> {
        let target = self.child(parent, index)?.ok_or(Unreadable("it is for nobody"))?;
        match self.u16(target, 4) {
            0 => Ok(Target::Export(self.id(target, 0)?)),
            1 => {
                let answer = self.child(target, 0)?.ok_or(Unreadable("it is for nobody"))?;
                let question = self.id(answer, 0)?;
                // `set_export` writes the first data word and the pointer behind it.
                if target.data_bytes != WORD_BYTES {
                    return Err(Unreadable("it is of an unknown kind"));
                }
                Ok(Target::Answer { question, place: TargetPlace(target.at) })
            }
            _ => Err(Unreadable("it is of an unknown kind")),
        }
    }

    /// The capabilities of a `Payload`.
    fn payload(&self, parent: Struct, index: usize) -> Result<Vec<Capability>, Unreadable> {
        const LIST: u64 = 1;
        const COMPOSITE: u32 = 7;
        let list =
            self.child(parent, index)?.and_then(|payload| Some((payload.segment, payload.pointer(1)?)));
        let list = list.map(|(segment, at)| self.content(segment, at)).transpose()?.flatten();
        let Some(Content { segment, at, word }) = list else { return Ok(Vec::new()) };
        if word & 0b11 != LIST || high(word) & 0b111 != COMPOSITE {
            return Err(Unreadable("a list is missing"));
        }
        self.part(segment, at, as_usize(high(word) >> 3) * WORD_BYTES + WORD_BYTES)?;
        let tag = self.word(segment, at)?;
        let count = as_usize(low(tag) >> 2);
        let mut capabilities = Vec::new();
        let mut at = at + WORD_BYTES;
        for _ in 0..count {
            let descriptor = self.sized(segment, at, tag)?;
            // Elements without content would let a short message name four billion of them.
            if descriptor.data_bytes == 0 {
                return Err(Unreadable("a number is missing"));
            }
            capabilities.extend(self.capability(descriptor)?);
            at += descriptor.data_bytes + descriptor.pointers * WORD_BYTES;
        }
        Ok(capabilities)
    }

    fn capability(&self, descriptor: Struct) -> Result<Option<Capability>, Unreadable> {
        let kind = match self.u16(descriptor, 0) {
            0 => return Ok(None),
            1 => CapabilityKind::Hosted,
            2 => CapabilityKind::Promise,
            3 => CapabilityKind::Returned,
            4 => {
                let answer = self.child(descriptor, 0)?.ok_or(Unreadable("a capability is nobody's"))?;
                let id = self.id(answer, 0)?;
                return Ok(Some(Capability { kind: CapabilityKind::Answered, id }));
            }
            _ => return Err(Unreadable("a third party is meant")),
        };
        Ok(Some(Capability { kind, id: self.id(descriptor, 4)? }))
    }
}

impl Struct {
    fn pointer(&self, index: usize) -> Option<usize> {
        (index < self.pointers).then(|| self.at + self.data_bytes + index * WORD_BYTES)
    }
}

/// What a pointer at `at` leads to within its own segment.
fn near(segment: u32, at: usize, word: u64) -> Result<Content, Unreadable> {
    // Words from the pointer's end, with a sign, in the upper 30 bits of the lower half.
    let distance = low(word).cast_signed() >> 2;
    let bytes = isize::try_from(distance).map_err(|_narrow| OUT)? * 8;
    let at = (at + WORD_BYTES).checked_add_signed(bytes).ok_or(OUT)?;
    return Ok(Content { segment, at, word });
    const OUT: Unreadable = Unreadable("a pointer leads out of it");
}

/// How long the table of segment sizes is: their count less one, a size for each, padded to a word.
fn table_bytes(segments: usize) -> usize {
    (segments / 2 + 1) * WORD_BYTES
}

fn low(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn high(word: u64) -> u32 {
    low(word >> 32)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// We run on 64 bits.
fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What we say ourselves. Each is one message of one segment, laid out in the order of its pointers.
pub(crate) mod own {
    use super::{BOOTSTRAP, DISEMBARGO, FINISH, RELEASE, RESOLVE, RETURN, WORD_BYTES};

    /// The longest reason that we give.
    const REASON_BYTES_MAX: usize = 4096;

    /// Why a call fails.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Failure {
        /// The caller's code gets an `Error` with this text.
        Refused(String),
        /// The target went away: workerd says "Network connection lost." and marks the error as one to try again.
        Lost,
    }

    pub(crate) fn bootstrap(question: u32) -> Vec<u8> {
        message(BOOTSTRAP, 1, 1, &[u64::from(question), 0])
    }

    pub(crate) fn finish(question: u32, releases_results: bool) -> Vec<u8> {
        message(FINISH, 1, 0, &[u64::from(question) | u64::from(!releases_results) << 32])
    }

    pub(crate) fn release(export: u32, count: u32) -> Vec<u8> {
        message(RELEASE, 1, 0, &[u64::from(export) | u64::from(count) << 32])
    }

    /// Answers a `Bootstrap` with the exported object.
    pub(crate) fn bootstrap_answer(question: u32, export: u32) -> Vec<u8> {
        const HOSTED: u64 = 1;
        const FIRST_CAPABILITY: u64 = 3;
        const STRUCTS: u64 = 1 | 7 << 32;
        let payload = [
            FIRST_CAPABILITY,
            STRUCTS | 2 << 35,
            // One struct of a data word and a pointer.
            1 << 2 | 1 << 32 | 1 << 48,
            HOSTED | u64::from(export) << 32,
            0,
        ];
        let head = [u64::from(question), 0, 2 << 48];
        message(RETURN, 2, 1, &[&head[..], &payload].concat())
    }

    /// Answers a question with a failure.
    pub(crate) fn failed_answer(question: u32, failure: &Failure) -> Vec<u8> {
        const KEEPS_PARAMS: u64 = 1 << 32;
        const EXCEPTION: u64 = 1 << 48;
        let head = [u64::from(question) | KEEPS_PARAMS | EXCEPTION, 0];
        message(RETURN, 2, 1, &[&head[..], &exception(failure)].concat())
    }

    /// Says that a promise failed.
    pub(crate) fn failed_promise(promise: u32, failure: &Failure) -> Vec<u8> {
        const EXCEPTION: u64 = 1 << 32;
        let head = [u64::from(promise) | EXCEPTION];
        message(RESOLVE, 1, 1, &[&head[..], &exception(failure)].concat())
    }

    /// Sends a `Disembargo` back; of this one only the number is read.
    pub(crate) fn disembargo_echo(embargo: u32) -> Vec<u8> {
        const ECHO: u64 = 1 << 32;
        message(DISEMBARGO, 1, 1, &[u64::from(embargo) | ECHO, 1 << 32 | 1 << 48, 0, 0])
    }

    /// A pointer to an `Exception`, and the exception.
    fn exception(failure: &Failure) -> Vec<u64> {
        const DISCONNECTED: u64 = 2 << 32;
        const BYTE_LIST: u64 = 1 | 2 << 32;
        let (kind, mut text) = match failure {
            // By this prefix workerd knows text that user code may see.
            Failure::Refused(reason) => (0, format!("jsg.Error: {reason}").into_bytes()),
            Failure::Lost => (DISCONNECTED, b"the Worker's process ended".to_vec()),
        };
        text.truncate(REASON_BYTES_MAX);
        text.push(0);
        let text_pointer = BYTE_LIST | (text.len() as u64) << 35;
        text.resize(text.len().next_multiple_of(WORD_BYTES), 0);
        let words = text.chunks_exact(WORD_BYTES);
        let words = words.map(|word| word.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        [1 << 32 | 1 << 48, kind, text_pointer].into_iter().chain(words).collect()
    }

    /// A message whose body has so much data and so many pointers, and begins with `words`.
    fn message(tag: u16, data_words: u64, pointers: u64, words: &[u64]) -> Vec<u8> {
        let head = [1 << 32 | 1 << 48, u64::from(tag), data_words << 32 | pointers << 48];
        // One segment, and its size.
        let table = ((head.len() + words.len()) as u64) << 32;
        [table].iter().chain(&head).chain(words).flat_map(|word| word.to_le_bytes()).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{
        Body, CapabilityKind, Id, Owner, Target, length,
        own::{self, Failure},
        read,
    };
    use crate::calls::tables::Side;

    /// Three calls of the pinned workerd as they went over the wire: one with a callback, one that returns a stream, one
    /// that throws. A message a line, by whoever said it.
    pub(crate) fn recorded() -> Vec<(Side, Vec<u8>)> {
        let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        let lines = include_str!("recorded.txt").lines();
        lines
            .map(|line| match line.split_once(' ').unwrap() {
                ("caller", hex) => (Side::Caller, hex.as_bytes().chunks(2).map(byte).collect()),
                ("target", hex) => (Side::Target, hex.as_bytes().chunks(2).map(byte).collect()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn every_recorded_message_is_read_and_keeps_its_numbers_apart() {
        let mut kinds = [0; 4];
        for (_, message) in recorded() {
            assert_eq!(length(&message), Ok(Some(message.len())));
            let mut body = read(&message).unwrap();
            if let Body::Call { params: capabilities, .. } | Body::Return { results: capabilities, .. } =
                &body
            {
                for capability in capabilities {
                    kinds[match capability.kind {
                        CapabilityKind::Hosted => 0,
                        CapabilityKind::Promise => 1,
                        CapabilityKind::Returned => 2,
                        CapabilityKind::Answered => 3,
                    }] += 1;
                }
            }
            // Numbers of one side are changed and those of the other are not, whatever the layout.
            let mut changed = message.clone();
            let mut count = 0;
            body.for_each_id(Owner::Speaker, |id| {
                id.set(&mut changed, id.value | 5 << 22);
                count += 1;
            });
            let differences = message.iter().zip(&changed).filter(|(before, after)| before != after).count();
            assert!(count <= differences && differences <= 2 * count, "{body:?}");
            assert_eq!(read(&changed).unwrap(), body);
        }
        assert!(0 < kinds[0] && 0 < kinds[1] && 0 < kinds[3], "{kinds:?}");
    }

    #[test]
    fn what_we_say_ourselves_can_be_read() {
        let said = |message: Vec<u8>| {
            assert_eq!(length(&message), Ok(Some(message.len())));
            read(&message).unwrap()
        };
        assert_eq!(said(own::bootstrap(7)), Body::Bootstrap { question: 7 });
        for releases in [true, false] {
            let finish = said(own::finish(7, releases));
            assert!(matches!(finish, Body::Finish { question: Id { value: 7, .. }, releases_results }
                if releases_results == releases));
        }
        assert!(matches!(said(own::release(7, 3)), Body::Release { export: Id { value: 7, .. }, count: 3 }));
        let Body::Return { answer, results, is_last_word: false, .. } = said(own::bootstrap_answer(7, 9))
        else {
            panic!("not a return")
        };
        assert_eq!((answer.value, results[0].kind, results[0].id.value), (7, CapabilityKind::Hosted, 9));
        for failure in [Failure::Lost, Failure::Refused("why".repeat(5000))] {
            let answer = said(own::failed_answer(7, &failure));
            assert!(matches!(
                answer,
                Body::Return { answer: Id { value: 7, .. }, releases_params: false, .. }
            ));
            let promise = said(own::failed_promise(7, &failure));
            assert!(matches!(promise, Body::Resolve { promise: Id { value: 7, .. }, capability: None }));
        }
        let echo = said(own::disembargo_echo(7));
        assert!(matches!(echo, Body::Disembargo { embargo: Id { value: 7, .. }, is_echo: true, .. }));
    }

    #[test]
    fn a_call_on_an_answer_becomes_one_on_an_export() {
        let is_on_answer = |message: &Vec<u8>| {
            matches!(read(message).unwrap(), Body::Call { target: Target::Answer { .. }, .. })
        };
        let (_, mut message) = recorded().into_iter().find(|(_, message)| is_on_answer(message)).unwrap();
        let Ok(Body::Call { target: Target::Answer { place, .. }, .. }) = read(&message) else { panic!() };
        place.set_export(&mut message, 9);
        let target = read(&message).unwrap();
        assert!(
            matches!(target, Body::Call { target: Target::Export(Id { value: 9, .. }), .. }),
            "{target:?}"
        );
    }

    /// Whatever stands in a message, reading it ends and reaches nothing outside of it.
    #[test]
    fn damaged_messages_are_refused_or_read() {
        let mut state = 1_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        for (_, message) in recorded() {
            for _ in 0..500 {
                let mut damaged = message.clone();
                for _ in 0..=random() % 3 {
                    let at = random() % damaged.len();
                    damaged[at] = u8::try_from(random() % 256).unwrap();
                }
                if length(&damaged) == Ok(Some(damaged.len()))
                    && let Ok(mut body) = read(&damaged)
                {
                    body.for_each_id(Owner::Listener, |id| id.set(&mut damaged, 1));
                    body.for_each_id(Owner::Speaker, |id| id.set(&mut damaged, 2));
                }
            }
        }
    }
}
