//! Custom domains of buckets, row by row: each function is one step inside a transaction that its caller began.

use model::{BucketDomain, BucketPlace, NewBucketDomain};
use store::rusqlite::{Connection, Row, ToSql, params};

use super::zones::{domain_of_host, zone_for};
use crate::{
    error::WorkersError,
    zones::{DOMAINS_MAX, ZoneKey},
};

const SELECT: &str = "SELECT d.hostname, z.id, z.name, d.bucket_id, d.bucket_name, d.is_enabled, d.min_tls \
     FROM workers_bucket_domains d JOIN workers_zones z ON z.id = d.zone";

pub(crate) fn all(db: &Connection) -> Result<Vec<BucketDomain>, WorkersError> {
    find(db, "TRUE", &[])
}

pub(crate) fn of_bucket(db: &Connection, bucket_id: &str) -> Result<Vec<BucketDomain>, WorkersError> {
    find(db, "d.bucket_id = ?1", &[&bucket_id])
}

pub(crate) fn of_host(db: &Connection, hostname: &str) -> Result<Option<BucketDomain>, WorkersError> {
    Ok(find(db, "d.hostname = ?1", &[&hostname])?.pop())
}

pub(crate) fn put(
    db: &Connection,
    key: &ZoneKey,
    new: &NewBucketDomain,
) -> Result<BucketDomain, WorkersError> {
    let zone = zone_for(db, key, &new.hostname)?;
    let old = of_host(db, &new.hostname)?;
    let is_anothers = old.as_ref().is_some_and(|old| old.bucket.id != new.bucket.id);
    if is_anothers || domain_of_host(db, &new.hostname)?.is_some() {
        return Err(WorkersError::DomainInUse(new.hostname.clone()));
    }
    let sql = "SELECT count(*) FROM workers_bucket_domains WHERE zone = ?1";
    let count: usize = db.query_row(sql, [&zone.id], |row| row.get(0))?;
    if old.is_none() && DOMAINS_MAX <= count {
        return Err(WorkersError::TooMany(DOMAINS_MAX, "custom domains of buckets in this zone"));
    }
    let NewBucketDomain { hostname, bucket, is_enabled, min_tls, .. } = new;
    db.execute(
        "INSERT OR REPLACE INTO workers_bucket_domains (hostname, zone, bucket_id, bucket_name, is_enabled, min_tls) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![hostname, zone.id, bucket.id, bucket.name, is_enabled, min_tls],
    )?;
    of_host(db, hostname)?.ok_or(WorkersError::DomainMissing)
}

pub(crate) fn delete(db: &Connection, bucket_id: &str, hostname: &str) -> Result<(), WorkersError> {
    let sql = "DELETE FROM workers_bucket_domains WHERE bucket_id = ?1 AND hostname = ?2";
    if db.execute(sql, [bucket_id, hostname])? == 0 {
        return Err(WorkersError::DomainMissing);
    }
    Ok(())
}

pub(crate) fn forget(db: &Connection, bucket_id: &str) -> Result<(), WorkersError> {
    db.execute("DELETE FROM workers_bucket_domains WHERE bucket_id = ?1", [bucket_id])?;
    Ok(())
}

fn find(
    db: &Connection,
    condition: &'static str,
    values: &[&dyn ToSql],
) -> Result<Vec<BucketDomain>, WorkersError> {
    let mut select = db.prepare_cached(&format!("{SELECT} WHERE {condition} ORDER BY d.hostname"))?;
    let rows = select.query_map(values, |row: &Row<'_>| {
        Ok(BucketDomain {
            hostname: row.get(0)?,
            zone_id: row.get(1)?,
            zone_name: row.get(2)?,
            bucket: BucketPlace { id: row.get(3)?, name: row.get(4)? },
            is_enabled: row.get(5)?,
            min_tls: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
