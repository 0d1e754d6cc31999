//! The operator of IAM MCP on Kubernetes: it watches `McpServer` resources and reconciles everything
//! that one MCP server needs in a cluster.
//!
//! Data goes one way: [`controller::dereference`] reads, [`controller::validate`] and
//! [`controller::build`] are pure, [`controller::apply`] writes what differs, and
//! [`controller::status`] reports.

pub mod api_requests;
pub mod cli;
pub mod connect;
pub mod controller;
pub mod definition;
pub mod explain;
pub mod fence;
pub mod leader;
pub mod metrics;
pub mod render;
pub mod run;
pub mod version;

/// The operator's name in managed fields, events, labels and its Lease.
pub const OPERATOR: &str = "iam-mcp-operator";
