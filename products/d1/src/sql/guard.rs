//! What statements may do and for how long: SQLite's authorizer and progress handler of one connection, and the notes they
//! take for the one who runs the statements.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use store::{
    Failure, StoreError,
    rusqlite::{
        self, Connection, ErrorCode,
        hooks::{AuthAction, AuthContext, Authorization},
    },
};
use tasks::Clock;

use super::space::{self, Refusal};
use crate::{
    error::SqlError,
    model::{IMPORT_DURATION_MAX, QUERY_DURATION_MAX, REQUEST_TEMPORARY_BYTES_MAX, TEMPORARY_BYTES_MAX},
};

/// Steps of SQLite's virtual machine between two looks at the clock: about 10 µs.
const STEPS_PER_LOOK: i32 = 1_000;

/// Looks that a quick read may take on the thread that serves connections: about half a millisecond.
const QUICK_LOOKS_MAX: u32 = 50;

/// Pragmas that read; each with or without an argument, which names a table or index (workerd allows these).
const PRAGMAS_THAT_READ: &[&str] = &[
    "data_version",
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "optimize",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Pragmas that switch something on or off. They hold for the request alone.
const PRAGMAS_THAT_SWITCH: &[&str] = &[
    "case_sensitive_like",
    "defer_foreign_keys",
    "foreign_keys",
    "ignore_check_constraints",
    "legacy_alter_table",
    "recursive_triggers",
    "reverse_unordered_selects",
];

/// What all switches are set back to after a request that touched one.
const SWITCHES_AS_THEY_WERE: &str = "PRAGMA case_sensitive_like = OFF; PRAGMA defer_foreign_keys = OFF;
    PRAGMA foreign_keys = ON; PRAGMA ignore_check_constraints = OFF; PRAGMA legacy_alter_table = OFF;
    PRAGMA recursive_triggers = OFF; PRAGMA reverse_unordered_selects = OFF;";

/// Kinds of virtual tables that may be made.
const MODULES: &[&str] = &["fts5", "fts5vocab", "rtree", "rtree_i32"];

/// Functions that reach out of the database.
const FUNCTIONS_REFUSED: &[&str] = &["fts3_tokenizer", "load_extension"];

/// Names that begin so are the platform's own.
const RESERVED_PREFIX: &str = "_cf_";

/// Watches one connection; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<State>);

#[derive(Debug)]
struct State {
    file: PathBuf,
    clock: Clock,
    origin: Instant,
    /// Nanoseconds after `origin` at which statements are stopped.
    until_ns: AtomicU64,
    /// Looks that are left to a quick read.
    looks_left: AtomicU32,
    stopped: AtomicU8,
    /// The statements are ours: all is allowed.
    is_ours: AtomicBool,
    caller: Mutex<Caller>,
    is_switched: AtomicBool,
    was_pragma: AtomicBool,
    is_transaction_refused: AtomicBool,
}

/// Somebody who waits for a request's answer; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Arc<AtomicBool>);

impl Caller {
    fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits no longer once this is dropped.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting(self.clone())
    }
}

/// While it is there, the caller waits.
#[derive(Debug)]
pub(crate) struct Waiting(Caller);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// What statements may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(super) duration: Duration,
    pub(super) temporary_bytes: u64,
}

impl Allowance {
    /// Those of a request.
    pub(crate) const REQUEST: Self =
        Self { duration: QUERY_DURATION_MAX, temporary_bytes: REQUEST_TEMPORARY_BYTES_MAX };
    /// Those of an import.
    pub(crate) const IMPORT: Self =
        Self { duration: IMPORT_DURATION_MAX, temporary_bytes: TEMPORARY_BYTES_MAX };
}

/// Why statements were stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    No,
    /// They ran as long as a request may, or nobody waits for them.
    Time,
    /// A quick read is not quick: it is to be run where it disturbs nobody.
    Quick,
}

