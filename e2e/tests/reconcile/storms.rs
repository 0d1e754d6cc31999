//! An API server that has too much to do (429), and writers who are always a moment faster (409).

use std::time::{Duration, Instant};

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    audit,
    fleet::Fleet,
    identity::Identity,
    kubectl,
    operator::Operator,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::Secret,
        flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;

/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(12);
/// Until all is as it should be afterwards: the pauses between tries have grown to half a minute.
const AFTERWARDS: Duration = Duration::from_mins(1);

async fn in_order(fleet: &Fleet<'_>, within: Duration) {
    eventually(within, "all servers to be in order", || fleet.in_order()).await;
}

/// While it is there, the API server does one request of one user at a time, and answers the others with 429.
struct TooManyRequests {
    name: String,
}

impl TooManyRequests {
    async fn begin(client: &Client, namespace: &str, user: &str) -> Self {
        let name = format!("iam-mcp-e2e-{namespace}");
        let level: PriorityLevelConfiguration = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 0,
                "lendablePercent": 0,
                "borrowingLimitPercent": 0,
                "limitResponse": {"type": "Reject"},
            }},
        }))
        .unwrap();
        let schema: FlowSchema = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "priorityLevelConfiguration": {"name": name},
                "matchingPrecedence": 10,
                "rules": [{
                    "subjects": [{"kind": "User", "user": {"name": user}}],
                    "resourceRules": [{
                        "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
                    }],
                }],
            },
        }))
        .unwrap();
        let storm = Self { name };
        let params = PostParams::default();
        Api::all(client.clone()).create(&params, &level).await.unwrap();
        Api::all(client.clone()).create(&params, &schema).await.unwrap();
        storm
    }
}

impl Drop for TooManyRequests {
    fn drop(&mut self) {
        kubectl::delete_quietly(&["flowschema", &self.name]);
        kubectl::delete_quietly(&["prioritylevelconfiguration", &self.name]);
    }
}

fn answered(namespace: &str, user: &str, code: i64) -> usize {
    let writes = audit::writes_in(namespace).into_iter();
    writes
        .filter(|write| write.user == user && write.code == code)
        .count()
}

#[tokio::test]
async fn too_many_requests() {
    const SERVERS: usize = 20;
    let sandbox = Sandbox::without_operator("storm").await;
    let namespace = sandbox.namespace();
    let identity = Identity::new(&sandbox.client, namespace, "operator").await;
    let mut operator = Operator::start_with(namespace, &identity.arguments()).await;
    let mut fleet = Fleet::new(&sandbox, SERVERS, "image:1").await;
    in_order(&fleet, SOON).await;

    let storm = TooManyRequests::begin(&sandbox.client, namespace, &identity.user).await;
    // The API server takes a moment to know of it.
    let start = Instant::now();
    let mut round = 2;
    while answered(namespace, &identity.user, 429) == 0 {
        assert!(start.elapsed() < SOON, "the storm has not begun");
        fleet.change_all(&format!("image:{round}")).await;
        round += 1;
    }
    let before = answered(namespace, &identity.user, 429);
    let start = Instant::now();
    fleet.change_all("image:1").await;
    // Not a wait for something: it is how long the fault lasts.
    tokio::time::sleep(STORM).await;
    let refused = answered(namespace, &identity.user, 429) - before;
    let lasted = start.elapsed();
    println!("{refused} writes refused in {} s", lasted.as_secs());
    assert!(operator.runs(), "it goes on trying");
    // Sixteen at a time, a second apart as the answer asks for.
    let most = 16 * (lasted.as_secs() + 2);
    assert!(
        refused as u64 <= most,
        "{refused} tries in {lasted:?} make a storm worse"
    );

    drop(storm);
    in_order(&fleet, AFTERWARDS).await;
}

/// Rewrites an annotation of an object for ever, and so takes many a resourceVersion away before anybody can use it.
async fn rewrite_for_ever<K>(api: Api<K>, name: String, every: Duration)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let params = PatchParams {
        field_manager: Some("a-rival".to_owned()),
        ..PatchParams::default()
    };
    for count in 0_u64.. {
        let patch = json!({"metadata": {"annotations": {"example.com/count": count.to_string()}}});
        // While there is no such object there is nothing to rewrite; and a conflict between two of these is what they are for.
        let _ = api.patch(&name, &params, &Patch::Merge(&patch)).await;
        tokio::time::sleep(every).await;
    }
}

