//! What both binaries share: logs and traces ([`telemetry`]), signals ([`shutdown`]), the HTTP accept loop
//! ([`serve`], [`endless`]) and the admin port ([`admin`]).
//!
//! Nothing here knows about Kubernetes or MCP.

pub mod admin;
pub mod endless;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
mod unread;
