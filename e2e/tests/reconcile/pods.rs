//! What a resource says of its pods: it reaches them, nothing is written twice, and what would break a server
//! is refused.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, ServiceAccount},
};
use kube::ResourceExt as _;
use serde_json::{Value, json};

/// A container that passes the `restricted` profile.
fn sidecar() -> Value {
    json!({
        "name": "proxy",
        "image": "example.com/proxy:1",
        "ports": [{"containerPort": 9000}],
        "env": [
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
        "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {"cpu": "0.5"}},
        "readinessProbe": {"tcpSocket": {"port": 9000}},
        "volumeMounts": [{"name": "tokens", "mountPath": "/tokens", "readOnly": true}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

/// Every field at once, in words that the API server does not use.
fn everything() -> Value {
    json!({
        "replicas": 2,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]}]}},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]},
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2},
            {"maxSkew": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
             "labelSelector": {"matchLabels": {"a": "b"}}},
        ],
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "registry"}, {"name": "another"}],
        "serviceAccountName": "reader",
        "podLabels": {"team": "jobs", "empty": ""},
        "podAnnotations": {"example.com/note": "a b"},
        "volumes": [
            {"name": "settings", "configMap": {"name": "settings", "optional": true, "items": [{"key": "a", "path": "b"}]}},
            {"name": "certificate", "secret": {"secretName": "tls", "optional": true, "defaultMode": 288}},
            {"name": "tokens", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "a", "optional": true}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
            {"name": "labels", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": NAME, "resource": "limits.memory"}}]}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}},
            {"name": "catalogue", "persistentVolumeClaim": {"claimName": "shared"}},
            {"name": "driver", "csi": {"driver": "a.example.com", "volumeAttributes": {"limits": "1000m"}}},
        ],
        "volumeMounts": [
            {"name": "settings", "mountPath": "/etc/jobs", "readOnly": true},
            {"name": "scratch", "mountPath": "/scratch", "subPath": "a"},
            {"name": "catalogue", "mountPath": "/data/catalogue"},
        ],
        "rollout": {"maxSurge": "50%", "maxUnavailable": 1},
        "probes": {
            "startup": {"failureThreshold": 600, "initialDelaySeconds": 0},
            "readiness": {"periodSeconds": 3, "timeoutSeconds": 4},
            "liveness": {"initialDelaySeconds": 7},
        },
        "podTemplate": {
            "metadata": {"labels": {"by": "template"}, "annotations": {"example.com/sizeLimit": "1000m"}},
            "spec": {
                "containers": [sidecar(), {"name": NAME, "env": [{"name": "MORE", "value": ""}], "workingDir": "/data"}],
                "initContainers": [{
                    "name": "wait", "image": "example.com/wait:1", "restartPolicy": "Always",
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
                "volumes": [{"name": "more", "emptyDir": {"sizeLimit": "0.5Gi"}}],
                "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}],
                "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
                "tolerations": [{"key": "only"}],
                "schedulerName": "another",
            },
        },
    })
}

