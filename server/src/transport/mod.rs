//! How messages come in: three ways to the same handler.

pub(crate) mod last_word;
mod plain;
pub mod sse;
pub mod stdio;
pub mod streamable_http;
