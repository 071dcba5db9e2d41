//! A namespace as one file: a tar archive that any `tar` reads. `namespace.json` says what it is of, then come the objects'
//! files and the alarms, and at last `manifest.json` with their count and one checksum over all of them: an archive
//! without it was cut off. Written and read as a stream; what is held in memory does not grow with it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use ::model::ObjectNamespaceId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, Entry, EntryType, Header};

use crate::{
    error::ObjectsError,
    model::{ObjectFile, ObjectId},
    store::ALARMS_FILE,
};

/// The form of the archive that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// Largest description at the archive's ends.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;
const HEAD: &str = "namespace.json";
const OBJECTS: &str = "objects/";
const MANIFEST: &str = "manifest.json";

/// What an archive is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    format: u32,
    /// The namespace's id: the ids of its objects are derived from it.
    namespace: String,
    script: String,
    class: String,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// How many objects.
    pub(crate) objects: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// SHA-256 over name, length and bytes of each file in order.
    sha256: String,
}

impl Head {
    pub(crate) fn of(namespace: &crate::Namespace) -> Self {
        Self {
            format: FORMAT,
            namespace: namespace.id.as_str().to_owned(),
            script: namespace.script.to_string(),
            class: namespace.class.clone(),
        }
    }
}

/// Counts what goes into an archive or comes out of it.
#[derive(Default)]
struct Account {
    objects: u64,
    bytes: u64,
    digest: Sha256,
}

impl Account {
    fn begin(&mut self, name: &str, bytes: u64) {
        self.digest.update(format!("{name}\0{bytes}\0"));
    }

    fn close(self) -> Manifest {
        Manifest { objects: self.objects, bytes: self.bytes, sha256: hex::encode(self.digest.finalize()) }
    }
}

/// Reads a file and puts what was read into the account.
struct Counted<'a, R> {
    from: R,
    account: &'a mut Account,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.account.digest.update(&buffer[..read]);
        self.account.bytes += read as u64;
        Ok(read)
    }
}

/// An archive being written.
pub(crate) struct Writer<W: Write> {
    tar: Builder<W>,
    account: Account,
    now_s: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn begin(out: W, head: &Head, now_s: u64) -> io::Result<Self> {
        let mut writer = Self { tar: Builder::new(out), account: Account::default(), now_s };
        writer.describe(HEAD, head)?;
        Ok(writer)
    }

    /// Adds one of an object's files.
    pub(crate) fn add(&mut self, file: &ObjectFile, content: File) -> io::Result<()> {
        self.account.objects += u64::from(file.is_main());
        self.append(&format!("{OBJECTS}{}", file.name()), content)
    }

    /// Adds the alarms and ends the archive.
    pub(crate) fn finish(mut self, alarms: Option<File>) -> io::Result<()> {
        if let Some(alarms) = alarms {
            self.append(ALARMS_FILE, alarms)?;
        }
        let manifest = std::mem::take(&mut self.account).close();
        self.describe(MANIFEST, &manifest)?;
        self.tar.into_inner()?.flush()
    }

    fn append(&mut self, name: &str, content: File) -> io::Result<()> {
        let bytes = content.metadata()?.len();
        let header = self.header(name, bytes)?;
        self.account.begin(name, bytes);
        let before = self.account.bytes;
        self.tar.append(&header, Counted { from: content.take(bytes), account: &mut self.account })?;
        if self.account.bytes != before + bytes {
            return Err(io::Error::other(format!("{name} became shorter while it was read")));
        }
        Ok(())
    }

    fn describe(&mut self, name: &str, description: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(description)?;
        let header = self.header(name, text.len() as u64)?;
        self.tar.append(&header, text.as_slice())
    }

    fn header(&self, name: &str, bytes: u64) -> io::Result<Header> {
        let mut header = Header::new_gnu();
        header.set_path(name)?;
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(self.now_s);
        header.set_cksum();
        Ok(header)
    }
}

