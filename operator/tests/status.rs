//! What a person is told: conditions and events for the states a server can be in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use iam_mcp_crds::{DrainingPod, McpServer, McpServerSpec, McpServerStatus, Reason};
use iam_mcp_operator::controller::{
    cache::Workload,
    error::Blocked,
    events::Happened,
    status::{drains, of_applied, of_invalid, of_paused, pause, say_paused, transition},
    validate::{Defaults, validate},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn server() -> McpServer {
    let mut server = McpServer::new(
        "jobs",
        McpServerSpec {
            replicas: Some(2),
            ..McpServerSpec::default()
        },
    );
    server.metadata.namespace = Some("mcp".to_owned());
    server.metadata.generation = Some(3);
    server
}

fn pods(ready: i32, updated: i32) -> Workload {
    Workload {
        wanted: 2,
        replicas: 2,
        updated,
        ready,
        available: ready,
        current: true,
        ..Workload::default()
    }
}

fn status(
    workload: Option<&Workload>,
    trouble: Option<&Blocked>,
    previous: &McpServerStatus,
) -> McpServerStatus {
    let validated = validate(
        &server(),
        &Defaults {
            server_image: "image:1".to_owned(),
            operator_namespace: "system".to_owned(),
        },
        false,
    )
    .unwrap();
    of_applied(&server(), &validated, workload, Vec::new(), trouble, previous)
}

/// `Type=Status/Reason` of each condition.
fn shape(status: &McpServerStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
        .collect()
}

fn missing_secret() -> Blocked {
    Blocked {
        reason: Reason::SecretNotFound,
        message: "Secret mcp/key does not exist".to_owned(),
    }
}

#[test]
fn all_pods_ready() {
    let status = status(Some(&pods(2, 2)), None, &McpServerStatus::default());
    assert_eq!(
        shape(&status),
        [
            "Accepted=True/Valid",
            "Degraded=False/AsExpected",
            "Progressing=False/RolloutComplete",
            "Ready=True/PodsReady"
        ]
    );
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(3)));
    assert_eq!(status.ready_pods.as_deref(), Some("2/2"));
    assert_eq!(status.url.as_deref(), Some("http://jobs.mcp.svc/mcp"));
}

#[test]
fn old_pods_serve_while_a_rollout_goes_on() {
    let status = status(Some(&pods(2, 1)), None, &McpServerStatus::default());
    assert_eq!(
        shape(&status)[2..],
        ["Progressing=True/RolloutInProgress", "Ready=True/PodsReady"]
    );
}

#[test]
fn a_stuck_rollout_needs_a_person() {
    let stuck = Workload {
        stuck: true,
        ..pods(1, 1)
    };
    let status = status(Some(&stuck), None, &McpServerStatus::default());
    assert_eq!(
        shape(&status)[1..],
        [
            "Degraded=True/RolloutStuck",
            "Progressing=False/RolloutStuck",
            "Ready=False/PodsNotReady"
        ]
    );
}

#[test]
fn the_reason_why_pods_cannot_be_made_is_told() {
    let refused = Workload {
        failure: Some("exceeded quota: pods=0".to_owned()),
        ..pods(0, 0)
    };
    let status = status(Some(&refused), None, &McpServerStatus::default());
    let ready = status.conditions.last().unwrap();
    assert!(
        ready.message.contains("exceeded quota") && ready.message.contains("kubectl get pods -n mcp"),
        "{}",
        ready.message
    );
}

#[test]
fn zero_pods_are_not_ready_and_not_broken() {
    let none = Workload {
        wanted: 0,
        replicas: 0,
        updated: 0,
        ready: 0,
        available: 0,
        ..pods(0, 0)
    };
    let status = status(Some(&none), None, &McpServerStatus::default());
    assert_eq!(
        shape(&status)[1..],
        [
            "Degraded=False/AsExpected",
            "Progressing=False/RolloutComplete",
            "Ready=False/ScaledToZero"
        ]
    );
}

#[test]
fn trouble_comes_before_ready_pods() {
    let status = status(
        Some(&pods(2, 2)),
        Some(&missing_secret()),
        &McpServerStatus::default(),
    );
    assert_eq!(
        shape(&status)[0..2],
        ["Accepted=True/Valid", "Degraded=True/SecretNotFound"]
    );
    assert_eq!(shape(&status)[3], "Ready=False/SecretNotFound");
}

#[test]
fn a_refused_child_means_the_spec_is_not_accepted() {
    let refused = Blocked {
        reason: Reason::ChildRejected,
        message: "no".to_owned(),
    };
    assert_eq!(
        shape(&status(None, Some(&refused), &McpServerStatus::default()))[0],
        "Accepted=False/ChildRejected"
    );
}

#[test]
fn an_invalid_spec_keeps_what_is_known_of_the_children() {
    let before = status(Some(&pods(2, 2)), None, &McpServerStatus::default());
    let after = of_invalid(
        &server(),
        "env: PORT is set by the operator itself",
        Vec::new(),
        &before,
    );
    assert_eq!(
        shape(&after),
        [
            "Accepted=False/Invalid",
            "Degraded=True/Invalid",
            "Ready=False/Invalid"
        ]
    );
    assert_eq!(after.url, before.url);
    assert_eq!(after.ready_pods, before.ready_pods);
}

#[test]
fn nothing_new_is_equal_so_that_nothing_is_written() {
    let before = status(Some(&pods(2, 2)), None, &McpServerStatus::default());
    assert_eq!(status(Some(&pods(2, 2)), None, &before), before);
    let changed = status(Some(&pods(1, 2)), None, &before);
    let time = |status: &McpServerStatus, at: usize| status.conditions[at].last_transition_time.clone();
    assert_eq!(time(&changed, 0), time(&before, 0), "Accepted did not flip");
    assert_ne!(time(&changed, 3), time(&before, 3), "Ready did");
}

