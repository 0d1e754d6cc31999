//! What the operator does to the API, against a control plane without nodes. Each test has a namespace
//! and an operator of its own.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test stops at a surprise"
)]

mod access;
mod api;
mod api_access;
mod api_growth;
mod api_image;
mod api_more;
mod api_network;
mod api_pods;
mod api_verify;
mod autoscaler;
mod bad_neighbour;
mod children;
mod class;
mod conflict;
mod definitions;
mod delete;
mod deletion_cost;
mod draining;
mod drift;
mod drift_service;
mod explain;
mod gate;
mod hand_over;
mod health;
mod image;
mod killed;
mod leader;
mod lowest;
mod namespaces;
mod network;
mod noop;
mod optional_apis;
mod outage;
mod paused;
mod pods;
mod policies;
mod process;
mod properties;
mod prune;
mod references;
mod render;
mod replicas;
mod restore;
mod rotation;
mod scaling;
mod secret;
mod session_affinity;
mod session_key;
mod sessions;
mod skew;
mod storms;
mod token_rotation;
mod traces;
mod traps;
mod upgrade;

use serde_json::{Value, json};

/// A spec that asks for every kind of child.
fn full() -> Value {
    json!({"ingress": {"host": "jobs.example.com", "path": "/jobs"}, "autoscaling": {}, "service": {}})
}
