//! Watches everything that can concern a server, keeps the caches, and says which server to look at.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _};
use iam_mcp_crds::McpServer;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Resource, ResourceExt as _,
    api::PartialObjectMeta,
    core::{NamespaceResourceScope, ObjectMeta},
    runtime::{
        WatchStreamExt as _,
        reflector::ObjectRef,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    build::{MANAGED_BY, managed_selector},
    cache::ChildRef,
    context::{Context, full_name},
    index::Name,
    kinds::ChildKind,
    listing::Listing,
    live::LiveChild,
};
use crate::OPERATOR;

/// Objects of one page of a list: small pages keep the memory of a start low.
pub(super) const PAGE_SIZE: u32 = 100;
/// Wake-ups that may wait; a watch that is faster waits too. Few, so that a start that would wait for
/// room, when nobody reads yet, shows with a handful of servers and not first with a fleet.
const WAKE_UPS: usize = 64;

/// Servers to look at, and when the caches are filled.
pub struct Watches {
    /// Servers that something happened to.
    pub wake_ups: mpsc::Receiver<ObjectRef<McpServer>>,
    /// The other end, for who looks at pods.
    pub wake: mpsc::Sender<ObjectRef<McpServer>>,
    /// One for each watch, cancelled when its first list is in.
    pub synced: Vec<CancellationToken>,
}

/// One watch of one kind in one scope.
pub(super) struct Watch {
    pub(super) context: Arc<Context>,
    pub(super) namespace: Option<String>,
    wake: mpsc::Sender<ObjectRef<McpServer>>,
    pub(super) synced: CancellationToken,
}

/// Starts all watches, in every namespace or in `namespaces`; they end with `stop`.
#[must_use]
pub fn start(context: &Arc<Context>, namespaces: &[String], stop: &CancellationToken) -> Watches {
    let (wake, wake_ups) = mpsc::channel(WAKE_UPS);
    let mut synced = Vec::new();
    for namespace in scopes(namespaces) {
        let mut watch = || {
            let token = CancellationToken::new();
            synced.push(token.clone());
            Watch {
                context: Arc::clone(context),
                namespace: namespace.clone(),
                wake: wake.clone(),
                synced: token,
            }
        };
        for kind in [
            ChildKind::ServiceAccount,
            ChildKind::Service,
            ChildKind::Deployment,
            ChildKind::PodDisruptionBudget,
            ChildKind::Ingress,
            ChildKind::NetworkPolicy,
        ] {
            spawn(stop, watch().children(kind));
        }
        spawn(stop, watch().autoscalers());
        spawn(stop, watch().secrets());
        spawn(stop, watch().config_maps());
        spawn(stop, watch().pods());
    }
    for kind in ChildKind::OPTIONAL {
        let synced_token = CancellationToken::new();
        synced.push(synced_token.clone());
        let watch = Watch {
            context: Arc::clone(context),
            namespace: None,
            wake: wake.clone(),
            synced: synced_token,
        };
        spawn(stop, watch.optional(kind, scopes(namespaces)));
    }
    Watches {
        wake_ups,
        wake,
        synced,
    }
}

/// The scopes to watch: each namespace, or `None` for all of them.
#[must_use]
pub fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().cloned().map(Some).collect()
    }
}

/// The API of `K` in one scope.
#[must_use]
pub fn scoped<K>(client: kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

fn spawn(stop: &CancellationToken, watch: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch => {}
        }
    });
}

impl Watch {
    /// Another watch, of one scope, that is not synced yet.
    pub(super) fn of_scope(&self, namespace: Option<String>) -> Self {
        Self {
            context: Arc::clone(&self.context),
            namespace,
            wake: self.wake.clone(),
            synced: CancellationToken::new(),
        }
    }

    async fn wake(&self, server: ObjectRef<McpServer>) {
        // Nobody listens until all first lists are in, and then every server is looked at in any case. To
        // wait for room meanwhile would be to wait for ever.
        if !self.synced.is_cancelled() {
            return;
        }
        // Closed only when the controller has ended.
        let _ = self.wake.send(server).await;
    }

    async fn wake_owner(&self, metadata: &ObjectMeta) {
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        let controller = owners.iter().find(|o| o.controller == Some(true));
        let (Some(name), Some(namespace)) = (metadata.name.as_deref(), metadata.namespace.as_deref()) else {
            return;
        };
        match controller {
            Some(owner) if owner.kind == "McpServer" => {
                self.wake(ObjectRef::new(&owner.name).within(namespace)).await;
            }
            Some(_) => {}
            // It may be one to take back.
            None => self.wake(ObjectRef::new(name).within(namespace)).await,
        }
    }