#[test]
fn events_are_for_transitions_only() {
    let fresh = McpServerStatus::default();
    let ready = status(Some(&pods(2, 2)), None, &fresh);
    let missing = status(Some(&pods(2, 2)), Some(&missing_secret()), &ready);
    let waiting = status(Some(&pods(0, 2)), None, &fresh);
    let kind = |before, after| transition(before, after).map(|(happened, _)| happened);
    assert_eq!(kind(&fresh, &ready), Some(Happened::Ready));
    assert_eq!(kind(&ready, &ready), None);
    assert_eq!(kind(&ready, &missing), Some(Happened::Trouble("SecretNotFound")));
    assert_eq!(kind(&missing, &missing), None);
    assert_eq!(kind(&missing, &ready), Some(Happened::Ready));
    assert_eq!(kind(&missing, &waiting), Some(Happened::Recovered));
    assert_eq!(kind(&fresh, &waiting), None);
}

#[test]
fn drains_are_told_when_they_begin_and_when_they_end() {
    let draining = |pods: &[(&str, i32)]| McpServerStatus {
        draining_pods: pods
            .iter()
            .map(|(name, sessions)| DrainingPod {
                name: (*name).to_owned(),
                until: Time("2026-01-01T00:05:00Z".parse().unwrap()),
                sessions: *sessions,
            })
            .collect(),
        ..McpServerStatus::default()
    };
    let none = draining(&[]);
    let two = draining(&[("jobs-1", 64), ("jobs-2", 0)]);
    let fewer = draining(&[("jobs-1", 32)]);
    assert_eq!(
        drains(&none, &two),
        [(
            Happened::DrainStarted,
            "pod jobs-1 serves 64 or more open sessions until 2026-01-01T00:05:00Z; pod jobs-2 does not say what it serves, \
             and ends by 2026-01-01T00:05:00Z; a pod goes earlier when its sessions end earlier"
                .to_owned()
        )]
    );
    assert_eq!(
        drains(&two, &fewer),
        [(Happened::DrainEnded, "no session is left on jobs-2".to_owned())]
    );
    assert!(drains(&two, &two).is_empty());
}

#[test]
fn a_paused_server_says_so_once_and_keeps_what_was_said() {
    let defaults = Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: "system".to_owned(),
    };
    let validated = validate(&server(), &defaults, false).unwrap();
    let paused = |pods: Option<&Workload>, before: &McpServerStatus| {
        of_paused(&server(), &validated, pods, Vec::new(), before)
    };
    let mut ready = status(Some(&pods(2, 2)), None, &McpServerStatus::default());
    ready.image = Some("image:0".to_owned());
    let now = paused(Some(&pods(1, 2)), &ready);
    assert_eq!(
        shape(&now),
        [
            "Accepted=True/Valid",
            "Degraded=False/AsExpected",
            "Progressing=False/Paused",
            "Ready=False/PodsNotReady"
        ]
    );
    assert_eq!(
        now.image.as_deref(),
        Some("image:0"),
        "the one that was applied last"
    );
    let kind = |before, after| pause(before, after).map(|(happened, _)| happened);
    assert_eq!(kind(&ready, &now), Some(Happened::Paused));
    let still = paused(Some(&pods(1, 2)), &now);
    assert_eq!(still, now, "nothing is written again");
    assert_eq!(kind(&now, &still), None);
    let wrong = say_paused(of_invalid(&server(), "wrong", Vec::new(), &now), &server(), &now);
    assert_eq!(kind(&now, &wrong), None);
    assert!(shape(&wrong).contains(&"Accepted=False/Invalid".to_owned()));
    assert_eq!(kind(&now, &ready), Some(Happened::Resumed));

    // Trouble is not looked at again, so it is not over.
    let missing = status(Some(&pods(2, 2)), Some(&missing_secret()), &ready);
    let held = paused(Some(&pods(2, 2)), &missing);
    assert_eq!(shape(&held)[1], "Degraded=True/SecretNotFound");
    assert_eq!(transition(&missing, &held), None);
    // A spec that was wrong and is right now is looked at.
    let invalid = of_invalid(&server(), "wrong", Vec::new(), &ready);
    assert_eq!(
        shape(&paused(Some(&pods(2, 2)), &invalid))[1],
        "Degraded=False/AsExpected"
    );
    assert_eq!(
        shape(&paused(None, &McpServerStatus::default()))[3],
        "Ready=False/Paused"
    );
}

#[test]
fn what_a_person_should_know_is_told_without_calling_the_server_unready() {
    for (reason, ready) in [
        (Reason::ApiNotInstalled, true),
        (Reason::IngressEndsStreams, true),
        (Reason::IngressClassUnknown, true),
        (Reason::NameConflict, false),
    ] {
        let trouble = Blocked {
            reason,
            message: "look here".to_owned(),
        };
        let before = status(Some(&pods(2, 2)), None, &McpServerStatus::default());
        let after = status(Some(&pods(2, 2)), Some(&trouble), &before);
        let degraded = format!("Degraded=True/{}", reason.as_str());
        assert!(shape(&after).contains(&degraded), "{:?}", shape(&after));
        let is_ready = shape(&after).contains(&"Ready=True/PodsReady".to_owned());
        assert_eq!(is_ready, ready, "{:?}", shape(&after));
        assert_eq!(
            transition(&before, &after),
            Some((Happened::Trouble(reason.as_str()), "look here".to_owned())),
        );
        assert_eq!(transition(&after, &after), None, "told once");
    }
}
