//! The `McpServer` resources: one stream and one store of them, whatever the number of namespaces watched.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::{Stream, StreamExt as _, stream};
use iam_mcp_crds::{McpServer, McpServerSpec, McpServerStatus};
use kube::{
    Client, Resource,
    core::{NamespaceResourceScope, ObjectMeta},
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use parking_lot::RwLock;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    context::full_name,
    index::Name,
    listing::Listing,
    live,
    uid::Uid,
    watch::{PAGE_SIZE, scoped, scopes},
};

/// A resource as it came, in the few hundred bytes that its JSON takes: read, most of it is room for what is not said.
///
/// One that cannot be read must not stop the others, so it is read when it is looked at.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// Without field ownership, which is not read here.
    metadata: ObjectMeta,
    body: Box<str>,
}

/// The class of operators that looks after a resource, and nothing else of it.
#[derive(Deserialize)]
struct Classed {
    spec: ClassOf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassOf {
    operator_class: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    spec: McpServerSpec,
    status: Option<McpServerStatus>,
}

impl Guarded {
    /// The resource.
    ///
    /// # Errors
    /// When it is not what the definition says, because it is older or newer than this operator.
    pub fn read(&self) -> Result<McpServer, serde_json::Error> {
        let Body { spec, status } = serde_json::from_str(&self.body)?;
        Ok(McpServer {
            metadata: self.metadata.clone(),
            spec,
            status,
        })
    }
}

impl Guarded {
    /// The class of operators that looks after it.
    fn class(&self) -> Result<Option<String>, serde_json::Error> {
        let Classed { spec } = serde_json::from_str(&self.body)?;
        Ok(spec.operator_class)
    }
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = deserializer.deserialize_map(live::Object)?;
        let metadata = object.remove("metadata").unwrap_or_default();
        let mut metadata = ObjectMeta::deserialize(metadata).map_err(D::Error::custom)?;
        metadata.managed_fields = None;
        if let Some(annotations) = &mut metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        object.retain(|key, _| key == "spec" || key == "status");
        let body = serde_json::to_string(&object).map_err(D::Error::custom)?;
        Ok(Self {
            metadata,
            body: body.into(),
        })
    }
}

impl Resource for Guarded {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        McpServer::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        McpServer::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        McpServer::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        McpServer::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Whether a server exists.
#[derive(Clone, Debug)]
pub enum Presence {
    /// The resources of its namespace have not all been listed yet.
    Unknown,
    /// It exists, and another operator looks after it.
    Elsewhere,
    /// It does not exist, or is being deleted.
    Gone,
    /// It exists.
    Here(Arc<Guarded>),
}

/// What is known of resources that are not in the store: the scopes that have been listed, and the servers of other
/// operators.
#[derive(Debug, Default)]
pub struct Listed {
    scopes: RwLock<HashSet<Option<String>>>,
    elsewhere: RwLock<HashSet<Name>>,
}

impl Listed {
    /// Whether another operator looks after `server`.
    #[must_use]
    pub fn is_elsewhere(&self, server: &Name) -> bool {
        self.elsewhere.read().contains(server)
    }

