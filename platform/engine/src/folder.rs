//! Where the sockets of the processes live: one folder for each process below `DIR/run/workers`, readable by us alone.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::DirBuilderExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{Mode, OFlags};

/// The folder of all processes; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Folders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The same folder, open: sockets in it are addressed through `/proc/self/fd`, whose path is short.
    handle: OwnedFd,
    next: AtomicU64,
}

/// The folder of one process; removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    folders: Folders,
    number: u64,
}

impl Folders {
    /// Makes the folder anew; what an earlier server left in it is removed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::remove_dir_all(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let handle =
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self(Arc::new(Inner { path: path.to_owned(), handle, next: AtomicU64::new(1) })))
    }

    /// Makes the folder of one process.
    pub(crate) fn create(&self) -> io::Result<Folder> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let folder = Folder { folders: self.clone(), number };
        std::fs::DirBuilder::new().mode(0o700).create(folder.path())?;
        Ok(folder)
    }
}

impl Folder {
    /// Its full path.
    pub(crate) fn path(&self) -> PathBuf {
        self.folders.0.path.join(self.number.to_string())
    }

    /// Binds a listening socket in it.
    pub(crate) fn listen(&self, name: &str) -> io::Result<UnixListener> {
        UnixListener::bind(self.address(name))
    }

    /// Connects to a socket in it.
    pub(crate) async fn connect(&self, name: &str) -> io::Result<tokio::net::UnixStream> {
        tokio::net::UnixStream::connect(self.address(name)).await
    }

    fn address(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{}/{name}", self.folders.0.handle.as_raw_fd(), self.number).into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is removed at the next start.
        drop(std::fs::remove_dir_all(self.path()));
    }
}
