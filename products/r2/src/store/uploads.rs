//! Multipart uploads. Parts are files of their own and stay so: the completed object is their ordered list, so that
//! completing costs one commit whatever the size.

use std::{collections::HashSet, sync::Arc};

use md5::{Digest, Md5};
use model::BucketName;
use store::rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    NewBody, Store,
    changes::{Creation, Objects},
    files::Doomed,
    objects::{check, draw_version},
    rows::{self, Place},
};
use crate::{
    R2Error,
    model::{
        Attributes, Checksums, Conditions, CustomMetadata, HttpMetadata, Key, ListQuery, MULTIPART_BYTES_MAX,
        NamedPart, Object, PART_BYTES_MIN, Part, PartNumber, StorageClass, Upload, beyond,
    },
};

/// An upload to begin.
#[derive(Debug)]
pub(crate) struct NewUpload {
    pub(crate) key: Key,
    pub(crate) attributes: Attributes,
    /// MD5 of the customer's key with which all parts will be encrypted.
    pub(crate) ssec_key_md5: Option<[u8; 16]>,
}

/// An upload as callers name it.
#[derive(Debug, Clone)]
pub(crate) struct UploadId {
    pub(crate) key: Key,
    pub(crate) id: String,
}

/// A place in the list of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadPlace {
    pub(crate) key: String,
    /// `None` is behind all uploads of the key.
    pub(crate) id: Option<String>,
}

/// One page of uploads.
#[derive(Debug, Default)]
pub(crate) struct UploadPage {
    pub(crate) uploads: Vec<Upload>,
    pub(crate) prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<UploadPlace>,
}

/// An upload's row.
struct UploadRow {
    number: i64,
    is_finished: bool,
    storage_class: StorageClass,
    ssec_key_md5: Option<[u8; 16]>,
    http: HttpMetadata,
    custom: CustomMetadata,
}

/// A part's row, as completing needs it.
struct PartRow {
    number: u32,
    size: u64,
    md5: [u8; 16],
}

