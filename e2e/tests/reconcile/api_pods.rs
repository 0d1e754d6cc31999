//! What the API server refuses of the fields that say what the pods are like, and the valid twins.

use iam_mcp_crds::workload::{RESERVED_ANNOTATIONS, RESERVED_LABELS, RESERVED_VOLUMES};
use serde_json::{Value, json};

use crate::api::check;

type Cases = Vec<(Value, Result<(), &'static str>)>;

#[tokio::test]
async fn labels_and_annotations() {
    let help = "podLabels: app, app.kubernetes.io/{name,instance,managed-by,part-of}, pod-template-hash and iam-mcp.dev/";
    let label = |key: &str| json!({"podLabels": {"team": "a", key: "x"}});
    let mut cases: Cases = RESERVED_LABELS
        .iter()
        .map(|key| (label(key), Err(help)))
        .collect();
    cases.push((label("iam-mcp.dev/mine"), Err(help)));
    for good in [
        "apps",
        "example.com/app",
        "app.kubernetes.io/version",
        "iam-mcp.developers/a",
    ] {
        cases.push((label(good), Ok(())));
    }
    cases.push((json!({"podLabels": {"team": ""}}), Ok(())));
    cases.push((json!({"podLabels": {"team": "a b"}}), Err("spec.podLabels.team")));
    cases.push((
        json!({"podLabels": {"team": "a".repeat(64)}}),
        Err("spec.podLabels.team"),
    ));
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("l{n}"), json!("x"))).collect();
    cases.push((json!({"podLabels": many}), Err("spec.podLabels: Too many")));

    let help =
        "podAnnotations: controller.kubernetes.io/pod-deletion-cost, kubectl.kubernetes.io/restartedAt";
    let annotation = |key: &str| json!({"podAnnotations": {key: "a b"}});
    cases.extend(
        RESERVED_ANNOTATIONS
            .iter()
            .map(|key| (annotation(key), Err(help))),
    );
    cases.push((annotation("iam-mcp.dev/mine"), Err(help)));
    for good in ["example.com/a", "restartedAt", "prometheus.io/scrape"] {
        cases.push((annotation(good), Ok(())));
    }
    check(cases).await;
}

#[tokio::test]
async fn identity_and_placement() {
    let own = "serviceAccountName: the ServiceAccount of the McpServer's own name is the one that the operator makes";
    check(vec![
        (json!({"serviceAccountName": "reader"}), Ok(())),
        (json!({"serviceAccountName": "jobs-2"}), Ok(())),
        // `check` asks for a server of this name.
        (json!({"serviceAccountName": "jobs"}), Err(own)),
        (json!({"serviceAccountName": ""}), Err("spec.serviceAccountName")),
        (json!({"serviceAccountName": "A b"}), Err("spec.serviceAccountName")),
        (json!({"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}), Ok(())),
        (json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}), Err("Duplicate value")),
        (json!({"imagePullSecrets": [{"name": ""}]}), Err("spec.imagePullSecrets[0].name")),
        (json!({"priorityClassName": "high"}), Ok(())),
        (json!({"priorityClassName": ""}), Err("spec.priorityClassName")),
        (json!({"nodeSelector": {"kubernetes.io/os": "linux"}}), Ok(())),
        (json!({"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]}), Ok(())),
        (json!({"tolerations": [{"keys": "a"}]}), Err("unknown field \"spec.tolerations[0].keys\"")),
        (
            json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}}]}}}),
            Ok(()),
        ),
        (json!({"topologySpreadConstraints": []}), Ok(())),
        (
            json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}),
            Ok(()),
        ),
        (
            json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
            Err("Duplicate value"),
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
            Err("spec.topologySpreadConstraints[0].maxSkew"),
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "Never"}]}),
            Err("Unsupported value: \"Never\""),
        ),
    ])
    .await;
}

#[tokio::test]
async fn volumes() {
    let named = |name: &str| json!({"volumes": [{"name": name, "emptyDir": {}}]});
    let ours = "volumes: data, keys, rapidapi and names that start with iam-mcp- are the operator's";
    let one = "volumes: give each exactly one of configMap, secret, projected";
    let mut cases: Cases = RESERVED_VOLUMES
        .iter()
        .map(|name| (named(name), Err(ours)))
        .collect();
    cases.push((named("iam-mcp-bin"), Err(ours)));
    cases.push((named("data-2"), Ok(())));
    cases.push((named("A"), Err("spec.volumes[0].name")));
    for source in [
        json!({"configMap": {"name": "a"}}),
        json!({"secret": {"secretName": "a", "optional": true}}),
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "a"}}]}}),
        json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
        json!({"emptyDir": {"sizeLimit": "1Gi"}}),
        json!({"persistentVolumeClaim": {"claimName": "a"}}),
        json!({"csi": {"driver": "a.example.com"}}),
    ] {
        let mut volume = source.clone();
        volume["name"] = json!("more");
        cases.push((json!({"volumes": [volume.clone()]}), Ok(())));
        let second = if source.get("emptyDir").is_some() {
            "secret"
        } else {
            "emptyDir"
        };
        volume[second] = json!({});
        cases.push((json!({"volumes": [volume]}), Err(one)));
    }
    cases.push((json!({"volumes": [{"name": "none"}]}), Err(one)));
    cases.push((
        json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
        Err("unknown field \"spec.volumes[0].hostPath\""),
    ));
    cases.push((
        json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]}),
        Err("Duplicate value"),
    ));
    check(cases).await;
}

