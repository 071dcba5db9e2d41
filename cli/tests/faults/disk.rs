//! Disks that fail. They are small ones in memory, mounted for the test; where that is not permitted (it takes root) the
//! tests say so and prove nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use testkit::{DataFolder, Server, command, skip};

/// A folder on a file system of its own. What is mounted in it goes when it is dropped.
pub(crate) struct Disk {
    pub(crate) folder: Arc<DataFolder>,
}

impl Disk {
    /// `None`, said loudly, where mounting is not permitted.
    pub(crate) fn new(test: &str) -> Option<Self> {
        Self::sized(test, 24)
    }

    /// The same with so many MiB of space.
    pub(crate) fn sized(test: &str, mebibytes: usize) -> Option<Self> {
        let folder = Arc::new(DataFolder::new());
        let mut mount = command("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=700"), "tmpfs"]).arg(folder.path());
        if let Err(error) = run(&mut mount) {
            skip(&format!("{test}: a test disk cannot be mounted ({error}); run it as root"));
            return None;
        }
        Some(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn remount(&self, options: &str) {
        run(command("mount").arg("-o").arg(format!("remount,{options}")).arg(self.path())).expect("remount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A server that a failed test left behind may still hold files: detach, and let it go with them.
        let _ = run(command("umount").args(["--recursive", "--lazy"]).arg(self.path()));
    }
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

pub(crate) const PAGE_BYTES: usize = 4096;

pub(crate) fn contains(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

pub(crate) fn flip(file: &Path, at: impl Fn(&[u8]) -> usize) {
    let mut bytes = fs::read(file).expect("read the file");
    let at = at(&bytes);
    bytes[at] ^= 0x20;
    fs::write(file, bytes).expect("write the file");
}

/// The file in a folder that holds these bytes.
pub(crate) fn holding(folder: &Path, bytes: &[u8]) -> PathBuf {
    let file = fs::read_dir(folder).expect("list the folder").find_map(|file| {
        let path = file.expect("an entry").path();
        let is_it = contains(&fs::read(&path).unwrap_or_default(), bytes).is_some();
        is_it.then_some(path)
    });
    file.expect("one file holds the bytes")
}

/// What arrives of an answer until its connection ends.
pub(crate) async fn raw_get(server: &Server, path: &str) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.api_address()).await.expect("the API listens");
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        server.api_address(),
        server.token()
    );
    stream.write_all(head.as_bytes()).await.expect("send a request");
    let mut bytes = Vec::new();
    // The server may reset the connection: that is an end too.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}
