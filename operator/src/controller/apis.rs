//! Kinds that a cluster may lack: whether they are there, from when and until when, and who waits for them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, join_all, pending},
};
use iam_mcp_crds::Reason;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use parking_lot::Mutex;

use super::{
    error::Blocked,
    index::Name,
    kinds::{ChildKind, OptionalApi},
    watch::{Watch, chain},
};

/// The API server serves a new definition within moments; it is asked again after this long, doubled each time.
const SOON: Duration = Duration::from_secs(1);
/// Longest time between two looks. The watch of the definition is what notices changes; this is for what it cannot see.
const SELDOM: Duration = Duration::from_mins(5);
/// How long a start waits for the first list of a kind that is there. One that cannot be listed stops nobody else.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// Which of the kinds that a cluster may lack are there, at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Served {
    http_routes: bool,
    pod_monitors: bool,
}

impl Served {
    /// Whether the cluster has `kind`.
    #[must_use]
    pub const fn has(self, kind: ChildKind) -> bool {
        match kind {
            ChildKind::HttpRoute => self.http_routes,
            ChildKind::PodMonitor => self.pod_monitors,
            _ => true,
        }
    }

    fn set(&mut self, kind: ChildKind, is: bool) {
        match kind {
            ChildKind::HttpRoute => self.http_routes = is,
            ChildKind::PodMonitor => self.pod_monitors = is,
            _ => {}
        }
    }
}

/// Which kinds are there, and which servers wait for one that is not.
#[derive(Debug, Default)]
pub struct Apis {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    served: Served,
    waiting: HashMap<ChildKind, HashSet<Name>>,
}

impl Apis {
    /// What is there now. `server` is woken when one of `asked_for` comes that is not.
    #[must_use]
    pub fn look(&self, server: &Name, asked_for: &[ChildKind]) -> Served {
        let mut inner = self.inner.lock();
        for kind in ChildKind::OPTIONAL {
            if asked_for.contains(&kind) && !inner.served.has(kind) {
                inner.waiting.entry(kind).or_default().insert(server.clone());
            } else if let Some(waiting) = inner.waiting.get_mut(&kind) {
                waiting.remove(server);
            }
        }
        inner.served
    }

    /// What is there now.
    #[must_use]
    pub fn now(&self) -> Served {
        self.inner.lock().served
    }

    /// Forgets a server that is gone.
    pub fn forget(&self, server: &Name) {
        for waiting in self.inner.lock().waiting.values_mut() {
            waiting.remove(server);
        }
    }

    /// Notes whether `kind` is there; returns who waited for it.
    fn set(&self, kind: ChildKind, is: bool) -> Vec<Name> {
        let mut inner = self.inner.lock();
        inner.served.set(kind, is);
        if !is {
            return Vec::new();
        }
        inner
            .waiting
            .remove(&kind)
            .unwrap_or_default()
            .into_iter()
            .collect()
    }
}

/// What a person has to know and do when `kinds` are asked for and not there.
#[must_use]
pub fn missing(kinds: &[ChildKind]) -> Option<Blocked> {
    let each: Vec<String> = kinds
        .iter()
        .filter_map(|kind| kind.optional().map(|api| (kind, api)))
        .map(|(kind, api)| {
            format!(
                "the cluster has no {} ({}), which the spec asks for; install {}",
                kind.as_str(),
                api.api_version,
                api.install
            )
        })
        .collect();
    (!each.is_empty()).then(|| Blocked {
        reason: Reason::ApiNotInstalled,
        message: format!("{}. All else is done", each.join("; ")),
    })
}

