//! How many pods there are, and how they come and go.

use serde_json::json;

use crate::any::{Any, just, list, maybe, number, object, one_of, text, then, words};

/// The fields about the number of pods.
pub(crate) fn fields() -> Vec<(&'static str, Any)> {
    vec![
        ("autoscaling", maybe(autoscaling())),
        ("disruption", maybe(disruption())),
        ("rollout", maybe(rollout())),
        (
            "probes",
            maybe(object([
                ("startup", maybe(probe())),
                ("readiness", maybe(probe())),
                ("liveness", maybe(probe())),
            ])),
        ),
    ]
}

fn autoscaling() -> Any {
    let any = object([
        ("minReplicas", maybe(number(1..=5))),
        ("maxReplicas", maybe(one_of([number(1..=9), number(1..=1000)]))),
        ("cpuUtilization", maybe(number(1..=1000))),
        ("memoryUtilization", maybe(number(1..=1000))),
        (
            "behavior",
            maybe(object([
                ("scaleUp", maybe(scaling_rules())),
                ("scaleDown", maybe(scaling_rules())),
            ])),
        ),
    ]);
    then(any, |hpa| {
        let least = hpa["minReplicas"].as_i64().unwrap_or(2);
        if hpa["maxReplicas"].as_i64().is_some_and(|most| most < least) {
            hpa["maxReplicas"] = json!(least);
        }
    })
}

fn scaling_rules() -> Any {
    let policy = object([
        ("type", words(&["Pods", "Percent"])),
        ("value", number(1..=1000)),
        ("periodSeconds", number(1..=1800)),
    ]);
    object([
        ("stabilizationWindowSeconds", maybe(number(0..=3600))),
        ("selectPolicy", maybe(words(&["Max", "Min", "Disabled"]))),
        ("policies", list(policy, 0..3)),
    ])
}

fn disruption() -> Any {
    one_of([
        object([("enabled", just(json!(false)))]),
        object([
            ("enabled", maybe(just(json!(true)))),
            (
                "maxUnavailable",
                maybe(one_of([number(1..=1000), text("([1-9][0-9]?|100)%")])),
            ),
        ]),
    ])
}

/// A number of pods, or a percentage.
fn count(least: i64) -> Any {
    one_of([
        number(least..=1000),
        text(if least == 0 {
            "(0|[1-9][0-9]?|100)%"
        } else {
            "([1-9][0-9]?|100)%"
        }),
    ])
}

fn rollout() -> Any {
    let rolling = || maybe(just(json!("RollingUpdate")));
    one_of([
        object([("strategy", just(json!("Recreate")))]),
        object([
            ("strategy", rolling()),
            ("maxSurge", maybe(count(1))),
            ("maxUnavailable", maybe(count(0))),
        ]),
        object([
            ("strategy", rolling()),
            ("maxSurge", count(0)),
            ("maxUnavailable", count(1)),
        ]),
    ])
}

fn probe() -> Any {
    object([
        ("initialDelaySeconds", maybe(number(0..=3600))),
        ("periodSeconds", maybe(number(1..=3600))),
        ("timeoutSeconds", maybe(number(1..=600))),
        ("failureThreshold", maybe(number(1..=10000))),
    ])
}
