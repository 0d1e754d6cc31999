//! What the directory says after pods came, answered, drained and went.

use futures::FutureExt as _;
use jiff::Timestamp;

use super::*;
use crate::controller::pods::{
    cost::Annotated,
    seen::{Deletion, Phase},
};

fn name(name: &str) -> Name {
    ("mcp".to_owned(), name.to_owned())
}

fn seen(uid: &str) -> Seen {
    Seen {
        server: "jobs".to_owned(),
        uid: uid.to_owned(),
        ip: Some([127, 0, 0, 1].into()),
        template: 0,
        ready: true,
        gate: None,
        silent: false,
        created: Timestamp::UNIX_EPOCH,
        phase: Phase::Running,
        deletion: None,
        cost: Annotated::Absent,
    }
}

fn draining(uid: &str, began: i64) -> Seen {
    let deletion = Some(Deletion {
        at: began + 330,
        grace: 330,
    });
    Seen {
        deletion,
        ..seen(uid)
    }
}

fn sessions(sessions: u32) -> Report {
    Report {
        sessions,
        ..Report::default()
    }
}

/// A directory with these pods, each under its uid as its name.
fn directory(pods: &[Seen]) -> Directory {
    let directory = Directory::default();
    for pod in pods {
        directory.observe(&name(&pod.uid), pod.clone(), false);
    }
    directory
}

/// Seconds until a pod is asked.
fn due_in(directory: &Directory, pod: &str) -> Option<f32> {
    let due = directory.inner.lock().pods[&name(pod)].due?;
    Some(due.saturating_duration_since(Instant::now()).as_secs_f32())
}

fn next(directory: &Directory) -> Option<Target> {
    directory.next_due().now_or_never()
}

/// Lets the pod that is due say that it has so many sessions.
fn answer(directory: &Directory, report: impl Into<Option<Report>>) -> (Target, Option<Name>) {
    let target = next(directory).expect("a pod that is due");
    let news = directory.record(&target, report.into());
    directory.release(&target);
    (target, news)
}

#[test]
fn one_pod_is_not_asked_and_two_are() {
    let directory = directory(&[seen("a")]);
    assert_eq!(due_in(&directory, "a"), None);
    directory.observe(&name("b"), seen("b"), false);
    for pod in ["a", "b"] {
        let seconds = due_in(&directory, pod).unwrap();
        assert!(seconds < 6.3, "{pod} is asked in {seconds} s");
    }
    directory.remove(&name("b"), "b");
    assert_eq!(due_in(&directory, "a"), None, "one again");
}

#[test]
fn a_lone_pod_is_asked_while_a_rotation_waits_for_it() {
    let directory = directory(&[seen("a")]);
    directory.set_rotating(&name("jobs"), true);
    assert!(due_in(&directory, "a").is_some_and(|seconds| seconds < 4.0));
    directory.set_rotating(&name("jobs"), false);
    assert_eq!(due_in(&directory, "a"), None);
}

#[test]
fn a_pod_that_begins_to_drain_is_asked_at_once_and_shown_with_its_answer() {
    let directory = directory(&[seen("a"), seen("b")]);
    assert!(
        directory
            .observe(&name("a"), draining("a", 1_000), false)
            .is_empty()
    );
    let (target, news) = answer(&directory, sessions(90));
    assert!(target.drains);
    assert_eq!(news, Some(name("jobs")));
    assert!(due_in(&directory, "a").is_some_and(|seconds| seconds < 2.6));
    let shown = directory.draining(&name("jobs"));
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].name.as_str(), shown[0].sessions), ("a", 64));
    assert_eq!(directory.draining_in_all(), 1);
}

#[test]
fn an_answer_that_changes_nothing_is_no_news() {
    let directory = directory(&[draining("a", 1_000)]);
    answer(&directory, sessions(90));
    let asked_again = |report: Option<Report>| {
        directory.hurry(&name("jobs"));
        answer(&directory, report).1
    };
    assert_eq!(asked_again(Some(sessions(80))), None, "the same power of two");
    assert_eq!(asked_again(None), None, "no answer");
    assert_eq!(asked_again(Some(sessions(63))), Some(name("jobs")));
    assert_eq!(
        asked_again(Some(sessions(0))),
        Some(name("jobs")),
        "its last session ended"
    );
    assert_eq!(directory.draining_in_all(), 0);
    assert_eq!(
        directory.remove(&name("a"), "a"),
        None,
        "it was not shown any more"
    );
}

#[test]
fn a_pod_that_goes_with_sessions_is_news() {
    let directory = directory(&[draining("a", 1_000)]);
    answer(&directory, None);
    assert_eq!(
        directory.draining(&name("jobs"))[0].sessions,
        0,
        "it does not say"
    );
    assert_eq!(directory.remove(&name("a"), "another"), None);
    assert_eq!(directory.remove(&name("a"), "a"), Some(name("jobs")));
    assert_eq!(directory.draining_in_all(), 0);
    assert_eq!(next(&directory), None);
}

#[test]
fn a_new_list_forgets_what_it_lacks_in_its_namespace() {
    let directory = directory(&[draining("a", 1_000), seen("b")]);
    answer(&directory, sessions(1));
    assert!(directory.retain_listed(Some("other"), &HashSet::new()).is_empty());
    let listed = HashSet::from([name("b")]);
    assert_eq!(directory.retain_listed(Some("mcp"), &listed), [name("jobs")]);
    assert_eq!(directory.keys(&name("jobs"), Material::SessionKey).len(), 1);
}

