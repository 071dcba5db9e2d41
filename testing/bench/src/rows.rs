//! The figures we promise, each with the other side and the target.

use crate::sides::Side;

/// A line of the table; a figure that is promised by itself has no other side.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) ours: Side,
    pub(crate) other: Option<Side>,
    pub(crate) target: Target,
}

/// What the figures are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Ours divided by the other's is at least this.
    RatioMin(f64),
    /// Ours exceeds the other's by at most this many milliseconds.
    AddedMsMax(f64),
    /// Ours is at least this.
    Min(f64),
    /// Ours is at most this.
    Max(f64),
    /// Nothing is promised: the ratio is only reported.
    Reported,
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        what: "no-op, against bare workerd",
        ours: Side::SkerryNoop,
        other: Some(Side::BareNoop),
        target: Target::RatioMin(0.80),
    },
    Row {
        what: "no-op, against bare workerd asked with all headers that a Worker sees",
        ours: Side::SkerryNoop,
        other: Some(Side::BareAlike),
        target: Target::Reported,
    },
    Row {
        what: "no-op, against wrangler dev",
        ours: Side::SkerryNoop,
        other: Some(Side::DevNoop),
        target: Target::RatioMin(8.0),
    },
    Row {
        what: "KV hot get, against our no-op",
        ours: Side::SkerryGet,
        other: Some(Side::SkerryNoop),
        target: Target::RatioMin(0.40),
    },
    Row {
        what: "KV hot get, against workerd's bundled KV",
        ours: Side::SkerryGet,
        other: Some(Side::BundledGet),
        target: Target::RatioMin(2.0),
    },
    Row {
        what: "KV durable put, against our no-op",
        ours: Side::SkerryPut,
        other: Some(Side::SkerryNoop),
        target: Target::RatioMin(0.35),
    },
    Row {
        what: "KV durable put, against workerd's bundled KV",
        ours: Side::SkerryPut,
        other: Some(Side::BundledPut),
        target: Target::RatioMin(4.0),
    },
    Row {
        what: "D1 select by key, against our no-op",
        ours: Side::SkerrySelect,
        other: Some(Side::SkerryNoop),
        target: Target::RatioMin(0.33),
    },
    Row {
        what: "D1 select by key, against workerd's bundled D1",
        ours: Side::SkerrySelect,
        other: Some(Side::BundledSelect),
        target: Target::RatioMin(1.2),
    },
    Row {
        what: "D1 insert, against our no-op",
        ours: Side::SkerryInsert,
        other: Some(Side::SkerryNoop),
        target: Target::RatioMin(0.28),
    },
    Row {
        what: "D1 insert, against workerd's bundled D1",
        ours: Side::SkerryInsert,
        other: Some(Side::BundledInsert),
        target: Target::RatioMin(3.0),
    },
    Row {
        what: "JS RPC call to another Worker, against one bare workerd",
        ours: Side::SkerryCall,
        other: Some(Side::BareCall),
        target: Target::Reported,
    },
    Row {
        what: "fetch to another Worker, against one bare workerd",
        ours: Side::SkerryBoundFetch,
        other: Some(Side::BareBoundFetch),
        target: Target::Reported,
    },
    Row {
        what: "Durable Object call that reads memory, against bare workerd",
        ours: Side::DurableRead,
        other: Some(Side::BareDurableRead),
        target: Target::RatioMin(0.9),
    },
    Row {
        what: "Durable Object call that writes, against bare workerd",
        ours: Side::DurableWrite,
        other: Some(Side::BareDurableWrite),
        target: Target::RatioMin(0.9),
    },
    Row {
        what: "Durable Object call that writes, against the syncs that one writer gets from the disk",
        ours: Side::DurableWrite,
        other: Some(Side::DiskSync),
        target: Target::Reported,
    },
    Row {
        what: "Durable Objects, 16 that write, against bare workerd",
        ours: Side::DurableWrites,
        other: Some(Side::BareDurableWrites),
        target: Target::RatioMin(0.9),
    },
    Row {
        what: "Durable Objects, 16 that write, against one that does",
        ours: Side::DurableWrites,
        other: Some(Side::DurableWrite),
        target: Target::Reported,
    },
    Row {
        what: "R2 1 MiB put by S3, against a loop that computes the MD5, writes, syncs file and folder, and renames",
        ours: Side::S3Put,
        other: Some(Side::LoopPut),
        target: Target::RatioMin(0.70),
    },
    Row {
        what: "R2 1 MiB get by S3, against nginx serving the file",
        ours: Side::S3Get,
        other: Some(Side::NginxGet),
        target: Target::RatioMin(0.60),
    },
    Row {
        what: "R2 1 KiB get by S3, against nginx serving the file",
        ours: Side::S3GetSmall,
        other: Some(Side::NginxGetSmall),
        target: Target::RatioMin(0.50),
    },
    Row {
        what: "R2 1 KiB put by S3 with 16 clients, against the syncs that one writer gets from the disk",
        ours: Side::S3PutSmall,
        other: Some(Side::DiskSync),
        target: Target::Reported,
    },
    Row {
        what: "R2 page of 1,000 objects, of 1,000,000",
        ours: Side::ListPage,
        other: None,
        target: Target::Max(10.0),
    },
    Row {
        what: "cold start, added to bare workerd's",
        ours: Side::SkerryCold,
        other: Some(Side::BareCold),
        target: Target::AddedMsMax(10.0),
    },
    Row {
        what: "deploy, from upload to the first answer of the new version, at 200 requests/s of which none fails",
        ours: Side::SkerryDeploy,
        other: None,
        target: Target::Max(1000.0),
    },
    Row {
        what: "Durable Object's longest answer around a deployment, at 200 requests/s of which none fails",
        ours: Side::DurableGap,
        other: None,
        target: Target::Max(1000.0),
    },
    Row {
        what: "KV get over its own socket, against a bare rusqlite loop",
        ours: Side::RoomGet,
        other: Some(Side::BareGet),
        target: Target::RatioMin(0.25),
    },
    Row {
        what: "KV put over its own socket with 64 writers, against a bare rusqlite loop with as many puts in a sync",
        ours: Side::RoomPut,
        other: Some(Side::BarePut),
        target: Target::RatioMin(0.5),
    },
    Row {
        what: "99 of 100 KV puts by 64 writers take at most",
        ours: Side::RoomPutP99,
        other: None,
        target: Target::Max(20.0),
    },
    Row {
        what: "KV keys listed, of 1,000,000",
        ours: Side::RoomList,
        other: None,
        target: Target::Min(100_000.0),
    },
    Row {
        what: "heap and stack gained by 900,000 KV puts",
        ours: Side::RoomGrowth,
        other: None,
        target: Target::Max(16.0),
    },
    Row {
        what: "D1 select of 100 rows over its own socket, against a bare rusqlite loop",
        ours: Side::SqlSelect,
        other: Some(Side::BareSelect),
        target: Target::RatioMin(0.4),
    },
    Row {
        what: "D1 batch of 50 inserts over its own socket with 16 writers, against a bare rusqlite loop with as many batches in a sync",
        ours: Side::SqlBatch,
        other: Some(Side::BareBatch),
        target: Target::RatioMin(0.6),
    },
    Row {
        what: "D1 statement on a database that is closed",
        ours: Side::SqlColdOpen,
        other: None,
        target: Target::Max(5.0),
    },
    Row {
        what: "the server's resident memory with 10 Workers asleep",
        ours: Side::SkerryAsleep,
        other: None,
        target: Target::Max(30.0),
    },
    Row {
        what: "the server's resident memory for a WebSocket that hibernates in a Durable Object, of 1,000",
        ours: Side::SocketKib,
        other: None,
        target: Target::Max(20.0),
    },
    Row {
        what: "the engine process's resident memory for a WebSocket that hibernates in a Durable Object, against bare workerd",
        ours: Side::SocketEngineKib,
        other: Some(Side::BareSocketKib),
        target: Target::Reported,
    },
];
