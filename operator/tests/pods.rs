//! What a resource says of its pods, and what `podTemplate` may make of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use iam_mcp_crds::{
    McpServer, McpServerSpec,
    workload::{RESERVED_ANNOTATIONS, RESERVED_LABELS, RESERVED_VOLUMES},
};
use iam_mcp_operator::controller::{
    build::build,
    kinds::in_order,
    pod_security::restricted,
    validate::{Claims, Defaults, ValidatedServer, claims_named, validate},
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use proptest::{option, prelude::*};
use serde_json::{Value, json};

fn parse(spec: Value) -> Result<ValidatedServer, Vec<String>> {
    let mut server = McpServer::new("jobs", serde_json::from_value::<McpServerSpec>(spec).unwrap());
    server.metadata.namespace = Some("mcp".to_owned());
    let defaults = Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: "iam-mcp-system".to_owned(),
    };
    validate(&server, &defaults, false).map_err(|invalid| invalid.0)
}

fn deployment(spec: Value) -> Value {
    let children = in_order(build(&parse(spec).unwrap()), None).unwrap();
    let found = children.into_iter().find(|c| c.kind.as_str() == "Deployment");
    found.unwrap().manifest["spec"].clone()
}

fn pod(spec: Value) -> Value {
    deployment(spec)["template"]["spec"].clone()
}

fn patch(spec: &Value) -> Value {
    json!({"podTemplate": {"spec": spec}})
}

