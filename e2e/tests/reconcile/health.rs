//! Protocol health: each server is asked over MCP, and its status says what came of it.

use iam_mcp_crds::{ConditionType, McpServer, ObservedServer, Reason};
use iam_mcp_e2e::{
    fake_mcp::Speaks,
    fake_pods::RunningPod,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use serde_json::json;

/// A short round, so that a test sees some.
const INTERVAL: [&str; 2] = ["--protocol-health-interval", "6"];

pub(crate) async fn asking(subject: &str) -> Sandbox {
    let mut sandbox = Sandbox::without_operator(subject).await;
    sandbox.start_operator_with(&INTERVAL).await;
    sandbox
}

/// Waits for the condition `Verified`, and gives its message.
pub(crate) async fn verified(sandbox: &Sandbox, name: &str, status: &str, reason: Reason) -> String {
    eventually(
        SOON,
        &format!("Verified={status}/{} of {name}", reason.as_str()),
        || async {
            let server: McpServer = sandbox.api().get(name).await.map_err(|error| error.to_string())?;
            let conditions = server.status.map(|status| status.conditions).unwrap_or_default();
            let type_ = ConditionType::Verified.as_str();
            let found = conditions.iter().find(|condition| condition.type_ == type_);
            let found = found.filter(|found| found.status == status && found.reason == reason.as_str());
            found
                .map(|found| found.message.clone())
                .ok_or_else(|| format!("{conditions:#?}"))
        },
    )
    .await
}

async fn observed(sandbox: &Sandbox, name: &str) -> Option<ObservedServer> {
    let server: McpServer = sandbox.api().get(name).await.expect("the server");
    server.status?.server
}

/// Waits until a pod was asked over MCP once more.
pub(crate) async fn asked_again(pod: &RunningPod) {
    let before = pod.server.says().mcp.heard.len();
    eventually(SOON, "another question over MCP", || async {
        let mcp = pod.server.says().mcp;
        let lists = mcp.heard[before..]
            .iter()
            .filter(|heard| heard.method == "tools/list");
        when(lists.count() > 0, &mcp.heard)
    })
    .await;
}

async fn metric(sandbox: &Sandbox, name: &str, labels: &[&str]) -> u64 {
    sandbox.operator().metrics().await.sum(name, labels)
}

#[tokio::test]
async fn a_server_that_speaks_is_verified_and_rounds_write_nothing() {
    let mut sandbox = asking("health").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    verified(&sandbox, NAME, "Unknown", Reason::NotAskedYet).await;
    let pods = sandbox.run_pods(NAME, 1, |_, _| {}).await;
    let message = verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    assert_eq!(message, "the server speaks MCP 2026-07-28 and has 2 tools");
    let shown = observed(&sandbox, NAME).await.expect("what it said");
    assert_eq!(shown.name.as_deref(), Some("fake"));
    assert_eq!(shown.version.as_deref(), Some("1.2.3"));
    assert_eq!(
        (shown.protocol_versions, shown.tools),
        (vec!["2026-07-28".to_owned()], 2)
    );
    sandbox.event(NAME, "Verified", &["2 tools"]).await;
    let host = format!("jobs.{}.svc", sandbox.namespace());
    let heard = pods[0].server.says().mcp.heard;
    assert!(heard.iter().all(|heard| heard.host == host), "{heard:?}");
    assert_eq!(
        metric(&sandbox, "mcp_operator_servers_verified", &["\"True\""]).await,
        1
    );
    let wide = sandbox.kubectl(&["get", "mcps", "--output=wide"]).await;
    assert!(wide.contains("VERIFIED"), "{wide}");

    sandbox.settle(NAME).await;
    let before = (
        sandbox.operator().writes().await,
        sandbox.operator().passes().await,
    );
    for _ in 0..3 {
        asked_again(&pods[0]).await;
    }
    let after = (
        sandbox.operator().writes().await,
        sandbox.operator().passes().await,
    );
    assert_eq!(after, before, "writes and passes in three rounds");

    sandbox.stop_operator().await;
    sandbox.start_operator_with(&INTERVAL).await;
    asked_again(&pods[0]).await;
    sandbox.quiet().await;
    assert_eq!(
        sandbox.operator().writes().await,
        0,
        "a new operator says what the last one said"
    );
    assert_eq!(sandbox.events(NAME, "Verified").await.len(), 1);
}

#[tokio::test]
async fn a_lost_tool_is_an_event_and_a_metric() {
    let sandbox = asking("health").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, _| {}).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    pods[0].server.say(|says| says.mcp.tools.reverse());
    asked_again(&pods[0]).await;
    asked_again(&pods[0]).await;
    assert!(
        sandbox.events(NAME, "ToolsChanged").await.is_empty(),
        "another order"
    );
    pods[0]
        .server
        .say(|says| says.mcp.tools.retain(|(name, _)| name != "save_jobs"));
    sandbox
        .event(NAME, "ToolsChanged", &["2 before, 1 now", "lost: save_jobs"])
        .await;
    pods[0]
        .server
        .say(|says| says.mcp.tools[0].1 = json!({"type": "object", "required": ["role"]}));
    sandbox
        .event(NAME, "ToolsChanged", &["another schema: search_jobs"])
        .await;
    for change in ["lost", "changed"] {
        let label = format!("\"{change}\"");
        assert_eq!(
            metric(&sandbox, "mcp_operator_tool_list_changes_total", &[&label]).await,
            1,
            "{change}"
        );
    }
    eventually(SOON, "one tool in the status", || async {
        let shown = observed(&sandbox, NAME).await;
        when(shown.as_ref().is_some_and(|shown| shown.tools == 1), &shown)
    })
    .await;
}

