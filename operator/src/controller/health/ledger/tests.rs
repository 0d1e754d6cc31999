use iam_mcp_crds::{McpServerStatus, ObservedServer};
use serde_json::json;
use tokio::time::{Duration, advance};

use super::{
    super::{
        Unauthorized,
        tools::Tools,
        verdict::{About, show},
    },
    *,
};

const INTERVAL: Duration = Duration::from_mins(5);
const FACTS: Facts = Facts {
    verify: Verify::Probe,
    generation: Some(1),
    complete: true,
    wanted: true,
};

fn name() -> Name {
    ("n".to_owned(), "jobs".to_owned())
}

fn said(tools: &[&str]) -> Said {
    let tools: Vec<_> = tools.iter().map(|name| json!({"name": name})).collect();
    let tools = Tools::new(serde_json::from_value(json!(tools)).unwrap());
    Said::bounded("jobs", "1", &["2026-07-28".to_owned()], tools, None)
}

fn ledger(facts: Facts) -> Ledger {
    let ledger = Ledger::new(INTERVAL);
    ledger.note(&name(), facts, &McpServerStatus::default());
    ledger
}

/// Waits for the next visit; gives how long that took.
async fn next(ledger: &Ledger) -> (Duration, Visit) {
    let start = Instant::now();
    let visit = ledger.next_due().await;
    (start.elapsed(), visit)
}

fn word(ledger: &Ledger) -> &'static str {
    ledger
        .verdict(&name())
        .map_or("none", |verdict| verdict.outcome.word())
}

