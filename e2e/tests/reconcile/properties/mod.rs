//! What holds for any valid spec, against the real API server.

mod dice;
mod edits;
mod foreign;
mod judge;
mod rendered;
mod walk;

use std::{sync::Arc, time::Duration};

use iam_mcp_anyspec::Source;
use iam_mcp_e2e::{
    audit,
    poll::{eventually, steady, when},
    sandbox::Sandbox,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::definitions::{Definition, MONITORS, ROUTES};
use walk::{STEPS, Walk};

/// Walks, unless `E2E_WALKS` says how many; `ops/test --long` makes two hundred.
const WALKS: u64 = 40;
/// Walks at a time.
const AT_A_TIME: usize = 24;
/// The name that specs are generated for; each server gets its own instead.
const GENERATED_FOR: &str = "generated-name";
/// The class of the operator that looks after these servers.
const CLASS: &str = "any";

/// Longer than the operator waits before it writes in a status how far a rollout is.
const CALM: Duration = Duration::from_secs(25);

/// A number of the caller's environment, such as the seed of a walk that failed.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

fn first_seed() -> u64 {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    number("E2E_SEED").unwrap_or_else(|| now.wrapping_mul(1_000_000))
}

/// Specs for a server called `name`, by `seed`, that this cluster can have.
fn specs(source: impl Iterator<Item = Value>, name: &str, count: usize) -> Vec<Value> {
    let specs = source.take(count);
    specs
        .map(|spec| {
            let text = spec.to_string().replace(GENERATED_FOR, name);
            let mut spec = serde_json::from_str(&text).unwrap();
            fit_here(&mut spec);
            spec
        })
        .collect()
}

/// What a spec must be for a server among many others in one cluster.
fn fit_here(spec: &mut Value) {
    spec["operatorClass"] = json!(CLASS);
    // Paused is a step of its own: nothing can be said of the children meanwhile.
    spec.as_object_mut().unwrap().remove("paused");
    // Behind feature gates that are off here: the API server takes them, and leaves them out.
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten() {
        let sources = volume
            .pointer_mut("/projected/sources")
            .and_then(Value::as_array_mut);
        if let Some(sources) = sources {
            sources.retain(|source| {
                source["clusterTrustBundle"].is_null() && source["podCertificate"].is_null()
            });
        }
    }
    let Some(service) = spec.get_mut("service").and_then(Value::as_object_mut) else {
        return;
    };
    // Another server may have the port.
    service.remove("nodePort");
    // Kubernetes lets nobody change it while the type stays.
    if service.get("type") == Some(&json!("LoadBalancer")) {
        service.insert("loadBalancerClass".to_owned(), json!("example.com/one"));
    }
}

/// A namespace whose Deployments make no pods: nothing here needs one, and thousands would come and go.
async fn without_pods(subject: &str) -> Sandbox {
    let sandbox = Sandbox::without_operator(subject).await;
    sandbox
        .create::<ResourceQuota>(json!({"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}))
        .await;
    sandbox
}

/// Writes to the namespace since `start` by the user that the operator and this test are, without events.
fn writes(sandbox: &Sandbox, start: Timestamp) -> Vec<String> {
    let here = format!(" {} ", sandbox.namespace());
    let all = audit::writes_with(sandbox.namespace(), "admin", start).into_iter();
    all.filter(|line| line.contains(&here) && !line.contains(" events "))
        .collect()
}

/// A new operator looks at all `servers`, and writes nothing.
async fn a_second_pass_writes_nothing(sandbox: &mut Sandbox, servers: u64) {
    steady(Duration::from_mins(3), CALM, "writes", || async {
        sandbox.operator().writes().await
    })
    .await;
    sandbox.stop_operator().await;
    let start = Timestamp::now();
    sandbox.start_operator_with(&["--class", CLASS]).await;
    eventually(Duration::from_mins(1), "a look at each server", || async {
        let passes = sandbox.operator().passes().await;
        when(passes >= servers, passes)
    })
    .await;
    sandbox.quiet().await;
    assert_eq!(
        writes(sandbox, start),
        Vec::<String>::new(),
        "a second pass wrote"
    );
}

/// Changes of the spec, edits, deletions, other people's additions, at random; in the end everything that is the operator's
/// is as it would make it, and everything else is as others left it.
///
/// A walk that fails tells its seed: `E2E_SEED=... E2E_WALKS=1` makes that walk again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_walks_end_where_they_should() {
    let _routes = ROUTES.lock().await;
    let _monitors = MONITORS.lock().await;
    let definitions = [Definition::of_routes(), Definition::of_monitors()];
    for definition in &definitions {
        definition.install().await;
    }
    let (seed, count) = (first_seed(), number("E2E_WALKS").unwrap_or(WALKS));
    println!("{count} walks, the first with E2E_SEED={seed}");
    let mut sandbox = without_pods("walks").await;
    sandbox.start_operator_with(&["--class", CLASS]).await;
    let shared = Arc::new(sandbox);
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut walks = JoinSet::new();
    for index in 0..count {
        let (sandbox, places) = (Arc::clone(&shared), Arc::clone(&places));
        let seed = seed.wrapping_add(index);
        let name = format!("walk-{index}");
        let specs = specs(Source::new(GENERATED_FOR, seed), &name, STEPS);
        walks.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let mut walk = Walk::new(&sandbox, &name, seed, specs);
            let end = walk.go().await;
            end.map_err(|problem| {
                format!(
                    "{name}, E2E_SEED={seed} E2E_WALKS=1: {problem}\n    {}",
                    walk.told.join("\n    ")
                )
            })
        });
    }
    let failed: Vec<String> = walks
        .join_all()
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    let mut sandbox = Arc::into_inner(shared).unwrap();
    assert!(
        failed.is_empty(),
        "{} of {count} walks failed:\n{}",
        failed.len(),
        failed.join("\n\n")
    );
    a_second_pass_writes_nothing(&mut sandbox, count).await;
}
