//! Watches the pods of all servers and keeps the directory.

use futures::StreamExt as _;
use kube::{
    Resource as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};

use super::seen::{Seen, SlimPod};
use crate::controller::{
    build::managed_selector,
    context::full_name,
    index::Name,
    listing::Listing,
    watch::{PAGE_SIZE, Watch, scoped},
};

/// What failed watches are counted under.
const KIND: &str = "Pod";

impl Watch {
    /// Watches the pods by our label. Those without it are nobody's to poll, let alone to delete.
    pub(in crate::controller) async fn pods(self) {
        let api = scoped::<SlimPod>(self.context.client.clone(), self.namespace.as_deref());
        let config = watcher::Config::default()
            .labels(&managed_selector())
            .page_size(PAGE_SIZE);
        let mut listing = Listing::default();
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = self.next(KIND, &mut events).await {
            let pods = &self.context.pods;
            let concerned = match event {
                Event::Init => {
                    listing.begin();
                    Vec::new()
                }
                Event::InitApply(pod) => {
                    listing.add(|| full_name(pod.meta()));
                    self.see(&pod, true)
                }
                Event::InitDone => {
                    let gone = listing.end().map(|listed| {
                        self.context
                            .gates
                            .retain_listed(self.namespace.as_deref(), &listed);
                        pods.retain_listed(self.namespace.as_deref(), &listed)
                    });
                    self.synced.cancel();
                    gone.unwrap_or_default()
                }
                Event::Apply(pod) => self.see(&pod, false),
                Event::Delete(pod) => self.lose(&pod),
            };
            self.context.metrics.set_draining_pods(pods.draining_in_all());
            self.wake_named(concerned).await;
        }
    }

    fn see(&self, pod: &SlimPod, listed: bool) -> Vec<Name> {
        match Seen::new(pod) {
            Some(seen) => {
                let name = full_name(pod.meta());
                let concerned = self.context.pods.observe(&name, seen, listed);
                let todo = self.context.pods.gate(&name).and_then(|(_, gate)| gate.todo());
                self.context.gates.observe(&name, todo);
                concerned
            }
            None => self.lose(pod),
        }
    }

    fn lose(&self, pod: &SlimPod) -> Vec<Name> {
        let uid = pod.meta().uid.as_deref().unwrap_or_default();
        let name = full_name(pod.meta());
        self.context.gates.observe(&name, None);
        let concerned = self.context.pods.remove(&name, uid);
        concerned.into_iter().collect()
    }
}
