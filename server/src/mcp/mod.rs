//! What is served: one tool and five prompts, by a handler that holds no state of any client.

pub mod handler;
pub mod prompts;
pub mod tools;
pub mod watch;

pub use handler::{Eras, Handler};
