//! What was asked of each database, hour by hour: for `wrangler d1 info` and `d1 insights`, and for the metrics. It is kept in
//! memory alone, and bounded: what was asked longest ago is forgotten first.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use model::DatabaseId;
use tasks::Clock;

use crate::{model::Meta, sql::Ran, store::Imported};

/// Databases whose figures are kept.
const DATABASES_MAX: usize = 256;

/// Different statements of a database whose figures are kept.
const STATEMENTS_MAX: usize = 64;

/// Hours that figures reach back.
const HOURS_MAX: u64 = 48;

/// Bytes of a statement by which it is known; longer ones are cut.
const STATEMENT_BYTES_MAX: usize = 4096;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// All figures.
#[derive(Debug)]
pub(crate) struct Usage {
    clock: Clock,
    databases: Mutex<HashMap<DatabaseId, DatabaseUsage>>,
    totals: Totals,
}

/// Since the server started.
#[derive(Debug, Default)]
struct Totals {
    queries_read: AtomicU64,
    queries_write: AtomicU64,
    rows_read: AtomicU64,
    rows_written: AtomicU64,
}

/// What was asked of one database.
#[derive(Debug, Default, Clone)]
pub(crate) struct DatabaseUsage {
    used_ms: u64,
    /// Its size after the last statement.
    bytes: u64,
    pub(crate) hours: Hours,
    statements: HashMap<Arc<str>, StatementUsage>,
}

#[derive(Debug, Default, Clone)]
struct StatementUsage {
    used_ms: u64,
    hours: Hours,
}

/// Sums by the hour, the newest last.
#[derive(Debug, Default, Clone)]
pub(crate) struct Hours(VecDeque<(u64, Sums)>);

/// What statements did together.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    pub(crate) read_queries: u64,
    pub(crate) write_queries: u64,
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) rows_returned: u64,
    pub(crate) duration_ms: f64,
}

impl Usage {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, databases: Mutex::default(), totals: Totals::default() }
    }

    /// After a request.
    pub(crate) fn count(&self, database: DatabaseId, ran: &[Ran]) {
        let now_ms = self.clock.unix_ms();
        let mut databases = self.databases();
        let usage = entry(&mut databases, database, now_ms);
        // A batch is mostly one statement again and again.
        for same in ran.chunk_by(|one, next| one.sql == next.sql) {
            let mut sums = Sums::default();
            for ran in same {
                sums.add(ran.into());
                usage.bytes = ran.meta.size_after;
            }
            usage.hours.add(now_ms, sums);
            usage.statement(&same[0].sql, now_ms).hours.add(now_ms, sums);
            self.totals.add(sums);
        }
    }

    /// After an import. Its statements are as many as its rows, so they are not told apart.
    pub(crate) fn count_import(&self, database: DatabaseId, imported: &Imported, meta: &Meta) {
        let now_ms = self.clock.unix_ms();
        let sums = Sums {
            write_queries: imported.sums.statements,
            rows_read: meta.rows_read,
            rows_written: meta.rows_written,
            duration_ms: meta.duration,
            ..Sums::default()
        };
        let mut databases = self.databases();
        let usage = entry(&mut databases, database, now_ms);
        usage.bytes = meta.size_after;
        usage.hours.add(now_ms, sums);
        self.totals.add(sums);
    }

    /// After a database is no more.
    pub(crate) fn forget(&self, database: DatabaseId) {
        self.databases().remove(&database);
    }

    /// What is known of the databases that `is_asked` for.
    pub(crate) fn of(&self, is_asked: impl Fn(DatabaseId) -> bool) -> Vec<(DatabaseId, DatabaseUsage)> {
        let databases = self.databases();
        let asked = databases.iter().filter(|(id, _)| is_asked(**id));
        asked.map(|(id, usage)| (*id, usage.clone())).collect()
    }

    /// A database's size after its last statement, if that is known.
    pub(crate) fn bytes(&self, database: DatabaseId) -> Option<u64> {
        self.databases().get(&database).map(|usage| usage.bytes)
    }

    /// Statements and rows since the server started, under the names that metrics have for them.
    pub(crate) fn totals(&self) -> [(&'static str, u64); 4] {
        let Totals { queries_read, queries_write, rows_read, rows_written } = &self.totals;
        let named = [
            ("read_queries", queries_read),
            ("write_queries", queries_write),
            ("rows_read", rows_read),
            ("rows_written", rows_written),
        ];
        named.map(|(name, total)| (name, total.load(Ordering::Relaxed)))
    }

    fn databases(&self) -> MutexGuard<'_, HashMap<DatabaseId, DatabaseUsage>> {
        // Nothing in the critical sections can leave the figures half changed.
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(
    databases: &mut HashMap<DatabaseId, DatabaseUsage>,
    database: DatabaseId,
    now_ms: u64,
) -> &mut DatabaseUsage {
    if DATABASES_MAX <= databases.len() && !databases.contains_key(&database) {
        let oldest = databases.iter().min_by_key(|(_, usage)| usage.used_ms).map(|(id, _)| *id);
        oldest.and_then(|oldest| databases.remove(&oldest));
    }
    let usage = databases.entry(database).or_default();
    usage.used_ms = now_ms;
    usage
}

impl DatabaseUsage {
    /// The figures of one statement.
    fn statement(&mut self, sql: &str, now_ms: u64) -> &mut StatementUsage {
        let sql = &sql[..sql.floor_char_boundary(STATEMENT_BYTES_MAX)];
        if !self.statements.contains_key(sql) {
            if STATEMENTS_MAX <= self.statements.len() {
                let oldest = self.statements.iter().min_by_key(|(_, usage)| usage.used_ms);
                let oldest = oldest.map(|(sql, _)| Arc::clone(sql));
                oldest.and_then(|oldest| self.statements.remove(&oldest));
            }
            self.statements.insert(sql.into(), StatementUsage::default());
        }
        let statement = self.statements.get_mut(sql).expect("it was put in if it was not there");
        statement.used_ms = now_ms;
        statement
    }

    /// All statements with their hours.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (&str, &Hours)> {
        self.statements.iter().map(|(sql, usage)| (&**sql, &usage.hours))
    }
}

