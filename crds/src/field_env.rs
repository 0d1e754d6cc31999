//! Environment variables that a field of the spec sets, where it is set. Without it they belong to `spec.env`.

use crate::spec::McpServerSpec;

/// Variables of `auth`.
const AUTH: &[&str] = &[
    "AUTH",
    "AUTH_TOKENS_FILE",
    "OIDC_AUDIENCE",
    "OIDC_ISSUER",
    "OIDC_JWKS_URL",
    "OIDC_PRINCIPAL_CLAIM",
    "OIDC_SCOPES",
    "PUBLIC_URL",
];

/// Variables of `limits`.
const LIMITS: &[&str] = &[
    "LIMITS_URL",
    "MAX_CONNECTIONS",
    "MAX_SESSIONS",
    "RATE_LIMIT",
    "TOOL_LIMITS",
    "TRUSTED_PROXIES",
];

/// Variables of `telemetry`.
const TELEMETRY: &[&str] = &[
    "ADMIN_TOKEN_FILE",
    "AUDIT_LOG",
    "LOG_FORMAT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// The fields of `spec` that are set, each with the variables that it sets: `spec.env` may not name these.
#[must_use]
pub fn taken(spec: &McpServerSpec) -> Vec<(&'static str, &'static [&'static str])> {
    let search = spec.job_search.as_ref();
    let budget = search
        .and_then(|search| search.rapid_api.as_ref())
        .is_some_and(|api| api.budget.is_some());
    let origins = spec
        .cors
        .as_ref()
        .is_some_and(|cors| !cors.allowed_origins.is_empty());
    let all: [(bool, &'static str, &'static [&'static str]); 9] = [
        (spec.auth.is_some(), "auth", AUTH),
        (spec.limits.is_some(), "limits", LIMITS),
        (spec.telemetry.is_some(), "telemetry", TELEMETRY),
        (origins, "cors.allowedOrigins", &["ALLOWED_ORIGINS"]),
        (
            search.is_some_and(|search| !search.providers.is_empty()),
            "jobSearch.providers",
            &["JOB_PROVIDERS"],
        ),
        (
            search.is_some_and(|search| search.greenhouse.is_some()),
            "jobSearch.greenhouse",
            &["GREENHOUSE_BOARDS"],
        ),
        (
            search.is_some_and(|search| search.cache.is_some()),
            "jobSearch.cache",
            &["JOB_CACHE_MB", "JOB_CACHE_SECONDS"],
        ),
        (
            search.is_some_and(|search| search.saved_jobs.is_some()),
            "jobSearch.savedJobs",
            &["SAVED_JOBS"],
        ),
        (budget, "jobSearch.rapidApi.budget", &["JSEARCH_BUDGET"]),
    ];
    all.into_iter()
        .filter_map(|(set, field, variables)| set.then_some((field, variables)))
        .collect()
}
