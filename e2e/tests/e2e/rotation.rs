//! A RapidAPI key that appears and changes reaches running pods without a restart.

use std::time::Duration;

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    helm,
    mcp::McpClient,
    poll::{eventually, when},
    port_forward::PortForward,
    sandbox::Sandbox,
    servers::NAME,
    setting,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{ResourceExt as _, api::ListParams};
use serde_json::json;

use crate::{PODS, jsearch::FakeJSearch, operator, pods};

/// A kubelet looks at a pod's volumes once in a minute or a little more.
const KUBELET: Duration = Duration::from_mins(3);

/// The address of this machine on the cluster's network, where the API server listens too.
fn host() -> String {
    let file = kube::config::Kubeconfig::read_from(setting("E2E_KUBECONFIG")).unwrap();
    let url: http::Uri = file.clusters[0]
        .cluster
        .as_ref()
        .unwrap()
        .server
        .as_ref()
        .unwrap()
        .parse()
        .unwrap();
    url.host().unwrap().to_owned()
}

/// Searches until JSearch is sent `key`.
async fn sends(client: &McpClient, jsearch: &FakeJSearch, key: &str) {
    eventually(KUBELET, &format!("a search with the key {key:?}"), || async {
        // Another one each time: what was found before is answered from the cache.
        let answer = client
            .search(&format!("Keeper {}", jiff::Timestamp::now().as_millisecond()))
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        when(
            jsearch.last_key().as_deref() == Some(key),
            (jsearch.last_key(), answer),
        )
    })
    .await;
}

#[tokio::test]
async fn a_new_key_needs_no_new_pod() {
    let _operator = operator().await;
    let jsearch = FakeJSearch::start(&host()).await;
    let sandbox = Sandbox::namespace_only("rotation", &[]).await;
    let reference =
        json!({"rapidApi": {"keySecretRef": {"name": "rapidapi", "key": "token"}}, "provider": "JSearch"});
    let env = json!([{"name": "RAPIDAPI_BASE_URL", "value": jsearch.url}]);
    sandbox
        .submit(NAME, json!({"replicas": 1, "jobSearch": reference, "env": env}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::SecretNotFound)
        .await;
    sandbox
        .kubectl(&[
            "wait",
            "deployment/jobs",
            "--for=condition=Available",
            "--timeout=120s",
        ])
        .await;
    let before = pods(&sandbox, NAME).await;
    let forward = PortForward::open(sandbox.namespace(), "service/jobs", 80).await;
    let client = McpClient::new(&forward.url);
    let told = client.search("Keeper").await.unwrap();
    assert_eq!(told["isError"], true, "{told}");
    assert!(
        told["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("needs a RapidAPI key")),
        "{told}"
    );

    sandbox
        .create::<Secret>(json!({"metadata": {"name": "rapidapi"}, "stringData": {"token": "first"}}))
        .await;
    sandbox
        .condition_within(PODS, NAME, ConditionType::Ready, true, Reason::PodsReady)
        .await;
    // A change of the pod makes the kubelet look at its volumes now; the second key shows how it is without.
    let list = sandbox
        .api::<Pod>()
        .list(&ListParams::default().labels("app=jobs"))
        .await
        .unwrap();
    sandbox
        .patch::<Pod>(
            &list.items[0].name_any(),
            "a-person",
            json!({"metadata": {"annotations": {"look": "now"}}}),
        )
        .await;
    sends(&client, &jsearch, "first").await;

    sandbox
        .patch::<Secret>("rapidapi", "a-person", json!({"stringData": {"token": "second"}}))
        .await;
    let start = std::time::Instant::now();
    sends(&client, &jsearch, "second").await;
    println!(
        "a rotated key is in use after {:.0} s",
        start.elapsed().as_secs_f32()
    );
    assert_eq!(
        pods(&sandbox, NAME).await,
        before,
        "the same pods, none restarted"
    );
    let log = sandbox.kubectl(&["logs", "deployment/jobs"]).await;
    assert!(!log.contains("second"), "the key is in the log");
    helm::assert_nothing_forbidden().await;
}
