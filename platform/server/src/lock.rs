//! One server for each data folder: a lock on `DIR/run/lock`, which the kernel gives back when its holder ends, however it
//! ends. The file holds the holder's process number.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

/// A command that asks whether a server runs ([`holder`]) has the lock itself for an instant: a server that starts just
/// then tries again, so often and with such pauses.
const ATTEMPTS_MAX: u32 = 5;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(20);

/// The lock, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock(File);

/// Why the folder cannot be had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another server holds it; its process number, if that could be read.
    Held(Option<u32>),
    /// A file operation failed.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock or says who holds it.
    pub(crate) async fn take(data: &Path) -> Result<Self, LockError> {
        let mut file = open(data).map_err(LockError::Io)?;
        let mut attempts_left = ATTEMPTS_MAX;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            attempts_left -= 1;
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(LockError::Io(error.into()));
            }
            if attempts_left == 0 {
                return Err(LockError::Held(read_pid(&mut file)));
            }
            tokio::time::sleep(ATTEMPT_INTERVAL).await;
        }
        let note = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        note.map_err(LockError::Io)?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // So that nobody reads the number of a process that has ended.
        self.0.set_len(0).ok();
    }
}

/// The process that holds the folder now.
pub(crate) fn holder(data: &Path) -> Option<u32> {
    let mut file = File::open(data.join("run/lock")).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => read_pid(&mut file),
    }
}

fn open(data: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(data.join("run/lock"))
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::{Lock, LockError, holder, open};

    #[tokio::test]
    async fn only_a_server_keeps_another_from_starting() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("run")).expect("the folder");
        let asking = open(folder.path()).expect("the file");
        flock(&asking, FlockOperation::LockShared).expect("nobody holds it");
        let (lock, ()) = tokio::join!(Lock::take(folder.path()), async { drop(asking) });
        let lock = lock.expect("who only asked has gone");
        assert_eq!(holder(folder.path()), Some(std::process::id()));
        let second = Lock::take(folder.path()).await;
        assert!(matches!(second, Err(LockError::Held(Some(pid))) if pid == std::process::id()), "{second:?}");
        drop(lock);
        assert_eq!(holder(folder.path()), None);
    }
}