    /// Looks `server` up in `store`. What is not there is gone only after its namespace was listed.
    #[must_use]
    pub fn presence(&self, store: &Store<Guarded>, server: &Name) -> Presence {
        // Before the store is read: a list that ends in between must not make a gap look like a deletion.
        let listed = {
            let scopes = self.scopes.read();
            scopes.contains(&None) || scopes.contains(&Some(server.0.clone()))
        };
        match store.get(&ObjectRef::new(&server.1).within(&server.0)) {
            Some(found) if found.meta().deletion_timestamp.is_some() => Presence::Gone,
            Some(found) => Presence::Here(found),
            None if self.is_elsewhere(server) => Presence::Elsewhere,
            None if listed => Presence::Gone,
            None => Presence::Unknown,
        }
    }
}

/// All changes of the `McpServer` resources of `class`, in every namespace or in `namespaces`, for one store. A server
/// that moves to another class is deleted from the store, and noted in `listed`.
///
/// A store takes the end of a list for all there is, so with two namespaces the list of one would empty it of
/// the other's. Here a list becomes changes of single resources, and deletions of what it lacks.
pub fn changes(
    client: &Client,
    namespaces: &[String],
    class: Option<&str>,
    listed: &Arc<Listed>,
) -> impl Stream<Item = watcher::Result<Event<Guarded>>> + use<> {
    let scopes = scopes(namespaces).into_iter().map(|namespace| {
        let api = scoped::<Guarded>(client.clone(), namespace.as_deref());
        let config = watcher::Config::default().page_size(PAGE_SIZE);
        let events = watcher(api, config).default_backoff();
        let mut scope = Scope::new(namespace.as_deref(), class, listed);
        let listed = Arc::clone(listed);
        let single = events.flat_map(move |event| {
            let ended = matches!(event, Ok(Event::InitDone));
            let changes = match event {
                Ok(event) => scope.changes(event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            // All that was listed before has gone through the store by now: it is pulled one by one.
            if ended {
                listed.scopes.write().insert(namespace.clone());
            }
            stream::iter(changes)
        });
        single.boxed()
    });
    // The controller waits until its store was filled once. It need not: what a change names is in the store
    // before it is looked at.
    let filled = stream::iter([Ok(Event::Init), Ok(Event::InitDone)]);
    filled.chain(stream::select_all(scopes))
}

/// What is known of one scope: the resources there, as little of each as a deletion has to say.
struct Scope {
    namespace: Option<String>,
    class: Option<String>,
    here: HashMap<Name, Option<Uid>>,
    listing: Listing<Name>,
    listed: Arc<Listed>,
}

impl Scope {
    fn new(namespace: Option<&str>, class: Option<&str>, listed: &Arc<Listed>) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            class: class.map(str::to_owned),
            here: HashMap::new(),
            listing: Listing::default(),
            listed: Arc::clone(listed),
        }
    }

    fn changes(&mut self, event: Event<Guarded>) -> Vec<Event<Guarded>> {
        match event {
            Event::Init => {
                self.listing.begin();
                Vec::new()
            }
            Event::InitApply(server) => {
                self.listing.add(|| full_name(server.meta()));
                self.apply(server)
            }
            Event::InitDone => {
                let Some(listed) = self.listing.end() else {
                    return Vec::new();
                };
                let covers = |name: &Name| self.namespace.as_ref().is_none_or(|ns| *ns == name.0);
                self.listed
                    .elsewhere
                    .write()
                    .retain(|name| listed.contains(name) || !covers(name));
                let gone: Vec<_> = self.here.extract_if(|name, _| !listed.contains(name)).collect();
                gone.into_iter()
                    .map(|(name, uid)| Event::Delete(remains(name, uid)))
                    .collect()
            }
            Event::Apply(server) => self.apply(server),
            Event::Delete(server) => {
                let name = full_name(server.meta());
                self.listed.elsewhere.write().remove(&name);
                match self.here.remove(&name) {
                    Some(_) => vec![Event::Delete(server)],
                    None => Vec::new(),
                }
            }
        }
    }

    fn apply(&mut self, server: Guarded) -> Vec<Event<Guarded>> {
        let name = full_name(server.meta());
        if self.is_ours(&server) {
            self.listed.elsewhere.write().remove(&name);
            let uid = server.meta().uid.as_deref().map(Uid::from);
            self.here.insert(name, uid);
            return vec![Event::Apply(server)];
        }
        // Before it leaves the store: what is not there must not be taken for gone.
        self.listed.elsewhere.write().insert(name.clone());
        match self.here.remove(&name) {
            Some(_) => vec![Event::Delete(server)],
            None => Vec::new(),
        }
    }

    /// One that cannot be read is everybody's: each operator says so, and none touches it.
    fn is_ours(&self, server: &Guarded) -> bool {
        server.class().map_or(true, |class| class == self.class)
    }
}

/// A server that went while nobody watched.
fn remains((namespace, name): Name, uid: Option<Uid>) -> Guarded {
    Guarded {
        metadata: ObjectMeta {
            namespace: Some(namespace),
            name: Some(name),
            uid: uid.map(|uid| uid.to_string()),
            ..ObjectMeta::default()
        },
        body: Box::default(),
    }
}

#[cfg(test)]
mod tests {
    use kube::{ResourceExt as _, runtime::reflector};

    use super::*;

    fn name(namespace: &str) -> Name {
        (namespace.to_owned(), "jobs".to_owned())
    }

    fn server(namespace: &str) -> Guarded {
        remains(
            name(namespace),
            Some(Uid::from(format!("uid-{namespace}").as_str())),
        )
    }

