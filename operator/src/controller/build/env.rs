//! What the operator tells the server by its environment.

use iam_mcp_crds::{JobProvider, LogLevel, Verify};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};

use super::{
    SESSION_KEY, ValidatedServer,
    deployment::{ADMIN_PORT, HTTP_PORT, KEYS_DIR, PEER_PORT, RAPIDAPI_DIR},
};
use crate::controller::validate::Program;

/// What a build of ours understands, and the bridge does not: it has no keys, no peers and no jobs.
const NOT_THE_BRIDGE: [&str; 4] = ["IAM_DATA_ROOT", "JOB_PROVIDER", "PEER_PORT", "SESSION_KEY_FILE"];

/// The variables; `further` are those of more fields.
pub(super) fn build(server: &ValidatedServer, further: Vec<EnvVar>) -> Vec<EnvVar> {
    let bridge = matches!(server.program, Program::Stdio(_));
    let ValidatedServer { name, namespace, .. } = server;
    let mut hosts = vec![
        name.clone(),
        format!("{name}.{namespace}"),
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
    ];
    let ingress = server.ingress.as_ref();
    hosts.extend(ingress.and_then(|i| i.host.clone()));
    let route = server.http_route.as_ref();
    let more = route.iter().flat_map(|r| &r.hostnames);
    for host in more.chain(&server.service.hostnames) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    let mut vars = vec![
        ("ADMIN_PORT", ADMIN_PORT.to_string()),
        ("ALLOWED_HOSTS", hosts.join(",")),
        ("APP_NAME", name.clone()),
        ("DRAIN_SECONDS", server.sessions.drain_seconds.to_string()),
        // Every address, IPv6 too; the server falls back to IPv4 where a node has no other.
        ("HOST", "::".to_owned()),
        ("IAM_DATA_ROOT", "/data".to_owned()),
        ("JOB_PROVIDER", provider(server.provider).to_owned()),
        ("LOG_LEVEL", level(server.log_level).to_owned()),
        ("PEER_PORT", PEER_PORT.to_string()),
        ("PORT", HTTP_PORT.to_string()),
        ("SESSION_KEY_FILE", format!("{KEYS_DIR}/{SESSION_KEY}")),
    ];
    // Where there are both, they have the same.
    let path = ingress.map(|i| &i.path).or(route.map(|r| &r.path));
    if let Some(path) = path.map(String::as_str).filter(|p| *p != "/") {
        vars.push(("BASE_PATH", path.to_owned()));
    }
    if !server.cors_origins.is_empty() {
        vars.push(("CORS_ORIGINS", server.cors_origins.join(",")));
    }
    if let Some(seconds) = server.sessions.drain_idle_seconds {
        vars.push(("DRAIN_IDLE_SECONDS", seconds.to_string()));
    }
    if bridge {
        vars.retain(|(name, _)| !NOT_THE_BRIDGE.contains(name));
    }
    // A build of ours that has peers does so by itself.
    if server.verify == Verify::Off || bridge {
        vars.push(("VERIFY_AT_START", (server.verify != Verify::Off).to_string()));
    }
    if let Some(host) = &server.rapid_api_host {
        vars.push(("RAPIDAPI_HOST", host.clone()));
    }
    if server.rapid_api_key.is_some() {
        vars.push(("RAPIDAPI_KEY_FILE", format!("{RAPIDAPI_DIR}/key")));
    }
    let ours = vars.into_iter().map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    });
    // A session's id says which pod has its stream.
    let of_the_pod = [("POD_IP", "status.podIP"), ("POD_UID", "metadata.uid")];
    let of_the_pod = of_the_pod.into_iter().filter(|_| !bridge);
    ours.chain(of_the_pod.map(|(name, path)| downward(name, path)))
        .chain(further)
        .chain(server.env.iter().cloned())
        .collect()
}

/// A variable with a field of the pod.
fn downward(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                // As the API server fills it in: a `fieldRef` is owned as one value, and the digests of
                // the wanted and the live one must agree.
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

const fn provider(provider: JobProvider) -> &'static str {
    match provider {
        JobProvider::Auto => "Auto",
        JobProvider::JSearch => "JSearch",
        JobProvider::Catalogue => "Catalogue",
    }
}

const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "ERROR",
        LogLevel::Warn => "WARN",
        LogLevel::Info => "INFO",
        LogLevel::Debug => "DEBUG",
        LogLevel::Trace => "TRACE",
    }
}
