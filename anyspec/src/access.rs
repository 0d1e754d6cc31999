//! Whose requests are answered, how much each may do, where postings come from, and what operators see.

use serde_json::{Value, json};

use crate::{
    any::{Any, just, list, map_of, maybe, number, object, one_of, text, then, words},
    names::{cidr, data_key, subdomain},
};

/// The fields of access, limits and telemetry.
pub(crate) fn fields() -> Vec<(&'static str, Any)> {
    vec![
        ("auth", maybe(auth())),
        ("limits", maybe(limits())),
        ("telemetry", maybe(telemetry())),
        ("cors", maybe(cors())),
        ("jobSearch", maybe(job_search())),
    ]
}

/// A key of a Secret.
fn secret() -> Any {
    object([("name", subdomain()), ("key", data_key())])
}

/// How often a key is followed by another.
pub(crate) fn rotation() -> Any {
    text("(19[2-9]|[2-9][0-9]{2}|[1-9][0-9]{3,4})h")
}

fn auth() -> Any {
    let address = |scheme: &str| {
        text(&format!(
            "{scheme}://[a-z]{{1,6}}\\.example(:[0-9]{{2,4}})?(/[a-z]{{1,6}})?"
        ))
    };
    let oidc = object([
        ("issuer", address("https")),
        ("audiences", list(text("[!-+\\--~]{1,9}"), 1..4)),
        ("jwksUrl", maybe(address("https"))),
        ("scopes", maybe(list(text("[a-z:]{1,6}(\\|[a-z]{1,4})?"), 1..4))),
        ("principalClaim", maybe(text("[a-z_]{1,9}"))),
        ("publicUrl", maybe(address("https?"))),
    ]);
    one_of([
        object([(
            "bearer",
            object([("generated", object([("rotateEvery", maybe(rotation()))]))]),
        )]),
        object([("bearer", object([("tokensSecretRef", secret())]))]),
        object([("oidc", oidc)]),
    ])
}

fn limits() -> Any {
    object([
        ("messagesPerSecond", maybe(number(0..=1_000_000))),
        (
            "tools",
            maybe(map_of(
                "\\*|[A-Za-z0-9_.-]{1,9}",
                "0|[1-9][0-9]{0,5}/(s|minute|hour)",
                1..4,
            )),
        ),
        ("sessions", maybe(number(1..=1_000_000))),
        ("connections", maybe(number(1..=1_000_000))),
        ("trustedProxies", maybe(list(cidr(), 1..4))),
        ("urlSecretRef", maybe(secret())),
    ])
}

fn telemetry() -> Any {
    let traces = object([
        (
            "endpoint",
            text("https?://[a-z]{1,6}(\\.[a-z]{1,6})?:4318(/[a-z]{1,6})?"),
        ),
        ("headersSecretRef", maybe(secret())),
        ("samplePercent", maybe(number(0..=100))),
    ]);
    object([
        ("logFormat", maybe(words(&["JSON", "Text"]))),
        ("auditLog", maybe(words(&["None", "Stderr"]))),
        ("adminTokenSecretRef", maybe(secret())),
        ("traces", maybe(traces)),
    ])
}

fn origins() -> Any {
    list(
        one_of([
            just(json!("*")),
            text("https?://[a-z]{1,6}\\.example(:[0-9]{2,4})?"),
        ]),
        1..4,
    )
}

fn cors() -> Any {
    one_of([
        object([("origins", origins()), ("allowedOrigins", maybe(origins()))]),
        object([("allowedOrigins", origins())]),
    ])
}

fn job_search() -> Any {
    let providers = words(&["JSearch", "Catalogue", "Arbeitnow", "Remotive", "Greenhouse"]);
    let any = object([
        ("provider", maybe(words(&["Auto", "JSearch", "Catalogue"]))),
        ("providers", maybe(list(providers, 1..5))),
        (
            "rapidApi",
            maybe(object([
                ("host", maybe(text("[a-z0-9]{1,6}\\.[a-z0-9.]{1,6}"))),
                ("keySecretRef", maybe(secret())),
                (
                    "budget",
                    maybe(text("off|[1-9][0-9]{0,8}/(minute|hour|day|month)")),
                ),
            ])),
        ),
        (
            "catalogue",
            maybe(one_of([
                object([("configMapName", subdomain())]),
                object([("claimName", subdomain())]),
            ])),
        ),
        (
            "cache",
            maybe(object([
                ("seconds", maybe(number(0..=86_400))),
                ("megabytes", maybe(number(0..=4096))),
            ])),
        ),
        ("savedJobs", maybe(object([("claimName", subdomain())]))),
        (
            "greenhouse",
            object([("boards", list(text("[A-Za-z0-9_-]{1,9}"), 1..4))]),
        ),
    ]);
    then(any, fit_sources)
}

/// Each source at most once, with what it needs, and with nothing that none of them uses.
fn fit_sources(search: &mut Value) {
    let mut providers: Vec<Value> = Vec::new();
    for provider in search["providers"].as_array().into_iter().flatten() {
        if !providers.contains(provider) {
            providers.push(provider.clone());
        }
    }
    let asks = |source: &str| providers.iter().any(|provider| provider == source);
    let needs_key = asks("JSearch") || (providers.is_empty() && search["provider"] == "JSearch");
    let (greenhouse, some) = (asks("Greenhouse"), !providers.is_empty());
    if needs_key && !search["rapidApi"]["keySecretRef"].is_object() {
        if !search["rapidApi"].is_object() {
            search["rapidApi"] = json!({});
        }
        search["rapidApi"]["keySecretRef"] = json!({"name": "rapidapi", "key": "api-key"});
    }
    if let Some(fields) = search.as_object_mut() {
        if some {
            fields.remove("provider");
            fields.insert("providers".to_owned(), Value::Array(providers));
        }
        if !greenhouse {
            fields.remove("greenhouse");
        }
    }
}