#[tokio::test]
async fn broken_servers_are_told_and_found_well_again() {
    let sandbox = asking("health").await;
    let cases = [
        (
            "errors",
            Speaks::Broken(500),
            "initialize was answered with status 500",
        ),
        ("hangs", Speaks::Hangs, "no answer within 5 s"),
        ("huge", Speaks::Huge, "an answer has more than 512 KiB"),
        ("forbids", Speaks::Broken(403), "status 403"),
    ];
    let mut pods = Vec::new();
    for (name, speaks, _) in &cases {
        sandbox.serve(name, json!({"replicas": 1})).await;
        let mut running = sandbox
            .run_pods(name, 1, |_, says| says.mcp.speaks = speaks.clone())
            .await;
        pods.extend(running.pop());
    }
    for ((name, _, part), pod) in cases.iter().zip(&pods) {
        let message = verified(&sandbox, name, "False", Reason::ProtocolFailed).await;
        assert!(message.contains(part) && message.contains(&pod.name), "{message}");
        sandbox.event(name, "ProtocolFailed", &[part]).await;
    }
    assert_eq!(
        metric(&sandbox, "mcp_operator_servers_verified", &["\"False\""]).await,
        4
    );
    for ((name, ..), pod) in cases.iter().zip(&pods) {
        pod.server.say(|says| says.mcp.speaks = Speaks::Modern);
        verified(&sandbox, name, "True", Reason::ProtocolAnswered).await;
    }
}

#[tokio::test]
async fn a_server_that_wants_a_credential_is_no_outage() {
    let sandbox = asking("health").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, _| {}).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    pods[0].server.say(|says| says.mcp.speaks = Speaks::Unauthorized);
    verified(&sandbox, NAME, "Unknown", Reason::NotAuthorized).await;
    assert!(sandbox.events(NAME, "ProtocolFailed").await.is_empty());
    assert_eq!(observed(&sandbox, NAME).await.expect("as it was").tools, 2);
}

#[tokio::test]
async fn an_older_server_is_asked_in_its_own_words_and_its_session_ended() {
    let sandbox = asking("health").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let speaks = Speaks::Legacy { sessions: true };
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.speaks = speaks.clone())
        .await;
    let message = verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    assert_eq!(message, "the server speaks MCP 2025-11-25 and has 2 tools");
    assert_eq!(
        observed(&sandbox, NAME).await.expect("what it said").session_ids,
        Some(true)
    );
    let mcp = pods[0].server.says().mcp;
    assert_eq!(
        mcp.count("notifications/initialized"),
        mcp.count("initialize"),
        "{:?}",
        mcp.heard
    );
    assert_eq!(mcp.count("DELETE"), mcp.count("initialize"), "{:?}", mcp.heard);
}

#[tokio::test]
async fn who_is_not_to_be_asked_is_not() {
    let sandbox = asking("health").await;
    sandbox
        .serve("off", json!({"replicas": 1, "verify": "Off"}))
        .await;
    let off = sandbox.run_pods("off", 1, |_, _| {}).await;
    sandbox.serve("zero", json!({"replicas": 0})).await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let asked = sandbox.run_pods(NAME, 1, |_, _| {}).await;
    verified(&sandbox, "off", "Unknown", Reason::VerifyOff).await;
    verified(&sandbox, "zero", "Unknown", Reason::ScaledToZero).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    asked_again(&asked[0]).await;
    assert_eq!(off[0].server.says().mcp.heard, []);
}
