//! A token that the operator made: who has it gets in, nobody else does, and another one locks nobody out.

use std::time::Duration;

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    helm,
    mcp::McpClient,
    poll::{eventually, when},
    port_forward::PortForward,
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::{PODS, operator, pods, ready};

/// A kubelet looks at a pod's volumes once in a minute or a little more, and the pods are asked every few seconds then.
const TAKEN_UP: Duration = Duration::from_mins(4);

const TOKEN: &str = "jobs-token";

async fn token(sandbox: &Sandbox, key: &str) -> Option<String> {
    let secret: Secret = sandbox.api().get(TOKEN).await.expect("the Secret");
    let value = secret.data?.get(key)?.clone();
    Some(String::from_utf8(value.0).expect("text"))
}

#[tokio::test]
async fn who_has_the_token_gets_in_and_another_one_locks_nobody_out() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("bearer", &[]).await;
    // The gate too is opened with the token.
    let spec = json!({"replicas": 2, "verify": "Gate", "auth": {"bearer": {"generated": {}}}});
    sandbox.submit(NAME, spec).await;
    ready(&sandbox, NAME).await;
    sandbox
        .condition_within(
            PODS,
            NAME,
            ConditionType::Verified,
            true,
            Reason::ProtocolAnswered,
        )
        .await;
    let before = pods(&sandbox, NAME).await;

    let forward = PortForward::open(sandbox.namespace(), "service/jobs", 80).await;
    let nobody = McpClient::new(&forward.url);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
    let (status, _) = nobody.post("/mcp", &list).await.unwrap();
    assert_eq!(status, 401);
    let (status, _) = nobody
        .with_token("iam_something-else")
        .post("/mcp", &list)
        .await
        .unwrap();
    assert_eq!(status, 401);
    let old = token(&sandbox, "token").await.expect("a token");
    let client = nobody.with_token(&old);
    client.search("Keeper").await.expect("an answer");
    // What a session is opened with stays good for it.
    let mut session = client.open_sse().await;
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    session.request(1, "initialize", &hello).await;

    let wish = json!({"metadata": {"annotations": {"iam-mcp.dev/rotate-token": "1"}}});
    sandbox.patch::<McpServer>(NAME, "a-person", wish).await;
    let start = std::time::Instant::now();
    let new = eventually(TAKEN_UP, "another token", || async {
        // Both the one that is published and the one of before are taken all the time.
        let published = token(&sandbox, "token").await.unwrap_or_default();
        for shown in [&old, &published] {
            let answer = nobody.with_token(shown).post("/mcp", &list).await;
            let (status, body) = answer.map_err(|error| error.to_string())?;
            assert_ne!(status, 401, "a token that counts is refused: {body}");
        }
        when(published != old, "the old one")?;
        Ok(published)
    })
    .await;
    println!(
        "a new token is published after {:.0} s",
        start.elapsed().as_secs_f32()
    );
    sandbox.event(NAME, "KeyPromoted", &["token"]).await;
    nobody.with_token(&new).search("Keeper").await.expect("an answer");
    client
        .search("Keeper")
        .await
        .expect("an answer to who has the old one");
    session.request(2, "tools/list", &json!({})).await;
    let conditions = sandbox.kubectl(&["get", "mcps/jobs", "-o", "wide"]).await;
    assert!(conditions.contains("True"), "{conditions}");
    assert_eq!(
        pods(&sandbox, NAME).await,
        before,
        "the same pods, none restarted"
    );
    let log = sandbox
        .kubectl(&["logs", "deployment/jobs", "--all-pods=true"])
        .await;
    assert!(
        !log.contains(&old) && !log.contains(&new),
        "a token is in the log"
    );
    helm::assert_nothing_forbidden().await;
}
