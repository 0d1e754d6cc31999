//! What the API does besides refusing: defaults. The scale subresource and the columns of `kubectl get` are in `traps/api.rs`.

use iam_mcp_e2e::{cluster, servers::NAME};
use serde_json::json;

use crate::api::ask;

#[tokio::test]
async fn the_api_server_fills_in_defaults() {
    let client = cluster::client().await;
    cluster::install_definition(&client).await;
    let spec = json!({"service": {}, "autoscaling": {}, "ingress": {}, "sessions": {}, "networkPolicy": {}, "disruption": {}, "monitoring": {}, "httpRoute": {"parentRefs": [{"name": "public"}]}});
    let answer = ask(&client, NAME, &spec).await.unwrap();
    assert_eq!(
        answer["spec"],
        json!({
            "service": {"port": 80, "sessionAffinity": "ClientIP", "sessionAffinityTimeoutSeconds": 3600},
            "autoscaling": {"minReplicas": 2, "maxReplicas": 10, "cpuUtilization": 70},
            "ingress": {"path": "/"},
            "sessions": {"drainSeconds": 300, "maxDrainingPods": 20},
            "networkPolicy": {"publicHttps": true},
            "disruption": {"enabled": true},
            "monitoring": {"mode": "Auto"},
            "httpRoute": {"parentRefs": [{"name": "public"}], "path": "/"},
        })
    );
    let answer = ask(&client, NAME, &json!({})).await.unwrap();
    assert_eq!(answer["spec"], json!({}), "what is not asked for is not there");
}
