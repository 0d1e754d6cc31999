//! Whose requests are answered, how much each may do, and what operators see: rules that the definition has too.

use std::net::IpAddr;

use iam_mcp_crds::{AuthSpec, LimitsSpec, McpServerSpec, OidcSpec, TelemetrySpec, field_env, rotation};

/// What is wrong with these parts of `spec`.
pub(super) fn problems(spec: &McpServerSpec) -> Vec<String> {
    let mut problems = Vec::new();
    for (field, variables) in field_env::taken(spec) {
        for var in spec
            .env
            .iter()
            .filter(|var| variables.contains(&var.name.as_str()))
        {
            problems.push(format!(
                "env: {} is set by {field}; use the field or the variable, not both",
                var.name
            ));
        }
    }
    if let Some(auth) = &spec.auth {
        of_auth(auth, &mut problems);
    }
    if let Some(limits) = &spec.limits {
        of_limits(limits, &mut problems);
    }
    if let Some(telemetry) = &spec.telemetry {
        of_telemetry(telemetry, &mut problems);
    }
    if let Some(every) = spec.sessions.as_ref().and_then(|s| s.rotate_key_every.as_deref()) {
        of_rotation("sessions.rotateKeyEvery", every, &mut problems);
    }
    if let Some(cors) = &spec.cors {
        if cors.origins.is_empty() && cors.allowed_origins.is_empty() {
            problems.push("cors: give origins, allowedOrigins, or both".to_owned());
        }
        for origin in &cors.allowed_origins {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', ',']))
            {
                problems.push(format!(
                    "cors.allowedOrigins: {origin:?} is neither '*' nor scheme://host[:port]"
                ));
            }
        }
    }
    problems
}

fn of_auth(auth: &AuthSpec, problems: &mut Vec<String>) {
    if auth.bearer.is_some() == auth.oidc.is_some() {
        problems.push(
            "auth: give exactly one of bearer and oidc; leave auth out to serve everybody who reaches the port"
                .to_owned(),
        );
    }
    if let Some(bearer) = &auth.bearer {
        if bearer.generated.is_some() == bearer.tokens_secret_ref.is_some() {
            problems.push("auth.bearer: give exactly one of generated and tokensSecretRef".to_owned());
        }
        if let Some(every) = bearer.generated.as_ref().and_then(|g| g.rotate_every.as_deref()) {
            of_rotation("auth.bearer.generated.rotateEvery", every, problems);
        }
    }
    if let Some(oidc) = &auth.oidc {
        of_oidc(oidc, problems);
    }
}

fn of_oidc(oidc: &OidcSpec, problems: &mut Vec<String>) {
    if !is_plain_url(&oidc.issuer, &["https"]) || oidc.issuer.contains(['?', ',']) {
        problems.push(format!(
            "auth.oidc.issuer: {:?} is not an https address without user, query and fragment",
            oidc.issuer
        ));
    }
    let one_word = |text: &String| !text.is_empty() && !text.contains([',', ' ', '\t', '\r', '\n']);
    if oidc.audiences.is_empty() || !oidc.audiences.iter().all(one_word) {
        problems.push(
            "auth.oidc.audiences: name what tokens for this server say in aud, each one word without commas"
                .to_owned(),
        );
    }
    if oidc
        .jwks_url
        .as_ref()
        .is_some_and(|url| !is_plain_url(url, &["https"]))
    {
        problems.push("auth.oidc.jwksUrl: use an https address without user and fragment".to_owned());
    }
    let is_scope = |scope: &str| {
        let good = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte);
        !scope.is_empty() && scope.bytes().all(good)
    };
    for scope in oidc.scopes.iter().filter(|scope| !scope.split('|').all(is_scope)) {
        problems.push(format!(
            "auth.oidc.scopes: {scope:?} is no scope, nor several with | between them"
        ));
    }
    let public = oidc.public_url.as_ref();
    if public.is_some_and(|url| !is_plain_url(url, &["https", "http"]) || url.contains('?')) {
        problems.push(
            "auth.oidc.publicUrl: use the address that clients know, for example https://mcp.example.com"
                .to_owned(),
        );
    }
}

fn of_limits(limits: &LimitsSpec, problems: &mut Vec<String>) {
    for (tool, quota) in &limits.tools {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if tool != "*" && (tool.is_empty() || !tool.bytes().all(plain)) {
            problems.push(format!(
                "limits.tools: {tool:?} is neither a tool's name nor '*', the others"
            ));
        }
        let count = quota
            .split_once('/')
            .filter(|(_, unit)| ["s", "minute", "hour"].contains(unit))
            .and_then(|(count, _)| count.parse::<u32>().ok().filter(|_| !count.starts_with('+')));
        if quota != "0" && !count.is_some_and(|count| (1..1_000_000).contains(&count)) {
            problems.push(format!(
                "limits.tools: {quota:?} of {tool} is not a number and s, minute or hour, such as 10/s, nor 0"
            ));
        }
    }
    for proxy in limits.trusted_proxies.iter().filter(|proxy| !is_network(proxy)) {
        problems.push(format!(
            "limits.trustedProxies: {proxy:?} is neither an address nor a network, such as 10.0.0.0/8"
        ));
    }
}

fn of_telemetry(telemetry: &TelemetrySpec, problems: &mut Vec<String>) {
    if let Some(traces) = &telemetry.traces
        && (!is_plain_url(&traces.endpoint, &["https", "http"]) || traces.endpoint.contains('?'))
    {
        // It is not shown: some have a key in them.
        problems.push(
            "telemetry.traces.endpoint: use a URL such as http://collector:4318, without user, query and fragment"
                .to_owned(),
        );
    }
}

