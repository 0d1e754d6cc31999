//! The port on which replicas pass messages on, to another pod that knocks.

use std::time::Duration;

use iam_mcp_e2e::{
    operator::http_client,
    pods::RunningPod,
    poll::{eventually, when},
    sandbox::Sandbox,
};
use serde_json::json;
use tokio::process::Command;

use crate::{operator, ready};

/// What a pod of somebody else could try: HTTP, and a hello in the right form under a made-up key.
const KNOCKS: [&str; 2] = [
    r"POST /message HTTP/1.1\r\nhost: x\r\nx-iam-mcp-session: 00112233445566778899aabbccddeeff\r\ncontent-length: 2\r\n\r\n{}",
    r"\x01abcdefgh012345678901234567890123456789012345678901234567",
];

#[tokio::test]
async fn a_pod_without_the_key_gets_no_answer() {
    let _operator = operator().await;
    let (ours, theirs) = (
        Sandbox::namespace_only("door", &[]).await,
        Sandbox::namespace_only("knock", &[]).await,
    );
    for sandbox in [&ours, &theirs] {
        sandbox.submit("jobs", json!({"replicas": 1})).await;
        ready(sandbox, "jobs").await;
    }
    let address = RunningPod::all(&ours, "jobs").await[0].address();
    let pid = RunningPod::all(&theirs, "jobs").await[0].pids().remove(0);
    for knock in KNOCKS {
        let script =
            format!("exec 3<>/dev/tcp/{address}/9091; printf '{knock}' >&3; timeout 5 cat <&3 | wc -c");
        let heard = Command::new("nsenter")
            .args(["--net", "--target", &pid, "bash", "-c", &script])
            .output()
            .await
            .expect("nsenter");
        let heard = String::from_utf8_lossy(&heard.stdout).trim().to_owned();
        assert_eq!(heard, "0", "bytes that were answered to {knock}");
    }
    eventually(Duration::from_secs(10), "both to be counted", || async {
        let url = format!("http://{address}:9090/metrics");
        let metrics = http_client().get(url).send().await.unwrap().text().await.unwrap();
        // Not just these two: the address may have been another pod's, whose replicas still call it.
        let unknown = metrics
            .lines()
            .find_map(|line| line.strip_prefix("iam_mcp_peer_strangers_total{cause=\"unknown\"} "));
        when(
            unknown.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 2)),
            metrics
                .lines()
                .filter(|line| line.contains("peer_"))
                .collect::<Vec<_>>(),
        )
    })
    .await;
}
