//! What the operator remembers of live children: as little as telling drift and readiness needs.

use std::collections::{HashMap, HashSet};

use kube::{
    Resource as _, ResourceExt as _,
    core::{DynamicObject, ObjectMeta},
};
use parking_lot::RwLock;
use serde_json::Value;

use super::{
    kinds::ChildKind,
    owned::{Digest, owned_digest, owns},
};
use crate::OPERATOR;

/// Names one child of a namespace.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ChildRef {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name, which is its owner's.
    pub name: String,
}

/// A live child.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// The uid of the controller that owns it.
    pub owner_uid: Option<String>,
    /// Digest of the fields that this operator applied; `None` when it applied none.
    pub digest: Option<Digest>,
    /// Whether this operator owns `spec.replicas`.
    pub owns_replicas: bool,
    /// State of the pods, of a Deployment.
    pub workload: Option<Workload>,
}

/// State of a Deployment's pods.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Workload {
    /// Pods wanted (`spec.replicas`).
    pub wanted: i32,
    /// Pods that exist.
    pub replicas: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that have been ready for long enough.
    pub available: i32,
    /// Whether the Deployment controller has seen the current spec.
    pub current: bool,
    /// Whether the rollout exceeded its progress deadline.
    pub stuck: bool,
    /// Why pods cannot be made, in the API server's words.
    pub failure: Option<String>,
}

impl Workload {
    /// Whether all wanted pods run the current template and are counted, and no others are left.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.current
            && self.updated >= self.wanted
            && self.replicas == self.updated
            && self.available >= self.wanted
    }
}

impl Observed {
    /// Whether nothing changed that concerns the operator. An HPA's status, for one, changes every few
    /// seconds without that.
    fn same_but_for_version(&self, other: &Self) -> bool {
        // Without `..`: what is added to a child is compared too.
        let Self {
            uid,
            resource_version: _,
            owner_uid,
            digest,
            owns_replicas,
            workload,
        } = self;
        *uid == other.uid
            && *owner_uid == other.owner_uid
            && *digest == other.digest
            && *owns_replicas == other.owns_replicas
            && *workload == other.workload
    }

    /// Reads what is needed from a live object. The object itself is not kept.
    #[must_use]
    pub fn new(kind: ChildKind, object: &DynamicObject) -> Self {
        let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
        let mut live = object.data.clone();
        if let Some(body) = live.as_object_mut() {
            body.insert("metadata".to_owned(), metadata);
        }
        Self {
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            owner_uid: controller_uid(object.meta()),
            digest: owned_digest(&live, OPERATOR),
            owns_replicas: owns(&live, OPERATOR, &["f:spec", "f:replicas"]),
            workload: (kind == ChildKind::Deployment).then(|| workload(&live)),
        }
    }
}

/// The uid of the controller that owns an object.
#[must_use]
pub fn controller_uid(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .find(|o| o.controller == Some(true))
        .map(|o| o.uid.clone())
}

fn workload(live: &Value) -> Workload {
    let number = |pointer: &str| live.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let count = |pointer: &str| i32::try_from(number(pointer)).unwrap_or(i32::MAX);
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let condition = |type_: &str| conditions.into_iter().flatten().find(|c| c["type"] == type_);
    Workload {
        // The API server defaults spec.replicas to 1, so it is always there.
        wanted: count("/spec/replicas"),
        replicas: count("/status/replicas"),
        updated: count("/status/updatedReplicas"),
        ready: count("/status/readyReplicas"),
        available: count("/status/availableReplicas"),
        current: number("/status/observedGeneration") >= number("/metadata/generation"),
        stuck: condition("Progressing").is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded"),
        failure: condition("ReplicaFailure")
            .filter(|c| c["status"] == "True")
            .and_then(|c| c["message"].as_str())
            .map(str::to_owned),
    }
}

/// All live children, by reference.
#[derive(Debug, Default)]
pub struct ChildCache {
    children: RwLock<HashMap<ChildRef, Observed>>,
}

impl ChildCache {
    /// The child, if it is there.
    #[must_use]
    pub fn get(&self, key: &ChildRef) -> Option<Observed> {
        self.children.read().get(key).cloned()
    }

