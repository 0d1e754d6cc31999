//! `kill -9` of a pod's process: its own sessions notice at once, everybody else does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use iam_mcp_e2e::{
    helm,
    mcp::{McpClient, SseSession},
    pods::RunningPod,
    poll::{eventually, when},
    sandbox::Sandbox,
    sdk::SdkSessions,
    servers::NAME,
};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{PODS, operator_alone, pods, ready};

/// Sessions on each pod.
const SESSIONS: usize = 4;
/// Callers over Streamable HTTP.
const CALLERS: usize = 4;
/// Time between two calls of one caller.
const PACE: Duration = Duration::from_millis(100);
/// Calls of each after the kill: longer than the killed container is away.
const CALLS_AFTER: u32 = 50;
/// A call without an answer for so long has failed.
const ANSWER: Duration = Duration::from_secs(5);
/// Time in which a client sees that its stream broke.
const BROKEN: Duration = Duration::from_secs(1);

async fn three_pods(subject: &str) -> Sandbox {
    let sandbox = Sandbox::namespace_only(subject, &[]).await;
    let spec = json!({
        "replicas": 3,
        "service": {"sessionAffinity": "None"},
        "jobSearch": {"provider": "Catalogue"},
        "env": [{"name": "RATE_LIMIT", "value": "0"}],
    });
    sandbox.submit(NAME, spec).await;
    ready(&sandbox, NAME).await;
    sandbox
}

fn search() -> Value {
    json!({"name": "search_jobs", "arguments": {"query": "engineer", "num_pages": 1}})
}

async fn open(pod: &RunningPod) -> SseSession {
    let mut session = pod.client.open_sse().await;
    let info = json!({"name": "e2e", "version": "1.0.0"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info});
    session.request(0, "initialize", &hello).await;
    session
}

/// How a caller calls.
enum Caller {
    Http,
    Sse(Box<SseSession>),
}

impl Caller {
    /// One call by way of `replica`.
    async fn call(&mut self, replica: &McpClient, id: u64) -> Result<Value, String> {
        let result = match self {
            Self::Http => timeout(ANSWER, replica.search("engineer")).await,
            Self::Sse(session) => {
                timeout(ANSWER, session.try_request(replica, id, "tools/call", &search())).await
            }
        };
        let result = result.unwrap_or_else(|_| Err("no answer".to_owned()))?;
        if result["isError"] == true {
            return Err(result.to_string());
        }
        Ok(result)
    }

    /// Calls on and on, each time by way of the next replica, until [`CALLS_AFTER`] calls after `killed`.
    /// A call that fails is made once more, by way of the replica after that.
    async fn go_on(mut self, replicas: Vec<McpClient>, killed: Arc<AtomicBool>) -> Outcome {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut outcome = Outcome::default();
        let mut after = 0;
        let mut id = 0;
        let mut next = replicas.iter().cycle();
        while after < CALLS_AFTER {
            pace.tick().await;
            after += u32::from(killed.load(Ordering::Relaxed));
            outcome.calls += 1;
            let mut problems = Vec::new();
            for replica in next.by_ref().take(2) {
                id += 1;
                match self.call(replica, id).await {
                    Ok(_) => break,
                    Err(problem) => problems.push(problem),
                }
            }
            match problems.len() {
                0 => {}
                1 => outcome.again += 1,
                _ => outcome.failed.push(problems),
            }
        }
        outcome
    }
}

/// What became of the calls of a caller.
#[derive(Debug, Default)]
struct Outcome {
    calls: u32,
    /// Those that had to be made twice.
    again: u32,
    failed: Vec<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_sessions_of_the_killed_pod_notice() {
    let _operator = operator_alone().await;
    let sandbox = three_pods("kill").await;
    let running = RunningPod::all(&sandbox, NAME).await;
    let replicas: Vec<McpClient> = running.iter().map(|pod| pod.client.clone()).collect();
    let (victim, others) = running.split_first().expect("three pods");
    let killed = Arc::new(AtomicBool::new(false));

    let mut callers: Vec<JoinHandle<Outcome>> = Vec::new();
    for pod in others {
        for _ in 0..SESSIONS {
            let caller = Caller::Sse(Box::new(open(pod).await));
            callers.push(tokio::spawn(caller.go_on(replicas.clone(), Arc::clone(&killed))));
        }
    }
    for _ in 0..CALLERS {
        callers.push(tokio::spawn(
            Caller::Http.go_on(replicas.clone(), Arc::clone(&killed)),
        ));
    }
    let mut paths = Vec::new();
    let mut streams: Vec<JoinHandle<Instant>> = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = open(victim).await;
        // By way of another pod, as it may be behind a Service.
        let answer = session
            .try_request(&others[0].client, 1, "tools/call", &search())
            .await;
        answer.expect("a session answers before its pod is killed");
        paths.push(session.path.clone());
        streams.push(tokio::spawn(async move {
            session.ended().await;
            Instant::now()
        }));
    }
    assert_eq!(
        victim.sessions().await,
        SESSIONS as u64,
        "sessions of the pod to kill"
    );
    let before = pods(&sandbox, NAME).await;
    assert!(
        streams.iter().all(|stream| !stream.is_finished()),
        "a stream ended before the kill"
    );