impl Hours {
    fn add(&mut self, now_ms: u64, sums: Sums) {
        let hour = now_ms / HOUR_MS;
        match self.0.back_mut() {
            // A clock that was set back counts in the hour that it was.
            Some((newest, so_far)) if hour <= *newest => so_far.add(sums),
            _ => self.0.push_back((hour, sums)),
        }
        while self.0.front().is_some_and(|(oldest, _)| oldest + HOURS_MAX <= hour) {
            self.0.pop_front();
        }
    }

    /// The sums of each hour, with the millisecond at which it began.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Sums)> {
        self.0.iter().map(|(hour, sums)| (hour * HOUR_MS, *sums))
    }
}

impl Sums {
    pub(crate) fn add(&mut self, other: Self) {
        self.read_queries += other.read_queries;
        self.write_queries += other.write_queries;
        self.rows_read += other.rows_read;
        self.rows_written += other.rows_written;
        self.rows_returned += other.rows_returned;
        self.duration_ms += other.duration_ms;
    }
}

impl From<&Ran> for Sums {
    fn from(Ran { meta, rows_returned, is_reading, .. }: &Ran) -> Self {
        Self {
            read_queries: u64::from(*is_reading),
            write_queries: u64::from(!is_reading),
            rows_read: meta.rows_read,
            rows_written: meta.rows_written,
            rows_returned: *rows_returned,
            duration_ms: meta.duration,
        }
    }
}

impl Totals {
    fn add(&self, sums: Sums) {
        self.queries_read.fetch_add(sums.read_queries, Ordering::Relaxed);
        self.queries_write.fetch_add(sums.write_queries, Ordering::Relaxed);
        self.rows_read.fetch_add(sums.rows_read, Ordering::Relaxed);
        self.rows_written.fetch_add(sums.rows_written, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::DatabaseId;
    use tasks::Clock;

    use super::{DATABASES_MAX, HOURS_MAX, STATEMENT_BYTES_MAX, STATEMENTS_MAX, Usage};
    use crate::{model::Meta, sql::Ran};

    fn ran(sql: String) -> Ran {
        let meta = Meta { rows_read: 2, duration: 0.5, size_after: 4096, ..Meta::default() };
        Ran { sql: sql.into(), meta, rows_returned: 1, is_reading: true }
    }

    #[test]
    fn figures_are_bounded_and_what_is_used_stays() {
        let clock = Clock::manual(1_800_000_000_000);
        let (usage, mine) = (Usage::new(clock.clone()), DatabaseId::random());
        for number in 0..10 * STATEMENTS_MAX {
            usage.count(mine, &[ran("often".to_owned()), ran(format!("once {number}"))]);
            usage.count(DatabaseId::random(), &[ran("x".repeat(100_000))]);
            clock.advance(Duration::from_secs(15 * 60));
        }
        assert_eq!(usage.of(|_| true).len(), DATABASES_MAX);
        let [(_, found)] = &usage.of(|id| id == mine)[..] else { panic!("one database") };
        assert_eq!(found.statements().count(), STATEMENTS_MAX);
        let (_, often) = found.statements().find(|(sql, _)| *sql == "often").expect("it is used often");
        let hours: Vec<_> = often.iter().collect();
        assert_eq!(hours.len() as u64, HOURS_MAX);
        assert!(hours.iter().all(|(_, sums)| sums.read_queries == 4 && sums.rows_read == 8));
        let longest = usage
            .of(|_| true)
            .iter()
            .flat_map(|(_, usage)| usage.statements().map(|(sql, _)| sql.len()).collect::<Vec<_>>())
            .max();
        assert_eq!(longest, Some(STATEMENT_BYTES_MAX));
        assert_eq!(usage.totals()[0].1, 30 * STATEMENTS_MAX as u64);
    }
}
