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
    /// It does not exist, or is being deleted.
    Gone,
    /// It exists.
    Here(Arc<Guarded>),
}

/// The scopes whose resources have been listed.
#[derive(Debug, Default)]
pub struct Listed {
    scopes: RwLock<HashSet<Option<String>>>,
}

impl Listed {
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
            None if listed => Presence::Gone,
            None => Presence::Unknown,
        }
    }
}

/// All changes of `McpServer` resources, in every namespace or in `namespaces`, for one store.
///
/// A store takes the end of a list for all there is, so with two namespaces the list of one would empty it of
/// the other's. Here a list becomes changes of single resources, and deletions of what it lacks.
pub fn changes(
    client: &Client,
    namespaces: &[String],
    listed: &Arc<Listed>,
) -> impl Stream<Item = watcher::Result<Event<Guarded>>> + use<> {
    let scopes = scopes(namespaces).into_iter().map(|namespace| {
        let api = scoped::<Guarded>(client.clone(), namespace.as_deref());
        let config = watcher::Config::default().page_size(PAGE_SIZE);
        let events = watcher(api, config).default_backoff();
        let mut scope = Scope::default();
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
#[derive(Default)]
struct Scope {
    here: HashMap<Name, Option<String>>,
    listing: HashSet<Name>,
}

impl Scope {
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
                let gone: Vec<_> = self.here.extract_if(|name, _| !listed.contains(name)).collect();
                gone.into_iter()
                    .map(|(name, uid)| Event::Delete(remains(name, uid)))
                    .collect()
            }
            Event::Apply(server) => self.apply(server),
            Event::Delete(server) => {
                self.here.remove(&full_name(server.meta()));
                vec![Event::Delete(server)]
            }
        }
    }

    fn apply(&mut self, server: Guarded) -> Vec<Event<Guarded>> {
        self.here.insert(full_name(server.meta()), server.uid());
        vec![Event::Apply(server)]
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
        let mut scopes = [Scope::default(), Scope::default()];
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
