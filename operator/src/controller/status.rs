//! What a person sees in `kubectl get mcps`: computed from what was applied, written only on change.

use iam_mcp_crds::{ConditionType, DrainingPod, McpServer, McpServerStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    build,
    cache::Workload,
    context::Context,
    error::{Blocked, Error},
    events::Happened,
    health::verdict,
    validate::ValidatedServer,
};
use crate::OPERATOR;

/// A condition before it has a time.
struct Verdict {
    type_: ConditionType,
    status: bool,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(type_: ConditionType, status: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            status,
            reason,
            message: message.into(),
        }
    }
}

/// Status of a server whose children were applied. `trouble` is what a person has to see to first,
/// `draining` the pods that drain.
#[must_use]
pub fn of_applied(
    server: &McpServer,
    validated: &ValidatedServer,
    workload: Option<&Workload>,
    draining: Vec<DrainingPod>,
    trouble: Option<&Blocked>,
    previous: &McpServerStatus,
) -> McpServerStatus {
    let none = Workload::default();
    let pods = workload.unwrap_or(&none);
    let complete = workload.is_some_and(Workload::is_complete);
    let accepted = match trouble.filter(|t| t.reason == Reason::ChildRejected) {
        Some(trouble) => Verdict::new(ConditionType::Accepted, false, trouble.reason, &trouble.message),
        None => Verdict::new(ConditionType::Accepted, true, Reason::Valid, "the spec is valid"),
    };
    let verdicts = vec![
        accepted,
        degraded(trouble, pods),
        progressing(pods, complete),
        ready(validated, pods, trouble, workload.is_some()),
    ];
    McpServerStatus {
        observed_generation: server.metadata.generation,
        conditions: with_times(verdicts, server, previous),
        replicas: workload.map(|w| w.replicas),
        ready_replicas: workload.map(|w| w.ready),
        ready_pods: workload.map(|w| format!("{}/{}", w.ready, w.wanted)),
        selector: Some(build::selector_string(&validated.name)),
        url: Some(build::url(validated)),
        image: Some(validated.image.clone()),
        draining_pods: draining,
        server: previous.server.clone(),
        session_affinity: None,
    }
}

/// Status of a server that cannot be built. Its children stay as they were, and so does what was last
/// said of them, apart from the pods that drain.
#[must_use]
pub fn of_invalid(
    server: &McpServer,
    problem: &str,
    draining: Vec<DrainingPod>,
    previous: &McpServerStatus,
) -> McpServerStatus {
    let verdict = |type_, status| Verdict::new(type_, status, Reason::Invalid, problem);
    let verdicts = vec![
        verdict(ConditionType::Accepted, false),
        verdict(ConditionType::Degraded, true),
        verdict(ConditionType::Ready, false),
    ];
    McpServerStatus {
        observed_generation: server.metadata.generation,
        conditions: with_times(verdicts, server, previous),
        draining_pods: draining,
        ..previous.clone()
    }
}

fn degraded(trouble: Option<&Blocked>, pods: &Workload) -> Verdict {
    let verdict =
        |status, reason, message: &str| Verdict::new(ConditionType::Degraded, status, reason, message);
    match trouble {
        Some(trouble) => verdict(true, trouble.reason, &trouble.message),
        None if pods.stuck => verdict(
            true,
            Reason::RolloutStuck,
            "the rollout made no progress within its deadline; the old pods go on serving. Look at the new pods: kubectl describe pods",
        ),
        None => verdict(false, Reason::AsExpected, "nothing needs a person"),
    }
}

fn progressing(pods: &Workload, complete: bool) -> Verdict {
    let verdict = |status, reason, message| Verdict::new(ConditionType::Progressing, status, reason, message);
    if complete {
        verdict(
            false,
            Reason::RolloutComplete,
            "all pods run the current template".to_owned(),
        )
    } else if pods.stuck {
        verdict(
            false,
            Reason::RolloutStuck,
            "the rollout made no progress within its deadline".to_owned(),
        )
    } else {
        let message = format!(
            "{} of {} pods run the current template and are counted",
            pods.updated, pods.wanted
        );
        verdict(true, Reason::RolloutInProgress, message)
    }
}

fn ready(server: &ValidatedServer, pods: &Workload, trouble: Option<&Blocked>, exists: bool) -> Verdict {
    let verdict = |status, reason, message| Verdict::new(ConditionType::Ready, status, reason, message);
    if let Some(trouble) = trouble {
        return verdict(false, trouble.reason, trouble.message.clone());
    }
    if exists && pods.wanted == 0 {
        return verdict(
            false,
            Reason::ScaledToZero,
            "scaled to zero: no pod answers".to_owned(),
        );
    }
    if exists && pods.available >= pods.wanted {
        let message = format!(
            "{} of {} pods are ready; clients connect at {}",
            pods.ready,
            pods.wanted,
            build::url(server)
        );
        return verdict(true, Reason::PodsReady, message);
    }
    let why = pods
        .failure
        .as_deref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    let message = format!(
        "{} of {} pods are ready{why}; see kubectl get pods -n {} -l app={}",
        pods.ready, pods.wanted, server.namespace, server.name
    );
    verdict(false, Reason::PodsNotReady, message)
}

