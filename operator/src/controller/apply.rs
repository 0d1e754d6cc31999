//! Makes the cluster agree with the children that a server should have: applies what differs, deletes
//! what is no longer wanted, writes nothing else.

use futures::future::join_all;
use iam_mcp_crds::{McpServer, McpServerStatus, TemplateRecord};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Resource as _, ResourceExt,
    api::{DeleteParams, DynamicObject, Preconditions},
};

use super::{
    adopt::{self, Taken},
    apis::Served,
    cache::{ChildRef, Observed, Workload, controller_uid},
    context::Context,
    drift::Repair,
    error::{Blocked, Error},
    key_care,
    key_kinds::{KeyKind, SESSION, TOKEN},
    keys::{self, Wish},
    kinds::{Child, ChildKind},
    memory::Applied,
    owned, replicas,
    rotation::Material,
    template::{self, Fate},
    validate,
};

mod refusal;
mod send;

use refusal::name_conflict;
use send::{Created, create, send_until_stored};

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
    /// Whether its pods share keys.
    pub shares_keys: bool,
    /// When its session key is to be followed by another.
    pub keys: Wish,
    /// The same of the token that the operator makes, if it is to make one.
    pub token: Option<Wish>,
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
    /// Digest of the Secrets and ConfigMaps that are the pods' environment.
    pub references: Option<String>,
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
            shares_keys: validate::has_keys(&server.spec),
            keys: Wish::of_session_key(server),
            token: Wish::of_token(server),
            template: TemplateOf {
                asked_for: template::asked_for(server).ok()?,
                record: previous.template.clone(),
                seen: previous.observed_generation == server.metadata.generation,
                references: None,
            },
        })
    }

    /// The kinds of keys that it has. The pods of another image share none; those of before stay until the McpServer goes,
    /// since pods may still mount them.
    pub fn key_kinds(&self) -> impl Iterator<Item = &'static KeyKind> + use<> {
        let session = self.shares_keys.then_some(&SESSION);
        session.into_iter().chain(self.token.as_ref().map(|_| &TOKEN))
    }

    /// When a key of a kind is to be followed by another.
    #[must_use]
    pub fn wish(&self, kind: &KeyKind) -> &Wish {
        match (kind.material, &self.token) {
            (Material::Token, Some(token)) => token,
            _ => &self.keys,
        }
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
    /// Children of a server of this name that is gone, which were taken back.
    pub adopted: Vec<String>,
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
    /// What became of rotations of its keys.
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
    Adopted,
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
    key_care::look_after(context, owner, &mut report).await;
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
                Ok(Change::Adopted) => report.adopted.push(child.title()),
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
        asked_for, record, ..
    } = &owner.template;
    let at = children
        .iter()
        .position(|child| child.kind == ChildKind::Deployment)?;
    let (rendered, live) = (children[at].parts.template?, known?.template?);
    let fate = template::fate(&owner.template, &rendered, Some(&live));
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
            references: None,
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
        asked_for,
        record,
        references,
        ..
    } = &owner.template;
    let Some(last) = last.filter(|last| last.desired == child.digest) else {
        return record.clone();
    };
    let untouched = live.filter(|live| live.digest == last.answered);
    let live = untouched.and_then(|live| live.template);
    let rendered = child.parts.template?;
    Some(template::record(
        asked_for,
        references.clone(),
        &rendered,
        live.as_ref(),
    ))
}

async fn apply_one(context: &Context, owner: &Owner, child: &Child) -> Result<Change, Error> {
    let last = context.memory.get(&owner.uid, child.kind);
    let Some((known, mut adopted)) = known_as_ours(context, owner, child).await? else {
        return Ok(Change::Blocked(name_conflict(child)));
    };
    if let Some(known) = &known {
        let settled = known.digest.is_some()
            && (known.digest == Some(child.digest)
                || last.is_some_and(|l| l.desired == child.digest && l.answered == known.digest));
        if settled {
            let applied = Applied {
                desired: child.digest,
                answered: known.digest,
            };
            context.memory.set(&owner.uid, child.kind, applied);
            return Ok(if adopted { Change::Adopted } else { Change::None });
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
    if let Some(found) = &live
        && controller_uid(found.meta()).as_deref() != Some(owner.uid.as_str())
    {
        match take_found(context, owner, child, found).await? {
            Taken::Ours(ours) => {
                adopted = true;
                live = Some(*ours);
            }
            Taken::Gone => {
                live = None;
                match create(context, owner, child).await? {
                    Created::Made(answer) => made = Some(answer),
                    Created::Refused(blocked) => return Ok(Change::Blocked(blocked)),
                    // Yet another one, which is looked at next time.
                    Created::Exists => return Ok(Change::Blocked(name_conflict(child))),
                }
            }
            Taken::Foreign => {
                context.memory.set_in_the_way(&owner.uid, child.kind, true);
                return Ok(Change::Blocked(name_conflict(child)));
            }
        }
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
    if adopted {
        return Ok(Change::Adopted);
    }
    if untouched {
        return Ok(Change::None);
    }
    Ok(outcome(child, known.is_some(), live, drifted))
}

/// What it is called that a child was written.
fn outcome(child: &Child, known: bool, live: Option<DynamicObject>, drifted: bool) -> Change {
    match (known || live.is_some(), drifted) {
        (false, false) => Change::Created,
        (false, true) => Change::Repaired(Repair::deleted(child)),
        (true, false) => Change::Updated,
        (true, true) => {
            let live = live
                .map(|live| serde_json::to_value(live).unwrap_or_default())
                .unwrap_or_default();
            Change::Repaired(Repair::edited(child, &live))
        }
    }
}

/// What is known of a child, and whether it was taken back for that; `None` when it is somebody else's.
async fn known_as_ours(
    context: &Context,
    owner: &Owner,
    child: &Child,
) -> Result<Option<(Option<Observed>, bool)>, Error> {
    let known = context.children.get(&owner.child(child.kind));
    let Some(seen) = known.as_ref().filter(|known| !known.is_owned_by(&owner.uid)) else {
        return Ok(Some((known, false)));
    };
    if !seen.was_ours {
        return Ok(None);
    }
    Ok(match take_back(context, owner, child).await? {
        Taken::Ours(live) => Some((Some(Observed::new(&serde_json::to_value(live)?)), true)),
        Taken::Gone => Some((None, false)),
        Taken::Foreign => None,
    })
}

/// Takes back what was found in the place of a child that was not known.
async fn take_found(
    context: &Context,
    owner: &Owner,
    child: &Child,
    found: &DynamicObject,
) -> Result<Taken, Error> {
    if adopt::was_ours(&serde_json::to_value(found)?) {
        take_back(context, owner, child).await
    } else {
        Ok(Taken::Foreign)
    }
}

async fn take_back(context: &Context, owner: &Owner, child: &Child) -> Result<Taken, Error> {
    let api = context.child_api(child.kind, &owner.namespace);
    adopt::take_back(context, owner, &api, child.kind.as_str(), &child.name).await
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
