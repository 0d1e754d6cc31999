//! Images that are not builds of our server: what they get, and what they do not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use iam_mcp_crds::{McpServer, Protocol};
use iam_mcp_operator::{
    cli::RenderArgs,
    controller::{
        build::{build, url},
        health::{Endpoint, credential::Credential},
        pod_security,
        validate::{Defaults, ValidatedServer, validate},
    },
    render::render_text,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

fn validated(spec: &Value) -> Result<ValidatedServer, String> {
    let server: McpServer = serde_json::from_value(json!({
        "apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer",
        "metadata": {"name": "weather", "namespace": "n"}, "spec": spec,
    }))
    .unwrap();
    let defaults = Defaults {
        server_image: "bridge:1".to_owned(),
        operator_namespace: "system".to_owned(),
    };
    validate(&server, &defaults, false).map_err(|invalid| invalid.to_string())
}

fn pod(spec: &Value) -> Value {
    let template = build(&validated(spec).unwrap()).deployment.spec.unwrap().template;
    serde_json::to_value(template).unwrap()["spec"].clone()
}

fn http() -> Value {
    json!({"image": "weather:1", "endpoint": {"port": 3000, "path": "/api/mcp"}})
}

fn stdio() -> Value {
    json!({"image": "files:1", "transport": "Stdio", "command": ["npx", "files"], "args": ["/srv"]})
}

fn with(mut spec: Value, more: &Value) -> Value {
    spec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    spec
}

#[test]
fn another_image_gets_nothing_that_it_does_not_know() {
    let pod = pod(&with(
        http(),
        &json!({"env": [{"name": "PORT", "value": "3000"}]}),
    ));
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "weather:1");
    assert_eq!(container["env"], json!([{"name": "PORT", "value": "3000"}]));
    assert_eq!(
        container["ports"],
        json!([{"name": "http", "containerPort": 3000, "protocol": "TCP"}])
    );
    assert_eq!(
        (&container["command"], &container["args"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        container["volumeMounts"],
        json!([{"name": "iam-mcp-tmp", "mountPath": "/tmp"}])
    );
    assert_eq!(pod["volumes"], json!([{"name": "iam-mcp-tmp", "emptyDir": {}}]));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["tcpSocket"], json!({"port": "http"}), "{probe}");
        assert_eq!(container[probe]["httpGet"], Value::Null);
    }
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_eq!(pod["initContainers"], Value::Null);
}

#[test]
fn what_is_said_of_another_image_is_done() {
    let spec = json!({
        "image": "weather:1", "command": ["/bin/weather"], "args": ["--http"], "sessions": {"drainSeconds": 60},
        "endpoint": {"healthPath": "/healthz"}, "volumes": [{"name": "scratch", "emptyDir": {}}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    });
    let pod = pod(&spec);
    let container = &pod["containers"][0];
    assert_eq!(container["command"], json!(["/bin/weather"]));
    assert_eq!(container["args"], json!(["--http"]));
    assert_eq!(
        container["livenessProbe"]["httpGet"],
        json!({"path": "/healthz", "port": "http", "scheme": "HTTP"})
    );
    assert_eq!(
        container["volumeMounts"],
        json!([{"name": "scratch", "mountPath": "/tmp"}])
    );
    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
}

#[test]
fn a_stdio_program_runs_behind_the_bridge() {
    let pod = pod(&with(
        stdio(),
        &json!({"protocol": "Legacy", "cors": {"origins": ["https://a"]}}),
    ));
    let (init, container) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!(
        (&init["name"], &init["image"]),
        (&json!("iam-mcp-bridge"), &json!("bridge:1"))
    );
    assert_eq!(init["args"], json!(["install", "/var/run/iam-mcp/bin"]));
    assert_eq!(container["image"], "files:1");
    assert_eq!(
        container["command"],
        json!([
            "/var/run/iam-mcp/bin/iam-mcp-server",
            "bridge",
            "--protocol=legacy",
            "--"
        ])
    );
    assert_eq!(container["args"], json!(["npx", "files", "/srv"]));
    let names: Vec<&str> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["http", "admin"]);
    let env = container["env"].as_array().unwrap();
    let value = |name: &str| env.iter().find(|v| v["name"] == name).map(|v| v["value"].clone());
    assert_eq!(value("VERIFY_AT_START"), Some(json!("true")));
    assert_eq!(value("CORS_ORIGINS"), Some(json!("https://a")));
    for none in [
        "SESSION_KEY_FILE",
        "PEER_PORT",
        "POD_UID",
        "JOB_PROVIDER",
        "IAM_DATA_ROOT",
    ] {
        assert_eq!(value(none), None, "{none}");
    }
    assert!(!pod.to_string().contains("weather-keys"));
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], "admin");
}

