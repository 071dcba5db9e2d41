//! One stream of calls from a Worker to another: carried both ways, and cut once the target is to rest and has answered.
//! workerd keeps such a stream for as long as it lives and puts the next call into it.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use engine::CallsLease;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use rustix::io::ioctl_fionread;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::Notify,
};

use crate::rpc_stream::{self, Questions};

/// Bytes on their way, each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long a caller whose stream is refused may take to hang up.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
/// What has arrived is read after about so long.
const READ_DELAY: Duration = Duration::from_millis(1);

/// Carries bytes until one side ends or the stream is to be cut. The target is kept awake while a question waits.
pub(crate) async fn carry(caller: OnUpgrade, target: Upgraded, lease: CallsLease) {
    let Ok(caller) = caller.await else { return };
    let Ok(Parts { io, read_buf, .. }) = caller.downcast::<TokioIo<UnixStream>>() else { return };
    let (mut caller, target) = (io.into_inner(), TokioIo::new(target));
    let resting = lease.resting();
    let call_stream = CallStream::new(lease);
    let Ok(descriptor) = caller.as_fd().try_clone_to_owned() else { return };
    let (caller_read, caller_write) = caller.split();
    let (target_read, target_write) = tokio::io::split(target);
    let caller_read = read_buf.as_ref().chain(caller_read);
    let cut = async {
        resting.await;
        call_stream.until_idle(descriptor.as_fd()).await;
    };
    // In this order: a call that has arrived already is still passed on.
    tokio::select! {
        biased;
        () = copy(caller_read, target_write, Questions::caller_says, &call_stream) => {}
        () = copy(target_read, caller_write, Questions::target_says, &call_stream) => {}
        () = cut => {}
    }
}

/// Tells the caller why its calls cannot be made, and waits until it hangs up.
pub(crate) async fn refuse(caller: OnUpgrade, reason: String) {
    let Ok(caller) = caller.await else { return };
    let mut caller = TokioIo::new(caller);
    let hang_up = async {
        caller.write_all(&rpc_stream::abort(&reason)).await?;
        caller.shutdown().await?;
        tokio::io::copy(&mut caller, &mut tokio::io::sink()).await
    };
    tokio::time::timeout(REFUSAL_TIMEOUT, hang_up).await.ok();
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
    lease: CallsLease,
}

impl State {
    fn is_idle(&self) -> bool {
        self.delivering == 0 && self.questions.is_idle()
    }
}

impl CallStream {
    fn new(lease: CallsLease) -> Self {
        let state = State { questions: Questions::default(), delivering: 0, lease };
        Self { state: Mutex::new(state), became_idle: Notify::new() }
    }

    /// Bytes were read and are going to be written.
    fn note(&self, note: impl FnOnce(&mut Questions)) {
        let mut state = self.lock();
        state.delivering += 1;
        note(&mut state.questions);
        if !state.questions.is_idle() {
            state.lease.set_asked(true);
        }
    }

    /// They were written.
    fn delivered(&self) {
        let mut state = self.lock();
        state.delivering -= 1;
        if state.is_idle() {
            state.lease.set_asked(false);
            self.became_idle.notify_one();
        }
    }

    /// Waits until no question waits, one included that has arrived but was not read yet.
    async fn until_idle(&self, caller: BorrowedFd<'_>) {
        loop {
            while !self.lock().is_idle() {
                self.became_idle.notified().await;
            }
            // A stream that cannot be asked has ended.
            if ioctl_fionread(caller).unwrap_or(0) == 0 {
                return;
            }
            tokio::time::sleep(READ_DELAY).await;
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
