//! What D1 refuses, and what each door says of it. The texts that user code sees are Cloudflare's and SQLite's own: they
//! break the house's rule on capitals and full stops on purpose.

use axum::http::StatusCode;
use store::{
    StoreError,
    rusqlite::{self, ffi},
};
use v4::ApiError;

use crate::model::{
    DATABASE_BYTES_MAX, DATABASES_MAX, IMPORT_BYTES_MAX, NAME_BYTES_MAX, QUERY_DURATION_MAX,
    REQUEST_TEMPORARY_BYTES_MAX, RESULT_BYTES_MAX, STATEMENT_BYTES_MAX, TRANSFERS_MAX,
};

/// What can go wrong with a person's SQL.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SqlError {
    /// What SQLite says, with its code's name.
    #[error("{0}")]
    Sqlite(String),
    #[error("No SQL statements detected.")]
    NoStatements,
    #[error("Wrong number of parameter bindings for SQL query.")]
    WrongParameters,
    #[error(
        "When executing multiple SQL statements in a single call, only the last statement can have parameters."
    )]
    ParametersTooEarly,
    #[error("Statement too long: the limit is {STATEMENT_BYTES_MAX} bytes: SQLITE_TOOBIG")]
    StatementTooLong,
    #[error(
        "Query result too large: the limit is {RESULT_BYTES_MAX} bytes; select fewer rows or columns, or use LIMIT"
    )]
    ResultTooLarge,
    #[error(
        "D1 DB storage operation exceeded timeout which caused object to be reset: the statements of a request may run for {} seconds",
        QUERY_DURATION_MAX.as_secs()
    )]
    Timeout,
    #[error("D1 DB exceeded its maximum size of {DATABASE_BYTES_MAX} bytes: SQLITE_FULL")]
    DatabaseFull,
    #[error(
        "D1 DB query needs more than {REQUEST_TEMPORARY_BYTES_MAX} bytes of temporary space to sort or group its rows: select fewer rows or columns, or let an index do it: SQLITE_FULL"
    )]
    TooMuchTemporary,
    #[error("D1 DB is overloaded. Too many requests queued.")]
    Overloaded,
    #[error("D1 DB is overloaded. Requests queued for too long.")]
    QueuedTooLong,
    #[error("Currently processing a long-running import.")]
    Importing,
    /// Some statements were found to be none.
    #[error("SQL code did not contain a statement.")]
    NoStatement,
    /// In the words that workerd has for it; in D1, `batch()` is what they mean.
    #[error(
        "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic write coalescing."
    )]
    TransactionStatement,
    /// It is not the statement's fault.
    #[error(transparent)]
    Storage(StoreError),
}

/// What can go wrong in D1.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum D1Error {
    #[error("{0}")]
    Sql(SqlError),
    #[error("The database {0} could not be found")]
    DatabaseMissing(String),
    #[error("A database with the name \"{0}\" already exists")]
    NameExists(String),
    #[error(
        "\"{0}\" is not a database name: use at most {NAME_BYTES_MAX} letters, digits, dashes and underscores, beginning with a letter or digit"
    )]
    NameInvalid(String),
    #[error("too many databases in this account; the limit is {DATABASES_MAX}")]
    DatabasesTooMany,
    #[error("could not parse the request: {0}")]
    RequestMalformed(String),
    #[error("{0} is not a method of a D1 database")]
    MethodUnknown(String),
    #[error("\"{0}\" is not a bookmark of this database")]
    BookmarkInvalid(String),
    #[error("the state at {0} is not kept any more, or not yet there")]
    MomentNotKept(String),
    #[error("statement {number}, which begins in line {line}: {error}; nothing of the file was imported")]
    ImportStatement { number: u64, line: u64, error: SqlError },
    #[error("{0}; nothing of the file was imported")]
    ImportText(String),
    #[error("stopped, because the database was deleted or the server is stopping; nothing of it was kept")]
    Stopped,
    #[error("the file has more than {IMPORT_BYTES_MAX} bytes, the largest that can be imported")]
    UploadTooLarge,
    #[error("the file broke off while it was uploaded")]
    UploadIncomplete,
    #[error("\"{0}\" is not an etag: use the file's MD5 in hex")]
    EtagInvalid(String),
    #[error("the uploaded file has the MD5 {found}, not {announced}")]
    EtagMismatch { announced: String, found: String },
    #[error("the file \"{0}\" was not uploaded, or is not kept any more: begin with the action \"init\"")]
    UploadMissing(String),
    #[error("this URL is not valid, was used already, or has expired")]
    UrlUnknown,
    #[error("too many imports, exports, backups and restores at once; the limit is {TRANSFERS_MAX}")]
    TransfersTooMany,
    #[error("Currently processing a long-running export.")]
    Exporting,
    /// Cloudflare's words, whatever kind of virtual table it is.
    #[error("D1 Export error: cannot export databases with Virtual Tables (fts5)")]
    ExportVirtualTable,
    #[error("there is no table \"{0}\" to export")]
    ExportTableMissing(String),
    #[error("read replication is \"disabled\" on one machine; it cannot be \"{0}\"")]
    ReadReplication(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqlError {
    /// What a person is told of an error of their statements; those of our own are [`StoreError`]s.
    pub(crate) fn told(error: &rusqlite::Error) -> Self {
        Self::Sqlite(match error {
            rusqlite::Error::SqliteFailure(code, message) => {
                with_code(message.as_deref().unwrap_or(&code.to_string()), *code)
            }
            rusqlite::Error::SqlInputError { error, msg, offset, .. } if 0 <= *offset => {
                with_code(&format!("{msg} at offset {offset}"), *error)
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => with_code(msg, *error),
            other => other.to_string(),
        })
    }

    /// Whether an error says that the files cannot be used. A virtual table that finds its content wrong and a write that a
    /// reader was asked for say so to their author alone.
    pub(crate) fn is_of_storage(error: &rusqlite::Error) -> bool {
        let Some(&code) = error.sqlite_error() else { return false };
        match code.extended_code {
            ffi::SQLITE_CORRUPT_VTAB | ffi::SQLITE_READONLY => false,
            extended => matches!(
                extended & 0xff,
                ffi::SQLITE_CORRUPT
                    | ffi::SQLITE_NOTADB
                    | ffi::SQLITE_IOERR
                    | ffi::SQLITE_CANTOPEN
                    | ffi::SQLITE_READONLY
            ),
        }
    }
}

impl From<SqlError> for D1Error {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Storage(error) => Self::Store(error),
            error => Self::Sql(error),
        }
    }
}

