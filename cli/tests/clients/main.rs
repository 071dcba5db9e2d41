//! The whole product as its users meet it: both real wranglers and the commands of `skerry`, against a running server.

mod d1;
mod deploy;
mod engine;
mod kv;
mod kv_text;
mod r2;
mod refusals;
mod s3;
mod sdks;
mod skerry;
mod terminal;
