//! What the operator remembers of live children: as little as telling drift and readiness needs.

use std::collections::{HashMap, HashSet};

use kube::core::ObjectMeta;
use parking_lot::RwLock;
use serde_json::Value;

use super::{
    adopt,
    kinds::ChildKind,
    owned::{Digest, owned_parts, owns},
    uid::Uid,
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
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its uid.
    pub uid: Uid,
    /// Its resourceVersion.
    pub resource_version: Box<str>,
    /// The uid of the controller that owns it.
    pub owner_uid: Option<Uid>,
    /// Whether it was a child of a server of its name, and may be taken back if that is gone; see [`adopt`].
    pub was_ours: bool,
    /// Digest of the fields that this operator applied; `None` when it applied none.
    pub digest: Option<Digest>,
    /// Digest of the pod template, as far as this operator applied it, of a Deployment.
    pub template: Option<Digest>,
    /// Whether this operator owns `spec.replicas`.
    pub owns_replicas: bool,
    /// State of the pods, of a Deployment.
    pub workload: Option<Box<Workload>>,
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
    /// The image of the server's container.
    pub image: Option<Box<str>>,
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
            was_ours,
            digest,
            // Part of the digest.
            template: _,
            owns_replicas,
            workload,
        } = self;
        *uid == other.uid
            && *owner_uid == other.owner_uid
            && *was_ours == other.was_ours
            && *digest == other.digest
            && *owns_replicas == other.owns_replicas
            && *workload == other.workload
    }

    /// Reads what is needed from a live object, of which it is enough to have our own entries of `managedFields`.
    #[must_use]
    pub fn new(live: &Value) -> Self {
        let metadata = &live["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().into();
        let owners = metadata["ownerReferences"].as_array();
        let controller = owners.into_iter().flatten().find(|o| o["controller"] == true);
        // Of all kinds of children only a Deployment has pods.
        let has_pods = live["spec"].get("template").is_some();
        let parts = owned_parts(live, OPERATOR);
        Self {
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
            resource_version: text(&metadata["resourceVersion"]),
            owner_uid: controller.and_then(|o| o["uid"].as_str()).map(Uid::from),
            was_ours: adopt::was_ours(live),
            digest: parts.map(|parts| parts.whole()),
            template: parts.and_then(|parts| parts.template),
            owns_replicas: owns(live, OPERATOR, &["f:spec", "f:replicas"]),
            workload: has_pods.then(|| Box::new(workload(live))),
        }
    }

    /// Whether the controller that owns it has this uid.
    #[must_use]
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owner_uid.as_ref().is_some_and(|owner| owner.is(uid))
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
        image: image(live),
    }
}

/// The image of the container with the name of the Deployment.
fn image(live: &Value) -> Option<Box<str>> {
    let name = live.pointer("/metadata/name")?;
    let containers = live.pointer("/spec/template/spec/containers")?.as_array()?;
    let ours = containers.iter().find(|container| container["name"] == *name)?;
    ours["image"].as_str().map(Box::from)
}

/// All live children, by reference.
#[derive(Debug, Default)]
pub struct ChildCache {
    inner: RwLock<Namespaces>,
}

/// By namespace and then by name, each written once for all children that have it.
type Namespaces = HashMap<Box<str>, HashMap<Box<str>, Kinds>>;

/// The children that have one name: a handful at most.
type Kinds = Vec<(ChildKind, Observed)>;

fn find<'a>(all: &'a Namespaces, key: &ChildRef) -> Option<&'a Observed> {
    let kinds = all.get(key.namespace.as_str())?.get(key.name.as_str())?;
    kinds
        .iter()
        .find(|(kind, _)| *kind == key.kind)
        .map(|(_, observed)| observed)
}

impl ChildCache {
    /// The child, if it is there.
    #[must_use]
    pub fn get(&self, key: &ChildRef) -> Option<Observed> {
        find(&self.inner.read(), key).cloned()
    }

    /// Remembers a child, unless what is known is newer: the answer to our own write can overtake
    /// the watch, and then the watch's older events must not undo it. Says whether this is news.
    pub fn insert(&self, key: ChildRef, observed: Observed) -> bool {
        let mut all = self.inner.write();
        let kinds = all
            .entry(key.namespace.into())
            .or_default()
            .entry(key.name.into())
            .or_default();
        let Some((_, known)) = kinds.iter_mut().find(|(kind, _)| *kind == key.kind) else {
            kinds.reserve_exact(1);
            kinds.push((key.kind, observed));
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
        let mut all = self.inner.write();
        let known = find(&all, key).is_some_and(|known| known.uid.is(uid));
        if known && let Some(names) = all.get_mut(key.namespace.as_str()) {
            if let Some(kinds) = names.get_mut(key.name.as_str()) {
                kinds.retain(|(kind, _)| *kind != key.kind);
                if kinds.is_empty() {
                    names.remove(key.name.as_str());
                }
            }
            if names.is_empty() {
                all.remove(key.namespace.as_str());
            }
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
        let mut all = self.inner.write();
        for (of, names) in all
            .iter_mut()
            .filter(|(of, _)| namespace.is_none_or(|ns| ns == &***of))
        {
            names.retain(|name, kinds| {
                kinds.retain(|(known, _)| {
                    let key = ChildRef {
                        kind,
                        namespace: of.to_string(),
                        name: name.to_string(),
                    };
                    let keep = *known != kind || listed.contains(&key);
                    if !keep {
                        gone.push(key);
                    }
                    keep
                });
                !kinds.is_empty()
            });
        }
        all.retain(|_, names| !names.is_empty());
        gone
    }

    /// Number of live children.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner
            .read()
            .values()
            .flat_map(HashMap::values)
            .map(Vec::len)
            .sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether resourceVersion `a` is newer than `b`. They are numbers in every API server in use, and
/// Kubernetes 1.35 promises that; where they are not, neither counts as newer.
pub(super) fn newer(a: &str, b: &str) -> bool {
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
            uid: uid.into(),
            resource_version: version.into(),
            owner_uid: None,
            was_ours: false,
            digest: None,
            template: None,
            owns_replicas: false,
            workload: None,
        }
    }

    #[test]
    fn an_older_event_does_not_undo_a_newer_answer() {
        let cache = ChildCache::default();
        assert!(cache.insert(key("a"), observed("1", "12")));
        assert!(!cache.insert(key("a"), observed("1", "9")));
        assert_eq!(&*cache.get(&key("a")).unwrap().resource_version, "12");
        cache.insert(key("a"), observed("2", "5"));
        assert!(
            cache.get(&key("a")).unwrap().uid.is("2"),
            "another uid is another object"
        );
    }

    #[test]
    fn a_new_version_alone_is_no_news() {
        let cache = ChildCache::default();
        cache.insert(key("a"), observed("1", "1"));
        assert!(!cache.insert(key("a"), observed("1", "2")));
        assert_eq!(&*cache.get(&key("a")).unwrap().resource_version, "2");
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
