//! What the server is and does: image, environment, resources, sessions.

use serde_json::json;

use crate::{
    any::{Any, just, keyed, list, maybe, number, object, one_of, seldom, text, then, words, yes_or_no},
    names::{data_key, subdomain},
};

/// The fields of the server itself. `name` is that of the McpServer.
pub(crate) fn fields(name: &str) -> Vec<(&'static str, Any)> {
    vec![
        ("operatorClass", seldom(text("[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?"))),
        ("image", maybe(image())),
        (
            "imagePullPolicy",
            maybe(words(&["Always", "IfNotPresent", "Never"])),
        ),
        ("replicas", maybe(one_of([number(0..=4), number(0..=1000)]))),
        (
            "logLevel",
            maybe(words(&["ERROR", "WARN", "INFO", "DEBUG", "TRACE"])),
        ),
        ("env", maybe(env(name))),
        ("envFrom", maybe(env_from())),
        ("resources", maybe(resources())),
        ("sessions", maybe(sessions())),
        ("verify", maybe(words(&["Probe", "Gate", "Off"]))),
        ("paused", seldom(yes_or_no())),
        ("monitoring", maybe(monitoring())),
    ]
}

pub(crate) fn image() -> Any {
    text(
        "([a-z]{1,6}\\.example\\.com(:[0-9]{2,4})?/)?[a-z0-9]{1,6}(/[a-z]{1,4}([._-][a-z0-9]{1,3})?)?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,6})?(@sha256:[a-f0-9]{64})?",
    )
}

/// Lower-case, so none that the operator sets.
const VARIABLE: &str = "[a-z_][a-zA-Z0-9_.-]{0,6}";

fn env(name: &str) -> Any {
    let plain = || object([("name", text(VARIABLE)), ("value", maybe(text("[ -#%-~]{0,9}")))]);
    let from = |source: &'static str, any: Any| {
        object([("name", text(VARIABLE)), ("valueFrom", object([(source, any)]))])
    };
    keyed(
        &["name"],
        one_of([
            plain(),
            plain(),
            from(
                "fieldRef",
                field_of_pod(&[
                    "metadata.name",
                    "metadata.uid",
                    "spec.nodeName",
                    "spec.serviceAccountName",
                    "status.hostIP",
                    "status.podIP",
                    "status.podIPs",
                    "metadata.labels['a']",
                    "metadata.annotations['a']",
                ]),
            ),
            from(
                "resourceFieldRef",
                resource_of_container(maybe(just(json!(name)))),
            ),
            from("configMapKeyRef", reference_to_key()),
            from("secretKeyRef", reference_to_key()),
            // Of a file in a volume that is empty at first: `data` is one.
            from(
                "fileKeyRef",
                object([
                    ("volumeName", just(json!("data"))),
                    ("path", text("[a-z]{1,6}")),
                    ("key", text("[A-Z]{1,6}")),
                    ("optional", maybe(yes_or_no())),
                ]),
            ),
        ]),
        1..5,
    )
}

fn reference_to_key() -> Any {
    object([
        ("name", subdomain()),
        ("key", data_key()),
        ("optional", maybe(yes_or_no())),
    ])
}

/// A field of the pod, one of `paths`.
pub(crate) fn field_of_pod(paths: &[&str]) -> Any {
    object([
        ("fieldPath", words(paths)),
        ("apiVersion", maybe(just(json!("v1")))),
    ])
}

/// A resource of a container, whose name `container` gives.
pub(crate) fn resource_of_container(container: Any) -> Any {
    let of = |resource: &'static str, container: Any, divisors: &[&str]| {
        object([
            ("containerName", container),
            ("resource", just(json!(resource))),
            ("divisor", maybe(words(divisors))),
        ])
    };
    one_of([
        of("limits.cpu", container.clone(), &["1m", "1"]),
        of("requests.memory", container, &["1", "1k", "1Mi", "1Gi"]),
    ])
}

fn env_from() -> Any {
    let source = || object([("name", subdomain()), ("optional", maybe(yes_or_no()))]);
    list(
        one_of([
            object([("prefix", maybe(text("[A-Z]{1,3}_"))), ("configMapRef", source())]),
            object([("prefix", maybe(text("[A-Z]{1,3}_"))), ("secretRef", source())]),
        ]),
        1..3,
    )
}

/// Quantities in every way they can be written; a limit is above each request.
fn resources() -> Any {
    let requests = object([
        (
            "cpu",
            maybe(one_of([
                text("[1-9][0-9]{0,2}m"),
                text("0\\.[1-9]"),
                just(json!("1000m")),
                just(json!("1")),
            ])),
        ),
        (
            "memory",
            maybe(one_of([
                text("[1-9][0-9]{0,2}Mi"),
                text("0\\.(5|25|125)Gi"),
                just(json!("1024Mi")),
                text("[1-9]e6"),
            ])),
        ),
        ("ephemeral-storage", maybe(text("[1-9][0-9]{0,2}Mi"))),
    ]);
    let limits = object([
        ("cpu", maybe(words(&["1", "1000m", "2500m", "4"]))),
        ("memory", maybe(words(&["1Gi", "2048Mi", "2G", "1.5Gi"]))),
        ("ephemeral-storage", maybe(words(&["1Gi", "4096Mi"]))),
    ]);
    object([
        ("requests", maybe(requests)),
        ("limits", maybe(limits)),
        (
            "claims",
            seldom(keyed(
                &["name"],
                object([
                    ("name", text("claim-[ab]")),
                    ("request", maybe(text("[a-z]{1,4}"))),
                ]),
                1..3,
            )),
        ),
    ])
}

fn sessions() -> Any {
    let any = object([
        (
            "drainSeconds",
            maybe(one_of([number(0..=600), number(0..=86400)])),
        ),
        ("drainIdleSeconds", maybe(number(1..=86400))),
        ("maxDrainingPods", maybe(number(1..=1000))),
        ("rotateKeyEvery", seldom(crate::access::rotation())),
    ]);
    then(any, |sessions| {
        let drain = sessions["drainSeconds"].as_i64().unwrap_or(300);
        if sessions["drainIdleSeconds"]
            .as_i64()
            .is_some_and(|idle| idle > drain)
        {
            sessions["drainIdleSeconds"] = json!(drain.max(1));
            if drain == 0 {
                sessions["drainSeconds"] = json!(1);
            }
        }
    })
}

fn monitoring() -> Any {
    one_of([
        object([("mode", just(json!("Annotations")))]),
        object([
            ("mode", maybe(words(&["Auto", "PodMonitor"]))),
            ("interval", maybe(text("[1-9][0-9]?[hms]|1h[1-9]m"))),
            ("labels", crate::names::labels()),
        ]),
    ])
}