/// Unpacks an archive of this namespace into an empty folder, whole or with an error.
pub(crate) fn unpack(
    input: impl Read,
    namespace: &ObjectNamespaceId,
    folder: &Path,
) -> Result<Manifest, ObjectsError> {
    let mut archive = Archive::new(input);
    let mut entries = archive.entries().map_err(broken)?;
    let mut next = || entries.next().transpose().map_err(broken);
    let head: Head = described(next()?, HEAD)?;
    check_head(&head, namespace)?;
    let mut account = Account::default();
    loop {
        let Some(entry) = next()? else {
            return Err(ObjectsError::Archive("it is cut off: its end is missing".to_owned()));
        };
        let name = name_of(&entry)?;
        if name == MANIFEST {
            let manifest: Manifest = described(Some(entry), MANIFEST)?;
            if manifest != account.close() {
                return Err(ObjectsError::Archive("its checksum is another: it is damaged".to_owned()));
            }
            return if next()?.is_none() { Ok(manifest) } else { Err(unexpected("after the manifest")) };
        }
        let target = match name.strip_prefix(OBJECTS) {
            Some(file) => {
                let file = ObjectFile::parse(file).ok_or_else(|| unexpected(&name))?;
                check_object(file.id(), namespace)?;
                account.objects += u64::from(file.is_main());
                folder.join(file.name())
            }
            None if name == ALARMS_FILE => folder.join(ALARMS_FILE),
            None => return Err(unexpected(&name)),
        };
        let bytes = entry.size();
        account.begin(&name, bytes);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => unexpected(&format!("{name} for the second time")),
            _ => ObjectsError::Unreadable(format!("write `{}`: {error}", target.display())),
        })?;
        let copied = io::copy(&mut Counted { from: entry, account: &mut account }, &mut { file });
        if copied.map_err(broken)? != bytes {
            return Err(ObjectsError::Archive("it is cut off".to_owned()));
        }
    }
}

fn check_head(head: &Head, namespace: &ObjectNamespaceId) -> Result<(), ObjectsError> {
    if head.format != FORMAT {
        return Err(ObjectsError::Archive(format!("its format is {}, not {FORMAT}", head.format)));
    }
    if head.namespace != namespace.as_str() {
        return Err(ObjectsError::Archive(format!(
            "it is of the namespace {} ({}/{}), not of {namespace}: the ids of objects are derived from their namespace, so \
             they can be restored into no other",
            head.namespace, head.script, head.class,
        )));
    }
    Ok(())
}

fn check_object(id: &ObjectId, namespace: &ObjectNamespaceId) -> Result<(), ObjectsError> {
    if id.is_of(namespace) {
        return Ok(());
    }
    Err(ObjectsError::Archive(format!("the object {} is not of this namespace", id.as_str())))
}

fn described<T: DeserializeOwned>(
    entry: Option<Entry<'_, impl Read>>,
    expected: &str,
) -> Result<T, ObjectsError> {
    let foreign = || ObjectsError::Archive(format!("there is no {expected} where it belongs"));
    let entry = entry.ok_or_else(foreign)?;
    if name_of(&entry)? != expected {
        return Err(foreign());
    }
    let mut text = Vec::new();
    // Bounded here.
    entry.take(DESCRIPTION_BYTES_MAX).read_to_end(&mut text).map_err(broken)?;
    serde_json::from_slice(&text)
        .map_err(|error| ObjectsError::Archive(format!("{expected} cannot be read: {error}")))
}

fn name_of(entry: &Entry<'_, impl Read>) -> Result<String, ObjectsError> {
    if entry.header().entry_type() != EntryType::Regular {
        return Err(unexpected("something that is no plain file"));
    }
    Ok(String::from_utf8_lossy(&entry.path_bytes()).into_owned())
}

fn unexpected(what: &str) -> ObjectsError {
    ObjectsError::Archive(format!("it holds {what}, which has no place there"))
}

fn broken(error: io::Error) -> ObjectsError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::PermissionDenied => {
            ObjectsError::Unreadable(error.to_string())
        }
        _ => ObjectsError::Archive(error.to_string()),
    }
}