    /// A Deployment has the name of its server.
    pub(super) async fn wake_named(&self, names: Vec<Name>) {
        for (namespace, name) in names {
            self.wake(ObjectRef::new(&name).within(&namespace)).await;
        }
    }

    /// Watches the children of one kind by their label.
    pub(super) async fn children(self, kind: ChildKind) {
        let client = self.context.client.clone();
        let resource = kind.api_resource();
        let api: Api<LiveChild> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let config = watcher::Config::default()
            .labels(&managed_selector())
            .page_size(PAGE_SIZE);
        let mut listing = Listing::default();
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = self.next(kind.as_str(), &mut events).await {
            match event {
                Event::Init => listing.begin(),
                Event::InitApply(object) => {
                    listing.add(|| child_ref(kind, object.meta()));
                    self.keep_child(kind, object).await;
                }
                Event::InitDone => self.list_done(kind, listing.end()).await,
                Event::Apply(object) => self.keep_child(kind, object).await,
                Event::Delete(object) => {
                    self.context
                        .children
                        .remove(&child_ref(kind, object.meta()), &object.uid().unwrap_or_default());
                    self.wake_owner(object.meta()).await;
                }
            }
        }
    }

    async fn keep_child(&self, kind: ChildKind, mut object: LiveChild) {
        let key = child_ref(kind, object.meta());
        let observed = std::mem::take(&mut object.observed);
        if self.context.children.insert(key, observed) {
            self.wake_owner(object.meta()).await;
        }
    }

    async fn list_done(&self, kind: ChildKind, listed: Option<HashSet<ChildRef>>) {
        if let Some(listed) = listed {
            let gone = self
                .context
                .children
                .retain_listed(kind, self.namespace.as_deref(), &listed);
            self.wake_named(gone.into_iter().map(|key| (key.namespace, key.name)).collect())
                .await;
        }
        self.synced.cancel();
    }

    /// Watches all HPAs: ours are children, and anybody's may own the pods of a Deployment of ours.
    async fn autoscalers(self) {
        const KIND: ChildKind = ChildKind::HorizontalPodAutoscaler;
        let api: Api<LiveChild> = match &self.namespace {
            Some(namespace) => {
                Api::namespaced_with(self.context.client.clone(), namespace, &KIND.api_resource())
            }
            None => Api::all_with(self.context.client.clone(), &KIND.api_resource()),
        };
        let config = watcher::Config::default().page_size(PAGE_SIZE);
        let (mut children, mut names) = (Listing::default(), Listing::default());
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = self.next(KIND.as_str(), &mut events).await {
            match event {
                Event::Init => {
                    children.begin();
                    names.begin();
                }
                Event::InitApply(object) => {
                    names.add(|| full_name(object.meta()));
                    if is_ours(object.meta()) {
                        children.add(|| child_ref(KIND, object.meta()));
                    }
                    self.keep_autoscaler(object).await;
                }
                Event::InitDone => {
                    if let Some(names) = names.end() {
                        let concerned = self.context.hpas.retain_listed(self.namespace.as_deref(), &names);
                        self.wake_named(concerned).await;
                    }
                    self.list_done(KIND, children.end()).await;
                }
                Event::Apply(object) => self.keep_autoscaler(object).await,
                Event::Delete(object) => {
                    let uid = object.uid().unwrap_or_default();
                    self.context
                        .children
                        .remove(&child_ref(KIND, object.meta()), &uid);
                    let concerned = self.context.hpas.remove(&full_name(object.meta()));
                    self.wake_owner(object.meta()).await;
                    self.wake_named(concerned).await;
                }
            }
        }
    }

    async fn keep_autoscaler(&self, mut object: LiveChild) {
        const KIND: ChildKind = ChildKind::HorizontalPodAutoscaler;
        let name = full_name(object.meta());
        let scales = object.scales.take().into_iter();
        let targets: Vec<Name> = scales.map(|deployment| (name.0.clone(), deployment)).collect();
        if is_ours(object.meta()) {
            self.keep_child(KIND, object).await;
        } else if self
            .context
            .children
            .remove(&child_ref(KIND, object.meta()), &object.uid().unwrap_or_default())
        {
            // It was a child until somebody took our label away.
            self.wake_owner(object.meta()).await;
        }
        // An HPA's status changes every few seconds; only a new or a moved target is news.
        let before = self.context.hpas.targets(&name);
        if before != targets {
            self.wake_named(self.context.hpas.set(&name, targets)).await;
        }
    }

