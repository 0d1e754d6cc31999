//! The readiness gate of `spec.verify: Gate`: which pods wait for it. Pure, but for the queue.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::controller::{context::jitter, index::Name};

/// The condition that the gate asks for.
pub const CONDITION: &str = "iam-mcp.dev/verified";
/// What stands before the container's id in the message of an open gate.
pub const OPEN_FOR: &str = "spoke MCP with container ";

/// Pause after a failure; doubled up to the longest.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A pod's gate as its status shows it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Gate {
    /// The id of the server's container that runs now.
    pub container: Option<Box<str>>,
    /// Whether its containers are ready.
    pub containers_ready: bool,
    /// The id of the container that the gate was opened for; `None` while it is shut.
    pub open_for: Option<Box<str>>,
}

/// What is to be done about a gate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Todo {
    /// Speak MCP with the pod, and open the gate if it answers.
    Ask,
    /// Shut it: it was opened for a container that is gone.
    Shut,
}

impl Gate {
    /// What is to be done.
    #[must_use]
    pub fn todo(&self) -> Option<Todo> {
        match (&self.open_for, &self.container) {
            // Nothing runs, so nothing can be asked; the kubelet says that it is not ready.
            (_, None) => None,
            (Some(open_for), Some(container)) if open_for == container => None,
            (Some(_), Some(_)) => Some(Todo::Shut),
            (None, Some(_)) => self.containers_ready.then_some(Todo::Ask),
        }
    }
}

/// Pods whose gate waits for something.
#[derive(Debug, Default)]
pub struct Gates {
    inner: Mutex<Inner>,
    hurried: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<Name, Waiting>,
    due: BTreeSet<(Instant, Name)>,
}

#[derive(Debug)]
struct Waiting {
    todo: Todo,
    /// `None` while it is looked at.
    due: Option<Instant>,
    failures: u32,
}

impl Gates {
    /// Takes in what there is to do for a pod.
    pub fn observe(&self, pod: &Name, todo: Option<Todo>) {
        let mut inner = self.inner.lock();
        match (inner.waiting.get(pod).map(|waiting| waiting.todo), todo) {
            (known, todo) if known == todo => return,
            (_, None) => inner.remove(pod),
            (_, Some(todo)) => {
                inner.remove(pod);
                inner.wait(pod, todo, 0, Instant::now());
            }
        }
        drop(inner);
        self.hurried.notify_one();
    }

    /// After a new list: forgets the pods of `namespace` (or of all) that it did not have.
    pub fn retain_listed(&self, namespace: Option<&str>, listed: &HashSet<Name>) {
        let mut inner = self.inner.lock();
        let in_scope = |pod: &&Name| namespace.is_none_or(|namespace| namespace == pod.0);
        let gone = inner
            .waiting
            .keys()
            .filter(in_scope)
            .filter(|pod| !listed.contains(*pod));
        for pod in gone.cloned().collect::<Vec<_>>() {
            inner.remove(&pod);
        }
    }

