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
mod auth;
mod cancellation;
mod drain;
mod limits;
mod limits_store;
mod modern;
mod oidc;
mod process;
mod providers;
mod proxies;
mod replicas;
mod resumption;
mod routes;
mod seed_flow;
mod shutdown;
mod snapshots;
mod sse;
mod stdio;
mod streamable_http;