#[tokio::test]
async fn conflicts() {
    const SERVERS: usize = 5;
    const EVERY: Duration = Duration::from_millis(50);
    let sandbox = Sandbox::without_operator("conflicts").await;
    let namespace = sandbox.namespace();
    let identity = Identity::new(&sandbox.client, namespace, "operator").await;
    let mut operator = Operator::start_with(namespace, &identity.arguments()).await;
    let mut fleet = Fleet::new(&sandbox, SERVERS, "image:1").await;
    in_order(&fleet, SOON).await;

    let mut rivals = tokio::task::JoinSet::new();
    for name in fleet.names() {
        rivals.spawn(rewrite_for_ever(sandbox.api::<Deployment>(), name.clone(), EVERY));
        rivals.spawn(rewrite_for_ever(
            sandbox.api::<Secret>(),
            format!("{name}-keys"),
            EVERY,
        ));
        rivals.spawn(rewrite_for_ever(sandbox.api::<McpServer>(), name, EVERY));
    }
    let start = Instant::now();
    let mut round = 1;
    while start.elapsed() < STORM {
        round += 1;
        fleet.change_all(&format!("image:{round}")).await;
        for name in fleet.names() {
            // A step of a rotation, and the hand-over of the number of pods to an HPA and back, name a resourceVersion.
            let spec = match round % 2 {
                0 => json!({"replicas": null, "autoscaling": {}}),
                _ => json!({"replicas": 0, "autoscaling": null}),
            };
            let wish = json!({"iam-mcp.dev/rotate-session-key": "in the storm"});
            let patch = json!({"metadata": {"annotations": wish}, "spec": spec});
            sandbox.patch::<McpServer>(&name, "a-person", patch).await;
        }
    }
    for name in fleet.names() {
        let patch = json!({"spec": {"replicas": 0, "autoscaling": null}});
        sandbox.patch::<McpServer>(&name, "a-person", patch).await;
    }
    let (refused, runs) = (answered(namespace, &identity.user, 409), operator.runs());
    println!("{refused} writes met a conflict in {round} rounds");
    assert!(runs, "it goes on trying");
    rivals.shutdown().await;
    assert!(refused > 0, "there was no storm");

    in_order(&fleet, AFTERWARDS).await;
    for name in fleet.names() {
        eventually(AFTERWARDS, "the wish for a new key to be acted on", || async {
            let secret = sandbox
                .api::<Secret>()
                .get(&format!("{name}-keys"))
                .await
                .map_err(|error| error.to_string())?;
            let acted_on = secret
                .annotations()
                .get("iam-mcp.dev/rotate-session-key")
                .cloned();
            when(acted_on.as_deref() == Some("in the storm"), acted_on)
        })
        .await;
    }
    assert!(operator.runs());
}

/// Between two renewals there is always a write of somebody else's, and between a look and a write often.
#[tokio::test]
async fn a_lease_that_somebody_else_annotates_is_not_lost() {
    const EVERY: Duration = Duration::from_millis(200);
    let sandbox = Sandbox::without_operator("conflicts").await;
    let namespace = sandbox.namespace();
    let identity = Identity::new(&sandbox.client, namespace, "operator").await;
    let lease = [
        "--leader-elect",
        "--lease-namespace",
        namespace,
        "--identity",
        "pod",
    ];
    let arguments = [&identity.arguments()[..], &lease].concat();
    let mut operator = Operator::start_with(namespace, &arguments).await;
    let mut rivals = tokio::task::JoinSet::new();
    let leases = sandbox.api::<Lease>();
    rivals.spawn(rewrite_for_ever(leases, "iam-mcp-operator".to_owned(), EVERY));
    // Longer than a term: it has to be renewed.
    tokio::time::sleep(STORM).await;
    assert!(operator.runs(), "the Lease was lost:\n{}", operator.log());
    assert!(
        answered(namespace, &identity.user, 409) > 0,
        "there was no conflict"
    );
    assert_eq!(operator.metrics().await.sum("mcp_operator_leader", &[]), 1);
    rivals.shutdown().await;
}
