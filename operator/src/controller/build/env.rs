//! What the operator tells the server by its environment.

use iam_mcp_crds::{JobProvider, LogLevel};
use k8s_openapi::api::core::v1::EnvVar;

use super::{
    SESSION_KEY, ValidatedServer,
    deployment::{ADMIN_PORT, HTTP_PORT, KEYS_DIR, RAPIDAPI_DIR},
};

pub(super) fn build(server: &ValidatedServer) -> Vec<EnvVar> {
    let ValidatedServer { name, namespace, .. } = server;
    let mut hosts = vec![
        name.clone(),
        format!("{name}.{namespace}"),
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
    ];
    let ingress = server.ingress.as_ref();
    hosts.extend(ingress.and_then(|i| i.host.clone()));
    let mut vars = vec![
        ("ADMIN_PORT", ADMIN_PORT.to_string()),
        ("ALLOWED_HOSTS", hosts.join(",")),
        ("APP_NAME", name.clone()),
        ("HOST", "0.0.0.0".to_owned()),
        ("IAM_DATA_ROOT", "/data".to_owned()),
        ("JOB_PROVIDER", provider(server.provider).to_owned()),
        ("LOG_LEVEL", level(server.log_level).to_owned()),
        ("PORT", HTTP_PORT.to_string()),
        ("SESSION_KEY_FILE", format!("{KEYS_DIR}/{SESSION_KEY}")),
    ];
    if let Some(path) = ingress.map(|i| i.path.as_str()).filter(|p| *p != "/") {
        vars.push(("BASE_PATH", path.to_owned()));
    }
    if !server.cors_origins.is_empty() {
        vars.push(("CORS_ORIGINS", server.cors_origins.join(",")));
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
    ours.chain(server.env.iter().cloned()).collect()
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
