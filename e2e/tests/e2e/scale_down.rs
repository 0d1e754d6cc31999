//! A scale-down takes the pods with the fewest sessions.

use std::{collections::BTreeMap, time::Duration};

use iam_mcp_e2e::{
    operator::http_client,
    poll::{eventually, when},
    sandbox::Sandbox,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::ListParams};
use serde_json::json;

use crate::{PODS, operator, ready};

/// Sessions of the four pods.
const SESSIONS: [usize; 4] = [0, 20, 90, 400];

/// Where the operator writes what a pod's deletion costs.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Rounds: two in every test run; as many as are asked for to measure.
fn rounds() -> u32 {
    let asked = std::env::var("E2E_SCALE_DOWN_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(2)
}

#[tokio::test]
async fn the_emptiest_pods_go_first() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("emptiest", &[]).await;
    let sessions = json!({"drainSeconds": 2});
    let spec = json!({"replicas": 4, "service": {"sessionAffinity": "None"}, "sessions": sessions});
    sandbox.submit("jobs", spec).await;
    for round in 1..=rounds() {
        ready(&sandbox, "jobs").await;
        let pods = serving(&sandbox, 4).await;
        let mut names: Vec<String> = pods.keys().cloned().collect();
        // Which pod gets how many changes from round to round, so that no other order can pass for this one.
        names.rotate_left(round as usize % 4);
        let mut streams = Vec::new();
        for (name, sessions) in names.iter().zip(SESSIONS) {
            for _ in 0..sessions {
                streams.push(open(&pods[name]).await);
            }
        }
        eventually(Duration::from_mins(2), "the costs to be written", || async {
            let costs = costs(&sandbox, &names).await;
            when(costs == [0, 16, 64, 256], costs)
        })
        .await;
        for left in (1..4).rev() {
            sandbox.change("jobs", json!({"replicas": left})).await;
            let stay = &names[4 - left..];
            let seen = eventually(PODS, "a pod to be chosen", || async {
                let serving = serving_now(&sandbox).await;
                when(serving.len() == left, &serving).map(|()| serving)
            })
            .await;
            let seen: Vec<&String> = seen.keys().collect();
            let mut stay: Vec<&String> = stay.iter().collect();
            stay.sort();
            assert_eq!(seen, stay, "round {round}, {left} left");
        }
        drop(streams);
        sandbox.change("jobs", json!({"replicas": 4})).await;
    }
}

/// Addresses of pods that are ready and were not told to stop, by name.
async fn serving_now(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let list = sandbox
        .api::<Pod>()
        .list(&ListParams::default().labels("app=jobs"))
        .await;
    let serves = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        ready && pod.metadata.deletion_timestamp.is_none()
    };
    let pods = list.unwrap().items.into_iter().filter(serves);
    pods.map(|pod| {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        (pod.name_any(), address.unwrap())
    })
    .collect()
}

async fn serving(sandbox: &Sandbox, count: usize) -> BTreeMap<String, String> {
    eventually(PODS, "the pods to serve", || async {
        let serving = serving_now(sandbox).await;
        when(serving.len() == count, &serving).map(|()| serving)
    })
    .await
}

/// An SSE stream of the pod at `address`, held open for as long as the answer is.
async fn open(address: &str) -> reqwest::Response {
    let stream = http_client()
        .get(format!("http://{address}:8080/sse"))
        .header("host", "jobs")
        .send()
        .await
        .expect("an answer");
    assert_eq!(stream.status().as_u16(), 200);
    stream
}

/// What the operator wrote, in the order of `names`; 0 where it wrote nothing.
async fn costs(sandbox: &Sandbox, names: &[String]) -> Vec<u32> {
    let list = sandbox
        .api::<Pod>()
        .list(&ListParams::default().labels("app=jobs"))
        .await;
    let pods = list.unwrap().items;
    let cost = |name: &String| {
        let pod = pods.iter().find(|pod| pod.name_any() == *name)?;
        pod.annotations().get(COST)?.parse().ok()
    };
    names.iter().map(|name| cost(name).unwrap_or(0)).collect()
}
