//! The `McpServer` resources: one stream and one store of them, whatever the number of namespaces watched.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::{Stream, StreamExt as _, stream};
use iam_mcp_crds::McpServer;
use kube::{
    Client, Resource as _, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use parking_lot::RwLock;

use super::{
    context::full_name,
    index::Name,
    watch::{PAGE_SIZE, scoped, scopes},
};

/// A resource as it came: one that cannot be read must not stop the others.
pub type Guarded = DeserializeGuard<McpServer>;

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
    here: HashMap<Name, Option<String>>,
    listing: HashSet<Name>,
    listed: Arc<Listed>,
}

impl Scope {
    fn new(namespace: Option<&str>, class: Option<&str>, listed: &Arc<Listed>) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            class: class.map(str::to_owned),
            here: HashMap::new(),
            listing: HashSet::new(),
            listed: Arc::clone(listed),
        }
    }

    fn changes(&mut self, event: Event<Guarded>) -> Vec<Event<Guarded>> {
        match event {
            Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            Event::InitApply(server) => {
                self.listing.insert(full_name(server.meta()));
                self.apply(server)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing);
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
            self.here.insert(name, server.uid());
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
        server
            .0
            .as_ref()
            .map_or(true, |server| server.spec.operator_class == self.class)
    }
}

/// A server that went while nobody watched.
fn remains((namespace, name): Name, uid: Option<String>) -> Guarded {
    let mut server = McpServer::default();
    server.metadata.namespace = Some(namespace);
    server.metadata.name = Some(name);
    server.metadata.uid = uid;
    DeserializeGuard(Ok(server))
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;

    use super::*;

    fn name(namespace: &str) -> Name {
        (namespace.to_owned(), "jobs".to_owned())
    }

    fn server(namespace: &str) -> Guarded {
        remains(name(namespace), Some(format!("uid-{namespace}")))
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
        let of_class = |class: Option<&str>| {
            let mut moved = McpServer::default();
            moved.metadata.namespace = Some("a".to_owned());
            moved.metadata.name = Some("jobs".to_owned());
            moved.spec.operator_class = class.map(str::to_owned);
            DeserializeGuard(Ok(moved))
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
