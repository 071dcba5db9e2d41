//! What can be typed. `--help` is made from the comments here.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

/// The Cloudflare developer platform on your own machine
///
/// Start the server with `skerry serve`. In a project folder, tell wrangler where it is and deploy:
///
///     eval "$(skerry env)" && npx wrangler deploy
#[derive(Debug, Parser)]
#[command(name = "skerry", version, verbatim_doc_comment, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server until Ctrl-C or SIGTERM
    Serve(Serve),
    /// Print the environment that points wrangler and the SDKs here
    #[command(after_help = "Use it like this:\n  eval \"$(skerry env)\" && npx wrangler deploy")]
    Env(Env),
    /// Show where each Worker answers
    Urls(Urls),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(Token),
    /// Take a KV namespace out, and put it in again
    #[command(subcommand)]
    Kv(Kv),
    /// Look after R2's objects
    #[command(subcommand)]
    R2(R2),
    /// Look after D1's databases
    #[command(subcommand)]
    D1(D1),
    /// Look at Durable Objects
    #[command(subcommand)]
    Do(Do),
    /// Check that this machine can run Skerry, and say what to do if not
    Doctor(Doctor),
    /// Install the engine that runs the Workers
    #[command(subcommand)]
    Engine(Engine),
}

/// Which data folder.
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// The data folder [default: $SKERRY_DATA, else ~/.local/share/skerry]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) data: Data,
    /// Where Workers answer [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Where Workers answer over TLS [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<SocketAddr>,
    /// Where the v4 API answers [default: 127.0.0.1:8788]
    #[arg(long, value_name = "ADDR")]
    pub(crate) api: Option<SocketAddr>,
    /// Where the S3 API of R2 answers [default: 127.0.0.1:8789, or a free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub(crate) s3: Option<SocketAddr>,
    /// Workers answer below this domain, a Worker hello at hello.NAME [default: localhost]
    #[arg(long, value_name = "NAME")]
    pub(crate) base_domain: Option<String>,
    /// A TOML file with further settings (docs/settings.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Env {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The settings file of the server, for its addresses while it does not run
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Urls {
    /// Only this Worker
    pub(crate) script: Option<String>,
    #[command(flatten)]
    pub(crate) data: Data,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it; it cannot be shown again
    Create {
        /// What it is for
        name: String,
        /// It may look, but change nothing
        #[arg(long)]
        read_only: bool,
        #[command(flatten)]
        data: Data,
    },
    /// List the tokens
    List {
        #[command(flatten)]
        data: Data,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token at once
    Revoke {
        /// Its identifier, as `skerry token list` shows it
        id: String,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Kv {
    /// Print all keys of a namespace with their values, one JSON object a line
    #[command(after_help = "Use it like this:\n  skerry kv export NAMESPACE > keys.ndjson")]
    Export {
        /// Its title or its id
        namespace: String,
        #[command(flatten)]
        data: Data,
    },
    /// Put the keys of an export into a namespace; keys that are there are replaced, others stay
    #[command(after_help = "Use it like this:\n  skerry kv import NAMESPACE keys.ndjson")]
    Import {
        /// Its title or its id
        namespace: String,
        /// The export [default: standard input]
        file: Option<PathBuf>,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum R2 {
    /// Read every object and name those that are not what was written; exits with 1 if there are any
    Scrub {
        /// The bucket [default: all]
        bucket: Option<String>,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum D1 {
    /// Copy a database into a plain SQLite file, while others read and write it
    #[command(after_help = "Use it like this:\n  skerry d1 backup my-db my-db.sqlite")]
    Backup {
        /// Its name or its id
        database: String,
        /// The file; one that is there is replaced once the copy is whole
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Do {
    /// List the namespaces, or the objects of one
    #[command(after_help = "Use it like this:\n  skerry do list\n  skerry do list my-worker/Counter")]
    List {
        /// Worker and class, as in my-worker/Counter, or its id [default: list the namespaces]
        namespace: Option<String>,
        #[command(flatten)]
        data: Data,
        /// Print JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Show what is stored for one object: its tables, keys and alarm
    Inspect {
        /// Worker and class, as in my-worker/Counter, or its id
        namespace: String,
        /// The object's name or its id
        object: String,
        #[command(flatten)]
        data: Data,
    },
    /// Run one SQL statement that only reads on an object's database
    #[command(
        after_help = "Use it like this:\n  skerry do query my-worker/Counter lobby 'SELECT * FROM visits'"
    )]
    Query {
        /// Worker and class, as in my-worker/Counter, or its id
        namespace: String,
        /// The object's name or its id
        object: String,
        /// The statement
        sql: String,
        #[command(flatten)]
        data: Data,
        /// Print JSON, one object a row
        #[arg(long)]
        json: bool,
    },
    /// Copy all objects of a namespace into one file, a tar archive, while they run
    #[command(after_help = "Use it like this:\n  skerry do backup my-worker/Counter counter.tar")]
    Backup {
        /// Worker and class, as in my-worker/Counter, or its id
        namespace: String,
        /// The file to write; it is there once the copy is whole
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Replace all objects of a namespace by those of a backup of it
    #[command(after_help = "Use it like this:\n  skerry do restore my-worker/Counter counter.tar\n\n\
        What was stored since the backup is lost. The Worker's process is stopped meanwhile; its requests wait.")]
    Restore {
        /// Worker and class, as in my-worker/Counter, or its id
        namespace: String,
        /// A file that `skerry do backup` wrote
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The settings file of the server, for the certificates that it names
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Engine {
    /// Fetch the pinned workerd through npm into the data folder
    Install {
        #[command(flatten)]
        data: Data,
    },
}
