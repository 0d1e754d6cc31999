//! The server as a client meets it: over loopback, or as a process. One file a subject.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, which may end a test where it stands"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "json!(…) reads better than &json!(…)"
)]

mod support;

mod access;
mod apps;
mod auth;
mod bridge;
mod cancellation;
mod command_health;
mod command_search;
mod completions;
mod drain;
mod elicitation;
mod framing;
mod limits;
mod limits_store;
mod malformed;
mod modern;
mod musts;
mod observability;
mod oidc;
mod plain;
mod process;
mod providers;
mod proxies;
mod ready;
mod replicas;
mod resumption;
mod routes;
mod saved_jobs;
mod seed_flow;
mod shutdown;
mod snapshots;
mod sse;
mod stdio;
mod streamable_http;
mod subscriptions;
mod unread;
