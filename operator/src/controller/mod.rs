//! The controller: one reconcile is dereference → validate → build → apply → status.

pub mod adopt;
pub mod apis;
pub mod apply;
pub mod build;
pub mod cache;
pub mod context;
pub mod dereference;
pub mod drift;
pub mod error;
pub mod events;
pub mod health;
pub mod index;
pub mod key_care;
pub mod key_kinds;
pub mod key_secrets;
pub mod keys;
pub mod kinds;
mod listing;
pub mod live;
pub mod memory;
pub mod named;
pub mod owned;
pub mod pod_security;
pub mod pods;
pub mod quantity;
pub mod references;
pub mod replicas;
pub mod roll;
pub mod rotation;
pub mod servers;
pub mod skew;
pub mod status;
pub mod statuses;
pub mod stored;
pub mod strategic;
pub mod template;
pub mod uid;
pub mod validate;
pub mod watch;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use iam_mcp_crds::{DrainingPod, McpServer, McpServerStatus, Reason};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource as _, ResourceExt as _,
    runtime::{
        Predicate as _, PredicateConfig, WatchStreamExt as _,
        controller::{self, Action, Controller},
        predicates, reflector,
        reflector::ObjectRef,
        watcher::Event,
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span, field::Empty};

use apply::{Owner, Report};
use cache::Workload;
use context::{Context, full_name, jitter};
use error::{Blocked, Error};
use events::Happened;
use health::{Rounds, gatekeeper::Gatekeeper};
use kinds::ChildKind;
use pods::Fleet;
use servers::{Guarded, Listed};
use watch::chain;

/// Reconciles that may run at once: enough to hide round trips, few enough for memory and for the
/// API server's fairness.
const CONCURRENCY: u16 = 16;
/// Longest reconcile: kube has no read timeout of its own, and a hung call must not hold a place.
const RECONCILE_LIMIT: Duration = Duration::from_secs(30);
/// A server is looked at again after this long even if nothing happened, plus up to half of it.
const RESYNC: Duration = Duration::from_mins(30);

/// A server with a child in the way is looked at again after this long: an object of somebody else's
/// has no label of ours, so no watch tells when it goes.
const BLOCKED: Duration = Duration::from_secs(8);

/// Runs the controller until `stop`; `on_synced` is called when the caches are filled.
pub async fn run(
    context: Arc<Context>,
    namespaces: &[String],
    stop: CancellationToken,
    on_synced: impl FnOnce(),
) {
    let watches = watch::start(&context, namespaces, &stop);
    for synced in &watches.synced {
        tokio::select! {
            () = stop.cancelled() => return,
            () = synced.cancelled() => {}
        }
    }
    on_synced();
    tracing::info!(children = context.children.len(), "caches are filled");

    let (reader, writer) = reflector::store();
    let listed = Arc::new(Listed::default());
    let servers = servers::changes(&context.client, namespaces, context.class.as_deref(), &listed)
        .reflect(writer)
        .inspect_ok({
            let (context, listed) = (Arc::clone(&context), Arc::clone(&listed));
            move |event| match event {
                Event::Delete(server) if listed.is_elsewhere(&full_name(server.meta())) => {
                    context.let_go(server.meta());
                }
                Event::Delete(server) => context.forget(server.meta()),
                Event::Apply(server) => {
                    let (uid, version) = (server.uid(), server.resource_version());
                    context
                        .statuses
                        .seen(&uid.unwrap_or_default(), &version.unwrap_or_default());
                }
                _ => {}
            }
        })
        .applied_objects()
        // Our own status writes leave both alone. An annotation asks for a new session key.
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            PredicateConfig::default(),
        );

    let wake_ups = tokio_stream::wrappers::ReceiverStream::new(watches.wake_ups)
        .map(|server| ObjectRef::<Guarded>::new(&server.name).within(&server.namespace.unwrap_or_default()));
    let of_the_roll = stream::iter(context.take_wake_ups())
        .flat_map(tokio_stream::wrappers::UnboundedReceiverStream::new)
        .map(|(namespace, name)| ObjectRef::<Guarded>::new(&name).within(&namespace));
    let rounds = Rounds::new(Arc::clone(&context), reader.clone(), watches.wake.clone());
    let asking = rounds.run(&stop);
    let gatekeeper = Gatekeeper::new(Arc::clone(&context), reader.clone());
    let gatekeeping = gatekeeper.run(&stop);
    let fleet = Fleet::new(Arc::clone(&context), reader.clone(), listed, watches.wake);
    let looking_after_pods = fleet.run(&stop);
    let reconciling = Controller::for_stream(servers, reader)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_on(wake_ups)
        .reconcile_on(of_the_roll)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, after_failure, context)
        .for_each(|result| {
            // A wake-up for a server that is gone is nothing; failures were told by `after_failure`.
            if let Err(controller::Error::QueueError(error)) = result {
                tracing::warn!(error = %chain(&error), "the watch of McpServers failed and is tried again");
            }
            std::future::ready(())
        });
    // In one task: whoever drops this, because the Lease is lost, stops them all.
    tokio::join!(reconciling, looking_after_pods, asking, gatekeeping);
}