    /// Watches the metadata of Secrets, never their data: those that servers own or name.
    async fn secrets(self) {
        let api: Api<PartialObjectMeta<Secret>> =
            scoped(self.context.client.clone(), self.namespace.as_deref());
        let config = watcher::Config::default().page_size(PAGE_SIZE);
        let (keys, tokens) = (&self.context.key_secrets, &self.context.token_secrets);
        let (mut of_keys, mut of_tokens) = (Listing::default(), Listing::default());
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = self.next("Secret", &mut events).await {
            match event {
                Event::Init => {
                    of_keys.begin();
                    of_tokens.begin();
                }
                Event::InitApply(secret) => {
                    let name = full_name(&secret.metadata);
                    for (known, listing) in [(keys, &mut of_keys), (tokens, &mut of_tokens)] {
                        if let Some(server) = known.server_of(&name) {
                            listing.add(|| server);
                        }
                    }
                    self.see_secret(&secret.metadata).await;
                }
                Event::InitDone => {
                    for (known, listing) in [(keys, &mut of_keys), (tokens, &mut of_tokens)] {
                        if let Some(listed) = listing.end() {
                            let gone = known.retain_listed(self.namespace.as_deref(), &listed);
                            self.wake_named(gone).await;
                        }
                    }
                    self.synced.cancel();
                }
                Event::Apply(secret) => self.see_secret(&secret.metadata).await,
                Event::Delete(secret) => {
                    let gone = [keys, tokens].map(|known| known.remove(&secret.metadata));
                    self.wake_named(gone.into_iter().flatten().collect()).await;
                    self.wake_named(self.context.secrets.sources(&full_name(&secret.metadata)))
                        .await;
                }
            }
        }
    }

    /// Wakes the servers that name a Secret, and the one whose keys it has, where that is news for it.
    async fn see_secret(&self, metadata: &ObjectMeta) {
        let (keys, tokens) = (&self.context.key_secrets, &self.context.token_secrets);
        let concerned = [keys, tokens].map(|known| known.see(metadata));
        self.wake_named(concerned.into_iter().flatten().collect()).await;
        self.wake_named(self.context.secrets.sources(&full_name(metadata)))
            .await;
    }

    /// Watches the metadata of ConfigMaps, never their data, for those that servers have as environment.
    async fn config_maps(self) {
        let api: Api<PartialObjectMeta<ConfigMap>> =
            scoped(self.context.client.clone(), self.namespace.as_deref());
        let config = watcher::Config::default().page_size(PAGE_SIZE);
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = self.next("ConfigMap", &mut events).await {
            match event {
                Event::Init => {}
                Event::InitDone => self.synced.cancel(),
                Event::InitApply(map) | Event::Apply(map) | Event::Delete(map) => {
                    let concerned = self.context.config_maps.sources(&full_name(&map.metadata));
                    self.wake_named(concerned).await;
                }
            }
        }
    }

    /// The next event; failures are logged and counted, and the watch goes on after its back-off.
    pub(super) async fn next<K>(
        &self,
        kind: &'static str,
        events: &mut futures::stream::BoxStream<'_, Result<Event<K>, watcher::Error>>,
    ) -> Option<Event<K>> {
        loop {
            match events.try_next().await {
                Ok(event) => return event,
                Err(error) => {
                    self.context.metrics.watch_error(kind);
                    tracing::warn!(kind, error = %chain(&error), "a watch failed and is tried again");
                }
            }
        }
    }
}

fn child_ref(kind: ChildKind, metadata: &ObjectMeta) -> ChildRef {
    let (namespace, name) = full_name(metadata);
    ChildRef {
        kind,
        namespace,
        name,
    }
}

fn is_ours(metadata: &ObjectMeta) -> bool {
    metadata
        .labels
        .as_ref()
        .is_some_and(|l| l.get(MANAGED_BY).is_some_and(|by| by == OPERATOR))
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let cause_text = cause.to_string();
        // Some libraries already print their cause.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        at = cause.source();
    }
    text
}
