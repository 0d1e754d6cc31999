//! What the binary does besides serving: a search in the terminal, the question whether a server is well, and a copy of
//! itself.

pub mod health;
mod http;
pub mod install;
pub mod search;
mod table;
