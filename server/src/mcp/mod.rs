//! What is served: tools, prompts and resources, by a handler that holds no state of any client.

pub mod apps;
pub mod completions;
pub mod conversation;
pub mod handler;
mod limited;
pub mod prompts;
pub mod resources;
pub mod serves;
pub mod tools;
pub mod watch;

pub use handler::{Eras, Handler};
pub use serves::Serves;

/// How long clients may keep our lists, in milliseconds (2026-07-28 `server/utilities/caching`): those that
/// change only with the version.
const LIST_TTL_MS: u64 = 3_600_000;