#[test]
fn all_containers_pass_the_restricted_profile_and_have_a_root_that_is_read_only() {
    for spec in [http(), stdio(), with(stdio(), &json!({"verify": "Off"}))] {
        let template = build(&validated(&spec).unwrap())
            .deployment
            .spec
            .unwrap()
            .template;
        assert_eq!(pod_security::restricted(&template), Vec::<String>::new());
        let template: PodTemplateSpec = template;
        let pod = template.spec.unwrap();
        assert_eq!(pod.security_context.unwrap().run_as_non_root, Some(true));
        for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
            let context = container.security_context.as_ref().unwrap();
            assert_eq!(
                context.read_only_root_filesystem,
                Some(true),
                "{}",
                container.name
            );
        }
    }
}

#[test]
fn the_address_and_the_policy_are_the_images_own() {
    let policy = json!({"networkPolicy": {"from": [{"podLabels": {"app": "agent"}}]}});
    let server = validated(&with(http(), &policy)).unwrap();
    assert_eq!(url(&server), "http://weather.n.svc/api/mcp");
    let rendered = serde_json::to_value(build(&server).network_policy.unwrap()).unwrap();
    let ports = |direction: &str| -> Vec<i64> {
        let rules = rendered["spec"][direction].as_array().unwrap();
        let ports = rules.iter().flat_map(|rule| rule["ports"].as_array().unwrap());
        ports.map(|port| port["port"].as_i64().unwrap()).collect()
    };
    assert_eq!(ports("ingress"), [3000, 3000]);
    assert!(!ports("egress").contains(&9091));
    let ingress = json!({"ingress": {"host": "w.example.com", "path": "/api"}});
    let server = validated(&with(http(), &ingress)).unwrap();
    assert_eq!(url(&server), "http://w.example.com/api/mcp");
    let bridged = validated(&with(stdio(), &json!({"networkPolicy": {}}))).unwrap();
    let rendered = serde_json::to_value(build(&bridged).network_policy.unwrap())
        .unwrap()
        .to_string();
    assert!(
        rendered.contains("9090") && !rendered.contains("9091"),
        "{rendered}"
    );
}

#[test]
fn an_image_is_asked_where_and_in_the_era_that_it_says() {
    let of = |spec: Value| {
        let server: McpServer = serde_json::from_value(json!({
            "apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer",
            "metadata": {"name": "weather", "namespace": "n"}, "spec": spec,
        }))
        .unwrap();
        Endpoint::of(&server, [10, 0, 0, 7].into(), Credential::None)
    };
    let other = of(with(http(), &json!({"protocol": "Legacy"})));
    assert_eq!(other.address.to_string(), "10.0.0.7:3000");
    assert_eq!(
        (other.path.as_str(), other.protocol),
        ("/api/mcp", Protocol::Legacy)
    );
    // A session of the bridge's is a process, and there are few.
    let bridged = of(with(stdio(), &json!({"protocol": "Legacy"})));
    assert_eq!(bridged.address.to_string(), "10.0.0.7:8080");
    assert_eq!(
        (bridged.path.as_str(), bridged.protocol),
        ("/mcp", Protocol::Auto)
    );
}