fn of_rotation(field: &str, every: &str, problems: &mut Vec<String>) {
    if rotation::hours(every).is_none() {
        problems.push(format!(
            "{field}: {every:?} is not at least {}h in whole hours, such as 720h",
            rotation::FEWEST_HOURS
        ));
    }
}

/// Whether `text` is a URL with a host, and without a user, a fragment and blanks.
fn is_plain_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    schemes.contains(&scheme) && !host.is_empty() && !rest.contains(['@', '#', ' '])
}

/// Whether `text` is an address, or one and the length of a prefix.
fn is_network(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| {
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        digits && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(spec: Value) -> Vec<String> {
        problems(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn what_is_right_is_taken() {
        for spec in [
            json!({}),
            json!({"auth": {"bearer": {"generated": {}}}}),
            json!({"auth": {"bearer": {"generated": {"rotateEvery": "720h"}}}}),
            json!({"auth": {"bearer": {"tokensSecretRef": {"name": "t", "key": "tokens"}}}}),
            json!({"auth": {"oidc": {"issuer": "https://login.example.com/realm/", "audiences": ["a", "https://b/c"],
                "jwksUrl": "https://keys.example.com/?v=1", "scopes": ["jobs:read|jobs:admin"],
                "publicUrl": "https://mcp.example.com/jobs"}}}),
            json!({"limits": {"messagesPerSecond": 0, "tools": {"*": "0", "search_jobs": "10/s"},
                "trustedProxies": ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]}}),
            json!({"telemetry": {"traces": {"endpoint": "http://collector.observability.svc:4318"}}}),
            json!({"cors": {"allowedOrigins": ["*", "https://app.example.com:8443"]}}),
            json!({"sessions": {"rotateKeyEvery": "192h"}}),
            // Without the field the variable is the spec's own.
            json!({"env": [{"name": "AUTH", "value": "oidc"}, {"name": "JOB_PROVIDERS", "value": "remotive"}],
                "jobSearch": {}}),
        ] {
            assert_eq!(found(spec.clone()), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        let oidc = |more: Value| {
            let mut oidc = json!({"issuer": "https://a.example", "audiences": ["x"]});
            oidc.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({"auth": {"oidc": oidc}})
        };
        for (spec, part) in [
            (json!({"auth": {}}), "exactly one of bearer and oidc"),
            (json!({"auth": {"bearer": {}}}), "generated and tokensSecretRef"),
            (
                json!({"auth": {"bearer": {"generated": {"rotateEvery": "191h"}}}}),
                "rotateEvery",
            ),
            (oidc(json!({"issuer": "http://a.example"})), "auth.oidc.issuer"),
            (
                oidc(json!({"issuer": "https://me@a.example"})),
                "auth.oidc.issuer",
            ),
            (oidc(json!({"audiences": []})), "auth.oidc.audiences"),
            (oidc(json!({"audiences": ["a,b"]})), "auth.oidc.audiences"),
            (oidc(json!({"jwksUrl": "http://keys"})), "jwksUrl"),
            (oidc(json!({"scopes": ["a|"]})), "auth.oidc.scopes"),
            (oidc(json!({"scopes": ["a b"]})), "auth.oidc.scopes"),
            (oidc(json!({"publicUrl": "mcp.example.com"})), "publicUrl"),
            (json!({"limits": {"tools": {"a b": "1/s"}}}), "a tool's name"),
            (json!({"limits": {"tools": {"a": "10"}}}), "such as 10/s"),
            (json!({"limits": {"tools": {"a": "0/s"}}}), "such as 10/s"),
            (json!({"limits": {"tools": {"a": "1/day"}}}), "such as 10/s"),
            (
                json!({"limits": {"trustedProxies": ["10.0.0.0/33"]}}),
                "trustedProxies",
            ),
            (
                json!({"limits": {"trustedProxies": ["ingress"]}}),
                "trustedProxies",
            ),
            (
                json!({"telemetry": {"traces": {"endpoint": "collector:4318"}}}),
                "telemetry.traces.endpoint",
            ),
            (
                json!({"telemetry": {"traces": {"endpoint": "http://me:x@collector"}}}),
                "telemetry.traces.endpoint",
            ),
            (json!({"cors": {}}), "cors: give"),
            (
                json!({"cors": {"allowedOrigins": ["app.example.com"]}}),
                "allowedOrigins",
            ),
            (json!({"sessions": {"rotateKeyEvery": "24h"}}), "rotateKeyEvery"),
            (
                json!({"limits": {}, "env": [{"name": "RATE_LIMIT", "value": "1"}]}),
                "RATE_LIMIT is set by limits",
            ),
            (
                json!({"auth": {"bearer": {"generated": {}}}, "env": [{"name": "AUTH", "value": "none"}]}),
                "AUTH is set by auth",
            ),
        ] {
            let told = found(spec.clone());
            assert!(told.len() == 1 && told[0].contains(part), "{spec}: {told:?}");
        }
    }

    #[test]
    fn what_could_hold_a_secret_is_not_shown() {
        let told = found(json!({"telemetry": {"traces": {"endpoint": "http://me:s3cret@collector"}}}));
        assert!(!told.join("").contains("s3cret"), "{told:?}");
    }
}
