//! Which pod of a server is asked. Pure.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

/// A pod that has had this long to become ready, and has not, is asked all the same: what it says is what a rollout
/// that does not get on waits for. Its startup probe has a minute.
const PATIENCE: SignedDuration = SignedDuration::from_secs(70);

/// A running pod that is not asked to stop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
    /// When it was made.
    pub created: Timestamp,
    /// The template that it was made from.
    pub template: u64,
    /// Whether it takes traffic.
    pub ready: bool,
    /// Whether it would, but for its gate.
    pub held: bool,
}

/// The pod to ask: one of the newest template, since that is the server to be. `last` is the one that was asked
/// last.
#[must_use]
pub fn choose(pods: Vec<Candidate>, last: Option<&str>, failed: bool) -> Option<Candidate> {
    choose_at(pods, last, failed, Timestamp::now())
}

fn choose_at(
    mut pods: Vec<Candidate>,
    last: Option<&str>,
    failed: bool,
    now: Timestamp,
) -> Option<Candidate> {
    pods.retain(|pod| pod.ready || pod.held || now.duration_since(pod.created) >= PATIENCE);
    let newest = pods
        .iter()
        .max_by_key(|pod| (pod.created, pod.template))?
        .template;
    pods.retain(|pod| pod.template == newest);
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    // One that is not ready is not the server, as long as another is; but what failed stays until it does not.
    let same = last.and_then(|last| pods.iter().position(|pod| pod.name == last));
    if let (Some(same), true) = (same, failed) {
        return Some(pods.swap_remove(same));
    }
    if let Some(stuck) = pods.iter().position(|pod| !pod.ready) {
        return Some(pods.swap_remove(stuck));
    }
    let after = last.and_then(|last| pods.iter().position(|pod| pod.name.as_str() > last));
    Some(pods.swap_remove(after.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, template: u64, created: i64, ready: bool) -> Candidate {
        Candidate {
            name: name.to_owned(),
            ip: [127, 0, 0, 1].into(),
            created: Timestamp::from_second(created).unwrap(),
            template,
            ready,
            held: false,
        }
    }

    fn chosen(pods: &[Candidate], last: Option<&str>, failed: bool) -> Option<String> {
        let now = Timestamp::from_second(1000).unwrap();
        choose_at(pods.to_vec(), last, failed, now).map(|pod| pod.name)
    }

    #[test]
    fn ready_pods_take_turns_and_a_failing_one_stays() {
        let pods = [pod("c", 1, 3, true), pod("a", 1, 1, true), pod("b", 1, 2, true)];
        let mut last: Option<String> = None;
        let mut turns = Vec::new();
        for _ in 0..4 {
            last = chosen(&pods, last.as_deref(), false);
            turns.extend(last.clone());
        }
        assert_eq!(turns, ["a", "b", "c", "a"]);
        assert_eq!(chosen(&pods, Some("b"), true).unwrap(), "b");
        assert_eq!(chosen(&pods, Some("gone"), true).unwrap(), "a");
        assert_eq!(chosen(&[], None, false), None);
    }

    #[test]
    fn in_a_rollout_the_newest_template_is_asked_once_it_is_ready() {
        let starting = [pod("old", 1, 1, true), pod("new", 2, 990, false)];
        assert_eq!(
            chosen(&starting, None, false).unwrap(),
            "old",
            "it has time to start"
        );
        let ready = [pod("old", 1, 1, true), pod("new", 2, 990, true)];
        assert_eq!(chosen(&ready, Some("old"), true).unwrap(), "new");
        let held = Candidate {
            held: true,
            ..pod("new", 2, 990, false)
        };
        assert_eq!(
            chosen(&[pod("old", 1, 1, true), held], Some("old"), false).unwrap(),
            "new",
            "at once"
        );
        let stuck = [pod("old", 1, 1, true), pod("new", 2, 900, false)];
        assert_eq!(
            chosen(&stuck, Some("old"), false).unwrap(),
            "new",
            "what the rollout waits for"
        );
    }
}
