//! `GET /health`: for people and load balancers; pods are probed on the admin port.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

/// Answers that the server is there, and who it is.
pub async fn get(State(name): State<Arc<str>>) -> Json<Value> {
    Json(json!({ "status": "healthy", "service": &*name }))
}
