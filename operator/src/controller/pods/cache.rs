//! All pods of all servers, what each said last, and when it is asked again.

mod inner;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use iam_mcp_crds::DrainingPod;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    cost, drain,
    poll::{DrainKey, Report},
    schedule,
    seen::{Phase, Seen},
};
use crate::controller::{
    health::{
        candidates::Candidate,
        gate::{Gate, Todo},
    },
    index::Name,
    rotation::{Material, PodKeys},
};

/// Pause between two tries to end a drain: what was done shows in the pod within it.
const AGAIN: Duration = Duration::from_secs(10);

/// A pod to talk to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Namespace and name of the pod.
    pub pod: Name,
    /// Namespace and name of its server.
    pub server: Name,
    /// Its uid.
    pub uid: String,
    /// Its address.
    pub ip: IpAddr,
    /// Whether it drains.
    pub drains: bool,
    /// Whether it has no admin port to be asked at.
    pub silent: bool,
}

/// A draining pod that has to end at once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    /// The pod.
    pub target: Target,
    /// Its open sessions, rounded as in the status.
    pub sessions: i32,
}

/// Pods by name, and the order in which they are asked.
#[derive(Debug, Default)]
pub struct Directory {
    inner: Mutex<Inner>,
    /// Something is due earlier than it was.
    hurried: Notify,
    /// A server came whose keys are not known.
    unkeyed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    pods: HashMap<Name, Entry>,
    servers: HashMap<Name, Server>,
    due: BTreeSet<(Instant, Name)>,
    /// Servers whose keys are to be read, those that cannot wait first.
    unkeyed: VecDeque<Name>,
    /// How many of them cannot wait.
    urgent: usize,
    /// Pods that are shown as draining.
    shown: usize,
}

#[derive(Debug, Default)]
struct Server {
    pods: BTreeSet<String>,
    /// Pods that it is to keep.
    staying: usize,
    rotates: bool,
    /// What its pods are told with to end a drain. Remembered, because a deleted server's Secret is often gone before
    /// its pods are.
    drain_keys: Vec<DrainKey>,
}

#[derive(Debug)]
struct Entry {
    seen: Seen,
    report: Option<Box<Report>>,
    due: Option<Instant>,
    /// Whether it is being asked.
    busy: bool,
    /// Whether it was asked since it drains, and answered or not.
    asked_draining: bool,
    /// Whether it was told to end its drain at once.
    cut: bool,
    /// Not before this is what is done to a draining pod tried again.
    again: Option<Instant>,
    failures: u32,
    calm: Duration,
}

impl Entry {
    /// A pod that is heard of for the first time. One that is `listed` was there before this operator looked, and
    /// is not urgent: at a start there may be thousands.
    fn new(seen: Seen, listed: bool) -> Self {
        Self {
            seen,
            report: None,
            due: None,
            busy: false,
            asked_draining: false,
            cut: false,
            again: None,
            failures: 0,
            calm: if listed {
                schedule::LISTED
            } else {
                schedule::SHORTEST
            },
        }
    }

    fn shown(&self, name: &str) -> Option<DrainingPod> {
        drain::shown(name, &self.seen, self.report.as_deref(), self.asked_draining)
    }

    fn server(&self, pod: &Name) -> Name {
        (pod.0.clone(), self.seen.server.clone())
    }

    /// Whether it is time to do something to it; if so, the next time is a while from now.
    fn may_try(&mut self, now: Instant) -> bool {
        let may = self.again.is_none_or(|again| now >= again);
        if may {
            self.again = Some(now + AGAIN);
        }
        may
    }

    fn target(&self, pod: &Name) -> Option<Target> {
        Some(Target {
            pod: pod.clone(),
            server: self.server(pod),
            uid: self.seen.uid.clone(),
            ip: self.seen.ip?,
            drains: self.seen.drains(),
            silent: self.seen.silent,
        })
    }
}

impl Directory {
    /// Takes in what the watch saw, in a list or as a change. Returns the servers whose status this changes.
    pub fn observe(&self, pod: &Name, seen: Seen, listed: bool) -> Vec<Name> {
        let mut inner = self.inner.lock();
        let known = inner.pods.get(pod);
        if known.is_some_and(|known| known.seen == seen) {
            return Vec::new();
        }
        let mut concerned = Vec::new();
        if known.is_some_and(|known| known.seen.uid != seen.uid || known.seen.server != seen.server) {
            // Another pod under the same name, or one that somebody gave to another server.
            concerned.extend(inner.forget(pod));
        }
        let server = (pod.0.clone(), seen.server.clone());
        let shown = inner.shown_of(pod);
        let stays = seen.stays();
        let stayed = if let Some(entry) = inner.pods.get_mut(pod) {
            std::mem::replace(&mut entry.seen, seen).stays()
        } else {
            inner.pods.insert(pod.clone(), Entry::new(seen, listed));
            let known = inner.servers.entry(server.clone()).or_default();
            known.pods.insert(pod.1.clone());
            if known.pods.len() == 1 && known.drain_keys.is_empty() {
                inner.unkeyed.push_back(server.clone());
                self.unkeyed.notify_one();
            }
            false
        };
        inner.count_staying(&server, stayed, stays);
        inner.schedule(pod);
        if inner.note_shown(pod, shown.as_ref()) {
            concerned.push(server);
        }
        drop(inner);
        self.hurried.notify_one();
        concerned
    }

