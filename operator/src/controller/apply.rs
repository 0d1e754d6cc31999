//! Makes the cluster agree with the children that a server should have: applies what differs, deletes
//! what is no longer wanted, writes nothing else.

use futures::future::join_all;
use iam_mcp_crds::{McpServer, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Resource as _, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use super::{
    apis::Served,
    cache::{ChildRef, Observed, Workload, controller_uid},
    context::Context,
    drift::Repair,
    error::{Blocked, Error},
    keys,
    kinds::{Child, ChildKind},
    memory::Applied,
    replicas,
};
use crate::OPERATOR;

/// The server whose children are applied.
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The owner reference of its children.
    pub reference: OwnerReference,
    /// The wish for a new session key, see [`keys::ROTATE`].
    pub rotate: Option<String>,
}

impl Owner {
    /// The owner that `server` is; `None` for an object that never was in a cluster.
    #[must_use]
    pub fn of(server: &McpServer) -> Option<Self> {
        Some(Self {
            name: server.name_any(),
            namespace: server.namespace()?,
            uid: server.uid()?,
            reference: server.controller_owner_ref(&()).map(|reference| OwnerReference {
                // A delete in the foreground waits for the children.
                block_owner_deletion: Some(true),
                ..reference
            })?,
            rotate: server.annotations().get(keys::ROTATE).cloned(),
        })
    }

