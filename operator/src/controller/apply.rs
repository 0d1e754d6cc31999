//! Makes the cluster agree with the children that a server should have: applies what differs, deletes
//! what is no longer wanted, writes nothing else.

use futures::future::join_all;
use iam_mcp_crds::{McpServer, McpServerStatus, TemplateRecord};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Resource as _, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;

use super::{
    apis::Served,
    cache::{ChildRef, Observed, Workload, controller_uid},
    context::Context,
    drift::Repair,
    error::{Blocked, Error},
    keys,
    kinds::{Child, ChildKind},
    live::LiveChild,
    memory::Applied,
    owned, replicas,
    template::{self, Fate},
};
use crate::OPERATOR;

mod refusal;
mod send;

use refusal::{name_conflict, refused, rejected};
use send::send_until_stored;

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
    /// What the pod template is made from, and what the status says of the live one.
    pub template: TemplateOf,
}

/// What the pod template of a server is made from.
#[derive(Clone, Debug, Default)]
pub struct TemplateOf {
    /// Digest of what the spec asks for.
    pub asked_for: String,
    /// The record of the live one.
    pub record: Option<TemplateRecord>,
    /// Whether the spec is as it was when the status was written.
    pub seen: bool,
}

impl Owner {
    /// The owner that `server` is, whose status is `previous`; `None` for an object that never was in a cluster.
    #[must_use]
    pub fn of(server: &McpServer, previous: &McpServerStatus) -> Option<Self> {
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
            template: TemplateOf {
                asked_for: template::asked_for(server).ok()?,
                record: previous.template.clone(),
                seen: previous.observed_generation == server.metadata.generation,
            },
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
    /// What the live pod template was made from.
    pub template: Option<TemplateRecord>,
    /// Whether this operator would render another one, and holds it back.
    pub held_back: bool,
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
    let held = hold_template(context, owner, children, &mut report);
    let children = held.as_deref().unwrap_or(children);
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
        Ok(keys::Outcome::Rests) => keys::rest(context, owner),
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
    let deployment = context.children.get(&owner.child(ChildKind::Deployment));
    if !report.held_back {
        report.template = applied_template(context, owner, children, deployment.as_ref());
    }
    report.workload = deployment
        .and_then(|known| known.workload)
        .map(|workload| *workload);
    report
}

/// State of the pods of `owner`, as far as known.
pub fn workload(context: &Context, owner: &Owner) -> Option<Workload> {
    context
        .children
        .get(&owner.child(ChildKind::Deployment))
        .and_then(|known| known.workload)
        .map(|workload| *workload)
}

/// The children with the live pod template, where the rendered one is held back.
fn hold_template(
    context: &Context,
    owner: &Owner,
    children: &[Child],
    report: &mut Report,
) -> Option<Vec<Child>> {
    let known = context
        .children
        .get(&owner.child(ChildKind::Deployment))
        .filter(|known| known.is_owned_by(&owner.uid));
    let TemplateOf {
        asked_for,
        record,
        seen,
    } = &owner.template;
    let at = children
        .iter()
        .position(|child| child.kind == ChildKind::Deployment)?;
    let (rendered, live) = (children[at].parts.template?, known?.template?);
    let fate = template::fate(asked_for, &rendered, Some(&live), record.as_ref(), *seen);
    let name = (owner.namespace.clone(), owner.name.clone());
    if fate == Fate::Apply || context.roll.admits(&name) {
        return None;
    }
    report.held_back = true;
    // What is there is taken for what was asked for, if nobody kept a record.
    report.template = record.clone().or_else(|| {
        Some(TemplateRecord {
            asked_for: asked_for.clone(),
            rendered: owned::short_hex(&live),
            live: owned::short_hex(&live),
        })
    });
    let mut children = children.to_vec();
    children[at] = children[at].holding(live);
    Some(children)
}

/// The record of the pod template that was applied; the one before, if it could not be.
fn applied_template(
    context: &Context,
    owner: &Owner,
    children: &[Child],
    live: Option<&Observed>,
) -> Option<TemplateRecord> {
    let child = children
        .iter()
        .find(|child| child.kind == ChildKind::Deployment)?;
    let last = context.memory.get(&owner.uid, child.kind);
    let TemplateOf {
        asked_for, record, ..
    } = &owner.template;
    let Some(last) = last.filter(|last| last.desired == child.digest) else {
        return record.clone();
    };
    let untouched = live.filter(|live| live.digest == last.answered);
    let live = untouched.and_then(|live| live.template);
    Some(template::record(asked_for, &child.parts.template?, live.as_ref()))
}

async fn ensure_keys(context: &Context, owner: &Owner, children: &[Child]) -> Result<keys::Outcome, Error> {
    keys::ensure(context, owner, || {
        let labels = children.first().map(|c| c.manifest["metadata"]["labels"].clone());
        Ok(serde_json::from_value(labels.unwrap_or_default())?)
    })
    .await
}

async fn apply_one(context: &Context, owner: &Owner, child: &Child) -> Result<Change, Error> {
    let known = context.children.get(&owner.child(child.kind));
    let last = context.memory.get(&owner.uid, child.kind);
    if let Some(known) = &known {
        if !known.is_owned_by(&owner.uid) {
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
    let read = || async {
        let action = format!("read {}", child.title());
        api.get_opt(&child.name).await.map_err(Error::api(action))
    };
    // Where something of somebody else's was in the way, it is looked for first, so that waiting for it to go writes nothing.
    let was_in_the_way = context.memory.is_in_the_way(&owner.uid, child.kind);
    let mut live = if was_in_the_way || (known.is_some() && drifted) {
        read().await?
    } else {
        None
    };
    let mut made = None;
    if known.is_none() && live.is_none() {
        match create(context, owner, child).await? {
            Created::Made(answer) => made = Some(answer),
            Created::Refused(blocked) => return Ok(Change::Blocked(blocked)),
            Created::Exists => live = read().await?,
        }
    }
    if let Some(live) = &live
        && controller_uid(live.meta()).as_deref() != Some(owner.uid.as_str())
    {
        context.memory.set_in_the_way(&owner.uid, child.kind, true);
        return Ok(Change::Blocked(name_conflict(child)));
    }
    if was_in_the_way {
        context.memory.set_in_the_way(&owner.uid, child.kind, false);
    }
    if known.as_ref().is_some_and(|k| k.owns_replicas) && child.manifest["spec"]["replicas"].is_null() {
        replicas::hand_over(&api, &owner.namespace, &child.name).await?;
        context.metrics.write(child.kind.as_str(), "hand_over");
    }
    let version = live.as_ref().and_then(ResourceExt::resource_version);
    let version = version.or_else(|| known.as_ref().map(|k| k.resource_version.to_string()));
    let answer = match made {
        Some(answer) => answer,
        None => match send_until_stored(context, owner, child, version).await? {
            Ok(answer) => answer,
            Err(blocked) => return Ok(Change::Blocked(blocked)),
        },
    };
    let observed: Observed = answer.observed;
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

/// What came of making a child that is not known to be there.
enum Created {
    Made(Box<LiveChild>),
    /// Somebody else made one of that name, or we did and the watch has not shown it yet.
    Exists,
    Refused(Blocked),
}

/// Makes one child, if there is nothing of its name. That needs no look before: an apply that names a resourceVersion is
/// taken for an object that does not exist, and refused for one that has another.
async fn create(context: &Context, owner: &Owner, child: &Child) -> Result<Created, Error> {
    /// No object has it: it is that of an empty store.
    const NO_VERSION: &str = "1";
    let api = context.live_api(child.kind, &owner.namespace);
    let mut manifest = child.manifest.clone();
    manifest["metadata"]["resourceVersion"] = json!(NO_VERSION);
    context.metrics.write(child.kind.as_str(), "apply");
    let params = PatchParams::apply(OPERATOR).force();
    let answer = api.patch(&child.name, &params, &Patch::Apply(&manifest)).await;
    if let Some(message) = refused(&answer) {
        return Ok(Created::Refused(rejected(child, &message)));
    }
    match answer {
        Ok(made) => Ok(Created::Made(Box::new(made))),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Created::Exists),
        Err(error) => Err(Error::api(format!("make {}", child.title()))(error)),
    }
}

/// Deletes a child of `kind` that is ours and no longer wanted; says whether there was one.
async fn prune(context: &Context, owner: &Owner, kind: ChildKind) -> Result<bool, Error> {
    let key = owner.child(kind);
    let Some(known) = context.children.get(&key).filter(|k| k.is_owned_by(&owner.uid)) else {
        return Ok(false);
    };
    context.memory.remove(&owner.uid, kind);
    // By uid: what has the name now may be somebody else's.
    let preconditions = Preconditions {
        uid: Some(known.uid.to_string()),
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
    context.children.remove(&key, &known.uid.to_string());
    Ok(true)
}
