//! One server for each data folder: a lock on `DIR/run/lock`, which the kernel gives back when its holder ends, however it
//! ends. The file holds the holder's process number.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

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
    pub(crate) fn take(data: &Path) -> Result<Self, LockError> {
        let mut file = open(data).map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held(read_pid(&mut file))),
            Err(error) => return Err(LockError::Io(error.into())),
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
