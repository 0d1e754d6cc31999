//! `GET /health`: for people and load balancers; pods are probed on the admin port.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

/// What `/health` answers.
#[derive(Debug, Serialize)]
pub struct Healthy {
    status: &'static str,
    service: Arc<str>,
}

/// Answers that the server is there, and who it is.
pub async fn get(State(service): State<Arc<str>>) -> Json<Healthy> {
    Json(Healthy {
        status: "healthy",
        service,
    })
}
