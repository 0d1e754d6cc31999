//! Where the pods run, as whom, and what they are called.

use serde_json::{Value, json};

use crate::{
    any::{Any, just, keyed, list, map_of, maybe, number, object, one_of, seldom, text, then, words},
    names::{annotations, label_expressions, label_keys, labels, selector, subdomain},
};

/// The fields about the pods' place and identity.
pub(crate) fn fields() -> Vec<(&'static str, Any)> {
    let secret = object([("name", subdomain())]);
    vec![
        ("nodeSelector", maybe(labels())),
        ("tolerations", maybe(list(toleration(), 1..3))),
        ("affinity", maybe(affinity())),
        (
            "topologySpreadConstraints",
            maybe(one_of([just(json!([])), spread()])),
        ),
        (
            "priorityClassName",
            seldom(words(&["system-cluster-critical", "system-node-critical"])),
        ),
        ("imagePullSecrets", maybe(keyed(&["name"], secret, 1..3))),
        ("serviceAccountName", seldom(text("account-[a-z]{1,4}"))),
        ("podLabels", maybe(labels())),
        ("podAnnotations", maybe(annotations())),
    ]
}

fn toleration() -> Any {
    let key = || text("[a-z]{2,6}\\.example\\.com/[a-z]{1,4}");
    one_of([
        object([("operator", just(json!("Exists"))), ("effect", maybe(effect()))]),
        object([
            ("key", key()),
            ("operator", just(json!("Exists"))),
            ("effect", maybe(effect())),
        ]),
        object([
            ("key", key()),
            ("operator", maybe(just(json!("Equal")))),
            ("value", maybe(text("[a-z]{0,4}"))),
            ("effect", maybe(effect())),
        ]),
        object([
            ("key", key()),
            ("value", text("[a-z]{1,4}")),
            ("effect", just(json!("NoExecute"))),
            ("tolerationSeconds", maybe(number(0..=600))),
        ]),
    ])
}

fn effect() -> Any {
    words(&["NoSchedule", "PreferNoSchedule", "NoExecute"])
}

fn affinity() -> Any {
    object([
        ("nodeAffinity", maybe(node_affinity())),
        ("podAffinity", maybe(pod_affinity())),
        ("podAntiAffinity", maybe(pod_affinity())),
    ])
}

fn node_affinity() -> Any {
    let number_of_a_label = object([
        ("key", text("[a-z]{1,4}")),
        ("operator", words(&["Gt", "Lt"])),
        ("values", list(text("[1-9][0-9]?"), 1..2)),
    ]);
    let names = object([
        ("key", just(json!("metadata.name"))),
        ("operator", words(&["In", "NotIn"])),
        ("values", list(text("node-[a-z]"), 1..2)),
    ]);
    let term = object([
        (
            "matchExpressions",
            maybe(one_of([label_expressions(), list(number_of_a_label, 1..2)])),
        ),
        ("matchFields", maybe(list(names, 1..2))),
    ]);
    let weighted = object([("weight", number(1..=100)), ("preference", term.clone())]);
    object([
        (
            "requiredDuringSchedulingIgnoredDuringExecution",
            maybe(object([("nodeSelectorTerms", list(term, 1..3))])),
        ),
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            maybe(list(weighted, 1..3)),
        ),
    ])
}

fn pod_affinity() -> Any {
    let term = || {
        let any = object([
            ("labelSelector", maybe(selector())),
            ("matchLabelKeys", maybe(label_keys())),
            (
                "mismatchLabelKeys",
                maybe(list(text("other\\.example\\.com/[a-z]{1,4}"), 1..3)),
            ),
            ("namespaceSelector", maybe(selector())),
            ("namespaces", maybe(list(text("[a-z]{1,6}"), 1..3))),
            ("topologyKey", text("[a-z]{1,4}\\.example\\.com/zone")),
        ]);
        then(any, keys_need_a_selector)
    };
    object([
        (
            "requiredDuringSchedulingIgnoredDuringExecution",
            maybe(list(term(), 1..3)),
        ),
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            maybe(list(
                object([("weight", number(1..=100)), ("podAffinityTerm", term())]),
                1..3,
            )),
        ),
    ])
}

fn keys_need_a_selector(term: &mut Value) {
    if term["labelSelector"].is_null() {
        let fields = term.as_object_mut().expect("an object");
        fields.remove("matchLabelKeys");
        fields.remove("mismatchLabelKeys");
    }
}

fn spread() -> Any {
    let any = object([
        ("maxSkew", number(1..=9)),
        ("minDomains", maybe(number(1..=9))),
        (
            "topologyKey",
            words(&["kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"]),
        ),
        ("whenUnsatisfiable", words(&["DoNotSchedule", "ScheduleAnyway"])),
        ("nodeAffinityPolicy", maybe(words(&["Honor", "Ignore"]))),
        ("nodeTaintsPolicy", maybe(words(&["Honor", "Ignore"]))),
        ("labelSelector", maybe(selector())),
        ("matchLabelKeys", maybe(label_keys())),
    ]);
    let any = then(any, |constraint| {
        if constraint["whenUnsatisfiable"] == "ScheduleAnyway" {
            constraint
                .as_object_mut()
                .expect("an object")
                .remove("minDomains");
        }
    });
    keyed(&["topologyKey", "whenUnsatisfiable"], any, 1..3)
}

/// Attributes of a volume for its driver.
pub(crate) fn attributes() -> Any {
    map_of("[a-z]{1,6}", "[ -~]{0,6}", 0..3)
}