/// A condition's time changes only when its status does.
fn with_times(verdicts: Vec<Verdict>, server: &McpServer, previous: &McpServerStatus) -> Vec<Condition> {
    let now = Time(jiff::Timestamp::now());
    let conditions = verdicts.into_iter().map(|verdict| {
        let status = if verdict.status { "True" } else { "False" };
        let before = condition(previous, verdict.type_).filter(|c| c.status == status);
        Condition {
            type_: verdict.type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.as_str().to_owned(),
            message: verdict.message,
            observed_generation: server.metadata.generation,
            last_transition_time: before.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
        }
    });
    conditions.collect()
}

fn condition(status: &McpServerStatus, type_: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|c| c.type_ == type_.as_str())
}

/// The event that tells of the way from `before` to `after`, if it is worth one.
#[must_use]
pub fn transition(before: &McpServerStatus, after: &McpServerStatus) -> Option<(Happened, String)> {
    let is_true = |c: Option<&Condition>| c.is_some_and(|c| c.status == "True");
    let (was, is) = (
        condition(before, ConditionType::Degraded),
        condition(after, ConditionType::Degraded),
    );
    if let Some(is) = is.filter(|c| c.status == "True") {
        let news =
            !is_true(was) || was.is_some_and(|was| was.reason != is.reason || was.message != is.message);
        let reason = REASONS
            .iter()
            .find(|r| **r == is.reason)
            .copied()
            .unwrap_or("Degraded");
        return news.then(|| (Happened::Trouble(reason), is.message.clone()));
    }
    let (was_ready, is_ready) = (
        condition(before, ConditionType::Ready),
        condition(after, ConditionType::Ready),
    );
    if is_true(is_ready) && !is_true(was_ready) {
        let message = is_ready.map(|c| c.message.clone()).unwrap_or_default();
        return Some((Happened::Ready, message));
    }
    is_true(was).then(|| {
        (
            Happened::Recovered,
            was.map(|c| format!("over: {}", c.message)).unwrap_or_default(),
        )
    })
}

/// The events that tell which pods began to drain, and which ended, from `before` to `after`.
#[must_use]
pub fn drains(before: &McpServerStatus, after: &McpServerStatus) -> Vec<(Happened, String)> {
    let not_in = |pods: &[DrainingPod], other: &[DrainingPod]| -> Vec<DrainingPod> {
        let is_new = |pod: &&DrainingPod| other.iter().all(|known| known.name != pod.name);
        pods.iter().filter(is_new).cloned().collect()
    };
    let started = not_in(&after.draining_pods, &before.draining_pods);
    let ended = not_in(&before.draining_pods, &after.draining_pods);
    let mut events = Vec::new();
    // One event for all of a pass: a rollout of many pods is one happening.
    if !started.is_empty() {
        let each = started.iter().map(
            |DrainingPod {
                 name,
                 until,
                 sessions,
             }| match sessions {
                0 => format!("pod {name} does not say what it serves, and ends by {}", until.0),
                1 => format!("pod {name} serves an open session until {}", until.0),
                _ => format!(
                    "pod {name} serves {sessions} or more open sessions until {}",
                    until.0
                ),
            },
        );
        let note = format!(
            "{}; a pod goes earlier when its sessions end earlier",
            each.collect::<Vec<_>>().join("; ")
        );
        events.push((Happened::DrainStarted, note));
    }
    if !ended.is_empty() {
        let names: Vec<_> = ended.iter().map(|pod| pod.name.as_str()).collect();
        events.push((
            Happened::DrainEnded,
            format!("no session is left on {}", names.join(", ")),
        ));
    }
    events
}

/// Reasons of trouble, as event reasons.
const REASONS: &[&str] = &[
    Reason::ChildRejected.as_str(),
    Reason::Invalid.as_str(),
    Reason::NameConflict.as_str(),
    Reason::ReconcileFailed.as_str(),
    Reason::RolloutStuck.as_str(),
    Reason::SecretKeyNotFound.as_str(),
    Reason::SecretNotFound.as_str(),
];

/// What was last written for `server`, by us or before we started.
#[must_use]
pub fn previous(server: &McpServer, context: &Context) -> McpServerStatus {
    let written = server
        .uid()
        .and_then(|uid| context.statuses.lock().get(&uid).cloned());
    written.or_else(|| server.status.clone()).unwrap_or_default()
}

/// Writes `status` if it differs from `previous`, and the event that goes with it.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn write(
    server: &McpServer,
    status: McpServerStatus,
    previous: &McpServerStatus,
    context: &Context,
) -> Result<(), Error> {
    let uid = server.uid().unwrap_or_default();
    if status == *previous {
        context.statuses.lock().insert(uid, status);
        return Ok(());
    }
    let api: Api<McpServer> =
        Api::namespaced(context.client.clone(), &server.namespace().unwrap_or_default());
    let name = server.name_any();
    let patch = json!({
        "apiVersion": "iam-mcp.dev/v1alpha1",
        "kind": "McpServer",
        "metadata": {"name": name, "uid": uid},
        "status": status,
    });
    context.metrics.write("McpServer", "patch_status");
    let params = PatchParams::apply(OPERATOR).force();
    match api.patch_status(&name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => {}
        // It went while we looked at it, and nobody reads the status of what is gone.
        Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(()),
        Err(error) => return Err(Error::api(format!("write the status of McpServer/{name}"))(error)),
    }
    let events = drains(previous, &status)
        .into_iter()
        .chain(transition(previous, &status))
        .chain(verdict::transition(previous, &status));
    context.statuses.lock().insert(uid, status.clone());
    for (happened, note) in events {
        context.events.publish(server, happened, note).await;
    }
    Ok(())
}
