//! What is served: one tool and five prompts, by a handler that holds no state of any client.

pub mod handler;
mod limited;
pub mod prompts;
pub mod tools;

pub use handler::{Eras, Handler};
