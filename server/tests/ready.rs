//! `/readyz` says yes after the server has spoken MCP with itself.

use std::time::Instant;

use crate::support::{DEADLINE, TestServer};

async fn status(server: &TestServer) -> u16 {
    let url = format!("http://{}/readyz", server.admin);
    let answer = server.client.get(url).send().await.expect("answered");
    answer.status().as_u16()
}

async fn becomes_ready(server: &TestServer) {
    let start = Instant::now();
    while status(server).await != 200 {
        assert!(start.elapsed() < DEADLINE, "it is not ready");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_with_itself_becomes_ready() {
    becomes_ready(&TestServer::start(&[("VERIFY_AT_START", "true")]).await).await;
    becomes_ready(&TestServer::start(&[("VERIFY_AT_START", "true"), ("HOST", "0.0.0.0")]).await).await;
}

/// It finds a token where its own are.
#[tokio::test]
async fn a_server_that_asks_for_tokens_becomes_ready() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("tokens");
    std::fs::write(&path, "alice 0123456789abcdef-token\n").expect("written");
    let path = path.to_str().expect("text");
    let environment = [
        ("VERIFY_AT_START", "true"),
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", path),
    ];
    becomes_ready(&TestServer::start(&environment).await).await;
}
