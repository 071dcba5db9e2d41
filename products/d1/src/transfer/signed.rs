//! What lies behind the URLs that need no token: files to be uploaded for an import, and exports to be fetched.

use std::{io::Write, path::PathBuf};

use axum::body::Body;
use futures_util::StreamExt;
use md5::{Digest, Md5};
use model::DatabaseId;
use store::{StoreError, fault};

use super::{Download, File, Secret, Transfers};
use crate::{D1Error, model::IMPORT_BYTES_MAX, store::blocking};

/// Bytes collected before they are hashed and written.
const BLOCK_BYTES: usize = 1024 * 1024;

/// A file that is, or will be, uploaded.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) database: DatabaseId,
    /// Its MD5 in hex, as announced.
    pub(super) etag: String,
    pub(super) file: File,
    pub(super) is_whole: bool,
    pub(super) expires_ms: u64,
}

impl Upload {
    /// What it is called between client and server; Cloudflare makes it of the same parts.
    pub(super) fn name(database: DatabaseId, etag: &str) -> String {
        format!("{database}.{etag}.sql")
    }
}

/// A file to be sent to whoever has its URL.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

impl Transfers {
    /// Makes a place for a file that will be uploaded.
    pub(super) fn expect_upload(&self, database: DatabaseId, etag: &str) -> Result<Secret, D1Error> {
        let file = self.new_file()?;
        let mut state = self.state();
        // A client that begins anew gets a new URL in place of the old one.
        state.uploads.retain(|_, upload| upload.database != database || upload.etag != etag);
        let secret = Secret::draw();
        let (etag, expires_ms) = (etag.to_owned(), self.expires_ms());
        let upload = Upload { database, etag, file, is_whole: false, expires_ms };
        state.uploads.insert(secret.clone(), upload);
        Ok(secret)
    }

    /// Takes in an upload; returns its etag. A URL takes one.
    pub(crate) async fn receive(&self, secret: &str, body: Body) -> Result<String, D1Error> {
        let secret = Secret(secret.to_owned());
        let upload = {
            let mut state = self.state();
            let now_ms = self.clock.unix_ms();
            let is_awaited = state
                .uploads
                .get(&secret)
                .is_some_and(|upload| !upload.is_whole && now_ms < upload.expires_ms);
            let upload = if is_awaited { state.uploads.remove(&secret) } else { None };
            upload.ok_or(D1Error::UrlUnknown)?
        };
        let found = write(upload.file.path.clone(), body).await?;
        if found != upload.etag {
            return Err(D1Error::EtagMismatch { announced: upload.etag.clone(), found });
        }
        fault::point("d1: file uploaded");
        self.state().uploads.insert(secret, Upload { is_whole: true, ..upload });
        Ok(found)
    }

    /// Takes an uploaded file out, to be imported.
    pub(super) fn take_upload(&self, database: DatabaseId, etag: &str) -> Option<Upload> {
        let mut state = self.state();
        let is_it = |upload: &Upload| upload.is_whole && upload.database == database && upload.etag == etag;
        let secret =
            state.uploads.iter().find(|(_, upload)| is_it(upload)).map(|(secret, _)| secret.clone())?;
        state.uploads.remove(&secret)
    }

    /// Lets a file be fetched.
    pub(super) fn offer(&self, database: DatabaseId, file: File, name: String) -> Secret {
        let secret = Secret::draw();
        let download = Download { database, file, name, expires_ms: self.expires_ms() };
        self.state().downloads.insert(secret.clone(), download);
        secret
    }

    /// The file that a URL is for.
    pub(crate) fn fetch(&self, secret: &str) -> Result<Fetched, D1Error> {
        let state = self.state();
        let found = state.downloads.get(&Secret(secret.to_owned()));
        let found = found.filter(|download| self.clock.unix_ms() < download.expires_ms);
        let Download { file, name, .. } = found.ok_or(D1Error::UrlUnknown)?;
        Ok(Fetched { path: file.path.clone(), name: name.clone() })
    }
}

/// Writes a body to a new file; returns its MD5 in hex.
async fn write(path: PathBuf, body: Body) -> Result<String, D1Error> {
    let failed = |path: &PathBuf, error: &std::io::Error| StoreError::file("write", path, error);
    let create = path.clone();
    let mut file = blocking(move || {
        std::fs::File::create_new(&create).map_err(|error| D1Error::from(failed(&create, &error)))
    })
    .await?;
    let (mut md5, mut size) = (Md5::new(), 0);
    let mut chunks = body.into_data_stream();
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    loop {
        let chunk = chunks.next().await.transpose().map_err(|_broken| D1Error::UploadIncomplete)?;
        let is_end = chunk.is_none();
        let chunk = chunk.unwrap_or_default();
        size += chunk.len() as u64;
        if IMPORT_BYTES_MAX < size {
            return Err(D1Error::UploadTooLarge);
        }
        block.extend_from_slice(&chunk);
        if is_end || BLOCK_BYTES <= block.len() {
            let path = path.clone();
            (file, md5, block) = blocking(move || {
                md5.update(&block);
                file.write_all(&block).map_err(|error| D1Error::from(failed(&path, &error)))?;
                block.clear();
                Ok::<_, D1Error>((file, md5, block))
            })
            .await?;
        }
        if is_end {
            return Ok(hex::encode(md5.finalize()));
        }
    }
}
