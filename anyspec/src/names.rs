//! Names, labels, paths and addresses as Kubernetes takes them.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::any::{Any, keyed, list, map_of, maybe, number, object, one_of, text, then, words};

const LABEL_KEY: &str = "([a-z]{2,6}\\.example\\.com/)?[a-z]([-a-z0-9_.]{0,6}[a-z0-9])?";
const LABEL_VALUE: &str = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?)?";

/// The name of an object: a DNS label.
pub(crate) fn label() -> Any {
    text("[a-z]([-a-z0-9]{0,10}[a-z0-9])?")
}

/// The name of an object: a DNS subdomain.
pub(crate) fn subdomain() -> Any {
    text("[a-z]([-a-z0-9]{0,8}[a-z0-9])?(\\.[a-z]([-a-z0-9]{0,5}[a-z0-9])?)?")
}

/// A host name, with a wildcard at times.
pub(crate) fn host() -> Any {
    text("(\\*\\.)?[a-z]([-a-z0-9]{0,6}[a-z0-9])?\\.example\\.(com|org)")
}

/// A path of an Ingress or a route.
pub(crate) fn path() -> Any {
    text("/([-._~a-zA-Z0-9]{1,5}(/[-_~a-zA-Z0-9]{1,5}){0,2})?")
        .prop_filter("dots are other paths", |path| {
            !path.as_str().is_some_and(|p| {
                p.split('/')
                    .any(|step| step.chars().all(|c| c == '.') && !step.is_empty())
            })
        })
        .boxed()
}

/// Labels.
pub(crate) fn labels() -> Any {
    map_of(LABEL_KEY, LABEL_VALUE, 0..3)
}

/// Labels to choose by, of which there may be none: `{}`.
pub(crate) fn labels_or_all() -> Any {
    then(labels(), |labels| {
        if labels.is_null() {
            *labels = json!({});
        }
    })
}

/// Annotations.
pub(crate) fn annotations() -> Any {
    map_of(LABEL_KEY, "[ -~]{0,12}", 0..3)
}

/// The key of a Secret or a ConfigMap.
pub(crate) fn data_key() -> Any {
    text("[a-zA-Z0-9][-_a-zA-Z0-9]{0,8}")
}

/// A path below a volume.
pub(crate) fn relative_path() -> Any {
    text("[a-z]{1,6}(/[a-z0-9]{1,6})?")
}

/// A range of addresses that starts where its prefix says.
pub(crate) fn cidr() -> Any {
    let v4 = (any::<u32>(), 0..33_u32).prop_map(|(bits, prefix)| {
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or_default();
        json!(format!("{}/{prefix}", std::net::Ipv4Addr::from_bits(bits & mask)))
    });
    let v6 = (any::<u128>(), 0..129_u32).prop_map(|(bits, prefix)| {
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or_default();
        json!(format!("{}/{prefix}", std::net::Ipv6Addr::from_bits(bits & mask)))
    });
    // An address of version 4 within one of version 6 is refused by the API server.
    let v6 = v6.prop_filter("no mapped address", |cidr| {
        !cidr.as_str().is_some_and(|c| c.starts_with("::"))
    });
    prop_oneof![3 => v4, 1 => v6].boxed()
}

/// Conditions on labels.
pub(crate) fn label_expressions() -> Any {
    let values = || list(text("[A-Za-z0-9]([-A-Za-z0-9_.]{0,5}[A-Za-z0-9])?"), 1..3);
    list(
        one_of([
            object([
                ("key", text(LABEL_KEY)),
                ("operator", words(&["In", "NotIn"])),
                ("values", values()),
            ]),
            object([
                ("key", text(LABEL_KEY)),
                ("operator", words(&["Exists", "DoesNotExist"])),
            ]),
        ]),
        1..3,
    )
}

/// A selector of labels, which may be `{}`.
pub(crate) fn selector() -> Any {
    object([
        ("matchLabels", labels()),
        ("matchExpressions", maybe(label_expressions())),
    ])
}

/// Keys of labels that no other generator uses, for lists of keys.
pub(crate) fn label_keys() -> Any {
    list(text("key\\.example\\.com/[a-z]{1,4}"), 0..3)
}

/// Keys as files, each at a path of its own.
pub(crate) fn key_files() -> Any {
    keyed(
        &["path"],
        object([
            ("key", data_key()),
            ("path", relative_path()),
            ("mode", maybe(number(0..=0o777))),
        ]),
        0..3,
    )
}

/// A list from `items` whose paths do not lie one within the other.
pub(crate) fn no_path_in_another(items: &mut Value) {
    let paths = |item: &Value| item["path"].as_str().unwrap_or_default().to_owned();
    if let Some(list) = items.as_array_mut() {
        let mut taken: Vec<String> = Vec::new();
        list.retain(|item| {
            let path = paths(item);
            let first = path.split('/').next().unwrap_or_default().to_owned();
            let free = !taken.contains(&first);
            taken.push(first);
            free
        });
    }
}