impl Store {
    /// Begins an upload; returns its id.
    pub(crate) async fn upload_create(&self, bucket: &BucketName, new: NewUpload) -> Result<String, R2Error> {
        // As hard to guess as two UUIDs; clients treat it as text.
        let id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let (name, started_ms, given) = (bucket.as_str().to_owned(), self.now_ms(), id.clone());
        let insert = move |connection: &Connection| -> Result<(), R2Error> {
            let (bucket, bucket_class) = rows::bucket(connection, &name)?;
            let NewUpload { key, attributes, ssec_key_md5 } = new;
            let class = attributes.storage_class.unwrap_or(bucket_class);
            connection
                .prepare_cached(
                    "INSERT INTO upload (bucket, key, id, started_ms, storage_class, ssec_key_md5, http, custom)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    bucket,
                    key.as_bytes(),
                    given,
                    started_ms,
                    rows::class_number(class),
                    ssec_key_md5,
                    rows::json(&attributes.http),
                    rows::json(&attributes.custom),
                ])?;
            Ok(())
        };
        self.shard(bucket)?.database.write(insert).await?;
        Ok(id)
    }

    /// Adds a part whose body was received; one of the same number is replaced.
    pub(crate) async fn part_put(
        &self,
        bucket: &BucketName,
        upload: UploadId,
        number: PartNumber,
        body: NewBody,
    ) -> Result<Part, R2Error> {
        let (name, uploaded_ms) = (bucket.as_str().to_owned(), self.now_ms());
        let new = vec![Doomed { blob: body.blob.id, upload: None }];
        let write = move |connection: &Connection| {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let row = open_upload(connection, bucket, &upload)?;
            if row.ssec_key_md5 != body.ssec_key_md5 {
                return Err(R2Error::CustomerKeyWrong);
            }
            let (number, size, etag) = (number.get(), body.size(), body.etag());
            let replaced = part_delete(connection, row.number, number)?;
            connection
                .prepare_cached(
                    "INSERT INTO part (upload, number, blob, size, md5, uploaded_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![row.number, number, body.blob.id, size, body.md5, uploaded_ms])?;
            rows::blob_put(connection, body.blob)?;
            Ok((Part { number, etag, size, uploaded_ms }, replaced.into_iter().collect()))
        };
        self.shard(bucket)?.commit(write, new).await
    }

    /// One page of the uploads that take parts, in the order of their keys, then of their ids.
    pub(crate) async fn upload_list(
        &self,
        bucket: &BucketName,
        query: ListQuery,
        after: Option<UploadPlace>,
    ) -> Result<UploadPage, R2Error> {
        let name = bucket.as_str().to_owned();
        let list = move |connection: &Connection| {
            let (bucket, _) = rows::bucket(connection, &name)?;
            uploads(connection, bucket, &query, after)
        };
        self.shard(bucket)?.database.read(list).await
    }

    /// The parts of an upload that takes parts, in order: at most `limit` behind number `after`.
    pub(crate) async fn part_list(
        &self,
        bucket: &BucketName,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> Result<(Upload, Vec<Part>), R2Error> {
        let name = bucket.as_str().to_owned();
        let select = move |connection: &Connection| -> Result<(Upload, Vec<Part>), R2Error> {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let number = open_upload(connection, bucket, &upload)?.number;
            let described = connection
                .prepare_cached("SELECT key, id, started_ms, storage_class FROM upload WHERE number = ?1")?
                .query_row([number], described)?;
            let mut select = connection.prepare_cached(
                "SELECT number, md5, size, uploaded_ms FROM part
                 WHERE upload = ?1 AND ?2 < number ORDER BY number LIMIT ?3",
            )?;
            let parts = select.query_map(params![number, after, limit], |row| {
                let md5: [u8; 16] = row.get(1)?;
                let etag = hex::encode(md5);
                Ok(Part { number: row.get(0)?, etag, size: row.get(2)?, uploaded_ms: row.get(3)? })
            })?;
            Ok((described, parts.collect::<Result<_, _>>()?))
        };
        self.shard(bucket)?.database.read(select).await
    }

    /// Makes an object of the named parts, if the conditions hold.
    pub(crate) async fn upload_complete(
        &self,
        bucket: &BucketName,
        upload: UploadId,
        named: Vec<NamedPart>,
        conditions: Conditions,
    ) -> Result<Object, R2Error> {
        let (name, now_ms) = (bucket.as_str().to_owned(), self.now_ms());
        let events = Arc::clone(&self.events);
        let write = move |connection: &Connection| {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let row = open_upload(connection, bucket, &upload)?;
            check(connection, bucket, &upload.key, &conditions)?;
            let present = parts(connection, row.number)?;
            let chosen = choose(&present, &named)?;
            let used: HashSet<u32> = chosen.iter().map(|part| part.number).collect();
            let unused = present.iter().filter(|part| !used.contains(&part.number));
            let mut doomed = Vec::new();
            for part in unused {
                doomed.extend(part_delete(connection, row.number, part.number)?);
            }
            let object = Object {
                key: upload.key.as_str().to_owned(),
                version: draw_version(),
                size: chosen.iter().map(|part| part.size).sum(),
                etag: etag(&chosen),
                uploaded_ms: now_ms,
                storage_class: row.storage_class,
                ssec_key_md5: row.ssec_key_md5,
                checksums: Checksums::default(),
                http: row.http,
                custom: row.custom,
            };
            if MULTIPART_BYTES_MAX < object.size {
                return Err(R2Error::ObjectTooLarge);
            }
            let objects = Objects { connection, events: &*events, bucket: (bucket, &name) };
            let place = Place::Upload(row.number);
            doomed.extend(objects.put(&object, place, Creation::CompleteMultipartUpload)?);
            finish(connection, row.number, now_ms)?;
            Ok((object, doomed))
        };
        self.shard(bucket)?.commit(write, Vec::new()).await
    }

    /// Ends an upload and removes its parts; one that has ended already is no matter.
    pub(crate) async fn upload_abort(&self, bucket: &BucketName, upload: UploadId) -> Result<(), R2Error> {
        let (name, now_ms) = (bucket.as_str().to_owned(), self.now_ms());
        let write = move |connection: &Connection| {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let row = find_upload(connection, bucket, &upload)?.ok_or(R2Error::UploadMissing)?;
            if row.is_finished {
                return Ok(((), Vec::new()));
            }
            let doomed = rows::parts_delete(connection, row.number)?;
            finish(connection, row.number, now_ms)?;
            Ok(((), doomed))
        };
        self.shard(bucket)?.commit(write, Vec::new()).await
    }
}

fn uploads(
    connection: &Connection,
    bucket: i64,
    query: &ListQuery,
    after: Option<UploadPlace>,
) -> Result<UploadPage, R2Error> {
    let mut page = UploadPage::default();
    let mut last = None;
    let (mut key, mut id) = (query.lower_bound(), String::new());
    if let Some(after) = after {
        // Without an id, behind all uploads of the key.
        let begin = match after.id {
            Some(id) => (after.key.into_bytes(), id),
            None => ([after.key.as_bytes(), &[0]].concat(), String::new()),
        };
        (key, id) = begin.max((key, id));
    }
    let mut select = connection.prepare_cached(
        "SELECT key, id, started_ms, storage_class FROM upload
         WHERE bucket = ?1 AND (?2, ?3) < (key, id) AND key < ?4 AND finished_ms IS NULL ORDER BY key, id",
    )?;
    'seek: loop {
        let mut found = select.query(params![bucket, key, id, query.upper_bound()])?;
        while let Some(row) = found.next()? {
            if page.uploads.len() + page.prefixes.len() == query.limit() {
                page.next = last;
                return Ok(page);
            }
            let upload = described(row)?;
            if let Some(prefix) = query.fold(&upload.key) {
                last = Some(UploadPlace { key: prefix.to_owned(), id: None });
                (key, id) = (beyond(prefix), String::new());
                page.prefixes.push(prefix.to_owned());
                continue 'seek;
            }
            last = Some(UploadPlace { key: upload.key.clone(), id: Some(upload.id.clone()) });
            page.uploads.push(upload);
        }
        return Ok(page);
    }
}