impl Watch {
    /// Watches the children of a kind for as long as the cluster has it, in each of `scopes`; wakes who waited for it
    /// when it comes, and whose child went with it when it goes.
    pub(super) async fn optional(self, kind: ChildKind, scopes: Vec<Option<String>>) {
        let Some(api) = kind.optional() else { return };
        // By name, and no more than the metadata: a definition can have half a megabyte.
        let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> =
            Api::all(self.context.client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={}", api.definition));
        let mut events = watcher(definitions, config).default_backoff().boxed();
        // `None` while the watch has not said yet, or may not.
        let mut defined: Option<bool> = None;
        let mut listed_one = false;
        let mut children: Option<BoxFuture<'static, ()>> = None;
        let mut first_list: Option<BoxFuture<'static, ()>> = None;
        let mut again = SOON;
        let start_over = tokio::time::sleep(FIRST_LIST);
        tokio::pin!(start_over);
        loop {
            match self.is_served(api, defined).await {
                Some(true) if children.is_none() => {
                    let watches: Vec<Self> =
                        scopes.iter().map(|scope| self.of_scope(scope.clone())).collect();
                    let synced: Vec<_> = watches.iter().map(|watch| watch.synced.clone()).collect();
                    children = Some(
                        join_all(watches.into_iter().map(move |watch| watch.children(kind)))
                            .map(drop)
                            .boxed(),
                    );
                    first_list = Some(
                        async move {
                            for token in synced {
                                token.cancelled().await;
                            }
                        }
                        .boxed(),
                    );
                }
                Some(false) => {
                    if children.take().is_some() {
                        first_list = None;
                        self.lost(kind).await;
                    }
                    self.synced.cancel();
                }
                Some(true) | None => {}
            }
            let settled = children.is_some() || defined == Some(false);
            again = if settled { SELDOM } else { (again * 2).min(SELDOM) };
            tokio::select! {
                () = or_never(children.as_mut()) => children = None,
                () = or_never(first_list.as_mut()) => {
                    first_list = None;
                    tracing::info!(kind = kind.as_str(), "the cluster has this kind");
                    let waiting = self.context.apis.set(kind, true);
                    self.synced.cancel();
                    self.wake_named(waiting).await;
                }
                () = &mut start_over, if !self.synced.is_cancelled() => self.synced.cancel(),
                event = self.next("CustomResourceDefinition", &mut events) => match event {
                    None => return,
                    Some(Event::Init) => listed_one = false,
                    Some(Event::InitApply(definition)) => {
                        listed_one = true;
                        defined = Some(definition.metadata.deletion_timestamp.is_none());
                    }
                    Some(Event::InitDone) => if !listed_one { defined = Some(false) },
                    Some(Event::Apply(definition)) => {
                        defined = Some(definition.metadata.deletion_timestamp.is_none());
                        again = SOON / 2;
                    }
                    Some(Event::Delete(_)) => defined = Some(false),
                },
                () = tokio::time::sleep(again) => {}
            }
        }
    }

    /// Whether the API server serves the kind; `None` when it does not say. A definition that goes is served for a
    /// moment more, while nothing can be made from it.
    async fn is_served(&self, api: OptionalApi, defined: Option<bool>) -> Option<bool> {
        if defined == Some(false) {
            return Some(false);
        }
        match self
            .context
            .client
            .list_api_group_resources(api.api_version)
            .await
        {
            Ok(list) => Some(list.resources.iter().any(|resource| resource.name == api.plural)),
            // Of a group that is unknown altogether, in words that no client understands: the code counts.
            Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
            Err(error) => {
                tracing::warn!(api = api.api_version, error = %chain(&error), "cannot ask whether an API is served; asked again");
                None
            }
        }
    }

    /// The kind went, and every object of it.
    async fn lost(&self, kind: ChildKind) {
        tracing::info!(kind = kind.as_str(), "the cluster has this kind no longer");
        self.context.apis.set(kind, false);
        let gone = self.context.children.retain_listed(kind, None, &HashSet::new());
        self.wake_named(gone.into_iter().map(|key| (key.namespace, key.name)).collect())
            .await;
    }
}

async fn or_never(future: Option<&mut BoxFuture<'static, ()>>) {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        ("n".to_owned(), name.to_owned())
    }

    #[test]
    fn who_asks_for_a_kind_that_is_not_there_is_told_once_when_it_comes() {
        let apis = Apis::default();
        let route = [ChildKind::HttpRoute];
        assert!(!apis.look(&name("a"), &route).has(ChildKind::HttpRoute));
        let _ = apis.look(&name("b"), &route);
        let _ = apis.look(&name("c"), &route);
        let _ = apis.look(&name("c"), &[]);
        apis.forget(&name("b"));
        assert_eq!(apis.set(ChildKind::PodMonitor, true), Vec::<Name>::new());
        assert_eq!(apis.set(ChildKind::HttpRoute, true), [name("a")]);
        assert!(apis.look(&name("a"), &route).has(ChildKind::HttpRoute));
        assert!(apis.set(ChildKind::HttpRoute, false).is_empty());
        assert!(!apis.now().has(ChildKind::HttpRoute) && apis.now().has(ChildKind::PodMonitor));
        assert!(apis.set(ChildKind::HttpRoute, true).is_empty());
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_install() {
        assert_eq!(missing(&[]), None);
        let told = missing(&ChildKind::OPTIONAL).unwrap();
        for part in ["HTTPRoute", "Gateway API", "PodMonitor", "Prometheus operator"] {
            assert!(told.message.contains(part), "{part} is not in {}", told.message);
        }
    }
}