    /// Remembers a child, unless what is known is newer: the answer to our own write can overtake
    /// the watch, and then the watch's older events must not undo it. Says whether this is news.
    pub fn insert(&self, key: ChildRef, observed: Observed) -> bool {
        let mut children = self.children.write();
        let Some(known) = children.get_mut(&key) else {
            children.insert(key, observed);
            return true;
        };
        if known.uid == observed.uid && newer(&known.resource_version, &observed.resource_version) {
            return false;
        }
        let news = !known.same_but_for_version(&observed);
        *known = observed;
        news
    }

    /// Forgets a child that is gone; says whether it was known.
    pub fn remove(&self, key: &ChildRef, uid: &str) -> bool {
        let mut children = self.children.write();
        let known = children.get(key).is_some_and(|known| known.uid == uid);
        if known {
            children.remove(key);
        }
        known
    }

    /// After a new list: forgets the children of `kind` (and `namespace`, if the watch had one) that
    /// the list did not have, and returns them.
    pub fn retain_listed(
        &self,
        kind: ChildKind,
        namespace: Option<&str>,
        listed: &HashSet<ChildRef>,
    ) -> Vec<ChildRef> {
        let mut gone = Vec::new();
        self.children.write().retain(|key, _| {
            let in_scope = key.kind == kind && namespace.is_none_or(|ns| ns == key.namespace);
            let keep = !in_scope || listed.contains(key);
            if !keep {
                gone.push(key.clone());
            }
            keep
        });
        gone
    }

    /// Number of live children.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.read().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether resourceVersion `a` is newer than `b`. They are numbers in every API server in use, and
/// Kubernetes 1.35 promises that; where they are not, neither counts as newer.
fn newer(a: &str, b: &str) -> bool {
    matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ChildRef {
        ChildRef {
            kind: ChildKind::Service,
            namespace: "n".to_owned(),
            name: name.to_owned(),
        }
    }

    fn observed(uid: &str, version: &str) -> Observed {
        Observed {
            uid: uid.to_owned(),
            resource_version: version.to_owned(),
            owner_uid: None,
            digest: None,
            owns_replicas: false,
            workload: None,
        }
    }

    #[test]
    fn an_older_event_does_not_undo_a_newer_answer() {
        let cache = ChildCache::default();
        assert!(cache.insert(key("a"), observed("1", "12")));
        assert!(!cache.insert(key("a"), observed("1", "9")));
        assert_eq!(cache.get(&key("a")).unwrap().resource_version, "12");
        cache.insert(key("a"), observed("2", "5"));
        assert_eq!(
            cache.get(&key("a")).unwrap().uid,
            "2",
            "another uid is another object"
        );
    }

    #[test]
    fn a_new_version_alone_is_no_news() {
        let cache = ChildCache::default();
        cache.insert(key("a"), observed("1", "1"));
        assert!(!cache.insert(key("a"), observed("1", "2")));
        assert_eq!(cache.get(&key("a")).unwrap().resource_version, "2");
        assert!(cache.insert(
            key("a"),
            Observed {
                digest: Some([1; 16]),
                ..observed("1", "3")
            }
        ));
    }

    #[test]
    fn a_late_delete_of_the_old_object_leaves_the_new_one() {
        let cache = ChildCache::default();
        cache.insert(key("a"), observed("2", "5"));
        cache.remove(&key("a"), "1");
        assert_eq!(cache.len(), 1);
        cache.remove(&key("a"), "2");
        assert!(cache.is_empty());
    }

    #[test]
    fn a_new_list_forgets_what_it_lacks_in_its_scope_only() {
        let cache = ChildCache::default();
        cache.insert(key("a"), observed("1", "1"));
        cache.insert(key("b"), observed("2", "1"));
        let gone = cache.retain_listed(ChildKind::Service, Some("n"), &HashSet::from([key("a")]));
        assert_eq!(gone, [key("b")]);
        assert!(
            cache
                .retain_listed(ChildKind::Ingress, None, &HashSet::new())
                .is_empty()
        );
        assert!(
            cache
                .retain_listed(ChildKind::Service, Some("other"), &HashSet::new())
                .is_empty()
        );
    }
}