fn sidecar(name: &str) -> Value {
    json!({"name": name, "image": "proxy:1",
           "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
}

#[test]
fn all_fields_of_the_pods() {
    let spec = json!({
        "replicas": 2,
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccountName": "reader",
        "podLabels": {"team": "jobs"},
        "podAnnotations": {"example.com/note": "a"},
        "volumes": [{"name": "settings", "configMap": {"name": "settings"}}, {"name": "jobs", "persistentVolumeClaim": {"claimName": "jobs"}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/jobs", "readOnly": true}],
        "rollout": {"maxSurge": 2, "maxUnavailable": "10%"},
        "probes": {"startup": {"failureThreshold": 600}, "liveness": {"initialDelaySeconds": 5, "timeoutSeconds": 9}},
        "podTemplate": {"metadata": {"labels": {"by": "template"}}, "spec": {"containers": [sidecar("proxy")], "runtimeClassName": "gvisor"}},
    });
    let children = in_order(build(&parse(spec).unwrap()), None).unwrap();
    let kinds: Vec<_> = children.iter().map(|c| c.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["Service", "Deployment", "PodDisruptionBudget"],
        "no ServiceAccount of its own"
    );
    insta::assert_yaml_snapshot!(children[1].manifest);
}

#[test]
fn without_a_rule_on_how_to_spread_there_is_none() {
    assert!(pod(json!({"topologySpreadConstraints": []}))["topologySpreadConstraints"].is_null());
    let given = pod(json!({"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}]}));
    assert_eq!(
        given["topologySpreadConstraints"][0]["labelSelector"],
        json!({"matchLabels": {"a": "b"}})
    );
    let template = |spec: Value| deployment(spec)["template"].clone();
    let one = template(json!({"replicas": 1}));
    for more in [
        json!({"replicas": 2}),
        json!({"replicas": 0}),
        json!({}),
        json!({"autoscaling": {}}),
    ] {
        assert_eq!(template(more.clone()), one, "{more}");
    }
}

#[test]
fn a_template_that_only_adds_is_taken() {
    for spec in [
        json!({}),
        json!({"containers": [sidecar("proxy")]}),
        json!({"initContainers": [sidecar("wait")], "shareProcessNamespace": true}),
        json!({"containers": [{"name": "jobs", "env": [{"name": "MORE", "value": "1"}], "ports": [{"containerPort": 7000, "name": "debug"}]}]}),
        json!({"volumes": [{"name": "more", "emptyDir": {}}], "containers": [{"name": "jobs", "volumeMounts": [{"name": "more", "mountPath": "/more"}]}]}),
        json!({"automountServiceAccountToken": true, "hostUsers": false}),
        json!({"terminationGracePeriodSeconds": 330, "restartPolicy": "Always"}),
        json!({"securityContext": {"fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch"}}),
    ] {
        assert!(
            parse(patch(&spec)).is_ok(),
            "{spec}: {:?}",
            parse(patch(&spec)).unwrap_err()
        );
    }
    // Quantities and what the API server fills in stand as they will be stored.
    let mut proxy = sidecar("proxy");
    proxy["resources"] = json!({"limits": {"cpu": 2, "memory": "1024Mi"}});
    proxy["env"] = json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let pod = pod(patch(&json!({"containers": [proxy]})));
    assert_eq!(
        pod["containers"][1]["resources"],
        json!({"limits": {"cpu": "2", "memory": "1Gi"}})
    );
    assert_eq!(
        pod["containers"][1]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"],
        "v1"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_template_that_breaks_something_is_refused_with_the_path_to_it() {
    let server = |field: &str, value: Value| json!({"containers": [{"name": "jobs", field: value}]});
    let mut on_8080 = sidecar("proxy");
    on_8080["ports"] = json!([{"containerPort": 8080}]);
    let mut named_http = sidecar("proxy");
    named_http["ports"] = json!([{"containerPort": 1, "name": "http"}]);
    for (spec, path) in [
        (
            json!({"terminationGracePeriodSeconds": 331}),
            "spec.terminationGracePeriodSeconds",
        ),
        (
            json!({"terminationGracePeriodSeconds": null}),
            "spec.terminationGracePeriodSeconds",
        ),
        (json!({"serviceAccountName": "x"}), "spec.serviceAccountName"),
        (json!({"serviceAccount": "x"}), "spec.serviceAccountName"),
        (json!({"restartPolicy": "Never"}), "spec.restartPolicy"),
        (json!({"activeDeadlineSeconds": 9}), "spec.activeDeadlineSeconds"),
        (
            json!({"securityContext": {"fsGroup": null}}),
            "spec.securityContext.fsGroup",
        ),
        (json!({"hostNetwork": true}), "spec.hostNetwork"),
        (
            json!({"securityContext": {"runAsNonRoot": null}}),
            "spec.containers[jobs].securityContext.runAsNonRoot",
        ),
        (
            json!({"volumes": [{"name": "keys", "$patch": "delete"}]}),
            "spec.volumes[keys]",
        ),
        (
            json!({"volumes": [{"name": "data", "emptyDir": {"medium": "Memory"}}]}),
            "spec.volumes[data]",
        ),
        (
            json!({"volumes": [{"name": "iam-mcp-x", "emptyDir": {}}]}),
            "spec.volumes[iam-mcp-x]",
        ),
        (
            json!({"volumes": [{"name": "rapidapi", "emptyDir": {}}]}),
            "spec.volumes[rapidapi]",
        ),
        (
            json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
            "spec.volumes[host]",
        ),
        (
            json!({"containers": [{"$patch": "replace"}, sidecar("proxy")]}),
            "spec.containers[jobs]",
        ),
        (
            json!({"containers": [on_8080]}),
            "spec.containers[proxy].ports[8080]",
        ),
        (
            json!({"initContainers": [named_http]}),
            "spec.initContainers[proxy].ports[1]",
        ),
        (
            json!({"initContainers": [sidecar("jobs")]}),
            "spec.initContainers[jobs]",
        ),
        (
            json!({"containers": [sidecar("iam-mcp-x")]}),
            "spec.containers[iam-mcp-x]",
        ),
        (
            json!({"containers": [{"name": "proxy", "image": "a"}]}),
            "spec.containers[proxy].securityContext",
        ),
        (
            json!({"ephemeralContainers": [{"name": "e"}]}),
            "spec.ephemeralContainers[e]",
        ),
        (server("image", json!("other")), "spec.containers[jobs].image"),
        (
            server("imagePullPolicy", json!("Always")),
            "spec.containers[jobs].imagePullPolicy",
        ),
        (server("command", json!(["sh"])), "spec.containers[jobs].command"),
        (server("args", json!(["stdio"])), "spec.containers[jobs].args"),
        (
            server("resources", json!({"limits": {"cpu": "1"}})),
            "spec.containers[jobs].resources",
        ),
        (
            server("livenessProbe", Value::Null),
            "spec.containers[jobs].livenessProbe",
        ),
        (
            server("readinessProbe", json!({"periodSeconds": 1})),
            "spec.containers[jobs].readinessProbe",
        ),
        (
            server("startupProbe", json!({"periodSeconds": 2})),
            "spec.containers[jobs].startupProbe",
        ),
        (
            server("lifecycle", json!({"preStop": {"sleep": {"seconds": 60}}})),
            "spec.containers[jobs].lifecycle",
        ),
        (
            server("env", json!([{"name": "PORT", "value": "1"}])),
            "spec.containers[jobs].env[PORT]",
        ),
        (
            server("env", json!([{"name": "RAPIDAPI_KEY", "value": "1"}])),
            "spec.containers[jobs].env[RAPIDAPI_KEY]",
        ),
        (
            server("env", json!([{"name": "HOST", "$patch": "delete"}])),
            "spec.containers[jobs].env[HOST]",
        ),
        (
            server("ports", json!([{"containerPort": 8080, "name": "web"}])),
            "spec.containers[jobs].ports[8080]",
        ),
        (
            server("ports", json!([{"containerPort": 9090, "$patch": "delete"}])),
            "spec.containers[jobs].ports[9090]",
        ),
        (
            server("volumeMounts", json!([{"mountPath": "/data", "name": "keys"}])),
            "spec.containers[jobs].volumeMounts[/data]",
        ),
        (
            server(
                "volumeMounts",
                json!([{"mountPath": "/run/iam-mcp/keys", "name": "data"}]),
            ),
            "spec.containers[jobs].volumeMounts[/run/iam-mcp/keys]",
        ),
        (
            server("securityContext", json!({"privileged": true})),
            "spec.containers[jobs].securityContext.privileged",
        ),
        (server("nosuch", json!(1)), "spec.containers[0].nosuch"),
        (json!({"nodeSelector": {"a": 1}}), "spec.nodeSelector.a"),
        (json!({"priority": "high"}), "spec.priority"),
        (json!({"$retainKeys": []}), "spec.$retainKeys"),
        (json!({"containers": null}), "spec"),
    ] {
        let problems = parse(patch(&spec)).unwrap_err();
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with(&format!("podTemplate.{path}"))),
            "{spec}\n  wanted {path}\n  seen {problems:#?}"
        );
    }
    for (metadata, path) in [
        (json!({"labels": {"app": "x"}}), "metadata.labels[app]"),
        (json!({"labels": {"app": null}}), "metadata.labels[app]"),
        (
            json!({"labels": {"$patch": "replace"}}),
            "metadata.labels[app.kubernetes.io/managed-by]",
        ),
        (
            json!({"labels": {"pod-template-hash": "x"}}),
            "metadata.labels[pod-template-hash]",
        ),
        (
            json!({"annotations": {"iam-mcp.dev/x": "y"}}),
            "metadata.annotations[iam-mcp.dev/x]",
        ),
        (
            json!({"name": "x"}),
            "metadata may have labels and annotations only",
        ),
        (
            json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/jobs": "unconfined"}}),
            "metadata.annotations[container.apparmor",
        ),
    ] {
        let problems = parse(json!({"podTemplate": {"metadata": metadata}})).unwrap_err();
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with(&format!("podTemplate.{path}"))),
            "{metadata}: {problems:#?}"
        );
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let spec = json!({"hostPID": true, "terminationGracePeriodSeconds": 1, "containers": [{"name": "jobs", "image": "x"}]});
    let problems = parse(patch(&spec)).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

/// The rules of the definition, again: `render` has no API server.
#[test]
fn what_the_definition_refuses_is_refused_here_too() {
    let mut cases = vec![
        (
            json!({"serviceAccountName": "jobs"}),
            "serviceAccountName: jobs is",
        ),
        (
            json!({"podLabels": {"iam-mcp.dev/a": "b"}}),
            "podLabels: iam-mcp.dev/a",
        ),
        (
            json!({"podAnnotations": {"iam-mcp.dev/a": "b"}}),
            "podAnnotations: iam-mcp.dev/a",
        ),
        (
            json!({"volumes": [{"name": "iam-mcp-a", "emptyDir": {}}]}),
            "volumes: iam-mcp-a",
        ),
        (json!({"volumes": [{"name": "a"}]}), "volumes: give a exactly one"),
        (
            json!({"volumes": [{"name": "a", "emptyDir": {}, "secret": {}}]}),
            "volumes: give a exactly one",
        ),
        (
            json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "secret": {}}]}),
            "volumes: a stands there twice",
        ),
        (
            json!({"volumeMounts": [{"name": "a", "mountPath": "/a"}]}),
            "volumeMounts: /a needs a volume \"a\"",
        ),
        (json!({"rollout": {"maxSurge": 0}}), "rollout: with maxSurge 0"),
        (
            json!({"rollout": {"strategy": "Recreate", "maxSurge": 1}}),
            "rollout: maxSurge and maxUnavailable",
        ),
        (
            json!({"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/jobs": "unconfined"}}),
            "podAnnotations: metadata.annotations[container.apparmor",
        ),
    ];
    let mount = |path: &str| json!({"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": [{"name": "a", "mountPath": path}]});
    for path in ["a", "/", "/a/", "/a/../b", "/a:b"] {
        cases.push((mount(path), "must be absolute"));
    }
    for path in ["/data", "/var/run/iam-mcp", "/run/iam-mcp/keys"] {
        cases.push((mount(path), "is the operator's"));
    }
    for label in RESERVED_LABELS {
        cases.push((json!({"podLabels": {*label: "x"}}), "podLabels: "));
    }
    for annotation in RESERVED_ANNOTATIONS {
        cases.push((json!({"podAnnotations": {*annotation: "x"}}), "podAnnotations: "));
    }
    for volume in RESERVED_VOLUMES {
        cases.push((
            json!({"volumes": [{"name": volume, "emptyDir": {}}]}),
            "volumes: ",
        ));
    }
    for (spec, part) in cases {
        let problems = parse(spec.clone()).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{spec}: {problems:#?}"
        );
    }
}

#[test]
fn claims_are_found_in_volumes_and_in_the_template() {
    let spec: McpServerSpec = serde_json::from_value(json!({
        "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "one"}}, {"name": "b", "emptyDir": {}}],
        "podTemplate": {"spec": {"volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "two"}}, {"name": "d", "emptyDir": {}}]}},
    }))
    .unwrap();
    assert_eq!(
        claims_named(&spec).into_iter().collect::<Vec<_>>(),
        ["one", "two"]
    );
    let mut odd = spec.clone();
    odd.volumes.clear();
    odd.pod_template.as_mut().unwrap().spec = Some(json!({"volumes": "none"}));
    assert!(claims_named(&odd).is_empty());

    let mut server = parse(serde_json::to_value(&spec).unwrap()).unwrap();
    let shared = |name: &str| (name.to_owned(), Some(vec!["ReadWriteMany".to_owned()]));
    server
        .settle_claims(None, &Claims::from([shared("one"), shared("two")]))
        .unwrap();
    assert_eq!(server.pods.note, None);
    let one_node = ("two".to_owned(), Some(vec!["ReadWriteOnce".to_owned()]));
    server
        .settle_claims(None, &Claims::from([shared("one"), one_node]))
        .unwrap();
    assert!(server.pods.note.unwrap().contains("claim two is ReadWriteOnce"));
}

/// Any spec of what the pods are like; valid by itself.
fn specs() -> impl Strategy<Value = Value> {
    let volume = prop_oneof![
        Just(json!({"emptyDir": {"sizeLimit": "1024Mi"}})),
        Just(json!({"configMap": {"name": "c"}})),
        Just(json!({"secret": {"secretName": "s"}})),
        Just(json!({"persistentVolumeClaim": {"claimName": "p"}})),
    ];
    (
        option::of("[a-z]{1,9}-sa"),
        proptest::collection::btree_map("team|tier", "[a-z]{1,9}", 0..3),
        proptest::collection::vec(volume, 0..4),
        option::of(proptest::collection::vec("zone|rack", 0..2)),
        option::of((option::of(1..100_i32), option::of(1..100_i32), option::of(1..100_i32))),
        option::of(proptest::collection::btree_set("[a-c]", 1..3)),
        option::of(0..3_i32),
    )
        .prop_map(|(account, labels, volumes, spread, probe, sidecars, replicas)| {
            let mounts: Vec<_> = (0..volumes.len())
                .map(|n| json!({"name": format!("v{n}"), "mountPath": format!("/mnt/{n}")}))
                .collect();
            let volumes: Vec<_> = volumes
                .into_iter()
                .enumerate()
                .map(|(n, mut volume)| {
                    volume["name"] = json!(format!("v{n}"));
                    volume
                })
                .collect();
            let mut spec = json!({"podLabels": labels, "volumes": volumes, "volumeMounts": mounts});
            if let Some(account) = account {
                spec["serviceAccountName"] = json!(account);
            }
            if let Some(keys) = spread {
                let constraint = |key: String| json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"});
                spec["topologySpreadConstraints"] = keys.into_iter().take(1).map(constraint).collect();
            }
            if let Some((period, failures, delay)) = probe {
                spec["probes"] = json!({"liveness": {"periodSeconds": period, "failureThreshold": failures, "initialDelaySeconds": delay}});
            }
            if let Some(names) = sidecars {
                let containers: Vec<_> = names.iter().map(|name| sidecar(name)).collect();
                spec["podTemplate"] = json!({"spec": {"containers": containers}});
            }
            if let Some(replicas) = replicas {
                spec["replicas"] = json!(replicas);
            }
            spec
        })
}

proptest! {
    #[test]
    fn any_pods_pass_the_profile_and_keep_what_selects_them(spec in specs()) {
        let deployment = deployment(spec.clone());
        let template: PodTemplateSpec = serde_json::from_value(deployment["template"].clone()).unwrap();
        prop_assert_eq!(restricted(&template), Vec::<String>::new());
        for (label, value) in deployment["selector"]["matchLabels"].as_object().unwrap() {
            prop_assert_eq!(&deployment["template"]["metadata"]["labels"][label], value);
        }
        prop_assert_eq!(&deployment["template"]["spec"]["terminationGracePeriodSeconds"], &json!(330));
        let has_claim = spec.to_string().contains("persistentVolumeClaim");
        prop_assert_eq!(deployment["strategy"]["type"] == "Recreate", has_claim, "nothing is known of the claim");
    }

    #[test]
    fn rendering_is_idempotent_and_an_empty_patch_changes_nothing(spec in specs()) {
        let mut plain = spec;
        plain.as_object_mut().unwrap().remove("podTemplate");
        let once = deployment(plain.clone());
        prop_assert_eq!(&deployment(plain.clone()), &once);
        plain["podTemplate"] = json!({"metadata": {}, "spec": {}});
        prop_assert_eq!(deployment(plain), once);
    }
}
