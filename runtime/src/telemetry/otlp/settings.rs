//! The variables of OpenTelemetry that decide whether there are traces, checked: what the SDK passes over in silence is said.

use reqwest::Url;

/// What the SDK takes without a complaint, and what it can do of it.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// What of the traces the OpenTelemetry SDK does not read from the environment itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// The resource's `service.name`; `None` where the environment has one.
    pub service: Option<String>,
}

/// A variable that has a wrong value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The variable.
    pub variable: &'static str,
    /// Its value; `None` where that may hold a key.
    pub value: Option<String>,
    /// What to write instead.
    pub advice: String,
}

/// Whether there are traces, from the variables that `get` knows, where an empty one is none; `service` names the
/// program where they do not.
///
/// # Errors
/// Every variable with a wrong value, if there is a collector.
pub fn read(
    get: impl Fn(&str) -> Option<String>,
    service: &str,
) -> Result<Option<TraceSettings>, Vec<Rejected>> {
    let mut rejected = Vec::new();
    let mut reject = |variable, value, advice: &str| {
        let advice = advice.to_owned();
        rejected.push(Rejected {
            variable,
            value,
            advice,
        });
    };
    let mut found = false;
    for variable in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ] {
        let Some(endpoint) = get(variable) else {
            continue;
        };
        found = true;
        let usable =
            Url::parse(&endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !usable {
            // Some endpoints have a key in them.
            reject(variable, None, "use a URL such as http://collector:4318");
        }
    }
    if !found {
        return Ok(None);
    }
    for variable in [
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    ] {
        let protocol = get(variable);
        if protocol.as_deref().is_some_and(|name| name != "http/protobuf") {
            let advice = "use http/protobuf; collectors take it on port 4318";
            reject(variable, protocol, advice);
        }
    }
    for variable in [
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    ] {
        let compression = get(variable);
        if compression.is_some() {
            reject(variable, compression, "traces are sent as they are: unset this");
        }
    }
    let sampler = get("OTEL_TRACES_SAMPLER");
    if let Some(name) = &sampler
        && !SAMPLERS.contains(&name.as_str())
    {
        let advice = format!("use one of {}", SAMPLERS.join(", "));
        reject("OTEL_TRACES_SAMPLER", sampler.clone(), &advice);
    }
    let argument = get("OTEL_TRACES_SAMPLER_ARG");
    let ratio = argument.as_deref().map_or(Ok(1.0), str::parse::<f64>);
    if sampler.is_some_and(|name| name.ends_with("ratio"))
        && !ratio.is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
    {
        reject("OTEL_TRACES_SAMPLER_ARG", argument, "use a share from 0 to 1");
    }
    if !rejected.is_empty() {
        return Err(rejected);
    }
    let switched_off = get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || get("OTEL_TRACES_EXPORTER").as_deref() == Some("none");
    let named = get("OTEL_SERVICE_NAME").is_some()
        || get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|pairs| {
            pairs
                .split(',')
                .any(|pair| pair.trim().starts_with("service.name="))
        });
    Ok((!switched_off).then(|| TraceSettings {
        service: (!named).then(|| service.to_owned()),
    }))
}