async fn claim(sandbox: &Sandbox, name: &str, mode: &str) {
    let spec = json!({"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}});
    sandbox
        .create::<PersistentVolumeClaim>(json!({"metadata": {"name": name}, "spec": spec}))
        .await;
}

async fn template(sandbox: &Sandbox) -> Value {
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    serde_json::to_value(deployment.spec.unwrap().template).unwrap()
}

#[tokio::test]
async fn all_of_it_reaches_the_pods_and_a_second_pass_writes_nothing() {
    let mut sandbox = Sandbox::new("pods").await;
    claim(&sandbox, "shared", "ReadWriteMany").await;
    sandbox
        .create::<ServiceAccount>(json!({"metadata": {"name": "reader"}}))
        .await;
    sandbox.serve(NAME, everything()).await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    assert_eq!(message, "the spec is valid");

    let template = template(&sandbox).await;
    let pod = &template["spec"];
    assert_eq!(template["metadata"]["labels"]["team"], "jobs");
    assert_eq!(template["metadata"]["labels"]["by"], "template");
    assert_eq!(template["metadata"]["labels"]["app"], NAME);
    assert_eq!(pod["serviceAccountName"], "reader");
    assert_eq!(
        pod["tolerations"],
        json!([{"key": "only"}]),
        "the patch replaces this list"
    );
    let names: Vec<_> = pod["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, [NAME, "proxy"]);
    let server = &pod["containers"][0];
    assert_eq!(server["startupProbe"]["failureThreshold"], 600);
    assert_eq!(server["livenessProbe"]["initialDelaySeconds"], 7);
    assert_eq!(server["readinessProbe"]["periodSeconds"], 3);
    let constraints = pod["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(
        constraints[0]["labelSelector"]["matchLabels"]["app"], NAME,
        "a constraint without a selector is about these pods"
    );
    assert_eq!(constraints[1]["labelSelector"]["matchLabels"], json!({"a": "b"}));

    let before = (sandbox.versions(NAME).await, sandbox.operator().writes().await);
    sandbox.passes(NAME, 1).await;
    sandbox.passes(NAME, 2).await;
    assert_eq!(
        sandbox.operator().writes().await,
        before.1,
        "writes of later passes"
    );
    // Its memory of what it applied is gone: only equal digests keep it from applying again.
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.looked_at(1).await;
    let metrics = sandbox.operator().metrics().await;
    assert_eq!(
        metrics.sum("mcp_operator_api_writes_total", &[]),
        0,
        "{:?}",
        metrics.of("mcp_operator_api_writes")
    );
    assert_eq!(
        sandbox.versions(NAME).await.keys().collect::<Vec<_>>(),
        before.0.keys().collect::<Vec<_>>()
    );
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

#[tokio::test]
async fn what_is_taken_out_goes_from_the_pods() {
    let sandbox = Sandbox::new("pods").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    let plain = template(&sandbox).await;
    claim(&sandbox, "shared", "ReadWriteMany").await;
    sandbox.change(NAME, everything()).await;
    sandbox.settle(NAME).await;
    assert_ne!(template(&sandbox).await, plain);
    let none: serde_json::Map<_, _> = everything()
        .as_object()
        .unwrap()
        .keys()
        .filter(|field| *field != "replicas")
        .map(|field| (field.clone(), Value::Null))
        .collect();
    sandbox.change(NAME, Value::Object(none)).await;
    sandbox.settle(NAME).await;
    assert_eq!(template(&sandbox).await, plain);
    assert_eq!(
        sandbox.children(NAME).await["ServiceAccount"].name_any(),
        NAME,
        "made again"
    );
}

#[tokio::test]
async fn the_operators_own_service_account_goes_when_another_is_named() {
    let sandbox = Sandbox::new("pods").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    assert!(sandbox.children(NAME).await.contains_key("ServiceAccount"));
    sandbox
        .change(NAME, json!({"serviceAccountName": "reader"}))
        .await;
    eventually(SOON, "the ServiceAccount to be deleted", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds == ["Deployment", "Secret", "Service"], kinds)
    })
    .await;
    sandbox.event(NAME, "Pruned", &["ServiceAccount/jobs"]).await;
    assert_eq!(template(&sandbox).await["spec"]["serviceAccountName"], "reader");
    // Somebody else's of the server's name is nobody's to prune, and nothing is made in its place.
    let foreign = sandbox
        .create::<ServiceAccount>(json!({"metadata": {"name": NAME}}))
        .await;
    sandbox.passes(NAME, 1).await;
    let still: ServiceAccount = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(still.uid(), foreign.uid());
    assert_eq!(sandbox.events(NAME, "Pruned").await.len(), 1);
}

/// The pods spread by themselves, and in the same way whatever their number: a change of it would else replace
/// pods that are there.
#[tokio::test]
async fn pods_spread_over_nodes_and_no_number_of_them_changes_the_template() {
    let sandbox = Sandbox::new("pods").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let one = template(&sandbox).await;
    assert_eq!(
        one["spec"]["topologySpreadConstraints"],
        json!([{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": NAME, "app.kubernetes.io/managed-by": "iam-mcp-operator"}},
            "matchLabelKeys": ["pod-template-hash"],
        }])
    );
    for number in [json!(3), json!(0), Value::Null] {
        sandbox.change(NAME, json!({"replicas": number})).await;
        sandbox.settle(NAME).await;
        assert_eq!(template(&sandbox).await, one, "replicas {number}");
    }
    sandbox
        .change(NAME, json!({"topologySpreadConstraints": []}))
        .await;
    sandbox.settle(NAME).await;
    assert!(template(&sandbox).await["spec"]["topologySpreadConstraints"].is_null());
}

#[tokio::test]
async fn no_pods_have_no_disruption_budget_and_an_autoscaler_stays_if_asked_for() {
    let sandbox = Sandbox::new("pods").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    assert!(sandbox.children(NAME).await.contains_key("PodDisruptionBudget"));
    sandbox.change(NAME, json!({"replicas": 0})).await;
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::ScaledToZero)
        .await;
    eventually(SOON, "the budget to be deleted", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(
            kinds == ["Deployment", "Secret", "Service", "ServiceAccount"],
            kinds,
        )
    })
    .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

#[tokio::test]
async fn a_template_that_would_break_the_server_is_refused_and_nothing_changes() {
    let sandbox = Sandbox::new("pods").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let before = sandbox.versions(NAME).await;
    for (spec, path) in [
        (
            json!({"terminationGracePeriodSeconds": 5}),
            "podTemplate.spec.terminationGracePeriodSeconds follows from sessions.drainSeconds",
        ),
        (
            json!({"hostNetwork": true}),
            "podTemplate.spec.hostNetwork must not be true",
        ),
        (
            json!({"containers": [{"name": "proxy", "image": "a"}]}),
            "podTemplate.spec.containers[proxy].securityContext.allowPrivilegeEscalation must be false",
        ),
        (
            json!({"containers": [{"name": NAME, "$patch": "delete"}]}),
            "podTemplate.spec.containers[jobs] is the server",
        ),
        (
            json!({"containers": [{"nam": NAME}]}),
            "podTemplate.spec.containers[0]: needs name",
        ),
        (
            json!({"nodeSelectors": {}}),
            "podTemplate.spec.nodeSelectors: is not a field",
        ),
        (
            json!({"containers": [{"name": NAME, "ports": [{"containerPort": "x"}]}]}),
            "podTemplate.spec.containers[0].ports[3].containerPort: invalid type",
        ),
    ] {
        sandbox.change(NAME, json!({"podTemplate": null})).await;
        sandbox.change(NAME, json!({"podTemplate": {"spec": spec}})).await;
        let message = sandbox
            .condition(NAME, ConditionType::Accepted, false, Reason::Invalid)
            .await;
        assert!(message.contains(path), "{message}\n  lacks {path}");
    }
    sandbox.quiet().await;
    assert_eq!(sandbox.versions(NAME).await, before);
    sandbox
        .change(
            NAME,
            json!({"podTemplate": {"metadata": {"labels": {"app": "x"}}, "spec": null}}),
        )
        .await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::Invalid)
        .await;
    assert!(
        message.contains("podTemplate.metadata.labels[app] is the operator's"),
        "{message}"
    );
    sandbox
        .event(NAME, "Invalid", &["podTemplate.metadata.labels[app]"])
        .await;
}

