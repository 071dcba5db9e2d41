//! Where a stream of WebSocket frames stands (RFC 6455 section 5.2): a frame of ours may only come between two of theirs.

/// Longest head of a frame: two bytes, an eight-byte length, a four-byte mask.
const HEAD_BYTES_MAX: usize = 14;

/// The stream's position.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of a head that have passed.
    head_bytes: usize,
    /// Bytes of the frame's payload that are still to pass.
    payload_left: u64,
}

impl Frames {
    /// Takes note of bytes that pass.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if 0 < self.payload_left {
                let length = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload_left -= length as u64;
                bytes = &bytes[length..];
                continue;
            }
            self.head[self.head_bytes] = bytes[0];
            self.head_bytes += 1;
            bytes = &bytes[1..];
            if self.head_bytes == head_length(&self.head[..self.head_bytes]) {
                self.payload_left = payload_length(&self.head);
                self.head_bytes = 0;
            }
        }
    }

    /// Whether the last frame has passed whole, and nothing of the next one.
    pub(crate) fn is_between(&self) -> bool {
        self.head_bytes == 0 && self.payload_left == 0
    }
}

/// The length of a head that begins so.
fn head_length(begun: &[u8]) -> usize {
    let Some(second) = begun.get(1) else { return 2 };
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length_bytes + mask_bytes
}

fn payload_length(head: &[u8; HEAD_BYTES_MAX]) -> u64 {
    let [_, second, a, b, c, d, e, f, g, h, ..] = *head;
    match second & 0x7f {
        126 => u16::from_be_bytes([a, b]).into(),
        127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        short => short.into(),
    }
}

/// An unmasked Close frame with this code.
pub(crate) fn close(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x88, 2, high, low]
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame, FrameHeader,
        coding::{Data, OpCode},
    };

    use super::Frames;

    fn frame(bytes: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
        let header = FrameHeader { mask, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        let mut out = Vec::new();
        Frame::from_payload(header, vec![0x88; bytes].into()).format(&mut out).unwrap();
        out
    }

    #[test]
    fn every_frame_has_one_end_however_its_bytes_arrive() {
        for step in [1, 2, 3, 7, 1_000_000] {
            let mut frames = Frames::default();
            assert!(frames.is_between());
            for bytes in [0, 1, 125, 126, 127, 65_535, 65_536] {
                for mask in [None, Some([1, 2, 3, 4])] {
                    let whole = frame(bytes, mask);
                    let (last, begun) = whole.split_last().unwrap();
                    for part in begun.chunks(step) {
                        frames.pass(part);
                        assert!(!frames.is_between(), "{bytes} bytes in steps of {step}");
                    }
                    frames.pass(&[*last]);
                    assert!(frames.is_between(), "{bytes} bytes in steps of {step}");
                }
            }
        }
    }
}
