//! The generator makes every field that there is: a field added to the spec and not to it is found here.

use std::collections::BTreeSet;

use iam_mcp_anyspec::{Source, coverage};
use iam_mcp_crds::McpServer;
use kube::CustomResourceExt as _;
use serde_json::json;

/// Specs that are enough for each field to come up.
const SPECS: usize = 4000;

#[test]
fn every_field_and_every_word_is_generated() {
    let definition = json!(McpServer::crd());
    let schema = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .unwrap();
    let mut missing = coverage::fields_of_schema(schema);
    assert!(missing.len() > 300, "only {} fields in the schema", missing.len());
    for spec in Source::new("jobs", 1).take(SPECS) {
        for path in coverage::fields_of_value(&spec) {
            missing.remove(&path);
        }
        if missing.is_empty() {
            break;
        }
    }
    let none = BTreeSet::new();
    assert_eq!(
        missing, none,
        "fields of spec that anyspec/src never generates: add each to the list of its group"
    );
}

#[test]
fn a_seed_gives_the_same_specs() {
    let take = |seed| Source::new("jobs", seed).take(20).collect::<Vec<_>>();
    assert_eq!(take(7), take(7));
    assert_ne!(take(7), take(8));
}
