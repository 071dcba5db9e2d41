//! Between what reads and writes files on a thread and a body that comes and goes on the network: a few pieces wait in the
//! middle, and whoever is faster waits for the other.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

/// Pieces that wait in the middle.
const PIECES_MAX: usize = 4;
/// Bytes of a piece that is written.
const PIECE_BYTES: usize = 64 * 1024;

/// A body, and what is to be written into it from a thread. What is not flushed is lost.
pub(crate) fn body() -> (Output, impl Stream<Item = io::Result<Bytes>> + Send + 'static) {
    let (pieces, waiting) = mpsc::channel(PIECES_MAX);
    let stream = stream::unfold(waiting, async |mut waiting: mpsc::Receiver<io::Result<Bytes>>| {
        Some((waiting.recv().await?, waiting))
    });
    (Output { pieces, piece: Vec::with_capacity(PIECE_BYTES) }, stream)
}

/// See [`body`].
pub(crate) struct Output {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Output {
    /// Ends the body as one that was cut off.
    pub(crate) fn abort(self, error: impl std::fmt::Display) {
        drop(self.pieces.blocking_send(Err(io::Error::other(error.to_string()))));
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_closed| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for &mut Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.send() }
    }
}

/// Reads a body from a thread. The future is to be driven meanwhile: it ends with the body, or when nobody reads any more.
pub(crate) fn input(
    mut body: Body,
    piece_timeout: Duration,
) -> (Input, impl Future<Output = ()> + Send + 'static) {
    let (pieces, waiting) = mpsc::channel(PIECES_MAX);
    let drive = async move {
        loop {
            let piece = match tokio::time::timeout(piece_timeout, body.frame()).await {
                Ok(None) => return,
                Ok(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
                Ok(Some(Err(error))) => Err(io::Error::other(error)),
                Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            };
            let is_over = piece.is_err();
            if pieces.send(piece).await.is_err() || is_over {
                return;
            }
        }
    };
    (Input { waiting, piece: Bytes::new() }, drive)
}

/// See [`input`].
pub(crate) struct Input {
    waiting: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let read = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