    let start = Instant::now();
    victim.kill();
    killed.store(true, Ordering::Relaxed);
    for stream in streams {
        let ended = timeout(BROKEN, stream)
            .await
            .expect("a stream that breaks at once");
        let after = ended.unwrap().duration_since(start);
        assert!(after < BROKEN, "a client saw it after {after:?} only");
    }
    println!("all streams of the killed pod broke within {:?}", start.elapsed());

    // A message for a session that is gone is refused, and soon.
    let lost = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": search()});
    let refused = timeout(ANSWER, others[0].client.post(&paths[0], &lost)).await;
    let (status, body) = refused.expect("an answer in time").expect("an answer");
    assert!([404, 503].contains(&status), "{status}: {body}");

    let mut all = Outcome::default();
    for caller in callers {
        let outcome = caller.await.unwrap();
        all.calls += outcome.calls;
        all.again += outcome.again;
        all.failed.extend(outcome.failed);
    }
    println!("{} calls by others, {} of them made twice", all.calls, all.again);
    assert!(
        all.failed.is_empty(),
        "calls that failed twice: {:#?}",
        all.failed
    );
    eventually(
        PODS,
        "one container, and no other, to be started again",
        || async {
            let now = pods(&sandbox, NAME).await;
            let same = now.keys().eq(before.keys());
            when(same && now.values().sum::<i32>() == 1, now)
        },
    )
    .await;
    ready(&sandbox, NAME).await;
    helm::assert_nothing_forbidden().await;
}

/// Sessions of the SDK, on three pods by chance.
const SDK_SESSIONS: usize = 9;

/// Time in which a client of the SDK reconnects and its next call is answered.
const RESUMED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_client_of_the_typescript_sdk_goes_on_by_itself() {
    let _operator = operator_alone().await;
    let sandbox = three_pods("kill-sdk").await;
    let service = sandbox
        .child::<Service>(NAME, "its address", |service| {
            service
                .spec
                .as_ref()
                .is_some_and(|spec| spec.cluster_ip.is_some())
        })
        .await;
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap();
    let clients = SdkSessions::open(NAME, &address, SDK_SESSIONS, 0.5);
    eventually(Duration::from_mins(1), "all sessions to be open", || async {
        let opened = clients.events_called("opened").len();
        when(opened == SDK_SESSIONS, clients.events())
    })
    .await;

    let mut victim = None;
    for pod in RunningPod::all(&sandbox, NAME).await {
        let sessions = pod.sessions().await;
        if victim.as_ref().is_none_or(|(most, _)| sessions > *most) {
            victim = Some((sessions, pod));
        }
    }
    let (sessions, pod) = victim.expect("three pods");
    let count = usize::try_from(sessions).unwrap();
    pod.kill();
    eventually(RESUMED, "every session of the killed pod to go on", || async {
        let resumed = clients.events_called("resumed").len();
        when(resumed >= count, clients.events())
    })
    .await;

    let slowest = clients
        .events_called("resumed")
        .iter()
        .filter_map(|event| event["ms"].as_u64())
        .max();
    println!("{count} of {SDK_SESSIONS} sessions went on, the slowest after {slowest:?} ms");
    for event in clients.events() {
        assert!(
            !["lost", "gave up"].contains(&event["event"].as_str().unwrap()),
            "{event}"
        );
    }
    assert_eq!(
        clients.events_called("ended").len(),
        count,
        "streams ended that were not the killed pod's: {:#?}",
        clients.events()
    );
    ready(&sandbox, NAME).await;
    helm::assert_nothing_forbidden().await;
}
