//! What the binary does besides serving: a search in the terminal, and the question whether a server is well.

pub mod health;
mod http;
pub mod search;
mod table;
