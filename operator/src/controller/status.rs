//! What a person sees in `kubectl get mcps`: computed from what was applied, written only on change.

use std::time::Duration;

use iam_mcp_crds::{ConditionType, DrainingPod, McpServer, McpServerStatus, Reason, TemplateRecord};
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

/// How long news of a rollout's progress may wait for what it leads to.
const PROGRESS: Duration = Duration::from_secs(15);

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
        None => accepted(validated),
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
        image: pods
            .image
            .as_deref()
            .map(str::to_owned)
            .or_else(|| Some(validated.image.clone())),
        draining_pods: draining,
        template: previous.template.clone(),
        server: previous.server.clone(),
        session_affinity: None,
    }
}

/// Says what the pod template was made from, and whether this operator would render another one.
pub fn tell_template(status: &mut McpServerStatus, record: Option<TemplateRecord>, held_back: bool) {
    status.template = record;
    let complete = Reason::RolloutComplete.as_str();
    let progressing = status.conditions.iter_mut().find(|condition| {
        held_back && condition.type_ == ConditionType::Progressing.as_str() && condition.reason == complete
    });
    if let Some(condition) = progressing {
        Reason::UpdateHeldBack.as_str().clone_into(&mut condition.reason);
        "all pods run the template of an earlier operator; they get the current one with the next change of the \
         spec, or when the operator runs with --roll-default-image"
            .clone_into(&mut condition.message);
    }
}

/// Status of a server that says that nothing may be changed. What was last said of trouble stays, and so does
/// what was last applied.
#[must_use]
pub fn of_paused(
    server: &McpServer,
    validated: &ValidatedServer,
    workload: Option<&Workload>,
    draining: Vec<DrainingPod>,
    previous: &McpServerStatus,
) -> McpServerStatus {
    // Nothing is looked at while it is paused, so nothing can have become better.
    let trouble = condition(previous, ConditionType::Degraded)
        .filter(|known| known.status == "True")
        .and_then(|known| {
            let stays = [
                Reason::ChildRejected,
                Reason::NameConflict,
                Reason::SecretKeyNotFound,
                Reason::SecretNotFound,
            ];
            let reason = stays.into_iter().find(|reason| reason.as_str() == known.reason)?;
            Some(Blocked {
                reason,
                message: known.message.clone(),
            })
        });
    let mut status = of_applied(server, validated, workload, draining, trouble.as_ref(), previous);
    if workload.is_none() {
        let why = format!("nothing was made yet: {PAUSED}");
        let verdict = Verdict::new(ConditionType::Ready, false, Reason::Paused, why);
        put(&mut status, with_times(vec![verdict], server, previous));
    }
    say_paused(
        McpServerStatus {
            url: previous.url.clone(),
            image: previous.image.clone(),
            ..status
        },
        server,
        previous,
    )
}

const PAUSED: &str = "spec.paused is true, so nothing is changed and drift stays until it is false or gone";

/// `status`, and that nothing may be changed.
#[must_use]
pub fn say_paused(
    mut status: McpServerStatus,
    server: &McpServer,
    previous: &McpServerStatus,
) -> McpServerStatus {
    let verdict = Verdict::new(ConditionType::Progressing, false, Reason::Paused, PAUSED);
    put(&mut status, with_times(vec![verdict], server, previous));
    status
}

fn put(status: &mut McpServerStatus, conditions: Vec<Condition>) {
    for condition in conditions {
        match status.conditions.iter_mut().find(|c| c.type_ == condition.type_) {
            Some(place) => *place = condition,
            None => status.conditions.push(condition),
        }
    }
}

/// A valid spec, and what to know of it.
fn accepted(validated: &ValidatedServer) -> Verdict {
    let message = match &validated.pods.note {
        Some(note) => format!("the spec is valid; {note}"),
        None => "the spec is valid".to_owned(),
    };
    Verdict::new(ConditionType::Accepted, true, Reason::Valid, message)
}

/// The event that tells that a server was paused, or is no longer, from `before` to `after`.
#[must_use]
pub fn pause(before: &McpServerStatus, after: &McpServerStatus) -> Option<(Happened, String)> {
    let paused = |status| {
        condition(status, ConditionType::Progressing).filter(|c| c.reason == Reason::Paused.as_str())
    };
    match (paused(before), paused(after)) {
        (None, Some(now)) => Some((Happened::Paused, now.message.clone())),
        (Some(_), None) => Some((Happened::Resumed, "spec.paused is true no longer".to_owned())),
        _ => None,
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
    if let Some(trouble) = trouble.filter(|trouble| !trouble.reason.leaves_ready()) {
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
    Reason::ApiNotInstalled.as_str(),
    Reason::ChildRejected.as_str(),
    Reason::IngressClassUnknown.as_str(),
    Reason::IngressEndsStreams.as_str(),
    Reason::Invalid.as_str(),
    Reason::NameConflict.as_str(),
    Reason::ReconcileFailed.as_str(),
    Reason::ReleaseUnsupported.as_str(),
    Reason::RolloutStuck.as_str(),
    Reason::SecretKeyNotFound.as_str(),
    Reason::SecretNotFound.as_str(),
];

/// What was last written for `server`, by us or before we started.
#[must_use]
pub fn previous(server: &McpServer, context: &Context) -> McpServerStatus {
    let written = server.uid().and_then(|uid| context.statuses.get(&uid));
    written.or_else(|| server.status.clone()).unwrap_or_default()
}

/// As [`write`], but a change that says nothing but how far a rollout is may wait: most often what it leads to follows
/// soon, and one write tells both. Answers how long it waits.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn write_in_time(
    server: &McpServer,
    status: McpServerStatus,
    previous: &McpServerStatus,
    context: &Context,
) -> Result<Option<Duration>, Error> {
    let uid = server.uid().unwrap_or_default();
    if status != *previous
        && is_progress(previous, &status)
        && let Some(waits) = context.statuses.wait(&uid, PROGRESS)
    {
        return Ok(Some(waits));
    }
    context.statuses.waits_no_more(&uid);
    write(server, status, previous, context).await?;
    Ok(None)
}

/// Whether nothing differs but the number of pods that exist, and the sentences that tell of it.
fn is_progress(previous: &McpServerStatus, status: &McpServerStatus) -> bool {
    let counts = [ConditionType::Progressing.as_str(), ConditionType::Ready.as_str()];
    let told = |condition: &Condition| {
        let mut told = condition.clone();
        if counts.contains(&told.type_.as_str()) {
            told.message.clear();
        }
        told
    };
    let but_for_progress = |status: &McpServerStatus| McpServerStatus {
        replicas: None,
        conditions: status.conditions.iter().map(told).collect(),
        ..status.clone()
    };
    but_for_progress(previous) == but_for_progress(status)
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
    context.statuses.writing(&uid);
    let written = api.patch_status(&name, &params, &Patch::Apply(&patch)).await;
    let version = written
        .as_ref()
        .ok()
        .map(|server| server.resource_version().unwrap_or_default());
    context
        .statuses
        .written(&uid, version.map(|version| (status.clone(), version)));
    match written {
        Ok(_) => {}
        // It went while we looked at it, and nobody reads the status of what is gone.
        Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(()),
        Err(error) => return Err(Error::api(format!("write the status of McpServer/{name}"))(error)),
    }
    let events = drains(previous, &status)
        .into_iter()
        .chain(pause(previous, &status))
        .chain(transition(previous, &status))
        .chain(verdict::transition(previous, &status));
    for (happened, note) in events {
        context.events.publish(server, happened, note).await;
    }
    Ok(())
}
