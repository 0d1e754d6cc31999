//! Volumes of every kind, and where they are mounted.

use serde_json::{Value, json};

use crate::{
    any::{Any, fields_of, just, keyed, maybe, number, object, one_of, text, then, words, yes_or_no},
    names::{key_files, label, no_path_in_another, relative_path, selector, subdomain},
    placement::attributes,
    server::{field_of_pod, resource_of_container},
};

/// The fields about volumes. `name` is that of the McpServer.
pub(crate) fn fields(name: &str) -> Vec<(&'static str, Any)> {
    vec![
        ("volumes", maybe(keyed(&["name"], volume(name), 1..5))),
        ("volumeMounts", maybe(keyed(&["mountPath"], mount(), 1..4))),
    ]
}

fn volume(name: &str) -> Any {
    let of = |source: &'static str, any: Any| {
        object([("name", text("v[a-z]([-a-z0-9]{0,6}[a-z0-9])?")), (source, any)])
    };
    one_of([
        of(
            "configMap",
            object([
                ("name", subdomain()),
                ("items", key_files()),
                ("defaultMode", maybe(mode())),
                ("optional", maybe(yes_or_no())),
            ]),
        ),
        of(
            "secret",
            object([
                ("secretName", subdomain()),
                ("items", key_files()),
                ("defaultMode", maybe(mode())),
                ("optional", maybe(yes_or_no())),
            ]),
        ),
        of(
            "projected",
            object([("sources", maybe(sources(name))), ("defaultMode", maybe(mode()))]),
        ),
        of(
            "downwardAPI",
            object([("items", downward_files(name)), ("defaultMode", maybe(mode()))]),
        ),
        of(
            "emptyDir",
            object([
                ("medium", maybe(words(&["", "Memory"]))),
                ("sizeLimit", maybe(words(&["1024Mi", "1Gi", "0.5Gi"]))),
            ]),
        ),
        of(
            "persistentVolumeClaim",
            object([
                ("claimName", text("claim-[ab]")),
                ("readOnly", maybe(yes_or_no())),
            ]),
        ),
        of(
            "csi",
            object([
                ("driver", text("[a-z]{1,6}\\.csi\\.example\\.com")),
                ("fsType", maybe(words(&["ext4", "xfs"]))),
                ("readOnly", maybe(yes_or_no())),
                ("volumeAttributes", attributes()),
                ("nodePublishSecretRef", maybe(object([("name", subdomain())]))),
            ]),
        ),
    ])
}

fn mode() -> Any {
    number(0..=0o777)
}

/// Files with fields of the pod.
fn downward_files(name: &str) -> Any {
    let field = field_of_pod(&[
        "metadata.name",
        "metadata.uid",
        "metadata.labels",
        "metadata.annotations",
        "metadata.labels['a']",
    ]);
    let resource = resource_of_container(just(json!(name)));
    let file = one_of([
        object([
            ("path", relative_path()),
            ("fieldRef", field),
            ("mode", maybe(mode())),
        ]),
        object([
            ("path", relative_path()),
            ("resourceFieldRef", resource),
            ("mode", maybe(mode())),
        ]),
    ]);
    then(keyed(&["path"], file, 0..3), no_path_in_another)
}