    /// Forgets a pod that is gone. Returns the server whose status this changes, if any.
    pub fn remove(&self, pod: &Name, uid: &str) -> Option<Name> {
        let mut inner = self.inner.lock();
        inner.pods.get(pod).filter(|entry| entry.seen.uid == uid)?;
        inner.forget(pod)
    }

    /// After a new list: forgets the pods of `namespace` (or of all) that it did not have. Returns the servers
    /// whose status this changes.
    pub fn retain_listed(&self, namespace: Option<&str>, listed: &HashSet<Name>) -> Vec<Name> {
        let mut inner = self.inner.lock();
        let gone: Vec<Name> = inner
            .pods
            .keys()
            .filter(|pod| namespace.is_none_or(|ns| ns == pod.0) && !listed.contains(*pod))
            .cloned()
            .collect();
        gone.iter().filter_map(|pod| inner.forget(pod)).collect()
    }

    /// Waits until a pod is due, and gives it; [`Directory::record`] and [`Directory::release`] have to follow.
    pub async fn next_due(&self) -> Target {
        loop {
            let hurried = self.hurried.notified();
            let wait = match self.inner.lock().take_due(Instant::now()) {
                Ok(target) => return target,
                Err(wait) => wait,
            };
            match wait {
                Some(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = hurried => {}
                },
                None => hurried.await,
            }
        }
    }

    /// Takes in what a pod said, `None` when it did not answer. Returns its server if this is news for it.
    pub fn record(&self, target: &Target, report: Option<Report>) -> Option<Name> {
        let mut inner = self.inner.lock();
        let rotates = inner
            .servers
            .get(&target.server)
            .is_some_and(|server| server.rotates);
        let before = inner.shown_of(&target.pod);
        let entry = inner.entry_of(target)?;
        // Asked before it was asked to stop, it has said nothing of its drain yet.
        entry.asked_draining |= target.drains;
        let mut news = false;
        if let Some(report) = report {
            let last = entry.report.as_deref();
            let same_sessions = match last {
                Some(last) => cost::rounded(last.sessions) == cost::rounded(report.sessions),
                // What another operator was told is noted on the pod.
                None => cost::to_write(entry.seen.cost, report.sessions).is_none(),
            };
            let same_keys = last.is_some_and(|last| last.same_keys(&report));
            news = rotates && !same_keys;
            entry.calm = schedule::calmer(entry.calm, !same_sessions || news);
            entry.failures = 0;
            entry.report = Some(Box::new(report));
        } else {
            entry.calm = schedule::calmer(entry.calm, false);
            entry.failures = entry.failures.saturating_add(1);
        }
        news |= inner.note_shown(&target.pod, before.as_ref());
        news.then(|| target.server.clone())
    }

