//! All servers: what each said last, and when it is asked again. One schedule, no task and no timer for each.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use iam_mcp_crds::{McpServerStatus, Verify};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    Failure,
    affinity::Sessions,
    said::{Copies, Said},
    schedule::{Schedule, WHOLE},
    tools::Change,
    verdict::{Outcome, Verdict, condition},
};
use crate::controller::{context::jitter, index::Name};

/// Failures in a row before they are told.
const TOLD_AFTER: u8 = 2;

/// What a reconcile knows of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// `spec.verify`.
    pub verify: Verify,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Whether all of its pods run the current template.
    pub complete: bool,
    /// Whether it is to have pods at all.
    pub wanted: bool,
}

/// A server whose time has come.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Its namespace and name.
    pub server: Arc<Name>,
    /// The pod that was asked last.
    pub last: Option<Box<str>>,
    /// Whether that failed.
    pub failed: bool,
}

/// What is to be done about an answer.
#[derive(Debug, Default)]
pub struct News {
    /// Whether the status changes.
    pub status: bool,
    /// Whether the list of tools is another.
    pub tools: Option<Change>,
}

/// Servers by what is known of them: verified, not, and unknown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// `Verified=True`.
    pub good: usize,
    /// `Verified=False`.
    pub bad: usize,
    /// `Verified=Unknown`.
    pub unknown: usize,
}

impl Counts {
    fn of(&mut self, word: &str) -> &mut usize {
        match word {
            "True" => &mut self.good,
            "False" => &mut self.bad,
            _ => &mut self.unknown,
        }
    }
}

/// All servers, and the order in which they are asked.
#[derive(Debug, Default)]
pub struct Ledger {
    schedule: Option<Schedule>,
    inner: Mutex<Inner>,
    /// Something is due earlier than it was.
    hurried: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    servers: HashMap<Arc<Name>, Entry>,
    due: BTreeSet<(Instant, Arc<Name>)>,
    copies: Copies,
    counts: Counts,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    due: Option<Instant>,
    /// Whether it is being asked.
    busy: bool,
    /// Whether something happened meanwhile that makes another question urgent.
    hurry: bool,
    failures: u8,
    last: Option<Box<str>>,
    verdict: Option<Verdict>,
    sessions: Sessions,
    /// What it said when it last answered, even if it fails now.
    said: Option<Arc<Said>>,
    /// How it is counted: as the status says it.
    word: &'static str,
}