    /// The names in one store after the events of two scopes.
    fn stored(events: Vec<(usize, Event<Guarded>)>) -> Vec<String> {
        let (store, mut writer) = reflector::store();
        let listed = Arc::new(Listed::default());
        let mut scopes = ["a", "b"].map(|namespace| Scope::new(Some(namespace), None, &listed));
        for (scope, event) in events {
            for change in scopes[scope].changes(event) {
                writer.apply_watcher_event(&change);
            }
        }
        let mut names: Vec<_> = store
            .state()
            .iter()
            .filter_map(|server| server.namespace())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_resource_is_read_as_it_came() {
        let whole = serde_json::json!({
            "apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer",
            "metadata": {"name": "jobs", "namespace": "a", "managedFields": [{"manager": "m"}], "annotations": {"a": "b"}},
            "spec": {"image": "i", "replicas": 2}, "status": {"replicas": 1},
        });
        let stored: Guarded = serde_json::from_str(&whole.to_string()).unwrap();
        let mut expected: McpServer = serde_json::from_value(whole).unwrap();
        expected.metadata.managed_fields = None;
        assert_eq!(stored.read().unwrap(), expected);
    }

    #[test]
    fn one_that_cannot_be_read_has_a_name() {
        let text = r#"{"metadata": {"name": "jobs", "namespace": "a"}, "spec": {"replicas": "many"}}"#;
        let stored: Guarded = serde_json::from_str(text).unwrap();
        assert!(stored.read().is_err());
        assert_eq!(full_name(stored.meta()), name("a"));
    }

    #[test]
    fn the_list_of_one_namespace_leaves_the_others_alone() {
        let mut events = vec![
            (0, Event::Init),
            (1, Event::Init),
            (0, Event::InitApply(server("a"))),
            (0, Event::InitDone),
            (1, Event::InitApply(server("b"))),
            (1, Event::InitDone),
        ];
        assert_eq!(stored(events.clone()), ["a", "b"]);
        events.extend([(0, Event::Init), (0, Event::InitDone)]);
        assert_eq!(stored(events), ["b"], "a is gone with the second list");
    }

    #[test]
    fn a_server_that_moves_to_another_class_is_elsewhere_and_not_gone() {
        let of_class = |class: Option<&str>| -> Guarded {
            let moved = serde_json::json!({"metadata": {"name": "jobs", "namespace": "a"}, "spec": {"operatorClass": class}});
            serde_json::from_value(moved).unwrap()
        };
        let (store, mut writer) = reflector::store();
        let listed = Arc::new(Listed::default());
        let mut scope = Scope::new(None, Some("blue"), &listed);
        let mut see = |event| {
            let changes = scope.changes(event);
            for change in &changes {
                writer.apply_watcher_event(change);
            }
            (changes.len(), listed.presence(&store, &name("a")))
        };
        see(Event::Init);
        assert!(matches!(
            see(Event::InitApply(of_class(None))),
            (0, Presence::Elsewhere)
        ));
        see(Event::InitDone);
        listed.scopes.write().insert(None);
        assert!(matches!(
            see(Event::Apply(of_class(Some("blue")))),
            (1, Presence::Here(_))
        ));
        assert!(matches!(
            see(Event::Apply(of_class(Some("green")))),
            (1, Presence::Elsewhere)
        ));
        assert!(
            matches!(see(Event::Apply(of_class(Some("green")))), (0, _)),
            "it left the store before"
        );
        see(Event::Init);
        assert!(
            matches!(see(Event::InitDone), (0, Presence::Gone)),
            "deleted while nobody watched"
        );
    }

    #[test]
    fn a_server_is_gone_only_when_its_namespace_was_listed() {
        let (store, mut writer) = reflector::store();
        let listed = Listed::default();
        let presence = |listed: &Listed, namespace| listed.presence(&store, &name(namespace));
        assert!(matches!(presence(&listed, "a"), Presence::Unknown));
        listed.scopes.write().insert(Some("a".to_owned()));
        assert!(matches!(presence(&listed, "a"), Presence::Gone));
        assert!(matches!(presence(&listed, "b"), Presence::Unknown));
        writer.apply_watcher_event(&Event::Apply(server("a")));
        assert!(matches!(presence(&listed, "a"), Presence::Here(_)));
    }
}