/// One reconcile, which is one trace.
async fn reconcile(server: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    // At this level it is made for traces, or for whoever debugs.
    let span = debug_span!(
        "reconcile",
        otel.status_code = Empty,
        error.r#type = Empty,
        k8s.namespace.name = server.namespace(),
        mcpserver = server.name_any(),
        generation = server.meta().generation,
    );
    let told = span.clone();
    let outcome = Box::pin(look_after(server, context)).instrument(span).await;
    if let Err(error) = &outcome {
        told.record("otel.status_code", "ERROR");
        told.record("error.type", error.category());
    }
    outcome
}

async fn look_after(server: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let server = match server.read() {
        Ok(server) => server,
        Err(error) => {
            tracing::error!(
                name = server.name_any(), namespace = server.namespace(), %error,
                "an McpServer cannot be read and is left alone until it changes"
            );
            return Ok(Action::await_change());
        }
    };
    if server.meta().deletion_timestamp.is_some() {
        // Children go by owner reference; making one anew now would only hold up the deletion.
        context.forget(server.meta());
        return Ok(Action::await_change());
    }
    let timer = context.metrics.reconcile_started();
    let outcome = match tokio::time::timeout(RECONCILE_LIMIT, pass(&server, &context)).await {
        Ok(Err(error)) if error.namespace_is_going() => Ok(RESYNC),
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Timeout(RECONCILE_LIMIT)),
    };
    timer.finished(outcome.as_ref().err().map(Error::category));
    let again = outcome?;
    context.failures.lock().remove(&server.uid().unwrap_or_default());
    let millis = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
    Ok(Action::requeue(again + Duration::from_millis(jitter(millis / 2))))
}

/// One pass over one server; answers when to look again if nothing happens.
async fn pass(server: &McpServer, context: &Context) -> Result<Duration, Error> {
    let previous = status::previous(server, context);
    let Some(mut owner) = Owner::of(server, &previous) else {
        return Ok(RESYNC);
    };
    let draining = || context.pods.draining(&full_name(&server.metadata));
    if server.spec.paused == Some(true) {
        return paused(server, &owner, draining(), &previous, context).await;
    }
    let references = dereference::dereference(server, context)
        .instrument(debug_span!("dereference"))
        .await?;
    let settled = validate::validate(server, &context.defaults, references.hpa_targets_deployment).and_then(
        |mut validated| {
            validated.pod_monitors_served = references.served.has(ChildKind::PodMonitor);
            validated.settle_claims(server.spec.rollout.as_deref(), &references.claims)?;
            Ok(validated)
        },
    );
    let mut validated = match settled {
        Ok(validated) => validated,
        Err(invalid) => {
            let mut status = status::of_invalid(server, &invalid.to_string(), draining(), &previous);
            health::look(
                server,
                context.workload(server).as_ref(),
                &mut status,
                &previous,
                context,
            );
            status::write(server, status, &previous, context).await?;
            return Ok(RESYNC);
        }
    };
    health::affinity::resolve(&mut validated, context, &previous);
    let resolved = references::resolve(&validated, &owner, references.secrets, &previous, context).await?;
    owner.template.references.clone_from(&resolved.digest);
    validated.references = resolved.digest;
    let reference = serde_json::to_value(&owner.reference)?;
    let children = kinds::in_order(build::build(&validated), Some(&reference))?;
    let mut report = apply::apply(context, &owner, &children, references.served)
        .instrument(debug_span!("apply"))
        .await;
    if resolved.made_keys {
        report
            .created
            .push(format!("Secret/{}", build::keys_secret_name(&owner.name)));
    }
    tell(server, &report, context).await;

    let failing = report
        .failed
        .as_ref()
        .and_then(|error| persistent(server, error, context));
    let missing = apis::missing(&report.missing);
    let notice = build::ingress_notice(&validated);
    let image = report.workload.as_ref().and_then(|pods| pods.image.as_deref());
    let skew =
        skew::Release::own().and_then(|own| skew::notice(server, image, previous.server.as_ref(), own));
    let trouble = report
        .blocked
        .first()
        .or(references.secret_problem.as_ref())
        .or(failing.as_ref())
        .or(missing.as_ref())
        .or(notice.as_ref())
        .or(skew.as_ref());
    let workload = report.workload.as_ref();
    let mut status = status::of_applied(server, &validated, workload, draining(), trouble, &previous);
    health::look(server, workload, &mut status, &previous, context);
    status::tell_template(&mut status, report.template, report.held_back);
    if !report.held_back {
        let complete = workload.is_some_and(Workload::is_complete);
        let failing = trouble.is_some_and(|trouble| !trouble.reason.leaves_ready())
            || workload.is_some_and(|pods| pods.stuck)
            || health::is_broken(&status);
        let name = full_name(&server.metadata);
        context.wake(context.roll.note(&name, complete, failing));
    }
    context.metrics.fleet(context.roll.progress());
    let waits = status::write_in_time(server, status, &previous, context)
        .instrument(debug_span!("status"))
        .await?;
    let again = match report.failed {
        Some(error) => return Err(error),
        // Nothing tells of a claim that appears.
        None if !report.blocked.is_empty() || references.claims.values().any(Option::is_none) => BLOCKED,
        None => report.rotation.again.unwrap_or(RESYNC),
    };
    Ok(waits.map_or(again, |waits| again.min(waits)))
}

