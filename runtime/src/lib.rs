//! What both binaries share: logs and traces ([`telemetry`]), signals ([`shutdown`]), the HTTP accept loop
//! ([`serve`]) and the admin port ([`admin`]).
//!
//! Nothing here knows about Kubernetes or MCP.

pub mod admin;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
