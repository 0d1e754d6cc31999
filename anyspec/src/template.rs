//! Patches over the pod template: what is taken by the operator and by the `restricted` profile.

use serde_json::json;

use crate::{
    any::{Any, just, keyed, list, map_of, maybe, number, object, one_of, seldom, text, words, yes_or_no},
    names::{annotations, label, labels, relative_path, subdomain},
    server::image,
};

/// The field with the patch. `name` is that of the McpServer, and of its container.
pub(crate) fn fields(name: &str) -> Vec<(&'static str, Any)> {
    let metadata = object([("labels", maybe(labels())), ("annotations", maybe(annotations()))]);
    vec![(
        "podTemplate",
        seldom(object([
            ("metadata", maybe(metadata)),
            ("spec", maybe(spec(name))),
        ])),
    )]
}

fn spec(name: &str) -> Any {
    let init = object([
        ("name", text("init-[a-z]{1,4}")),
        ("image", image()),
        ("command", maybe(list(text("[a-z]{1,6}"), 1..3))),
        ("restartPolicy", maybe(just(json!("Always")))),
        ("securityContext", restricted()),
    ]);
    let alias = object([
        ("ip", text("10\\.[0-9]{1,2}\\.0\\.[1-9]")),
        ("hostnames", list(text("[a-z]{1,6}\\.local"), 1..3)),
    ]);
    let dns = object([
        ("nameservers", maybe(list(text("10\\.0\\.0\\.[1-9]"), 1..2))),
        ("searches", maybe(list(text("[a-z]{1,6}\\.local"), 1..3))),
        (
            "options",
            maybe(list(
                object([("name", text("[a-z]{1,6}")), ("value", maybe(text("[0-9]")))]),
                1..3,
            )),
        ),
    ]);
    object([
        ("containers", maybe(containers(name))),
        ("initContainers", maybe(keyed(&["name"], init, 1..3))),
        ("volumes", maybe(keyed(&["name"], more_volumes(), 1..3))),
        ("hostAliases", maybe(keyed(&["ip"], alias, 1..3))),
        ("dnsPolicy", maybe(words(&["ClusterFirst", "Default"]))),
        ("dnsConfig", maybe(dns)),
        ("schedulerName", maybe(label())),
        ("shareProcessNamespace", maybe(yes_or_no())),
        ("runtimeClassName", seldom(label())),
        ("automountServiceAccountToken", maybe(yes_or_no())),
        ("hostname", maybe(label())),
        ("subdomain", maybe(label())),
        ("preemptionPolicy", seldom(just(json!("PreemptLowerPriority")))),
        (
            "securityContext",
            maybe(object([
                ("supplementalGroups", maybe(list(number(1..=9), 1..3))),
                ("fsGroupChangePolicy", maybe(words(&["Always", "OnRootMismatch"]))),
                (
                    "sysctls",
                    maybe(just(
                        json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]),
                    )),
                ),
            ])),
        ),
    ])
}

/// A sidecar, and what may be added to the server's own container.
fn containers(name: &str) -> Any {
    let ours = object([
        ("name", just(json!(name))),
        (
            "env",
            maybe(keyed(
                &["name"],
                object([
                    ("name", text("more_[a-z]{1,4}")),
                    ("value", maybe(text("[a-z ]{0,6}"))),
                ]),
                1..3,
            )),
        ),
        (
            "ports",
            maybe(just(json!([{"containerPort": 9100, "name": "more"}]))),
        ),
        (
            "terminationMessagePolicy",
            maybe(words(&["File", "FallbackToLogsOnError"])),
        ),
        ("workingDir", maybe(just(json!("/data")))),
    ]);
    let probe = || {
        object([
            (
                "httpGet",
                object([
                    ("path", maybe(just(json!("/healthy")))),
                    ("port", one_of([just(json!("proxy")), number(9000..=9009)])),
                    ("scheme", maybe(words(&["HTTP", "HTTPS"]))),
                    (
                        "httpHeaders",
                        maybe(list(
                            object([("name", text("X-[A-Z]{1,3}")), ("value", text("[a-z]{0,3}"))]),
                            1..3,
                        )),
                    ),
                ]),
            ),
            ("periodSeconds", maybe(number(1..=60))),
            ("initialDelaySeconds", maybe(number(0..=9))),
        ])
    };
    let sidecar = object([
        ("name", text("side-[a-z]{1,4}")),
        ("image", image()),
        ("args", maybe(list(text("--[a-z]{1,4}"), 1..3))),
        (
            "ports",
            maybe(just(
                json!([{"containerPort": 9000, "name": "proxy"}, {"containerPort": 9001, "protocol": "UDP"}]),
            )),
        ),
        (
            "env",
            maybe(keyed(
                &["name"],
                object([
                    ("name", text("[A-Z]{1,4}")),
                    ("value", maybe(text("[a-z ]{0,6}"))),
                ]),
                1..3,
            )),
        ),
        (
            "resources",
            maybe(object([
                ("requests", map_of("cpu|memory", "[1-9]00M", 0..2)),
                ("limits", maybe(just(json!({"cpu": "1000M", "memory": "1024M"})))),
            ])),
        ),
        ("readinessProbe", seldom(probe())),
        (
            "lifecycle",
            maybe(just(json!({"preStop": {"sleep": {"seconds": 5}}}))),
        ),
        (
            "volumeMounts",
            maybe(just(json!([{"name": "data", "mountPath": "/shared"}]))),
        ),
        ("stdin", maybe(yes_or_no())),
        ("tty", maybe(yes_or_no())),
        ("securityContext", restricted()),
    ]);
    one_of([
        list(ours.clone(), 1..2),
        keyed(&["name"], sidecar.clone(), 1..3),
        list(one_of([ours, sidecar]), 1..2),
    ])
}

/// A context that the profile asks for.
fn restricted() -> Any {
    object([
        ("allowPrivilegeEscalation", just(json!(false))),
        (
            "capabilities",
            object([
                ("drop", just(json!(["ALL"]))),
                ("add", maybe(just(json!(["NET_BIND_SERVICE"])))),
            ]),
        ),
        ("runAsUser", maybe(number(1..=9))),
        ("readOnlyRootFilesystem", maybe(yes_or_no())),
        (
            "seccompProfile",
            maybe(one_of([
                just(json!({"type": "RuntimeDefault"})),
                object([
                    ("type", just(json!("Localhost"))),
                    ("localhostProfile", relative_path()),
                ]),
            ])),
        ),
    ])
}

fn more_volumes() -> Any {
    let claim = json!({"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}},
    }}});
    one_of([
        object([("name", text("e[a-z]{1,4}")), ("ephemeral", just(claim))]),
        object([
            ("name", text("t[a-z]{1,4}")),
            ("emptyDir", object([("medium", maybe(just(json!("Memory"))))])),
        ]),
        object([
            ("name", text("c[a-z]{1,4}")),
            ("configMap", object([("name", subdomain())])),
        ]),
    ])
}
