//! Starts child processes, all from one thread that lives as long as this process: the parent-death signal that ends a
//! child follows the thread which forked it, and tokio's own threads come and go.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, getppid, pidfd_open,
        set_parent_process_death_signal,
    },
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
};

/// Starts that wait for the thread; more callers wait in line for a place.
const ORDERS_MAX: usize = 64;

/// What to start.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The child's working folder.
    pub(crate) folder: PathBuf,
    /// Descriptors the child keeps, under the same numbers; closed here once it has started.
    pub(crate) inherited: Vec<OwnedFd>,
}

/// A child that runs. It is not waited for here: whoever holds `pidfd` reaps it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The thread's address; it ends when the last clone is dropped, and its children with it.
#[derive(Debug, Clone)]
pub(crate) struct Forker {
    orders: mpsc::Sender<(Order, oneshot::Sender<io::Result<Child>>)>,
}

impl Forker {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, mut inbox) = mpsc::channel::<(Order, oneshot::Sender<io::Result<Child>>)>(ORDERS_MAX);
        std::thread::Builder::new().name("fork".to_owned()).spawn(move || {
            while let Some((order, answer)) = inbox.blocking_recv() {
                // Nobody waits any more: dropping the child's pipes is not enough, so it is killed.
                if let Err(Ok(orphan)) = answer.send(fork(order)) {
                    rustix::process::pidfd_send_signal(&orphan.pidfd, Signal::KILL).ok();
                    rustix::process::waitid(WaitId::PidFd(orphan.pidfd.as_fd()), WaitIdOptions::EXITED).ok();
                }
            }
        })?;
        Ok(Self { orders })
    }

    /// Starts a child. It is killed by the kernel when this process ends, however it ends.
    pub(crate) async fn spawn(&self, order: Order) -> io::Result<Child> {
        let (answer, reply) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.orders.send((order, answer)).await.map_err(|_closed| gone())?;
        reply.await.map_err(|_closed| gone())?
    }
}

/// Lets the runtime wait for the end of the process behind `pidfd`: it becomes readable then.
#[expect(unsafe_code, reason = "tokio offers no safe way since 1.54")]
pub(crate) fn watch_end(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is valid and open for as long as it lives, and it lives in the `AsyncFd`.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

#[expect(clippy::disallowed_methods, reason = "this is where processes are started")]
fn fork(order: Order) -> io::Result<Child> {
    let mut command = Command::new(&order.program);
    command
        .args(&order.arguments)
        .current_dir(&order.folder)
        // The environment may hold the operator's secrets: an untrusted process gets none of it.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal is for us: we drain our children ourselves.
        .process_group(0);
    prepare_child(&mut command, order.inherited.iter().map(AsRawFd::as_raw_fd).collect());
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            // Out of descriptors: a child that nobody holds must not run on, nor stay behind as a zombie.
            child.kill()?;
            child.wait()?;
            return Err(error.into());
        }
    };
    let piped = "all three were asked to be pipes";
    Ok(Child {
        pid,
        pidfd,
        stdin: child.stdin.take().expect(piped).into(),
        stdout: child.stdout.take().expect(piped).into(),
        stderr: child.stderr.take().expect(piped).into(),
    })
}

#[expect(unsafe_code, reason = "code between fork and exec can only be given through `pre_exec`")]
fn prepare_child(command: &mut Command, inherited: Vec<RawFd>) {
    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above took effect.
        if getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(3));
        }
        for descriptor in &inherited {
            // SAFETY: `fork` keeps the descriptors open in `order.inherited` until the child has started.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*descriptor) };
            fcntl_setfd(descriptor.as_fd(), FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child before exec; it makes system calls and nothing else: no allocation, no
    // lock, no panic.
    unsafe { command.pre_exec(prepare) };
}