    /// Lets a pod be asked again when its time comes.
    pub fn release(&self, target: &Target) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.entry_of(target) else {
            return;
        };
        entry.busy = false;
        inner.schedule(&target.pod);
        drop(inner);
        self.hurried.notify_one();
    }

    /// The deletion cost to write for a pod; `None` when there is nothing to write.
    #[must_use]
    pub fn cost_to_write(&self, target: &Target) -> Option<i32> {
        let mut inner = self.inner.lock();
        let siblings = inner.siblings(&target.server);
        let entry = inner.entry_of(target)?;
        if siblings < 2 || entry.seen.deletion.is_some() {
            return None;
        }
        cost::to_write(entry.seen.cost, entry.report.as_deref()?.sessions)
    }

    /// Notes a cost that was written, ahead of the watch.
    pub fn cost_written(&self, target: &Target, written: i32) {
        if let Some(entry) = self.inner.lock().entry_of(target) {
            entry.seen.cost = cost::Annotated::Cost(written);
        }
    }

    /// The draining pods of a server, as its status shows them: those that began first first.
    #[must_use]
    pub fn draining(&self, server: &Name) -> Vec<DrainingPod> {
        let inner = self.inner.lock();
        inner
            .draining(server)
            .into_iter()
            .map(|(_, shown)| shown)
            .collect()
    }

    /// Pods that are shown as draining, of all servers.
    #[must_use]
    pub fn draining_in_all(&self) -> usize {
        self.inner.lock().shown
    }

    /// The pods of `server` that have to end their drain now because more than `most` drain. Each is given
    /// again after a while, unless [`Directory::cut`] follows.
    pub fn take_cuts(&self, server: &Name, most: i32) -> Vec<Cut> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let draining = inner.draining(server);
        let excess = drain::excess(draining.len(), most);
        let mut cuts = Vec::new();
        for (pod, shown) in draining.into_iter().take(excess) {
            if let Some(entry) = inner.pods.get_mut(&pod)
                && !entry.cut
                && let Some(target) = entry.target(&pod)
                && entry.may_try(now)
            {
                let sessions = shown.sessions;
                cuts.push(Cut { target, sessions });
            }
        }
        cuts
    }

    /// Notes that a pod was told to end its drain.
    pub fn cut(&self, target: &Target) {
        if let Some(entry) = self.inner.lock().entry_of(target) {
            entry.cut = true;
        }
    }

    /// Whether to shorten the grace of a pod whose server is gone; if so, not again for a while.
    pub fn take_lingering(&self, target: &Target) -> bool {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let entry = inner.entry_of(target);
        entry.is_some_and(|entry| drain::lingers(&entry.seen) && entry.may_try(now))
    }

    /// The server of a deleted McpServer: asks its draining pods now, and reads its keys while they are there.
    pub fn hurry(&self, server: &Name) {
        let mut inner = self.inner.lock();
        if inner
            .servers
            .get(server)
            .is_some_and(|known| known.drain_keys.is_empty())
        {
            inner.unkeyed.push_front(server.clone());
            inner.urgent += 1;
            self.unkeyed.notify_one();
        }
        for pod in inner.pods_of(server) {
            if inner
                .pods
                .get(&pod)
                .is_some_and(|entry| entry.seen.drains() && !entry.busy)
            {
                inner.set_due(&pod, Some(Instant::now()));
            }
        }
        drop(inner);
        self.hurried.notify_one();
    }

    /// Says whether a rotation of a server's key waits for what its pods say.
    pub fn set_rotating(&self, server: &Name, rotates: bool) {
        let mut inner = self.inner.lock();
        let entry = match inner.servers.get_mut(server) {
            Some(entry) => entry,
            None if rotates => inner.servers.entry(server.clone()).or_default(),
            None => return,
        };
        if std::mem::replace(&mut entry.rotates, rotates) == rotates {
            return;
        }
        inner.prune(server);
        inner.reschedule(server);
        drop(inner);
        self.hurried.notify_one();
    }

    /// Waits for a server whose keys are to be read: at once where that cannot wait, else when `calm` is over.
    pub async fn next_unkeyed(&self, calm: impl Future<Output = ()>) -> Name {
        tokio::pin!(calm);
        let mut is_calm = false;
        loop {
            let news = self.unkeyed.notified();
            if let Some(server) = self.inner.lock().take_unkeyed(is_calm) {
                return server;
            }
            tokio::select! {
                () = news => {}
                () = &mut calm, if !is_calm => is_calm = true,
            }
        }
    }

    /// Remembers what the pods of a server are told with to end a drain, for as long as there are any.
    pub fn set_drain_keys(&self, server: &Name, keys: impl FnOnce() -> Vec<DrainKey>) {
        if let Some(entry) = self.inner.lock().servers.get_mut(server) {
            entry.drain_keys = keys();
        }
    }

    /// What was remembered so last.
    #[must_use]
    pub fn drain_keys(&self, server: &Name) -> Vec<DrainKey> {
        let inner = self.inner.lock();
        let entry = inner.servers.get(server);
        entry.map(|entry| entry.drain_keys.clone()).unwrap_or_default()
    }

    /// A running pod that has a gate, and that gate.
    #[must_use]
    pub fn gate(&self, pod: &Name) -> Option<(Target, Gate)> {
        let inner = self.inner.lock();
        let entry = inner.pods.get(pod)?;
        let running = entry.seen.phase == Phase::Running && entry.seen.stays();
        let gate = entry.seen.gate.as_deref().filter(|_| running)?;
        Some((entry.target(pod)?, gate.clone()))
    }

    /// The running pods of a server that it is to keep.
    #[must_use]
    pub fn candidates(&self, server: &Name) -> Vec<Candidate> {
        let inner = self.inner.lock();
        let pods = inner.pods_of(server).into_iter();
        let pods = pods.filter_map(|name| {
            let seen = &inner.pods.get(&name)?.seen;
            (seen.phase == Phase::Running && seen.stays()).then_some(())?;
            let held = seen
                .gate
                .as_ref()
                .is_some_and(|gate| gate.todo() == Some(Todo::Ask));
            Some(Candidate {
                held: held && !seen.ready,
                ip: seen.ip?,
                created: seen.created,
                template: seen.template,
                ready: seen.ready,
                name: name.1,
            })
        });
        pods.collect()
    }

    /// What the pods of a server that are on a node, and have not ended, said of their keys.
    #[must_use]
    pub fn keys(&self, server: &Name, material: Material) -> Vec<PodKeys> {
        let inner = self.inner.lock();
        let pods = inner
            .pods_of(server)
            .into_iter()
            .filter_map(|pod| inner.pods.get(&pod));
        pods.filter(|entry| matches!(entry.seen.phase, Phase::Starting | Phase::Running))
            .map(|entry| PodKeys {
                created: entry.seen.created,
                running: entry.seen.phase == Phase::Running,
                draining: entry
                    .seen
                    .deletion
                    .and_then(|deletion| Timestamp::from_second(deletion.began()).ok()),
                said: entry.report.as_deref().map(|report| match material {
                    Material::SessionKey => (report.sealing, report.accepted.clone()),
                    Material::Token => (report.sealing, report.tokens.clone()),
                }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
