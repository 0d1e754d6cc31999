//! How much each client may do, and which origins are answered.

use iam_mcp_crds::LimitsSpec;

use super::{ValidatedServer, additions::Additions};

pub(super) fn add(server: &ValidatedServer, to: &mut Additions) {
    if !server.allowed_origins.is_empty() {
        to.set("ALLOWED_ORIGINS", server.allowed_origins.join(","));
    }
    let LimitsSpec {
        messages_per_second,
        tools,
        sessions,
        connections,
        trusted_proxies,
        url_secret_ref,
    } = &server.limits;
    if let Some(secret) = url_secret_ref {
        to.set_from("LIMITS_URL", secret);
    }
    to.set_some("MAX_CONNECTIONS", *connections);
    to.set_some("MAX_SESSIONS", *sessions);
    to.set_some("RATE_LIMIT", *messages_per_second);
    let quotas = tools.iter().map(|(tool, quota)| format!("{tool}={quota}"));
    to.set_some(
        "TOOL_LIMITS",
        (!tools.is_empty()).then(|| quotas.collect::<Vec<_>>().join(",")),
    );
    to.set_some(
        "TRUSTED_PROXIES",
        (!trusted_proxies.is_empty()).then(|| trusted_proxies.join(",")),
    );
}
