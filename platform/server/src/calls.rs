//! One stream of calls from a Worker to another: carried both ways, and cut once the target is to rest and has answered.
//! workerd keeps such a stream for as long as it lives and puts the next call into it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::{Lease, Pause};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Notify,
};

use crate::rpc_stream::Questions;

/// Bytes on their way, each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Carries bytes until one side ends or the stream is to be cut. The target is kept awake while a question waits.
pub(crate) async fn carry(
    caller: impl AsyncRead + AsyncWrite,
    target: impl AsyncRead + AsyncWrite,
    lease: Lease,
) {
    let resting = lease.resting();
    let call_stream = CallStream::new(lease);
    let (caller_read, caller_write) = tokio::io::split(caller);
    let (target_read, target_write) = tokio::io::split(target);
    let cut = async {
        resting.await;
        call_stream.until_idle().await;
    };
    // In this order: a call that has arrived already is still passed on.
    tokio::select! {
        biased;
        () = copy(caller_read, target_write, Questions::caller_says, &call_stream) => {}
        () = copy(target_read, caller_write, Questions::target_says, &call_stream) => {}
        () = cut => {}
    }
}

/// Both directions of one stream.
struct CallStream {
    state: Mutex<State>,
    became_idle: Notify,
}

struct State {
    questions: Questions,
    /// Directions that have bytes in hand.
    delivering: usize,
    /// Held while a question waits: the target is in use.
    lease: Option<Lease>,
    /// Held while none does: the target may rest, and waits for the cut then.
    pause: Option<Pause>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.delivering == 0 && self.questions.is_idle()
    }
}

impl CallStream {
    fn new(lease: Lease) -> Self {
        let questions = Questions::default();
        let state = State { questions, delivering: 0, lease: Some(lease), pause: None };
        Self { state: Mutex::new(state), became_idle: Notify::new() }
    }

    /// Bytes were read and are going to be written.
    fn note(&self, note: impl FnOnce(&mut Questions)) {
        let mut state = self.lock();
        state.delivering += 1;
        note(&mut state.questions);
        if !state.questions.is_idle()
            && let Some(pause) = state.pause.take()
        {
            state.lease = Some(pause.resume());
        }
    }

    /// They were written.
    fn delivered(&self) {
        let mut state = self.lock();
        state.delivering -= 1;
        if !state.is_idle() {
            return;
        }
        match state.lease.take().map(Lease::pause) {
            Some(Ok(pause)) => state.pause = Some(pause),
            // It rests already; until the cut, a call that comes still finds it.
            Some(Err(lease)) => state.lease = Some(lease),
            None => {}
        }
        self.became_idle.notify_one();
    }

    async fn until_idle(&self) {
        loop {
            if self.lock().is_idle() {
                return;
            }
            self.became_idle.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies until the end; an error is an end.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    note: impl Fn(&mut Questions, &[u8]),
    call_stream: &CallStream,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        call_stream.note(|questions| note(questions, &buffer[..count]));
        let written = to.write_all(&buffer[..count]).await;
        call_stream.delivered();
        if written.is_err() {
            return;
        }
    }
}