#[tokio::test]
async fn mounts() {
    let mount = |path: &str| json!({"volumes": [{"name": "more", "emptyDir": {}}], "volumeMounts": [{"name": "more", "mountPath": path}]});
    let shape = "volumeMounts: mountPath is absolute";
    let ours = "volumeMounts: /data and /var/run/iam-mcp are the operator's";
    let mut cases: Cases = Vec::new();
    for good in [
        "/etc/jobs",
        "/data/jobs",
        "/datasets",
        "/.hidden",
        "/a..b",
        "/var/run/iam-mcp-more",
    ] {
        cases.push((mount(good), Ok(())));
    }
    for bad in ["etc", "/", "/etc/", "//etc", "/a/../data", "/a/.", "/a:b"] {
        cases.push((mount(bad), Err(shape)));
    }
    for bad in [
        "/data",
        "/var/run/iam-mcp",
        "/var/run/iam-mcp/keys",
        "/run/iam-mcp/rapidapi",
    ] {
        cases.push((mount(bad), Err(ours)));
    }
    let missing = "volumeMounts: each needs a volume of that name in volumes";
    cases.push((
        json!({"volumeMounts": [{"name": "more", "mountPath": "/a"}]}),
        Err(missing),
    ));
    let other = json!({"volumes": [{"name": "other", "emptyDir": {}}], "volumeMounts": [{"name": "more", "mountPath": "/a"}]});
    cases.push((other, Err(missing)));
    let mut twice = mount("/a");
    twice["volumeMounts"] =
        json!([{"name": "more", "mountPath": "/a"}, {"name": "more", "mountPath": "/a", "subPath": "b"}]);
    cases.push((twice, Err("Duplicate value")));
    let mut shared = mount("/a");
    shared["volumeMounts"][0]["mountPropagation"] = json!("Bidirectional");
    cases.push((shared, Err("Unsupported value: \"Bidirectional\"")));
    check(cases).await;
}

#[tokio::test]
async fn rollouts() {
    let rollout = |given: Value| json!({"rollout": given});
    let recreate = "rollout: maxSurge and maxUnavailable are for the strategy RollingUpdate";
    let stuck = "rollout: with maxSurge 0 no new pod can start before an old one goes";
    let good = [
        json!({}),
        json!({"strategy": "Recreate"}),
        json!({"strategy": "RollingUpdate", "maxSurge": 1, "maxUnavailable": 0}),
        json!({"maxSurge": "50%"}),
        json!({"maxSurge": "100%", "maxUnavailable": "0%"}),
        json!({"maxSurge": 0, "maxUnavailable": 1}),
        json!({"maxSurge": "0%", "maxUnavailable": "10%"}),
        json!({"maxUnavailable": 0}),
    ];
    let bad = [
        (json!({"strategy": "Recreate", "maxSurge": 1}), recreate),
        (json!({"strategy": "Recreate", "maxUnavailable": 1}), recreate),
        (json!({"maxSurge": 0}), stuck),
        (json!({"maxSurge": "0%"}), stuck),
        (json!({"maxSurge": 0, "maxUnavailable": "0%"}), stuck),
        (json!({"maxSurge": "0%", "maxUnavailable": 0}), stuck),
        (json!({"maxSurge": -1}), "spec.rollout.maxSurge"),
        (json!({"maxSurge": 1001}), "spec.rollout.maxSurge"),
        (json!({"maxSurge": "25"}), "spec.rollout.maxSurge"),
        (json!({"maxUnavailable": "101%"}), "spec.rollout.maxUnavailable"),
        (json!({"maxUnavailable": "00%"}), "spec.rollout.maxUnavailable"),
        (
            json!({"strategy": "BlueGreen"}),
            "Unsupported value: \"BlueGreen\"",
        ),
    ];
    let good = good.into_iter().map(|given| (rollout(given), Ok(())));
    let bad = bad.into_iter().map(|(given, part)| (rollout(given), Err(part)));
    check(good.chain(bad).collect()).await;
}

#[tokio::test]
async fn probes_pause_and_template() {
    check(vec![
        (json!({"probes": {"startup": {"failureThreshold": 600, "periodSeconds": 1}}}), Ok(())),
        (json!({"probes": {"readiness": {}, "liveness": {"initialDelaySeconds": 0, "timeoutSeconds": 600}}}), Ok(())),
        (json!({"probes": {"startup": {"failureThreshold": 0}}}), Err("spec.probes.startup.failureThreshold")),
        (json!({"probes": {"startup": {"periodSeconds": 0}}}), Err("spec.probes.startup.periodSeconds")),
        (json!({"probes": {"liveness": {"timeoutSeconds": 601}}}), Err("spec.probes.liveness.timeoutSeconds")),
        (json!({"probes": {"liveness": {"path": "/"}}}), Err("unknown field \"spec.probes.liveness.path\"")),
        (json!({"paused": true}), Ok(())),
        (json!({"paused": "yes"}), Err("spec.paused")),
        // What is inside is for the operator to judge.
        (json!({"podTemplate": {"metadata": {"a": 1}, "spec": {"containers": "none", "b": null}}}), Ok(())),
        (json!({"podTemplate": {"status": {}}}), Err("unknown field \"spec.podTemplate.status\"")),
        (json!({"podTemplate": {"spec": []}}), Err("spec.podTemplate.spec")),
    ])
    .await;
}