/// The API server says the same, see `e2e/tests/reconcile/api_image.rs`.
#[test]
fn contradictions_are_refused_without_an_api_server() {
    for (spec, part) in [
        (with(stdio(), &json!({"endpoint": {}})), "leave endpoint out"),
        (json!({"endpoint": {}}), "name that image"),
        (json!({"transport": "Stdio", "command": ["a"]}), "name that image"),
        (json!({"image": "a", "args": ["b"]}), "say what such a one is"),
        (
            json!({"image": "a", "transport": "Stdio"}),
            "needs the program to run",
        ),
        (
            with(http(), &json!({"jobSearch": {}})),
            "only this project's server searches jobs",
        ),
        (
            with(stdio(), &json!({"jobSearch": {}})),
            "only this project's server searches jobs",
        ),
        (
            with(http(), &json!({"logLevel": "DEBUG"})),
            "endpoint: auth, limits, telemetry, logLevel",
        ),
        (
            with(http(), &json!({"monitoring": {}})),
            "endpoint: auth, limits, telemetry, logLevel",
        ),
        (
            with(http(), &json!({"service": {"hostnames": ["a"]}})),
            "service.hostnames",
        ),
        (
            with(http(), &json!({"sessions": {"drainIdleSeconds": 1}})),
            "sessions.drainIdleSeconds",
        ),
        (with(http(), &json!({"ingress": {"path": "/ap"}})), "ingress.path"),
        (
            with(stdio(), &json!({"env": [{"name": "PORT", "value": "1"}]})),
            "env: PORT",
        ),
        (
            json!({"image": "a", "endpoint": {"path": "mcp"}}),
            "endpoint.path",
        ),
        (
            json!({"image": "a", "endpoint": {"path": "/sse", "ssePath": "/sse"}}),
            "another one",
        ),
        (
            json!({"image": "a", "endpoint": {"ssePath": "/sse"}, "protocol": "Stateless"}),
            "endpoint.ssePath",
        ),
    ] {
        let refused = validated(&spec).map(drop).unwrap_err();
        assert!(refused.contains(part), "{spec}: {refused}");
    }
    let off = json!({"verify": "Off", "protocol": "Stateless", "service": {"sessionAffinity": "Auto"}});
    assert!(validated(&with(http(), &off)).is_ok(), "nobody has to ask");
}

#[test]
fn a_patch_keeps_the_bridge() {
    let patch = |spec: Value| with(stdio(), &json!({"podTemplate": {"spec": spec}}));
    let sidecar = json!({"initContainers": [{"name": "fetch", "image": "f:1", "securityContext":
        {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]});
    assert!(validated(&patch(sidecar)).is_ok());
    for (spec, part) in [
        (
            json!({"initContainers": [{"name": "iam-mcp-bridge", "image": "evil:1"}]}),
            "initContainers[iam-mcp-bridge]",
        ),
        (
            json!({"initContainers": [{"name": "iam-mcp-bridge", "$patch": "delete"}]}),
            "initContainers[iam-mcp-bridge]",
        ),
        (
            json!({"containers": [{"name": "weather", "args": ["sh"]}]}),
            "use spec.args",
        ),
        (
            json!({"containers": [{"name": "other", "ports": [{"containerPort": 9090}]}]}),
            "ports[9090]",
        ),
    ] {
        let refused = validated(&patch(spec.clone())).map(drop).unwrap_err();
        assert!(refused.contains(part), "{spec}: {refused}");
    }
    let writable = json!({"spec": {"containers": [{"name": "weather", "securityContext": {"readOnlyRootFilesystem": false}}]}});
    assert!(validated(&with(http(), &json!({"podTemplate": writable}))).is_ok());
}

/// The examples of the documentation are what they say.
#[test]
fn the_examples_of_the_documentation_render() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mcpserver.md")).unwrap();
    let (_, section) = text.split_once("### Images of others").unwrap();
    let (section, _) = section.split_once("### podTemplate").unwrap();
    let examples: Vec<&str> = section
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 2);
    let args = RenderArgs {
        filename: "docs/mcpserver.md".into(),
        namespace: "default".to_owned(),
        server_image: "bridge:1".to_owned(),
        operator_namespace: "system".to_owned(),
    };
    let rendered = render_text(&examples.join("\n---\n"), &args).unwrap();
    insta::assert_snapshot!(rendered);
}