    /// Waits until something is to be done; [`Gates::done`] or [`Gates::failed`] has to follow.
    pub async fn next_due(&self) -> (Name, Todo) {
        loop {
            let hurried = self.hurried.notified();
            let wait = match self.inner.lock().take_due(Instant::now()) {
                Ok(next) => return next,
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

    /// Notes that it was done: the watch says what is next.
    pub fn done(&self, pod: &Name, todo: Todo) {
        let mut inner = self.inner.lock();
        if inner.waiting.get(pod).is_some_and(|waiting| waiting.todo == todo) {
            inner.remove(pod);
        }
    }

    /// Notes that it failed, and is to be tried again; says how often it has.
    pub fn failed(&self, pod: &Name, todo: Todo) -> u32 {
        let mut inner = self.inner.lock();
        let known = inner
            .waiting
            .get(pod)
            .filter(|waiting| waiting.todo == todo && waiting.due.is_none());
        let Some(failures) = known.map(|waiting| waiting.failures + 1) else {
            return 0;
        };
        let pause = (SHORTEST * (1 << failures.min(6).saturating_sub(1))).min(LONGEST);
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let pause = Duration::from_millis(millis * 3 / 4 + jitter(millis / 4));
        inner.wait(pod, todo, failures, Instant::now() + pause);
        drop(inner);
        self.hurried.notify_one();
        failures
    }
}

impl Inner {
    fn wait(&mut self, pod: &Name, todo: Todo, failures: u32, due: Instant) {
        let waiting = Waiting {
            todo,
            due: Some(due),
            failures,
        };
        self.waiting.insert(pod.clone(), waiting);
        self.due.insert((due, pod.clone()));
    }

    fn remove(&mut self, pod: &Name) {
        if let Some(due) = self.waiting.remove(pod).and_then(|waiting| waiting.due) {
            self.due.remove(&(due, pod.clone()));
        }
    }

    fn take_due(&mut self, now: Instant) -> Result<(Name, Todo), Option<Instant>> {
        while let Some((due, pod)) = self.due.first().cloned() {
            if due > now {
                return Err(Some(due));
            }
            self.due.pop_first();
            if let Some(waiting) = self.waiting.get_mut(&pod) {
                waiting.due = None;
                return Ok((pod, waiting.todo));
            }
        }
        Err(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(container: Option<&str>, containers_ready: bool, open_for: Option<&str>) -> Gate {
        Gate {
            container: container.map(Into::into),
            containers_ready,
            open_for: open_for.map(Into::into),
        }
    }

    #[test]
    fn what_is_to_be_done() {
        assert_eq!(gate(None, false, None).todo(), None, "nothing runs");
        assert_eq!(gate(Some("a"), false, None).todo(), None, "it starts");
        assert_eq!(gate(Some("a"), true, None).todo(), Some(Todo::Ask));
        assert_eq!(gate(Some("a"), true, Some("a")).todo(), None, "open");
        assert_eq!(
            gate(Some("a"), false, Some("a")).todo(),
            None,
            "the kubelet says that it is not ready"
        );
        assert_eq!(
            gate(Some("b"), false, Some("a")).todo(),
            Some(Todo::Shut),
            "restarted"
        );
        assert_eq!(
            gate(None, false, Some("a")).todo(),
            None,
            "between two containers"
        );
    }

    fn pod() -> Name {
        ("n".to_owned(), "p".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_more_and_more_rarely() {
        let gates = Gates::default();
        gates.observe(&pod(), Some(Todo::Ask));
        let mut pauses = Vec::new();
        for failures in 1..=8 {
            let start = Instant::now();
            assert_eq!(gates.next_due().await, (pod(), Todo::Ask));
            pauses.push(start.elapsed());
            // What the watch says again changes nothing.
            gates.observe(&pod(), Some(Todo::Ask));
            assert_eq!(gates.failed(&pod(), Todo::Ask), failures);
        }
        assert!(
            pauses[0].is_zero() && pauses[1] <= SHORTEST && pauses[1] >= SHORTEST / 2,
            "{pauses:?}"
        );
        assert!(pauses[7] <= LONGEST && pauses[7] >= LONGEST / 2, "{pauses:?}");
        gates.observe(&pod(), None);
        assert!(tokio::time::timeout(LONGEST * 2, gates.next_due()).await.is_err());
        assert_eq!(gates.failed(&pod(), Todo::Ask), 0, "it went meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_waits_for_the_watch() {
        let gates = Gates::default();
        gates.observe(&pod(), Some(Todo::Shut));
        let (_, todo) = gates.next_due().await;
        gates.done(&pod(), todo);
        gates.observe(&pod(), Some(Todo::Ask));
        assert_eq!(gates.next_due().await.1, Todo::Ask);
        // The pod's container restarts while it is asked: what is done then is not what is to be done.
        gates.observe(&pod(), Some(Todo::Shut));
        gates.done(&pod(), Todo::Ask);
        assert_eq!(gates.next_due().await.1, Todo::Shut);
        gates.retain_listed(Some("other"), &HashSet::new());
        assert_eq!(gates.failed(&pod(), Todo::Shut), 1);
        gates.retain_listed(Some("n"), &HashSet::new());
        assert!(gates.inner.lock().waiting.is_empty() && gates.inner.lock().due.is_empty());
    }
}
