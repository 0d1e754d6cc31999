//! Load on the server makes the cluster scale it up, and the operator does not fight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use iam_mcp_e2e::{
    OPERATOR, helm,
    mcp::McpClient,
    poll::{eventually, when},
    port_forward::PortForward,
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::ResourceExt as _;
use serde_json::json;

use crate::{operator_alone, ready};

/// Time from load to more pods: a scrape of the kubelets, one of the metrics API, one look of the HPA.
const SCALE: Duration = Duration::from_secs(150);
/// Callers at a time.
const CALLERS: u32 = 4;

/// Callers that stop when dropped.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
}

impl Load {
    fn start(client: &McpClient) -> Self {
        let load = Self {
            stop: Arc::default(),
            calls: Arc::default(),
        };
        for _ in 0..CALLERS {
            let (client, stop, calls) = (client.clone(), Arc::clone(&load.stop), Arc::clone(&load.calls));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if client.search("engineer").await.is_ok() {
                        calls.fetch_add(1, Ordering::Relaxed);
                    } else {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
        load
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// When the operator last wrote a Deployment, as the API server noted it.
fn last_write(deployment: &Deployment) -> String {
    let ours = deployment
        .managed_fields()
        .iter()
        .filter(|f| f.manager.as_deref() == Some(OPERATOR));
    format!("{:?}", ours.map(|f| f.time.clone()).collect::<Vec<_>>())
}

#[tokio::test]
async fn load_brings_more_pods_and_no_fight() {
    let _operator = operator_alone().await;
    let sandbox = Sandbox::namespace_only("autoscaling", &[]).await;
    let spec = json!({
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "cpuUtilization": 50},
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
        "env": [{"name": "RATE_LIMIT", "value": "0"}],
        "jobSearch": {"provider": "Catalogue"},
    });
    sandbox.submit(NAME, spec).await;
    sandbox
        .child::<Deployment>(NAME, "the HPA's least", |d| {
            d.spec.as_ref().unwrap().replicas == Some(2)
        })
        .await;
    ready(&sandbox, NAME).await;
    eventually(SCALE, "the HPA to see the CPU", || async {
        let hpa: HorizontalPodAutoscaler = sandbox.api().get(NAME).await.map_err(|e| e.to_string())?;
        let status = hpa.status.unwrap_or_default();
        let active = status
            .conditions
            .iter()
            .flatten()
            .any(|c| c.type_ == "ScalingActive" && c.status == "True");
        when(active && status.current_replicas == Some(2), status.conditions)
    })
    .await;
    let calm: Deployment = sandbox.api().get(NAME).await.unwrap();
    let writes = helm::metrics()
        .await
        .sum("mcp_operator_api_writes_total", &["kind=\"Deployment\""]);

    let forward = PortForward::open(sandbox.namespace(), "service/jobs", 80).await;
    let load = Load::start(&McpClient::new(&forward.url));
    let start = Instant::now();
    eventually(SCALE, "more than 2 pods", || async {
        let live: Deployment = sandbox.api().get(NAME).await.map_err(|e| e.to_string())?;
        let count = live.spec.and_then(|s| s.replicas);
        let top = sandbox.kubectl(&["get", "hpa", NAME, "--no-headers"]).await;
        when(count > Some(2), (count, top, load.calls.load(Ordering::Relaxed)))
    })
    .await;
    println!(
        "scaled up after {:.0} s and {} calls",
        start.elapsed().as_secs_f32(),
        load.calls.load(Ordering::Relaxed)
    );
    drop(load);
    ready(&sandbox, NAME).await;

    let scaled: Deployment = sandbox.api().get(NAME).await.unwrap();
    assert!(
        scaled.spec.as_ref().unwrap().replicas > Some(2),
        "still scaled up"
    );
    assert_eq!(
        last_write(&scaled),
        last_write(&calm),
        "the operator wrote the Deployment"
    );
    let now = helm::metrics()
        .await
        .sum("mcp_operator_api_writes_total", &["kind=\"Deployment\""]);
    assert_eq!(now, writes, "the operator sent a write of the Deployment");
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
    helm::assert_nothing_forbidden().await;
}
