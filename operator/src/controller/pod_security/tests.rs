use serde_json::{Value, json};

use super::*;

fn pod() -> Value {
    json!({
        "metadata": {},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "c", "image": "i",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
            "volumes": [],
        },
    })
}

/// The findings for a good pod with `value` at `pointer`; a missing parent is made.
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut pod = pod();
    let mut at = &mut pod;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/");
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[step],
        };
    }
    *at = value;
    restricted(&serde_json::from_value(pod).unwrap())
}

#[test]
fn a_pod_of_the_profile_passes() {
    assert_eq!(
        restricted(&serde_json::from_value(pod()).unwrap()),
        Vec::<String>::new()
    );
    assert_eq!(restricted(&PodTemplateSpec::default()), Vec::<String>::new());
}

/// Where in the pod, a value that is allowed there, one that is not, and the path that is told.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_rule() {
    const C: &str = "/spec/containers/0";
    let c = |rest: &str| format!("{C}{rest}");
    let rows: Vec<(String, Value, Value, &str)> = vec![
        // baseline
        (
            "/spec/hostNetwork".into(),
            json!(false),
            json!(true),
            "spec.hostNetwork",
        ),
        ("/spec/hostPID".into(), json!(false), json!(true), "spec.hostPID"),
        ("/spec/hostIPC".into(), json!(false), json!(true), "spec.hostIPC"),
        (
            c("/securityContext/privileged"),
            json!(false),
            json!(true),
            "spec.containers[c].securityContext.privileged",
        ),
        (
            c("/ports"),
            json!([{"containerPort": 1, "hostPort": 0}]),
            json!([{"containerPort": 1, "hostPort": 1}]),
            "spec.containers[c].ports[1].hostPort",
        ),
        (
            "/spec/securityContext/appArmorProfile".into(),
            json!({"type": "Localhost", "localhostProfile": "p"}),
            json!({"type": "Unconfined"}),
            "spec.securityContext.appArmorProfile.type",
        ),
        (
            c("/securityContext/appArmorProfile"),
            json!({"type": "RuntimeDefault"}),
            json!({"type": "Unconfined"}),
            "spec.containers[c].securityContext.appArmorProfile.type",
        ),
        (
            "/metadata/annotations".into(),
            json!({"container.apparmor.security.beta.kubernetes.io/c": "localhost/p"}),
            json!({"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]",
        ),
        (
            "/spec/securityContext/seLinuxOptions".into(),
            json!({"type": "container_t", "level": "s0"}),
            json!({"type": "spc_t"}),
            "spec.securityContext.seLinuxOptions.type",
        ),
        (
            c("/securityContext/seLinuxOptions"),
            json!({"type": "container_engine_t", "user": ""}),
            json!({"user": "root"}),
            "spec.containers[c].securityContext.seLinuxOptions.user",
        ),
        (
            c("/securityContext/seLinuxOptions"),
            json!({"role": ""}),
            json!({"role": "r"}),
            "spec.containers[c].securityContext.seLinuxOptions.role",
        ),
        (
            c("/securityContext/procMount"),
            json!("Default"),
            json!("Unmasked"),
            "spec.containers[c].securityContext.procMount",
        ),
        (
            "/spec/securityContext/sysctls".into(),
            json!([{"name": "net.ipv4.tcp_syncookies", "value": "1"}]),
            json!([{"name": "kernel.msgmax", "value": "1"}]),
            "spec.securityContext.sysctls[kernel.msgmax]",
        ),
        (
            "/spec/securityContext/windowsOptions".into(),
            json!({"hostProcess": false}),
            json!({"hostProcess": true}),
            "spec.securityContext.windowsOptions.hostProcess",
        ),
        (
            c("/securityContext/windowsOptions"),
            json!({"hostProcess": false}),
            json!({"hostProcess": true}),
            "spec.containers[c].securityContext.windowsOptions.hostProcess",
        ),
        (
            c("/livenessProbe"),
            json!({"httpGet": {"port": 1}}),
            json!({"httpGet": {"port": 1, "host": "h"}}),
            "spec.containers[c].livenessProbe.httpGet.host",
        ),
        (
            c("/readinessProbe"),
            json!({"tcpSocket": {"port": 1, "host": ""}}),
            json!({"tcpSocket": {"port": 1, "host": "h"}}),
            "spec.containers[c].readinessProbe.tcpSocket.host",
        ),
        (
            c("/startupProbe"),
            json!({"exec": {"command": ["x"]}}),
            json!({"httpGet": {"port": 1, "host": "h"}}),
            "spec.containers[c].startupProbe.httpGet.host",
        ),
        (
            c("/lifecycle"),
            json!({"preStop": {"sleep": {"seconds": 1}}}),
            json!({"preStop": {"httpGet": {"port": 1, "host": "h"}}}),
            "spec.containers[c].lifecycle.preStop.httpGet.host",
        ),
        (
            c("/lifecycle"),
            json!({"postStart": {"tcpSocket": {"port": 1}}}),
            json!({"postStart": {"tcpSocket": {"port": 1, "host": "h"}}}),
            "spec.containers[c].lifecycle.postStart.tcpSocket.host",
        ),
        // restricted
        (
            c("/securityContext/capabilities/add"),
            json!(["NET_BIND_SERVICE"]),
            json!(["NET_BIND_SERVICE", "NET_ADMIN"]),
            "spec.containers[c].securityContext.capabilities.add",
        ),
        (
            c("/securityContext/capabilities/drop"),
            json!(["NET_RAW", "ALL"]),
            json!(["NET_RAW"]),
            "spec.containers[c].securityContext.capabilities.drop",
        ),
        (
            c("/securityContext/allowPrivilegeEscalation"),
            json!(false),
            Value::Null,
            "spec.containers[c].securityContext.allowPrivilegeEscalation",
        ),
        (
            c("/securityContext/allowPrivilegeEscalation"),
            json!(false),
            json!(true),
            "spec.containers[c].securityContext.allowPrivilegeEscalation",
        ),
        (
            c("/securityContext/runAsNonRoot"),
            json!(true),
            json!(false),
            "spec.containers[c].securityContext.runAsNonRoot",
        ),
        (
            "/spec/securityContext/runAsUser".into(),
            json!(1),
            json!(0),
            "spec.securityContext.runAsUser",
        ),
        (
            c("/securityContext/runAsUser"),
            json!(1),
            json!(0),
            "spec.containers[c].securityContext.runAsUser",
        ),
        (
            c("/securityContext/seccompProfile"),
            json!({"type": "Localhost", "localhostProfile": "p"}),
            json!({"type": "Unconfined"}),
            "spec.containers[c].securityContext.seccompProfile.type",
        ),
        (
            "/spec/volumes".into(),
            json!([{"name": "v", "image": {"reference": "i"}}]),
            json!([{"name": "v", "hostPath": {"path": "/"}}]),
            "spec.volumes[v]",
        ),
        (
            "/spec/volumes".into(),
            json!([{"name": "v", "ephemeral": {}}, {"name": "w", "csi": {"driver": "d"}}, {"name": "x", "downwardAPI": {}}]),
            json!([{"name": "v", "nfs": {"path": "/", "server": "s"}}]),
            "spec.volumes[v]",
        ),
        (
            "/spec/volumes".into(),
            json!([{"name": "v", "projected": {}}]),
            json!([{"name": "v"}]),
            "spec.volumes[v]",
        ),
    ];
    for (pointer, good, bad, path) in rows {
        assert_eq!(
            with(&pointer, good.clone()),
            Vec::<String>::new(),
            "{pointer} {good}"
        );
        let seen = with(&pointer, bad.clone());
        assert!(
            seen.len() == 1 && seen[0].starts_with(&format!("{path} ")),
            "{pointer} {bad}: {seen:?}"
        );
    }
}

#[test]
fn what_the_pod_leaves_open_each_container_has_to_say() {
    let (root, filter) = (
        "spec.containers[c].securityContext.runAsNonRoot must be true",
        "spec.containers[c].securityContext.seccompProfile.type must be RuntimeDefault or Localhost",
    );
    assert_eq!(with("/spec/securityContext", Value::Null), [root, filter]);
    let mut own = pod();
    own["spec"]["securityContext"] = Value::Null;
    own["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] = json!(true);
    own["spec"]["containers"][0]["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
    assert_eq!(
        restricted(&serde_json::from_value(own).unwrap()),
        Vec::<String>::new()
    );
    // Said at the pod it is wrong there, whatever the containers say.
    assert!(
        with("/spec/securityContext/runAsNonRoot", json!(false))[0]
            .starts_with("spec.securityContext.runAsNonRoot")
    );
    let unconfined = with(
        "/spec/securityContext/seccompProfile",
        json!({"type": "Unconfined"}),
    );
    assert_eq!(
        unconfined,
        ["spec.securityContext.seccompProfile.type must be RuntimeDefault or Localhost"]
    );
}

#[test]
fn init_containers_and_sidecars_are_containers_too() {
    let seen = with(
        "/spec/initContainers",
        json!([{"name": "i", "restartPolicy": "Always"}]),
    );
    assert_eq!(
        seen,
        [
            "spec.initContainers[i].securityContext.allowPrivilegeEscalation must be false",
            "spec.initContainers[i].securityContext.capabilities.drop must have ALL"
        ]
    );
    let seen = with("/spec/ephemeralContainers", json!([{"name": "e"}]));
    assert_eq!(seen, ["spec.ephemeralContainers[e] cannot be in a template"]);
}