impl Ledger {
    /// Everybody is asked once in `interval`; nobody, if it is zero.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            schedule: (!interval.is_zero()).then(|| Schedule::new(interval)),
            ..Self::default()
        }
    }

    /// Takes in what a reconcile knows; `previous` is the status as it was before.
    pub fn note(&self, server: &Name, facts: Facts, previous: &McpServerStatus) {
        let Some(schedule) = self.schedule else {
            return;
        };
        if facts.verify == Verify::Off || !facts.wanted {
            self.forget(server);
            return;
        }
        let mut inner = self.inner.lock();
        let now = Instant::now();
        let wait = if let Some(entry) = inner.servers.get_mut(server) {
            let before = std::mem::replace(&mut entry.facts, facts);
            // Its pods are new, or a change of the spec needed no new ones.
            let urgent = facts.complete && (!before.complete || before.generation != facts.generation);
            if !urgent {
                return;
            }
            if entry.busy {
                entry.hurry = true;
                return;
            }
            schedule.soon(chance())
        } else {
            let name = Arc::new(server.clone());
            let known = condition(previous);
            let word = match known.map(|known| known.status.as_str()) {
                Some("True") => "True",
                Some("False") => "False",
                _ => "Unknown",
            };
            *inner.counts.of(word) += 1;
            let entry = Entry {
                facts,
                due: None,
                busy: false,
                hurry: false,
                failures: 0,
                last: None,
                verdict: None,
                sessions: Sessions::known(previous.server.as_ref().and_then(|server| server.session_ids)),
                said: None,
                word,
            };
            inner.servers.insert(name, entry);
            // One that is complete was there before this operator looked, and there may be thousands.
            schedule.first(chance())
        };
        let due = now + wait;
        let known = inner.servers.get(server).and_then(|entry| entry.due);
        inner.set_due(server, Some(known.map_or(due, |known| known.min(due))));
        drop(inner);
        self.hurried.notify_one();
    }

    /// Asks a server soon.
    pub fn hurry(&self, server: &Name) {
        let Some(schedule) = self.schedule else {
            return;
        };
        let mut inner = self.inner.lock();
        match inner.servers.get_mut(server) {
            Some(entry) if entry.busy => entry.hurry = true,
            Some(_) => inner.set_due(server, Some(Instant::now() + schedule.soon(chance()))),
            None => {}
        }
        drop(inner);
        self.hurried.notify_one();
    }

    /// Forgets a server that is gone, or is not to be asked.
    pub fn forget(&self, server: &Name) {
        let mut inner = self.inner.lock();
        inner.set_due(server, None);
        if let Some(entry) = inner.servers.remove(server) {
            *inner.counts.of(entry.word) -= 1;
        }
    }

    /// What came of asking a server last.
    #[must_use]
    pub fn verdict(&self, server: &Name) -> Option<Verdict> {
        let inner = self.inner.lock();
        inner.servers.get(server)?.verdict.clone()
    }

    /// How many servers are known to be what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.lock().counts
    }

    /// Waits until a server is due, and gives it; [`Ledger::record`] has to follow.
    pub async fn next_due(&self) -> Visit {
        loop {
            let hurried = self.hurried.notified();
            let wait = match self.inner.lock().take_due(Instant::now()) {
                Ok(visit) => return visit,
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

    /// Takes in what came of a visit to `pod`, and plans the next. `shown` is what the status says of the server now.
    pub fn record(
        &self,
        server: &Name,
        pod: Option<&str>,
        answer: Result<Said, Option<Failure>>,
        shown: Option<&McpServerStatus>,
    ) -> News {
        let Some(schedule) = self.schedule else {
            return News::default();
        };
        let mut inner = self.inner.lock();
        let answer = answer.map(|said| inner.copies.one(said));
        let Some(entry) = inner.servers.get_mut(server) else {
            return News::default();
        };
        let mut news = News::default();
        entry.busy = false;
        let failed = matches!(&answer, Err(Some(failure)) if !failure.is_about_credentials());
        entry.failures = if failed {
            entry.failures.saturating_add(1)
        } else {
            0
        };
        entry.last = pod.map(Into::into);
        if let Ok(said) = &answer {
            entry.sessions.see(said.stateful);
            let before = entry.said.replace(Arc::clone(said));
            news.tools = match (before, shown.and_then(|status| status.server.as_ref())) {
                (Some(before), _) => said.tools.since(&before.tools),
                (None, Some(shown)) => {
                    let digest = shown.tools_digest.as_deref();
                    digest.and_then(|digest| said.tools.since_digest(shown.tools, digest))
                }
                (None, None) => None,
            };
        }
        let untold = failed && entry.failures < TOLD_AFTER;
        // One that nobody ever spoke with has pods that start, and its other conditions say so.
        let starts = matches!(answer, Err(None)) && entry.verdict.is_none() && entry.word == "Unknown";
        if !untold && !starts {
            let outcome = match answer {
                Ok(said) => Outcome::Answered(said),
                Err(None) => Outcome::Nobody,
                Err(Some(Failure::NotAuthorized(why))) => Outcome::NotAuthorized(why),
                Err(Some(failure)) => Outcome::Failed {
                    pod: pod.unwrap_or_default().into(),
                    failure,
                },
            };
            let generation = match &entry.verdict {
                _ if entry.facts.complete || failed => entry.facts.generation,
                // The pods that answered are still those of the spec before.
                Some(before) => before.generation,
                None => shown
                    .and_then(condition)
                    .and_then(|known| known.observed_generation),
            };
            let generation = generation.or(entry.facts.generation);
            let sessions = entry.sessions.decided;
            let same = |before: &Verdict| {
                before.generation == generation
                    && before.sessions == sessions
                    && before.outcome.same(&outcome)
            };
            if !entry.verdict.as_ref().is_some_and(same) {
                let word = outcome.word();
                let before = std::mem::replace(&mut entry.word, word);
                entry.verdict = Some(Verdict {
                    generation,
                    outcome,
                    sessions,
                });
                *inner.counts.of(before) -= 1;
                *inner.counts.of(word) += 1;
                news.status = true;
            }
        }
        let entry = inner.servers.get_mut(server);
        let hurry = entry.is_some_and(|entry| std::mem::take(&mut entry.hurry));
        let wait = match (hurry, untold) {
            (true, _) => schedule.soon(chance()),
            (false, true) => schedule.again(chance()),
            (false, false) => schedule.round(chance()),
        };
        inner.set_due(server, Some(Instant::now() + wait));
        drop(inner);
        self.hurried.notify_one();
        news
    }
}

impl Inner {
    fn set_due(&mut self, server: &Name, due: Option<Instant>) {
        let Some((name, _)) = self.servers.get_key_value(server) else {
            return;
        };
        let name = Arc::clone(name);
        let Some(entry) = self.servers.get_mut(server) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(before, Arc::clone(&name)));
        }
        if let Some(due) = due {
            self.due.insert((due, name));
        }
    }

    fn take_due(&mut self, now: Instant) -> Result<Visit, Option<Instant>> {
        while let Some((due, server)) = self.due.first().cloned() {
            if due > now {
                return Err(Some(due));
            }
            self.due.pop_first();
            if let Some(entry) = self.servers.get_mut(&server) {
                entry.due = None;
                entry.busy = true;
                return Ok(Visit {
                    last: entry.last.clone(),
                    failed: entry.failures > 0,
                    server,
                });
            }
        }
        Err(None)
    }
}

fn chance() -> u32 {
    u32::try_from(jitter(u64::from(WHOLE))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