    fn child(&self, kind: ChildKind) -> ChildRef {
        ChildRef {
            kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// What applying came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Children that were made.
    pub created: Vec<String>,
    /// Children that were changed because the resource had changed.
    pub updated: Vec<String>,
    /// Children that somebody had changed or deleted.
    pub repaired: Vec<Repair>,
    /// Children that were deleted because they are no longer wanted.
    pub pruned: Vec<String>,
    /// Children that cannot be made until a person acts.
    pub blocked: Vec<Blocked>,
    /// Kinds that were asked for, and that the cluster lacks.
    pub missing: Vec<ChildKind>,
    /// The first failed call, if any; the other children were still applied.
    pub failed: Option<Error>,
    /// State of the pods, as far as known.
    pub workload: Option<Workload>,
    /// What became of a rotation of the session key.
    pub rotation: keys::Rotation,
}

enum Change {
    None,
    Created,
    Updated,
    Repaired(Repair),
    Blocked(Blocked),
}

/// Applies `children` of `owner`, as far as the cluster has their kinds, and prunes the kinds that are not among them.
pub async fn apply(context: &Context, owner: &Owner, children: &[Child], apis: Served) -> Report {
    let mut report = Report::default();
    let (possible, missing): (Vec<_>, Vec<_>) = children.iter().partition(|c| apis.has(c.kind));
    for child in missing {
        // Gone with its kind: that it is made again when the kind comes back is no repair.
        context.memory.remove(&owner.uid, child.kind);
        report.missing.push(child.kind);
    }
    // Identity and keys first: pods cannot start without them. And the policy, so that none starts unguarded.
    let is_first = |kind| matches!(kind, ChildKind::ServiceAccount | ChildKind::NetworkPolicy);
    let (first, rest): (Vec<_>, Vec<_>) = possible.into_iter().partition(|c| is_first(c.kind));
    let keys_name = super::build::keys_secret_name(&owner.name);
    match ensure_keys(context, owner, children).await {
        Ok(keys::Outcome::Unchanged(secret)) => {
            let server = (owner.namespace.clone(), owner.name.clone());
            context.pods.set_drain_keys(&server, || keys::drain_keys(&secret));
            match keys::rotate(context, owner, &secret).await {
                Ok(rotation) => report.rotation = rotation,
                Err(error) => report.failed = Some(error),
            }
        }
        Ok(keys::Outcome::Created) => {
            context.metrics.write("Secret", "create");
            report.created.push(format!("Secret/{keys_name}"));
        }
        Ok(keys::Outcome::Blocked(blocked)) => report.blocked.push(blocked),
        Err(error) => report.failed = Some(error),
    }
    for stage in [first, rest] {
        let outcomes = join_all(stage.iter().map(|child| apply_one(context, owner, child))).await;
        for (child, outcome) in stage.iter().zip(outcomes) {
            match outcome {
                // It goes with its kind, which went meanwhile and so wakes us again: that is nobody's edit.
                Ok(Change::Repaired(_)) if !context.apis.now().has(child.kind) => {
                    context.memory.remove(&owner.uid, child.kind);
                }
                Ok(Change::None) => {}
                Ok(Change::Created) => report.created.push(child.title()),
                Ok(Change::Updated) => report.updated.push(child.title()),
                Ok(Change::Repaired(what)) => {
                    context.metrics.drift_repaired(child.kind.as_str());
                    report.repaired.push(what);
                }
                Ok(Change::Blocked(blocked)) => report.blocked.push(blocked),
                Err(error) => {
                    report.failed.get_or_insert(error);
                }
            }
        }
    }
    for kind in ChildKind::ALL
        .into_iter()
        .filter(|kind| apis.has(*kind) && children.iter().all(|c| c.kind != *kind))
    {
        match prune(context, owner, kind).await {
            Ok(true) => report.pruned.push(format!("{}/{}", kind.as_str(), owner.name)),
            Ok(false) => {}
            Err(error) => {
                report.failed.get_or_insert(error);
            }
        }
    }
    report.workload = context
        .children
        .get(&owner.child(ChildKind::Deployment))
        .and_then(|known| known.workload);
    report
}

async fn ensure_keys(context: &Context, owner: &Owner, children: &[Child]) -> Result<keys::Outcome, Error> {
    let labels = children
        .first()
        .map(|c| c.manifest["metadata"]["labels"].clone())
        .unwrap_or_default();
    let labels = serde_json::from_value(labels)?;
    keys::ensure(&context.client, owner, &labels).await
}

async fn apply_one(context: &Context, owner: &Owner, child: &Child) -> Result<Change, Error> {
    let known = context.children.get(&owner.child(child.kind));
    let last = context.memory.get(&owner.uid, child.kind);
    if let Some(known) = &known {
        if known.owner_uid.as_deref() != Some(owner.uid.as_str()) {
            return Ok(Change::Blocked(name_conflict(child)));
        }
        let settled = known.digest.is_some()
            && (known.digest == Some(child.digest)
                || last.is_some_and(|l| l.desired == child.digest && l.answered == known.digest));
        if settled {
            let applied = Applied {
                desired: child.digest,
                answered: known.digest,
            };
            context.memory.set(&owner.uid, child.kind, applied);
            return Ok(Change::None);
        }
    }
    // The same was applied before, so it is the cluster that changed, not the resource.
    let drifted = last.is_some_and(|l| l.desired == child.digest);
    let api = context.child_api(child.kind, &owner.namespace);
    let live = if known.is_none() || drifted {
        let action = format!("read {}", child.title());
        api.get_opt(&child.name).await.map_err(Error::api(action))?
    } else {
        None
    };
    if let Some(live) = &live
        && controller_uid(live.meta()).as_deref() != Some(owner.uid.as_str())
    {
        return Ok(Change::Blocked(name_conflict(child)));
    }
    if known.as_ref().is_some_and(|k| k.owns_replicas) && child.manifest["spec"]["replicas"].is_null() {
        replicas::hand_over(&api, &owner.namespace, &child.name).await?;
        context.metrics.write(child.kind.as_str(), "hand_over");
    }
    let version = live.as_ref().and_then(ResourceExt::resource_version);
    let version = version.or_else(|| known.as_ref().map(|k| k.resource_version.clone()));
    let answer = match send(context, &api, child, version).await? {
        Ok(answer) => answer,
        Err(blocked) => return Ok(Change::Blocked(blocked)),
    };
    let observed = Observed::new(child.kind, &answer);
    let applied = Applied {
        desired: child.digest,
        answered: observed.digest,
    };
    let untouched = known
        .as_ref()
        .is_some_and(|k| k.resource_version == observed.resource_version);
    context.memory.set(&owner.uid, child.kind, applied);
    context.children.insert(owner.child(child.kind), observed);
    Ok(match (known.is_some() || live.is_some(), drifted) {
        (true, _) if untouched => Change::None,
        (false, false) => Change::Created,
        (false, true) => Change::Repaired(Repair::deleted(child)),
        (true, false) => Change::Updated,
        (true, true) => {
            let live = live
                .map(|live| serde_json::to_value(live).unwrap_or_default())
                .unwrap_or_default();
            Change::Repaired(Repair::edited(child, &live))
        }
    })
}

/// Applies one child, whose live object has `version`; the inner error is a refusal that only a person can end.
async fn send(
    context: &Context,
    api: &kube::Api<DynamicObject>,
    child: &Child,
    version: Option<String>,
) -> Result<Result<DynamicObject, Blocked>, Error> {
    let params = PatchParams::apply(OPERATOR).force();
    let patch = Patch::Apply(&child.manifest);
    context.metrics.write(child.kind.as_str(), "apply");
    let mut answer = api.patch(&child.name, &params, &patch).await;
    if refused(&answer).is_some()
        && version.is_some()
        && let Some((verb, spec)) = overwrite(child)
    {
        let merge = json!({"metadata": {"resourceVersion": version}, "spec": spec});
        let as_us = PatchParams {
            field_manager: Some(OPERATOR.to_owned()),
            ..PatchParams::default()
        };
        context.metrics.write(child.kind.as_str(), verb);
        api.patch(&child.name, &as_us, &Patch::Merge(&merge))
            .await
            .map_err(Error::api(format!("overwrite {}", child.title())))?;
        answer = api.patch(&child.name, &params, &patch).await;
    }
    if let Some(message) = refused(&answer) {
        return Ok(Err(Blocked {
            reason: Reason::ChildRejected,
            message: format!("the API server refuses {}: {message}", child.title()),
        }));
    }
    answer
        .map(Ok)
        .map_err(Error::api(format!("apply {}", child.title())))
}

/// What an edit can put beside our fields so that the API server refuses the two together: what to put in
/// its place before applying again, and the verb that it is counted as.
fn overwrite(child: &Child) -> Option<(&'static str, Value)> {
    let ours = &child.manifest["spec"];
    match child.kind {
        // A list keyed by port: an edited port stands beside ours under the same name.
        ChildKind::Service => Some(("replace_ports", json!({"ports": ours["ports"]}))),
        // A budget may have a least or a most, not both.
        ChildKind::PodDisruptionBudget => Some((
            "replace_budget",
            json!({"minAvailable": null, "maxUnavailable": ours["maxUnavailable"]}),
        )),
        _ => None,
    }
}

fn refused<T>(answer: &Result<T, kube::Error>) -> Option<String> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => Some(status.message.clone()),
        _ => None,
    }
}