fn broken() -> Result<Said, Option<Failure>> {
    Err(Some(Failure::Timeout))
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_when_it_comes_twice_and_within_one_interval() {
    let ledger = ledger(FACTS);
    next(&ledger).await;
    assert!(ledger.record(&name(), Some("a"), Ok(said(&["x"])), None).status);
    assert_eq!(word(&ledger), "True");

    let (first, visit) = next(&ledger).await;
    assert!(first >= INTERVAL / 2 && !visit.failed, "{first:?}");
    assert!(
        !ledger.record(&name(), Some("a"), broken(), None).status,
        "it may be a moment's"
    );
    assert_eq!(word(&ledger), "True");
    let (second, visit) = next(&ledger).await;
    assert!(first + second < INTERVAL, "{first:?} and {second:?}");
    assert_eq!((visit.last.as_deref(), visit.failed), (Some("a"), true));
    assert!(ledger.record(&name(), Some("a"), broken(), None).status);
    assert_eq!(word(&ledger), "False");

    next(&ledger).await;
    assert!(
        !ledger.record(&name(), Some("a"), broken(), None).status,
        "no news"
    );
    next(&ledger).await;
    assert!(
        ledger.record(&name(), Some("a"), Ok(said(&["x"])), None).status,
        "one answer is enough"
    );
    assert_eq!(word(&ledger), "True");
}

#[tokio::test(start_paused = true)]
async fn rounds_without_news_are_no_news() {
    let ledger = ledger(FACTS);
    for round in 0..20 {
        next(&ledger).await;
        let news = ledger.record(&name(), Some("a"), Ok(said(&["x", "y"])), None);
        assert_eq!(
            (news.status, news.tools.is_some()),
            (round == 0, false),
            "round {round}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_a_credential_is_not_broken() {
    let ledger = ledger(FACTS);
    next(&ledger).await;
    let news = ledger.record(
        &name(),
        Some("a"),
        Err(Some(Failure::NotAuthorized(Unauthorized::Refused))),
        None,
    );
    assert!(news.status, "at once");
    assert_eq!(word(&ledger), "Unknown");
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nobody_to_ask_is_told_of_who_was_asked_before() {
    let ledger = ledger(FACTS);
    next(&ledger).await;
    assert!(
        !ledger.record(&name(), None, Err(None), None).status,
        "its pods start"
    );
    assert_eq!(word(&ledger), "none");
    next(&ledger).await;
    ledger.record(&name(), Some("a"), Ok(said(&[])), None);
    next(&ledger).await;
    assert!(ledger.record(&name(), None, Err(None), None).status);
    assert_eq!(word(&ledger), "Unknown");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_followed_by_a_question_soon() {
    let ledger = ledger(Facts {
        complete: false,
        ..FACTS
    });
    advance(Duration::from_millis(1)).await;
    ledger.note(&name(), FACTS, &McpServerStatus::default());
    let (soon, _) = next(&ledger).await;
    assert!(soon <= Duration::from_secs(3), "{soon:?}");
    ledger.record(&name(), Some("a"), Ok(said(&[])), None);
    assert_eq!(ledger.verdict(&name()).unwrap().generation, Some(1));

    // A change that needs new pods: what answers meanwhile are the old ones.
    let changed = Facts {
        generation: Some(2),
        complete: false,
        ..FACTS
    };
    ledger.note(&name(), changed, &McpServerStatus::default());
    let (later, _) = next(&ledger).await;
    assert!(later > INTERVAL / 2, "{later:?}");
    assert!(!ledger.record(&name(), Some("a"), Ok(said(&[])), None).status);
    assert_eq!(ledger.verdict(&name()).unwrap().generation, Some(1));
    let over = Facts {
        complete: true,
        ..changed
    };
    ledger.note(&name(), over, &McpServerStatus::default());
    let (soon, _) = next(&ledger).await;
    assert!(soon <= Duration::from_secs(3), "{soon:?}");
    // While it is asked, the spec changes in a way that needs no pods.
    let again = Facts {
        generation: Some(3),
        ..over
    };
    ledger.note(&name(), again, &McpServerStatus::default());
    assert!(ledger.record(&name(), Some("a"), Ok(said(&[])), None).status);
    let (soon, _) = next(&ledger).await;
    assert!(soon <= Duration::from_secs(3), "{soon:?}");
}

/// What an operator that starts anew has to say is what stands there already.
#[tokio::test(start_paused = true)]
async fn a_start_changes_no_status() {
    let about = About {
        verify: Verify::Probe,
        wanted: Some(1),
        generation: Some(1),
    };
    let before = ledger(FACTS);
    next(&before).await;
    before.record(&name(), Some("a"), Ok(said(&["x"])), None);
    let mut status = McpServerStatus::default();
    show(
        &mut status,
        about,
        before.verdict(&name()).as_ref(),
        &McpServerStatus::default(),
    );

    let after = Ledger::new(INTERVAL);
    after.note(&name(), FACTS, &status);
    assert_eq!(after.counts().good, 1, "counted before it is asked");
    next(&after).await;
    let news = after.record(&name(), Some("b"), Ok(said(&["x"])), Some(&status));
    assert!(news.tools.is_none());
    let mut now = McpServerStatus {
        server: status.server.clone(),
        ..McpServerStatus::default()
    };
    show(&mut now, about, after.verdict(&name()).as_ref(), &status);
    assert_eq!(now, status);
}

#[tokio::test(start_paused = true)]
async fn a_lost_tool_is_news_across_a_start_too() {
    let ledger = ledger(FACTS);
    let shown = McpServerStatus {
        server: Some(ObservedServer {
            tools: 2,
            tools_digest: Some("0".repeat(16)),
            ..ObservedServer::default()
        }),
        ..McpServerStatus::default()
    };
    next(&ledger).await;
    let news = ledger.record(&name(), Some("a"), Ok(said(&["x"])), Some(&shown));
    assert_eq!(news.tools.unwrap().kind, "lost");
    next(&ledger).await;
    let news = ledger.record(&name(), Some("a"), Ok(said(&["y"])), Some(&shown));
    assert!(news.tools.unwrap().note.contains("lost: x; new: y"));
    // A failure in between does not make it forget.
    next(&ledger).await;
    ledger.record(&name(), Some("a"), broken(), Some(&shown));
    next(&ledger).await;
    let news = ledger.record(&name(), Some("a"), Ok(said(&["y"])), Some(&shown));
    assert!(news.tools.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_is_not_to_be_asked_is_not_counted() {
    for facts in [
        Facts {
            verify: Verify::Off,
            ..FACTS
        },
        Facts {
            wanted: false,
            ..FACTS
        },
    ] {
        let ledger = ledger(FACTS);
        assert_eq!(ledger.counts().unknown, 1);
        ledger.note(&name(), facts, &McpServerStatus::default());
        assert_eq!(ledger.counts(), Counts::default());
        let asked = tokio::time::timeout(INTERVAL * 2, ledger.next_due()).await;
        assert!(asked.is_err());
        // An answer that comes late.
        assert!(!ledger.record(&name(), Some("a"), Ok(said(&[])), None).status);
    }
    let never = Ledger::new(Duration::ZERO);
    never.note(&name(), FACTS, &McpServerStatus::default());
    assert_eq!(never.counts(), Counts::default());
}

/// The memory of a fleet: one copy of what all say, and little else for each.
#[tokio::test(start_paused = true)]
async fn ten_thousand_servers_share_what_they_say() {
    let ledger = Ledger::new(INTERVAL);
    for number in 0..10_000 {
        let name = ("n".to_owned(), format!("s{number}"));
        ledger.note(&name, FACTS, &McpServerStatus::default());
    }
    // Some come twice before the last comes once.
    while ledger.counts().good < 10_000 {
        let (_, visit) = next(&ledger).await;
        ledger.record(
            &visit.server,
            Some("s-7d9c5b7d4f-abcde"),
            Ok(said(&["x", "y"])),
            None,
        );
    }
    assert!(size_of::<Entry>() <= 200, "{}", size_of::<Entry>());
    let inner = ledger.inner.lock();
    let mut said = inner.servers.values().filter_map(|entry| entry.said.as_ref());
    let first = said.next().unwrap();
    assert!(said.all(|other| Arc::ptr_eq(first, other)));
}