/// A server that says that nothing may be changed: only its status follows what happens.
async fn paused(
    server: &McpServer,
    owner: &Owner,
    draining: Vec<DrainingPod>,
    previous: &McpServerStatus,
    context: &Context,
) -> Result<Duration, Error> {
    let workload = apply::workload(context, owner);
    // Whether an HPA has the pods matters to what is written only.
    let mut status = match validate::validate(server, &context.defaults, false) {
        Ok(validated) => status::of_paused(server, &validated, workload.as_ref(), draining, previous),
        Err(invalid) => {
            let status = status::of_invalid(server, &invalid.to_string(), draining, previous);
            status::say_paused(status, server, previous)
        }
    };
    // It may change nothing, and is as well or as ill as before.
    health::look(server, workload.as_ref(), &mut status, previous, context);
    status::write(server, status, previous, context).await?;
    Ok(RESYNC)
}

/// A failure that has come again and again is told in the status; one that passes is not.
fn persistent(server: &McpServer, error: &Error, context: &Context) -> Option<Blocked> {
    const TOLD_AFTER: u32 = 2;
    let failures = context
        .failures
        .lock()
        .get(&server.uid().unwrap_or_default())
        .copied()
        .unwrap_or_default();
    (failures >= TOLD_AFTER).then(|| Blocked {
        reason: Reason::ReconcileFailed,
        message: format!("{}; it is tried again", chain(error)),
    })
}

/// One event for each way in which children were written.
async fn tell(server: &McpServer, report: &Report, context: &Context) {
    let name = server.name_any();
    if !report.created.is_empty() {
        context
            .events
            .publish(
                server,
                Happened::Created,
                format!("made {}", report.created.join(", ")),
            )
            .await;
    }
    if !report.updated.is_empty() {
        context
            .events
            .publish(
                server,
                Happened::Updated,
                format!("updated {}", report.updated.join(", ")),
            )
            .await;
    }
    if !report.adopted.is_empty() {
        let note = format!(
            "took back {}: they belonged to a McpServer of this name that is gone",
            report.adopted.join(", ")
        );
        context.events.publish(server, Happened::Adopted, note).await;
    }
    if !report.pruned.is_empty() {
        let note = format!("deleted {}, no longer asked for", report.pruned.join(", "));
        context.events.publish(server, Happened::Pruned, note).await;
    }
    for (happened, note) in &report.rotation.told {
        context.events.publish(server, *happened, note.clone()).await;
    }
    for repair in &report.repaired {
        let namespace = server.namespace();
        let note = format!(
            "{}. Change the McpServer instead: kubectl edit mcps {name} -n {}",
            repair.sentence,
            namespace.as_deref().unwrap_or_default()
        );
        tracing::warn!(server = name, note, "drift repaired");
        let child = ObjectReference {
            kind: Some(repair.kind.as_str().to_owned()),
            name: Some(name.clone()),
            namespace,
            field_path: repair.field.clone(),
            ..ObjectReference::default()
        };
        context
            .events
            .publish_about(server, Happened::DriftRepaired, note, Some(child))
            .await;
    }
}

/// Tells of a failure and chooses when to try again.
#[expect(clippy::needless_pass_by_value, reason = "kube's signature")]
fn after_failure(server: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let uid = server.uid().unwrap_or_default();
    let again = context.backoff(&uid);
    tracing::warn!(
        server = server.name_any(), namespace = server.namespace(), category = error.category(),
        error = %chain(error), again_in_ms = again.as_millis(), "a reconcile failed"
    );
    Action::requeue(again)
}