#[tokio::test]
async fn a_claim_for_one_node_is_never_rolled_with_a_surge() {
    let sandbox = Sandbox::new("pods").await;
    let volumes = json!([{"name": "jobs", "persistentVolumeClaim": {"claimName": "jobs"}}]);
    let mounts = json!([{"name": "jobs", "mountPath": "/data/jobs"}]);
    sandbox
        .serve(
            NAME,
            json!({"replicas": 1, "volumes": volumes, "volumeMounts": mounts}),
        )
        .await;
    let strategy = |d: &Deployment| serde_json::to_value(d.spec.as_ref().unwrap().strategy.as_ref()).unwrap();
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    assert!(
        message.contains("Recreate") && message.contains("claim jobs does not exist yet"),
        "{message}"
    );

    claim(&sandbox, "jobs", "ReadWriteOnce").await;
    sandbox.passes(NAME, 1).await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    assert!(message.contains("claim jobs is ReadWriteOnce"), "{message}");
    sandbox
        .child::<Deployment>(NAME, "Recreate", |d| strategy(d) == json!({"type": "Recreate"}))
        .await;

    sandbox
        .change(NAME, json!({"rollout": {"strategy": "RollingUpdate"}}))
        .await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::Invalid)
        .await;
    assert!(
        message.contains("use strategy Recreate, or maxSurge 0"),
        "{message}"
    );
    sandbox
        .change(NAME, json!({"rollout": {"maxSurge": 0, "maxUnavailable": 1}}))
        .await;
    sandbox
        .child::<Deployment>(NAME, "an update in place", |d| {
            strategy(d)["rollingUpdate"] == json!({"maxSurge": 0, "maxUnavailable": 1})
        })
        .await;

    // One that several nodes can mount is rolled as any other.
    claim(&sandbox, "shared", "ReadWriteMany").await;
    let volumes = json!([{"name": "jobs", "persistentVolumeClaim": {"claimName": "shared"}}]);
    sandbox
        .change(NAME, json!({"rollout": null, "volumes": volumes}))
        .await;
    sandbox
        .child::<Deployment>(NAME, "a rolling update", |d| {
            strategy(d)["rollingUpdate"] == json!({"maxSurge": "25%", "maxUnavailable": 0})
        })
        .await;
}