#[test]
fn a_pod_given_to_another_server_leaves_the_first() {
    let directory = directory(&[draining("a", 1_000)]);
    answer(&directory, sessions(1));
    let moved = Seen {
        server: "debug".to_owned(),
        ..draining("a", 1_000)
    };
    assert_eq!(directory.observe(&name("a"), moved, false), [name("jobs")]);
    assert!(directory.draining(&name("jobs")).is_empty());
}

#[test]
fn a_cost_is_written_once_and_only_among_several_pods() {
    let directory = directory(&[seen("a")]);
    directory.set_rotating(&name("jobs"), true);
    let target = directory.inner.lock().pods[&name("a")]
        .target(&name("a"))
        .unwrap();
    directory.record(&target, Some(sessions(90)));
    assert_eq!(directory.cost_to_write(&target), None, "there is no other");
    directory.observe(&name("b"), seen("b"), false);
    assert_eq!(directory.cost_to_write(&target), Some(64));
    directory.cost_written(&target, 64);
    assert_eq!(directory.cost_to_write(&target), None);
    directory.record(&target, Some(sessions(0)));
    assert_eq!(directory.cost_to_write(&target), Some(0));
    directory.observe(&name("a"), draining("a", 1_000), false);
    assert_eq!(directory.cost_to_write(&target), None, "it goes in any case");
    let other = Target {
        uid: "another".to_owned(),
        ..target
    };
    assert_eq!(directory.cost_to_write(&other), None);
}

#[test]
fn those_that_began_first_are_cut_and_each_once() {
    let directory = directory(&[draining("a", 1_002), draining("b", 1_000), draining("c", 1_001)]);
    for _ in 0..3 {
        answer(&directory, sessions(9));
    }
    let cuts = |most| -> Vec<String> {
        let cuts = directory.take_cuts(&name("jobs"), most);
        cuts.into_iter().map(|cut| cut.target.uid).collect()
    };
    assert!(cuts(3).is_empty());
    assert_eq!(cuts(2), ["b"]);
    assert!(cuts(2).is_empty(), "it is being told");
    let told = directory.inner.lock().pods[&name("b")]
        .target(&name("b"))
        .unwrap();
    directory.cut(&told);
    assert_eq!(cuts(1), ["c"]);
    // What was not told is told again later.
    for pod in ["b", "c"] {
        directory.inner.lock().pods.get_mut(&name(pod)).unwrap().again = None;
    }
    assert_eq!(cuts(1), ["c"]);
}

#[test]
fn a_grace_is_shortened_once_in_a_while_and_only_of_a_pod_that_goes() {
    let directory = directory(&[draining("a", 1_000), seen("b")]);
    let target = |pod: &str| {
        directory.inner.lock().pods[&name(pod)]
            .target(&name(pod))
            .unwrap()
    };
    assert!(!directory.take_lingering(&target("b")));
    assert!(directory.take_lingering(&target("a")));
    assert!(!directory.take_lingering(&target("a")));
    let short = Seen {
        deletion: Some(Deletion { at: 1_030, grace: 30 }),
        ..seen("a")
    };
    directory.observe(&name("a"), short, false);
    directory.inner.lock().pods.get_mut(&name("a")).unwrap().again = None;
    assert!(!directory.take_lingering(&target("a")));
}

#[test]
fn ten_thousand_pods_are_ordered_and_forgotten() {
    let directory = Directory::default();
    for number in 0..10_000 {
        let pod = Seen {
            server: format!("server-{}", number / 4),
            ..seen(&format!("uid-{number}"))
        };
        directory.observe(&name(&pod.uid), pod.clone(), false);
    }
    assert_eq!(directory.inner.lock().due.len(), 10_000);
    directory.retain_listed(None, &HashSet::new());
    let inner = directory.inner.lock();
    assert!(inner.pods.is_empty() && inner.servers.is_empty() && inner.due.is_empty());
}

#[test]
fn pods_that_were_there_before_the_operator_are_asked_later() {
    let directory = Directory::default();
    for pod in ["a", "b"] {
        directory.observe(&name(pod), seen(pod), true);
    }
    assert!(due_in(&directory, "a").is_some_and(|seconds| seconds > 20.0));
}

#[test]
fn a_pod_that_says_what_is_noted_on_it_is_calm() {
    let noted = Seen {
        cost: Annotated::Cost(16),
        ..seen("a")
    };
    let directory = directory(&[noted, seen("b")]);
    let target = |pod: &str| {
        directory.inner.lock().pods[&name(pod)]
            .target(&name(pod))
            .unwrap()
    };
    let calm_after = |pod: &str, report| {
        directory.record(&target(pod), Some(report));
        directory.inner.lock().pods[&name(pod)].calm.as_secs()
    };
    assert_eq!(calm_after("a", sessions(20)), 10);
    assert_eq!(calm_after("a", sessions(20)), 20);
    assert_eq!(calm_after("a", sessions(40)), 5, "something changed");
    assert_eq!(calm_after("b", sessions(20)), 5, "it is to be noted");
}
