//! Tests that need a cluster, and what they share.
//!
//! `tests/reconcile` runs the operator as a child process against a control plane without nodes;
//! `tests/e2e` installs it with helm on real nodes. `./ops/test` brings both clusters up.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test stops at a surprise"
)]

pub mod api_proxy;
pub mod audit;
pub mod children;
pub mod cluster;
pub mod collector;
pub mod conditions;
pub mod fake_mcp;
pub mod fake_pods;
pub mod fleet;
pub mod helm;
pub mod identity;
pub mod json_patch;
pub mod kubectl;
pub mod mcp;
pub mod metrics;
pub mod operator;
pub mod pods;
pub mod poll;
pub mod port_forward;
pub mod render;
pub mod sandbox;
pub mod sdk;
pub mod servers;

/// The operator's name in managed fields, labels and events.
pub const OPERATOR: &str = "iam-mcp-operator";

/// What `./ops/test` sets.
#[must_use]
pub fn setting(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!("{name} is not set: this test needs a cluster. Run it with ./ops/test"),
    }
}