fn name_conflict(child: &Child) -> Blocked {
    Blocked {
        reason: Reason::NameConflict,
        message: format!(
            "{} exists and does not belong to this McpServer, so it was left alone; delete or rename it, or rename the McpServer",
            child.title()
        ),
    }
}

/// Deletes a child of `kind` that is ours and no longer wanted; says whether there was one.
async fn prune(context: &Context, owner: &Owner, kind: ChildKind) -> Result<bool, Error> {
    let key = owner.child(kind);
    let Some(known) = context
        .children
        .get(&key)
        .filter(|k| k.owner_uid.as_deref() == Some(owner.uid.as_str()))
    else {
        return Ok(false);
    };
    context.memory.remove(&owner.uid, kind);
    // By uid: what has the name now may be somebody else's.
    let preconditions = Preconditions {
        uid: Some(known.uid.clone()),
        resource_version: None,
    };
    let params = DeleteParams::background().preconditions(preconditions);
    context.metrics.write(kind.as_str(), "delete");
    let api = context.child_api(kind, &owner.namespace);
    match api.delete(&owner.name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(error) => {
            return Err(Error::api(format!("delete {}/{}", kind.as_str(), owner.name))(
                error,
            ));
        }
    }
    context.children.remove(&key, &known.uid);
    Ok(true)
}