impl Guard {
    /// Puts a guard on a connection.
    pub(crate) fn on(connection: &mut Connection, file: &Path, clock: Clock) -> rusqlite::Result<Self> {
        let state = Arc::new(State {
            file: file.to_owned(),
            origin: clock.monotonic(),
            clock,
            until_ns: AtomicU64::new(u64::MAX),
            looks_left: AtomicU32::new(u32::MAX),
            stopped: AtomicU8::new(0),
            is_ours: AtomicBool::new(false),
            caller: Mutex::default(),
            is_switched: AtomicBool::new(false),
            was_pragma: AtomicBool::new(false),
            is_transaction_refused: AtomicBool::new(false),
        });
        let looking = Arc::clone(&state);
        connection.progress_handler(STEPS_PER_LOOK, Some(move || looking.is_to_stop()))?;
        let judging = Arc::clone(&state);
        connection.authorizer(Some(move |context: AuthContext<'_>| judging.judge(&context)))?;
        Ok(Self(state))
    }

    /// From now on, the statements of this thread may use what is allowed, or run until nobody waits for them any more; quick
    /// ones are given up long before.
    pub(crate) fn begin(&self, allowance: Allowance, is_quick: bool, caller: &Caller) {
        space::begin(allowance.temporary_bytes);
        *self.0.caller() = caller.clone();
        let limit_ns = u64::try_from(allowance.duration.as_nanos()).unwrap_or(u64::MAX);
        let until = self.0.elapsed_ns().saturating_add(limit_ns);
        self.0.until_ns.store(until, Ordering::Relaxed);
        self.0.looks_left.store(if is_quick { QUICK_LOOKS_MAX } else { u32::MAX }, Ordering::Relaxed);
        self.0.stopped.store(0, Ordering::Relaxed);
        self.0.is_transaction_refused.store(false, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> Stopped {
        match self.0.stopped.load(Ordering::Relaxed) {
            0 => Stopped::No,
            1 => Stopped::Time,
            _ => Stopped::Quick,
        }
    }

    /// Runs statements of ours.
    pub(crate) fn ours<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.0.is_ours.swap(true, Ordering::Relaxed);
        let result = work();
        self.0.is_ours.store(before, Ordering::Relaxed);
        result
    }

    /// Runs one statement of ours that answers nothing.
    pub(crate) fn execute(&self, connection: &Connection, sql: &str) -> rusqlite::Result<()> {
        self.ours(|| connection.prepare_cached(sql)?.execute([])).map(drop)
    }

    /// Whether a pragma was compiled since this was asked last.
    pub(crate) fn was_pragma(&self) -> bool {
        self.0.was_pragma.swap(false, Ordering::Relaxed)
    }

    /// Leaves the connection as it was before the request.
    pub(crate) fn end(&self, connection: &Connection) -> rusqlite::Result<()> {
        *self.0.caller() = Caller::default();
        self.0.until_ns.store(u64::MAX, Ordering::Relaxed);
        self.0.looks_left.store(u32::MAX, Ordering::Relaxed);
        if self.0.is_switched.swap(false, Ordering::Relaxed) {
            self.ours(|| connection.execute_batch(SWITCHES_AS_THEY_WERE))?;
        }
        Ok(())
    }

    /// What a person is told of an error, knowing what was stopped or refused here.
    pub(crate) fn explain(&self, error: rusqlite::Error) -> SqlError {
        if self.stopped() == Stopped::Time {
            SqlError::Timeout
        } else if self.0.is_transaction_refused.load(Ordering::Relaxed) {
            SqlError::TransactionStatement
        } else {
            self.explain_code(&error)
        }
    }

    fn explain_code(&self, error: &rusqlite::Error) -> SqlError {
        let file = &self.0.file;
        if error.sqlite_error_code() != Some(ErrorCode::DiskFull) {
            let is_of_storage = SqlError::is_of_storage(error);
            let storage = || SqlError::Storage(StoreError::sqlite("use", file, error));
            return if is_of_storage { storage() } else { SqlError::told(error) };
        }
        match space::refusal() {
            None => SqlError::DatabaseFull,
            Some(Refusal::Limit) => SqlError::TooMuchTemporary,
            Some(Refusal::LogDisk) => SqlError::Storage(StoreError::sqlite("write to", file, error)),
            Some(Refusal::TemporaryDisk) => SqlError::Storage(StoreError::Full(Failure {
                tried: "write a temporary file for",
                file: file.clone(),
                cause: error.to_string(),
            })),
        }
    }
}

impl State {
    fn elapsed_ns(&self) -> u64 {
        let elapsed = self.clock.monotonic().saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    fn is_to_stop(&self) -> bool {
        if self.is_ours.load(Ordering::Relaxed) {
            return false;
        }
        let left = self.looks_left.load(Ordering::Relaxed);
        let is_late = || self.until_ns.load(Ordering::Relaxed) <= self.elapsed_ns();
        let stopped = if left == 0 {
            2
        } else if is_late() || self.caller().is_gone() {
            1
        } else {
            0
        };
        if left != u32::MAX && 0 < left {
            self.looks_left.store(left - 1, Ordering::Relaxed);
        }
        self.stopped.store(stopped, Ordering::Relaxed);
        stopped != 0
    }

    fn caller(&self) -> MutexGuard<'_, Caller> {
        // It is replaced whole.
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        if self.is_ours.load(Ordering::Relaxed) || self.is_allowed(context) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }

    fn is_allowed(&self, context: &AuthContext<'_>) -> bool {
        match context.action {
            AuthAction::Select | AuthAction::Recursive | AuthAction::Analyze { .. } => true,
            AuthAction::Read { table_name, .. }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::CreateTable { table_name }
            | AuthAction::DropTable { table_name }
            | AuthAction::AlterTable { table_name, .. } => is_free(table_name),
            AuthAction::CreateIndex { index_name: name, table_name }
            | AuthAction::DropIndex { index_name: name, table_name }
            | AuthAction::CreateTrigger { trigger_name: name, table_name }
            | AuthAction::DropTrigger { trigger_name: name, table_name } => {
                is_free(name) && is_free(table_name)
            }
            AuthAction::CreateView { view_name: name }
            | AuthAction::DropView { view_name: name }
            | AuthAction::Reindex { index_name: name } => is_free(name),
            AuthAction::CreateVtable { table_name, module_name }
            | AuthAction::DropVtable { table_name, module_name } => {
                is_free(table_name) && is_among(MODULES, module_name)
            }
            AuthAction::Function { function_name } => !is_among(FUNCTIONS_REFUSED, function_name),
            AuthAction::Pragma { pragma_name, pragma_value } => {
                self.is_pragma_allowed(pragma_name, pragma_value)
            }
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
                self.is_transaction_refused.store(true, Ordering::Relaxed);
                false
            }
            // Other databases, temporary tables, and what a newer SQLite may bring.
            _ => false,
        }
    }

    fn is_pragma_allowed(&self, name: &str, value: Option<&str>) -> bool {
        self.was_pragma.store(true, Ordering::Relaxed);
        if is_among(PRAGMAS_THAT_SWITCH, name) {
            if value.is_some() {
                self.is_switched.store(true, Ordering::Relaxed);
            }
            return true;
        }
        // The R*Tree module asks for the size itself; nobody may set it.
        let is_size = name.eq_ignore_ascii_case("page_size") && value.is_none();
        is_size || (is_among(PRAGMAS_THAT_READ, name) && value.is_none_or(is_free))
    }
}

fn is_free(name: &str) -> bool {
    !name.get(..RESERVED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
}

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
