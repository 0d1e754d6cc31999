use proptest::prelude::*;
use serde_json::json;

use super::*;

fn pod() -> Value {
    json!({
        "metadata": {"labels": {"app": "jobs"}},
        "spec": {
            "containers": [{"name": "jobs", "image": "a", "args": ["http"], "env": [{"name": "A", "value": "1"}],
                            "ports": [{"containerPort": 80, "name": "http"}]}],
            "tolerations": [{"key": "a"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    })
}

fn merged(patch: &Value) -> Value {
    merge(&pod(), patch).unwrap()
}

#[test]
fn keyed_lists_merge_and_other_lists_are_replaced() {
    let after = merged(&json!({"spec": {
        "containers": [
            {"name": "proxy", "image": "b"},
            {"name": "jobs", "args": ["x"], "env": [{"name": "B", "value": "2"}], "ports": [{"containerPort": 80, "protocol": "TCP"}]},
        ],
        "tolerations": [{"key": "b"}],
        "volumes": [{"name": "more", "emptyDir": {}}],
    }}));
    assert_eq!(
        after["spec"],
        json!({
            "containers": [
                {"name": "jobs", "image": "a", "args": ["x"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                 "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}]},
                {"name": "proxy", "image": "b"},
            ],
            "tolerations": [{"key": "b"}],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "more", "emptyDir": {}}],
        })
    );
    assert_eq!(after["metadata"], pod()["metadata"]);
}

#[test]
fn null_and_delete_remove_and_replace_replaces() {
    let after = merged(&json!({
        "metadata": {"labels": {"app": null}},
        "spec": {"tolerations": null, "volumes": [{"name": "data", "$patch": "delete"}, {"name": "none", "$patch": "delete"}]},
    }));
    assert_eq!(after["metadata"], json!({"labels": {}}));
    assert_eq!(after["spec"]["volumes"], json!([]));
    assert!(after["spec"].get("tolerations").is_none());

    let after = merged(&json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "x"}]}}));
    assert_eq!(after["spec"]["containers"], json!([{"name": "x"}]));
    let after =
        merged(&json!({"spec": {"containers": [{"name": "jobs", "$patch": "replace", "image": "b"}]}}));
    assert_eq!(
        after["spec"]["containers"],
        json!([{"name": "jobs", "image": "b"}])
    );
    let after = merged(&json!({"metadata": {"labels": {"$patch": "replace", "b": "c"}}}));
    assert_eq!(after["metadata"]["labels"], json!({"b": "c"}));
}

#[test]
fn what_cannot_be_merged_is_refused_with_its_path() {
    for (patch, path) in [
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "spec.containers[0]",
        ),
        (json!({"spec": {"containers": ["x"]}}), "spec.containers[0]"),
        (
            json!({"spec": {"containers": [{"name": "jobs", "$patch": "drop"}]}}),
            "spec.containers[jobs].$patch",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": []}}),
            "spec.$setElementOrder/containers",
        ),
        (
            json!({"spec": {"containers": [{"name": "jobs", "ports": [{"name": "x"}]}]}}),
            "spec.containers[jobs].ports[0]",
        ),
    ] {
        assert_eq!(merge(&pod(), &patch).unwrap_err().path, path, "{patch}");
    }
    assert!(merge(&pod(), &json!([])).is_err());
}

/// Part of a pod template; `null` and deletion only where `removes`.
fn template(removes: bool) -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        "[a-z]{1,3}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ];
    let leaf = if removes {
        prop_oneof![4 => scalar, 1 => Just(Value::Null)].boxed()
    } else {
        scalar.boxed()
    };
    let container = (
        "[a-c]",
        proptest::option::of(leaf.clone()),
        proptest::collection::btree_map("[x-z]", leaf.clone(), 0..3),
    )
        .prop_map(|(name, image, env)| {
            let env: Vec<_> = env
                .into_iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect();
            (
                name.clone(),
                json!({"name": name, "image": image.unwrap_or(json!("i")), "env": env}),
            )
        });
    let containers = proptest::collection::vec(container, 0..3).prop_map(|all| {
        let unique: std::collections::BTreeMap<_, _> = all.into_iter().collect();
        unique.into_values().collect::<Vec<_>>()
    });
    (containers, proptest::collection::btree_map("[p-s]", leaf.clone(), 0..3), proptest::collection::vec("[a-z]", 0..3))
        .prop_map(|(containers, labels, args)| {
            json!({"metadata": {"labels": labels}, "spec": {"containers": containers, "args": args}})
        })
}

fn names(pod: &Value) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    containers
        .iter()
        .map(|c| c["name"].as_str().unwrap().to_owned())
        .collect()
}

proptest! {
    #[test]
    fn nothing_changes_nothing(base in template(false)) {
        prop_assert_eq!(&merge(&base, &json!({})).unwrap(), &base);
        prop_assert_eq!(merge(&base, &base).unwrap(), base);
    }

    #[test]
    fn twice_is_once(base in template(false), patch in template(true)) {
        let once = merge(&base, &patch).unwrap();
        prop_assert_eq!(merge(&once, &patch).unwrap(), once);
    }

    #[test]
    fn what_the_patch_does_not_name_stays_and_what_it_names_is_there(base in template(false), patch in template(false)) {
        let after = merge(&base, &patch).unwrap();
        let (had, asked, has) = (names(&base), names(&patch), names(&after));
        let unique: std::collections::BTreeSet<_> = has.iter().collect();
        prop_assert_eq!(unique.len(), has.len());
        prop_assert_eq!(&has[..had.len()], &had[..], "the order of what was there stays");
        for name in &asked {
            prop_assert!(has.contains(name));
        }
        for (index, name) in had.iter().enumerate().filter(|(_, name)| !asked.contains(name)) {
            prop_assert_eq!(&after["spec"]["containers"][index], &base["spec"]["containers"][index], "{}", name);
        }
        for (label, value) in patch["metadata"]["labels"].as_object().unwrap() {
            prop_assert_eq!(&after["metadata"]["labels"][label], value);
        }
        prop_assert_eq!(&after["spec"]["args"], &patch["spec"]["args"]);
    }

    #[test]
    fn no_directive_and_no_null_is_left(base in template(false), patch in template(true)) {
        let text = merge(&base, &patch).unwrap().to_string();
        prop_assert!(!text.contains("null") && !text.contains('$'), "{}", text);
    }
}
