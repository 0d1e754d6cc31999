//! What was last written as a server's status, for as long as the cached resource lags behind our own write, and since when
//! a change waits that need not be written at once.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use iam_mcp_crds::McpServerStatus;
use parking_lot::Mutex;

use super::cache::newer;

/// Statuses that were written and not seen yet, by uid.
#[derive(Debug, Default)]
pub struct Statuses {
    written: Mutex<HashMap<String, Written>>,
    waiting: Mutex<HashMap<String, Instant>>,
}

#[derive(Debug, Default)]
struct Written {
    status: Option<McpServerStatus>,
    /// The resourceVersion that it made.
    version: String,
    /// Whether another is being written.
    writing: bool,
    /// The newest version that the watch had meanwhile.
    seen: String,
}

impl Statuses {
    /// What was written last, if the watch has not shown it yet.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<McpServerStatus> {
        self.written.lock().get(uid)?.status.clone()
    }

    /// Notes that a status is about to be written.
    pub fn writing(&self, uid: &str) {
        self.written.lock().entry(uid.to_owned()).or_default().writing = true;
    }

    /// Notes what was written and the resourceVersion that the API server gave it; `None` when it failed.
    pub fn written(&self, uid: &str, outcome: Option<(McpServerStatus, String)>) {
        let mut all = self.written.lock();
        let Some(entry) = all.get_mut(uid) else {
            return;
        };
        entry.writing = false;
        if let Some((status, version)) = outcome {
            entry.status = Some(status);
            entry.version = version;
        }
        // The watch may have been faster than the answer.
        if entry.status.is_none() || caught_up(&entry.seen, &entry.version) {
            all.remove(uid);
        }
    }

    /// Notes that the watch showed a server as of `version`.
    pub fn seen(&self, uid: &str, version: &str) {
        let mut all = self.written.lock();
        let Some(entry) = all.get_mut(uid) else {
            return;
        };
        if entry.writing {
            version.clone_into(&mut entry.seen);
        } else if caught_up(version, &entry.version) {
            all.remove(uid);
        }
    }

    /// Forgets a server that is gone.
    pub fn forget(&self, uid: &str) {
        self.written.lock().remove(uid);
        self.waiting.lock().remove(uid);
    }

    /// How much longer a change may wait that was first seen now or before; `None` when its time has come.
    #[must_use]
    pub fn wait(&self, uid: &str, longest: Duration) -> Option<Duration> {
        let mut waiting = self.waiting.lock();
        let since = waiting.entry(uid.to_owned()).or_insert_with(Instant::now);
        longest
            .checked_sub(since.elapsed())
            .filter(|left| !left.is_zero())
    }

    /// Notes that no change waits.
    pub fn waits_no_more(&self, uid: &str) {
        self.waiting.lock().remove(uid);
    }
}

/// Whether the watch, at `seen`, shows what made `version`.
fn caught_up(seen: &str, version: &str) -> bool {
    seen == version || newer(seen, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(replicas: i32) -> McpServerStatus {
        McpServerStatus {
            replicas: Some(replicas),
            ..McpServerStatus::default()
        }
    }

    #[test]
    fn is_kept_until_the_watch_shows_it() {
        let statuses = Statuses::default();
        statuses.writing("u");
        statuses.written("u", Some((status(1), "7".to_owned())));
        statuses.seen("u", "6");
        assert_eq!(statuses.get("u"), Some(status(1)));
        statuses.seen("u", "7");
        assert_eq!(statuses.get("u"), None);
    }

    #[test]
    fn is_not_kept_where_the_watch_was_faster() {
        let statuses = Statuses::default();
        statuses.writing("u");
        statuses.seen("u", "8");
        statuses.written("u", Some((status(1), "8".to_owned())));
        assert!(statuses.written.lock().is_empty());
    }

    #[test]
    fn a_failed_write_leaves_what_was_written_before() {
        let statuses = Statuses::default();
        statuses.writing("u");
        statuses.written("u", None);
        assert!(statuses.written.lock().is_empty());
        statuses.writing("u");
        statuses.written("u", Some((status(1), "7".to_owned())));
        statuses.writing("u");
        statuses.written("u", None);
        assert_eq!(statuses.get("u"), Some(status(1)));
    }

    #[test]
    fn a_change_waits_once_and_not_for_ever() {
        let statuses = Statuses::default();
        assert!(statuses.wait("u", Duration::from_secs(9)).is_some());
        assert!(statuses.wait("u", Duration::ZERO).is_none());
        statuses.waits_no_more("u");
        assert!(statuses.waiting.lock().is_empty());
    }
}