fn described(row: &Row<'_>) -> store::rusqlite::Result<Upload> {
    let (key, id, started_ms) = (rows::text(row, 0)?, row.get(1)?, row.get(2)?);
    Ok(Upload { key, id, started_ms, storage_class: rows::class(row.get(3)?) })
}

fn open_upload(connection: &Connection, bucket: i64, upload: &UploadId) -> Result<UploadRow, R2Error> {
    let found = find_upload(connection, bucket, upload)?;
    found.filter(|row| !row.is_finished).ok_or(R2Error::UploadMissing)
}

fn find_upload(
    connection: &Connection,
    bucket: i64,
    upload: &UploadId,
) -> Result<Option<UploadRow>, R2Error> {
    let mut select = connection.prepare_cached(
        "SELECT number, finished_ms IS NOT NULL, storage_class, ssec_key_md5, http, custom
         FROM upload WHERE id = ?1 AND bucket = ?2 AND key = ?3",
    )?;
    let found = select.query_row(params![upload.id, bucket, upload.key.as_bytes()], |row| {
        Ok(UploadRow {
            number: row.get(0)?,
            is_finished: row.get(1)?,
            storage_class: rows::class(row.get(2)?),
            ssec_key_md5: row.get(3)?,
            http: rows::from_json(row, 4)?,
            custom: rows::from_json(row, 5)?,
        })
    });
    Ok(found.optional()?)
}

fn finish(connection: &Connection, upload: i64, now_ms: u64) -> Result<(), R2Error> {
    connection
        .prepare_cached("UPDATE upload SET finished_ms = ?2 WHERE number = ?1")?
        .execute(params![upload, now_ms])?;
    Ok(())
}

fn parts(connection: &Connection, upload: i64) -> Result<Vec<PartRow>, R2Error> {
    let mut select =
        connection.prepare_cached("SELECT number, size, md5 FROM part WHERE upload = ?1 ORDER BY number")?;
    let rows = select.query_map([upload], |row| {
        Ok(PartRow { number: row.get(0)?, size: row.get(1)?, md5: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn part_delete(connection: &Connection, upload: i64, number: u32) -> Result<Option<Doomed>, R2Error> {
    let blob = connection
        .prepare_cached("DELETE FROM part WHERE upload = ?1 AND number = ?2 RETURNING blob")?
        .query_row(params![upload, number], |row| row.get(0))
        .optional()?;
    let Some(blob) = blob else { return Ok(None) };
    rows::blob_delete(connection, blob, Some(upload))
}

/// The parts that were named, in the order of their numbers, if an object can be made of them.
fn choose<'a>(present: &'a [PartRow], named: &[NamedPart]) -> Result<Vec<&'a PartRow>, R2Error> {
    let mut chosen = Vec::new();
    for named in named {
        let at = present.binary_search_by_key(&named.number.get(), |part| part.number);
        let part = at.ok().map(|at| &present[at]).filter(|part| hex::encode(part.md5) == named.etag);
        chosen.push(part.ok_or(R2Error::PartMissing)?);
    }
    let Some((_, before)) = chosen.split_last() else { return Err(R2Error::UploadBad) };
    if before.iter().any(|part| part.size < PART_BYTES_MIN) {
        return Err(R2Error::PartTooSmall);
    }
    chosen.sort_by_key(|part| part.number);
    if chosen.windows(2).any(|pair| pair[0].number == pair[1].number) {
        return Err(R2Error::UploadBad);
    }
    let (first, last) = (chosen[0].size, chosen[chosen.len() - 1].size);
    let is_even = chosen[..chosen.len() - 1].iter().all(|part| part.size == first);
    let is_full = chosen.len() == 1 || PART_BYTES_MIN <= first;
    if is_even && is_full && last <= first { Ok(chosen) } else { Err(R2Error::UploadBad) }
}

/// The MD5 of all parts' MD5s, a dash, and their number.
fn etag(parts: &[&PartRow]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.md5);
    }
    format!("{}-{}", hex::encode(md5.finalize()), parts.len())
}