/// Sources that share a directory: no path of one is that of another.
fn sources(name: &str) -> Any {
    let at = |prefix: &'static str| text(&format!("{prefix}[a-z]{{1,4}}"));
    let files = |prefix: &'static str| {
        keyed(
            &["path"],
            object([
                ("key", text("[a-z]{1,6}")),
                ("path", at(prefix)),
                ("mode", maybe(mode())),
            ]),
            1..3,
        )
    };
    let named = |prefix: &'static str| {
        object([
            ("name", subdomain()),
            ("items", files(prefix)),
            ("optional", maybe(yes_or_no())),
        ])
    };
    let token = object([
        ("path", at("token-")),
        ("audience", maybe(text("[a-z]{1,6}"))),
        ("expirationSeconds", maybe(number(600..=86400))),
    ]);
    let downward = object([(
        "items",
        then(downward_files(name), |items| {
            for item in items.as_array_mut().into_iter().flatten() {
                item["path"] = json!(format!(
                    "down-{}",
                    item["path"].as_str().unwrap_or_default().replace('/', "-")
                ));
            }
        }),
    )]);
    let bundle = |by: Vec<(&'static str, Any)>| {
        let mut fields = vec![("path", at("bundle-")), ("optional", maybe(yes_or_no()))];
        fields.extend(by);
        proptest::prelude::Strategy::boxed(fields_of(fields))
    };
    let certificate = object([
        ("signerName", text("[a-z]{1,6}\\.example\\.com/[a-z]{1,4}")),
        ("keyType", words(&["RSA3072", "ECDSAP256", "ED25519"])),
        ("maxExpirationSeconds", maybe(number(3600..=86400))),
        ("credentialBundlePath", maybe(at("bundle-of-"))),
        ("keyPath", maybe(at("key-"))),
        ("certificateChainPath", maybe(at("chain-"))),
        ("userAnnotations", maybe(crate::names::annotations())),
    ]);
    // One of each at most, so that no two name the same path.
    let all = fields_of(vec![
        ("configMap", maybe(named("config-"))),
        ("secret", maybe(named("secret-"))),
        ("serviceAccountToken", maybe(token)),
        ("downwardAPI", maybe(downward)),
        (
            "clusterTrustBundle",
            maybe(one_of([
                bundle(vec![("name", label())]),
                bundle(vec![
                    ("signerName", text("[a-z]{1,6}\\.example\\.com/[a-z]{1,4}")),
                    ("labelSelector", maybe(selector())),
                ]),
            ])),
        ),
        ("podCertificate", maybe(certificate)),
    ]);
    then(proptest::prelude::Strategy::boxed(all), |all| {
        let each = all
            .as_object()
            .into_iter()
            .flatten()
            .map(|(source, value)| json!({source: value}));
        *all = Value::Array(each.collect());
    })
}

/// A mount without its volume, which is chosen when the volumes are known.
fn mount() -> Any {
    let any = object([
        (
            "mountPath",
            text("/(etc|opt|data/more|srv)/[a-z]{1,6}(/[a-z0-9]{1,4})?"),
        ),
        ("readOnly", maybe(yes_or_no())),
        (
            "recursiveReadOnly",
            maybe(words(&["Disabled", "IfPossible", "Enabled"])),
        ),
        ("mountPropagation", maybe(words(&["None", "HostToContainer"]))),
        ("subPath", maybe(relative_path())),
        ("subPathExpr", maybe(text("[a-z]{1,4}/\\$\\(POD_NAME\\)"))),
    ]);
    then(any, |mount| {
        let read_only = mount["readOnly"] == true;
        let plain = mount["mountPropagation"].is_null() || mount["mountPropagation"] == "None";
        let fields = mount.as_object_mut().expect("an object");
        if !read_only || !plain {
            fields.remove("recursiveReadOnly");
        }
        if fields.contains_key("subPath") {
            fields.remove("subPathExpr");
        }
    })
}

/// The list of mounts with volumes out of `volumes`; empty where there are none.
pub(crate) fn mounts_of(mounts: &Value, volumes: &Value) -> Option<Value> {
    let (mounts, volumes) = (mounts.as_array()?, volumes.as_array()?);
    let named = mounts.iter().zip(volumes.iter().cycle()).map(|(mount, volume)| {
        let mut mount = mount.clone();
        mount["name"] = volume["name"].clone();
        mount
    });
    Some(Value::Array(named.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_name_volumes_that_exist() {
        let volumes = json!([{"name": "a"}, {"name": "b"}]);
        let mounts = json!([{"mountPath": "/1"}, {"mountPath": "/2"}, {"mountPath": "/3"}]);
        let named = mounts_of(&mounts, &volumes).unwrap();
        assert_eq!(named[2], json!({"mountPath": "/3", "name": "a"}));
        assert_eq!(mounts_of(&mounts, &Value::Null), None);
    }
}
