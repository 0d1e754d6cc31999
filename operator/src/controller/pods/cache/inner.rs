//! The directory's own book-keeping, under its lock.

use std::time::Duration;

use iam_mcp_crds::DrainingPod;
use tokio::time::Instant;

use super::{Entry, Inner, Target};
use crate::controller::{
    context::jitter,
    index::Name,
    pods::{
        schedule::{self, Situation},
        seen::Phase,
    },
};

impl Inner {
    /// The entry of a pod, unless another pod has its name now.
    pub(super) fn entry_of(&mut self, target: &Target) -> Option<&mut Entry> {
        self.pods
            .get_mut(&target.pod)
            .filter(|entry| entry.seen.uid == target.uid)
    }

    pub(super) fn pods_of(&self, server: &Name) -> Vec<Name> {
        let pods = self
            .servers
            .get(server)
            .into_iter()
            .flat_map(|server| &server.pods);
        pods.map(|pod| (server.0.clone(), pod.clone())).collect()
    }

    /// The shown pods of a server with their names, those that began first first.
    pub(super) fn draining(&self, server: &Name) -> Vec<(Name, DrainingPod)> {
        let mut draining: Vec<_> = self
            .pods_of(server)
            .into_iter()
            .filter_map(|pod| {
                let entry = self.pods.get(&pod)?;
                Some((entry.seen.deletion?.began(), pod.clone(), entry.shown(&pod.1)?))
            })
            .collect();
        draining.sort_by(|(a, a_name, _), (b, b_name, _)| (a, a_name).cmp(&(b, b_name)));
        draining.into_iter().map(|(_, pod, shown)| (pod, shown)).collect()
    }

    /// Number of pods that a server is to keep.
    pub(super) fn siblings(&self, server: &Name) -> usize {
        self.servers.get(server).map_or(0, |server| server.staying)
    }

    /// Notes whether a pod of a server counts among those that it is to keep, and asks the others, or no
    /// longer, where that makes one pod of two or two of one.
    pub(super) fn count_staying(&mut self, server: &Name, stayed: bool, stays: bool) {
        let Some(known) = self.servers.get_mut(server) else {
            return;
        };
        let before = known.staying;
        known.staying = before - usize::from(stayed) + usize::from(stays);
        if (before < 2) != (known.staying < 2) {
            self.reschedule(server);
        }
    }

    pub(super) fn shown_of(&self, pod: &Name) -> Option<DrainingPod> {
        self.pods.get(pod).and_then(|entry| entry.shown(&pod.1))
    }

    /// Counts a pod that is shown now or no longer; says whether how it is shown changed.
    pub(super) fn note_shown(&mut self, pod: &Name, before: Option<&DrainingPod>) -> bool {
        let after = self.shown_of(pod);
        self.shown = self.shown - usize::from(before.is_some()) + usize::from(after.is_some());
        after.as_ref() != before
    }

    /// Forgets a pod; gives its server if that showed it, or waits for it.
    pub(super) fn forget(&mut self, pod: &Name) -> Option<Name> {
        self.set_due(pod, None);
        let shown = self.shown_of(pod).is_some();
        let entry = self.pods.remove(pod)?;
        self.shown -= usize::from(shown);
        let server = entry.server(pod);
        let known = self.servers.get_mut(&server)?;
        known.pods.remove(&pod.1);
        let rotates = known.rotates;
        self.count_staying(&server, entry.seen.stays(), false);
        self.prune(&server);
        (shown || rotates).then_some(server)
    }

    /// Drops a server of which nothing is known.
    pub(super) fn prune(&mut self, server: &Name) {
        if self
            .servers
            .get(server)
            .is_some_and(|known| known.pods.is_empty() && !known.rotates)
        {
            self.servers.remove(server);
        }
    }

    /// A server whose keys are to be read: one that cannot wait, or any when it is calm.
    pub(super) fn take_unkeyed(&mut self, calm: bool) -> Option<Name> {
        while calm || self.urgent > 0 {
            let server = self.unkeyed.pop_front()?;
            self.urgent = self.urgent.saturating_sub(1);
            let known = self.servers.get(&server);
            if known.is_some_and(|known| known.drain_keys.is_empty() && !known.pods.is_empty()) {
                return Some(server);
            }
        }
        None
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Result<Target, Option<Instant>> {
        while let Some((due, pod)) = self.due.first().cloned() {
            if due > now {
                return Err(Some(due));
            }
            self.set_due(&pod, None);
            if let Some(entry) = self.pods.get_mut(&pod)
                && let Some(target) = entry.target(&pod)
            {
                entry.busy = true;
                return Ok(target);
            }
        }
        Err(None)
    }

    pub(super) fn set_due(&mut self, pod: &Name, due: Option<Instant>) {
        let Some(entry) = self.pods.get_mut(pod) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(before, pod.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, pod.clone()));
        }
    }

    /// Gives each pod of a server the time that its situation asks for.
    pub(super) fn reschedule(&mut self, server: &Name) {
        for pod in self.pods_of(server) {
            self.schedule(&pod);
        }
    }

    pub(super) fn schedule(&mut self, pod: &Name) {
        let Some(entry) = self.pods.get(pod).filter(|entry| !entry.busy) else {
            return;
        };
        let server = entry.server(pod);
        let rotates = self.servers.get(&server).is_some_and(|server| server.rotates);
        let pause = schedule::pause(&Situation {
            answers: entry.seen.phase == Phase::Running && entry.seen.ip.is_some(),
            drains: entry.seen.drains(),
            rotates,
            siblings: self.siblings(&server),
            failures: entry.failures,
            calm: entry.calm,
        });
        let now = Instant::now();
        let due = match pause {
            None => None,
            // Its sessions are news at once.
            Some(_) if entry.seen.drains() && !entry.asked_draining => Some(now),
            Some(pause) => {
                let due = now + spread(pause);
                Some(entry.due.map_or(due, |before| before.min(due)))
            }
        };
        if due != entry.due {
            self.set_due(pod, due);
        }
    }
}

/// A pause with up to a quarter more or less, so that pods that started together are not asked together.
fn spread(pause: Duration) -> Duration {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis * 3 / 4 + jitter(millis / 2))
}
