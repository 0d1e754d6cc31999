//! A live child as it is read: what it comes to, and not the object itself.
//!
//! Most of an object is who set which of its fields, and of that only our own part matters. The rest is
//! passed over while it is decoded, and of a list no more than one object is in memory at a time.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Resource,
    core::{ApiResource, DynamicResourceScope, ObjectMeta},
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{build::MANAGED_BY, cache::Observed};
use crate::OPERATOR;

/// A live child.
#[derive(Clone, Debug)]
pub struct LiveChild {
    /// Its names, its version, the label that says whose it is, and the controller that owns it.
    metadata: ObjectMeta,
    /// What is remembered of it.
    pub observed: Observed,
    /// The Deployment that it scales, of an autoscaler.
    pub scales: Option<String>,
}

impl LiveChild {
    fn new(live: &Value) -> Self {
        let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let label = live["metadata"]["labels"][MANAGED_BY].as_str();
        let label = label.map(|by| BTreeMap::from([(MANAGED_BY.to_owned(), by.to_owned())]));
        let owners = live["metadata"]["ownerReferences"].as_array();
        let controller = owners
            .into_iter()
            .flatten()
            .find(|owner| owner["controller"] == true)
            .and_then(|owner| OwnerReference::deserialize(owner).ok());
        let target = &live["spec"]["scaleTargetRef"];
        let scales = (target["kind"] == "Deployment").then(|| target["name"].as_str());
        Self {
            metadata: ObjectMeta {
                name: text("/metadata/name"),
                namespace: text("/metadata/namespace"),
                uid: text("/metadata/uid"),
                resource_version: text("/metadata/resourceVersion"),
                labels: label,
                owner_references: controller.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            observed: Observed::new(live),
            scales: scales.flatten().map(str::to_owned),
        }
    }
}

impl<'de> Deserialize<'de> for LiveChild {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = deserializer.deserialize_map(Object)?;
        Ok(Self::new(&Value::Object(object)))
    }
}

/// Reads an object without what others say of its fields.
pub(super) struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == "metadata" {
                Value::Object(map.next_value::<Metadata>()?.0)
            } else {
                map.next_value()?
            };
            object.insert(key, value);
        }
        Ok(object)
    }
}

struct Metadata(Map<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut metadata = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value = if key == "managedFields" {
                        let entries = map.next_value::<Option<Vec<Entry>>>()?.unwrap_or_default();
                        entries.into_iter().filter_map(|entry| entry.0).collect()
                    } else {
                        map.next_value()?
                    };
                    metadata.insert(key, value);
                }
                Ok(Metadata(metadata))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// An entry of `managedFields`, if it is ours.
struct Entry(Option<Value>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry of managedFields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let mut entry = Map::new();
                let mut foreign = false;
                while let Some(key) = map.next_key::<String>()? {
                    // The API server writes the manager first; where it did not, more would be read, and dropped.
                    if foreign {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let value: Value = map.next_value()?;
                    foreign = key == "manager" && value != OPERATOR;
                    entry.insert(key, value);
                }
                Ok(Entry((!foreign).then_some(Value::Object(entry))))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Resource for LiveChild {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::owned::owned_digest;

    fn deployment() -> Value {
        let ours =
            json!({"f:spec": {"f:replicas": {}, "f:paused": {}}, "f:metadata": {"f:labels": {"f:a": {}}}});
        json!({
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
                "labels": {"a": "b", MANAGED_BY: OPERATOR, "other": "x"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "m", "uid": "2"},
                    {"apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "name": "s", "uid": "1", "controller": true},
                ],
                "managedFields": [
                    {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
                    {"manager": OPERATOR, "operation": "Apply", "fieldsV1": ours},
                    {"fieldsV1": {"f:status": {}}, "operation": "Update", "manager": "kcm", "subresource": "status"},
                ],
            },
            "spec": {"replicas": 3, "paused": false, "template": {"spec": {}}},
            "status": {"replicas": 3, "observedGeneration": 1},
        })
    }

    #[test]
    fn what_is_passed_over_changes_nothing() {
        let whole = deployment();
        let read: LiveChild = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(read.observed.digest, owned_digest(&whole, OPERATOR));
        assert!(read.observed.digest.is_some() && read.observed.owns_replicas);
        let workload = read.observed.workload.clone().unwrap();
        assert_eq!((workload.wanted, workload.replicas), (3, 3));
        assert!(!workload.current, "the controller has not seen generation 2");
        let text = serde_json::to_string(&whole).unwrap();
        let again: LiveChild = serde_json::from_str(&text).unwrap();
        assert_eq!(again.observed.digest, read.observed.digest);
    }

    #[test]
    fn names_and_owner_are_kept() {
        let read: LiveChild = serde_json::from_value(deployment()).unwrap();
        let meta = read.meta();
        assert_eq!(
            (meta.name.as_deref(), meta.resource_version.as_deref()),
            (Some("a"), Some("7"))
        );
        let owners = meta.owner_references.as_deref().unwrap();
        assert_eq!(owners[0].name, "s");
        assert_eq!(meta.labels.as_ref().unwrap().len(), 1);
    }

    #[test]
    fn only_a_deployment_is_scaled() {
        let scales = |kind: &str| {
            let target = json!({"kind": kind, "name": "d"});
            let read: LiveChild =
                serde_json::from_value(json!({"metadata": {}, "spec": {"scaleTargetRef": target}})).unwrap();
            read.scales
        };
        assert_eq!(scales("Deployment").as_deref(), Some("d"));
        assert_eq!(scales("StatefulSet"), None);
    }
}