/// Adds SQLite's names of the code, as workerd does.
fn with_code(message: &str, error: ffi::Error) -> String {
    let (primary, extended) = (error.extended_code & 0xff, error.extended_code);
    let name = name_of(primary);
    match extended_name_of(extended) {
        Some(extended) => format!("{message}: {name} (extended: {extended})"),
        None => format!("{message}: {name}"),
    }
}

fn name_of(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        ffi::SQLITE_PERM => "SQLITE_PERM",
        ffi::SQLITE_ABORT => "SQLITE_ABORT",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
        ffi::SQLITE_NOMEM => "SQLITE_NOMEM",
        ffi::SQLITE_READONLY => "SQLITE_READONLY",
        ffi::SQLITE_INTERRUPT => "SQLITE_INTERRUPT",
        ffi::SQLITE_IOERR => "SQLITE_IOERR",
        ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
        ffi::SQLITE_FULL => "SQLITE_FULL",
        ffi::SQLITE_CANTOPEN => "SQLITE_CANTOPEN",
        ffi::SQLITE_SCHEMA => "SQLITE_SCHEMA",
        ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_MISUSE => "SQLITE_MISUSE",
        ffi::SQLITE_AUTH => "SQLITE_AUTH",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
        _ => "SQLITE_UNKNOWN",
    }
}

/// The extended codes that a person's statements bring about.
fn extended_name_of(code: i32) -> Option<&'static str> {
    Some(match code {
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_CONSTRAINT_VTAB => "SQLITE_CONSTRAINT_VTAB",
        ffi::SQLITE_CORRUPT_VTAB => "SQLITE_CORRUPT_VTAB",
        ffi::SQLITE_ERROR_MISSING_COLLSEQ => "SQLITE_ERROR_MISSING_COLLSEQ",
        _ => return None,
    })
}

/// What a person may know of a failure below D1's own rules, in the manner of Cloudflare's "Internal error in D1 DB storage
/// caused object to be reset."; the whole of it goes to the log.
fn store_failure(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Full(_) => {
            (StatusCode::INSUFFICIENT_STORAGE, "Internal error in D1 DB storage: the server's disk is full.")
        }
        StoreError::ReadOnly(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Internal error in D1 DB storage: the server's disk is read-only.",
        ),
        StoreError::Corrupt(_) | StoreError::Newer(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error in D1 DB storage: a file of the database cannot be read; the server's log says which.",
        ),
        StoreError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "The server is stopping."),
        StoreError::Sqlite(_) | StoreError::File(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal error in D1 DB storage; the server's log says why.")
        }
    }
}

impl D1Error {
    /// The text for the caller. Logs what a person must look at.
    pub(crate) fn tell(&self) -> String {
        match self {
            Self::Store(error) => {
                if !matches!(error, StoreError::Closed) {
                    tracing::error!(%error, "D1 could not answer");
                }
                store_failure(error).1.to_owned()
            }
            other => other.to_string(),
        }
    }

    /// Status, and Cloudflare's code where one is known (Cloudflare: API reference, and what its API was seen to answer).
    fn facts(&self) -> (StatusCode, u32) {
        match self {
            Self::Sql(SqlError::Overloaded | SqlError::QueuedTooLong | SqlError::Importing)
            | Self::Exporting
            | Self::TransfersTooMany => (StatusCode::TOO_MANY_REQUESTS, 7500),
            Self::Sql(_)
            | Self::ImportStatement { .. }
            | Self::ImportText(_)
            | Self::Stopped
            | Self::ExportVirtualTable
            | Self::ExportTableMissing(_) => (StatusCode::BAD_REQUEST, 7500),
            Self::DatabaseMissing(_) => (StatusCode::NOT_FOUND, 7404),
            Self::NameExists(_) => (StatusCode::BAD_REQUEST, 7502),
            Self::DatabasesTooMany => (StatusCode::FORBIDDEN, 7406),
            Self::UploadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, v4::code::BAD_REQUEST),
            Self::UploadMissing(_) | Self::UrlUnknown => (StatusCode::NOT_FOUND, v4::code::BAD_REQUEST),
            Self::NameInvalid(_)
            | Self::UploadIncomplete
            | Self::EtagInvalid(_)
            | Self::EtagMismatch { .. }
            | Self::ReadReplication(_)
            | Self::RequestMalformed(_)
            | Self::BookmarkInvalid(_)
            | Self::MomentNotKept(_) => (StatusCode::BAD_REQUEST, v4::code::BAD_REQUEST),
            Self::MethodUnknown(_) => (StatusCode::METHOD_NOT_ALLOWED, v4::code::WRONG_METHOD),
            Self::Store(error) => (store_failure(error).0, v4::code::INTERNAL),
        }
    }
}

impl From<D1Error> for ApiError {
    fn from(error: D1Error) -> Self {
        let (status, code) = error.facts();
        Self::new(status, code, error.tell())
    }
}
