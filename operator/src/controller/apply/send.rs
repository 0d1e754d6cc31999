//! One child is sent to the API server, until it is there as it should be.

use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    Owner,
    refusal::{Overwrite, can_overwrite, overwrite, refused, rejected},
};
use crate::{
    OPERATOR,
    controller::{
        context::Context,
        error::{Blocked, Error},
        kinds::Child,
        live::LiveChild,
        owned,
    },
};

/// What came of making a child that is not known to be there.
pub(super) enum Created {
    Made(Box<LiveChild>),
    /// Somebody else made one of that name, or we did and the watch has not shown it yet.
    Exists,
    Refused(Blocked),
}

/// Makes one child, if there is nothing of its name. That needs no look before: an apply that names a resourceVersion is
/// taken for an object that does not exist, and refused for one that has another.
pub(super) async fn create(context: &Context, owner: &Owner, child: &Child) -> Result<Created, Error> {
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

/// What is sent for `child`: its manifest, with the live pod template if that is held.
async fn manifest(context: &Context, owner: &Owner, child: &Child) -> Result<Value, Error> {
    let mut manifest = child.manifest.clone();
    if child.holds_template {
        let live = context
            .child_api(child.kind, &owner.namespace)
            .get(&child.name)
            .await
            .map_err(Error::api(format!("read {}", child.title())))?;
        let fields = owned::owned_fields(&serde_json::to_value(live)?, OPERATOR).unwrap_or_default();
        manifest["spec"]["template"] = fields["spec"]["template"].clone();
    }
    Ok(manifest)
}

/// Applies one child, and once more where the answer is not what was asked for. Either the API server writes it in another
/// form, and a second apply changes nothing; or it took an object along with the last of its fields that we gave up, though the
/// object itself, now empty, is asked for, and a second apply brings it back.
pub(super) async fn send_until_stored(
    context: &Context,
    owner: &Owner,
    child: &Child,
    version: Option<String>,
) -> Result<Result<Box<LiveChild>, Blocked>, Error> {
    let answer = send(context, owner, child, version).await?;
    match &answer {
        Ok(stored) if stored.observed.digest != Some(child.digest) => {
            let version = stored.observed.resource_version.to_string();
            send(context, owner, child, Some(version)).await
        }
        _ => Ok(answer),
    }
}

/// Applies one child, whose live object has `version`; the inner error is a refusal that only a person can end.
async fn send(
    context: &Context,
    owner: &Owner,
    child: &Child,
    version: Option<String>,
) -> Result<Result<Box<LiveChild>, Blocked>, Error> {
    let api = context.live_api(child.kind, &owner.namespace);
    let params = PatchParams::apply(OPERATOR).force();
    let manifest = manifest(context, owner, child).await?;
    context.metrics.write(child.kind.as_str(), "apply");
    let mut answer = api.patch(&child.name, &params, &Patch::Apply(&manifest)).await;
    if refused(&answer).is_some() && version.is_some() && can_overwrite(child.kind) {
        let live = context
            .child_api(child.kind, &owner.namespace)
            .get(&child.name)
            .await
            .map_err(Error::api(format!("read {}", child.title())))?;
        let version = live.resource_version();
        let live = serde_json::to_value(live)?;
        if let Some(Overwrite { verb, spec }) = overwrite(child.kind, &manifest, &live) {
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": spec});
            let as_us = PatchParams {
                field_manager: Some(OPERATOR.to_owned()),
                ..PatchParams::default()
            };
            context.metrics.write(child.kind.as_str(), verb);
            let written = api.patch(&child.name, &as_us, &Patch::Strategic(&patch)).await;
            // Where even that is refused, what the API server said first is what a person has to know.
            if refused(&written).is_none() {
                written.map_err(Error::api(format!("overwrite {}", child.title())))?;
                answer = api.patch(&child.name, &params, &Patch::Apply(&manifest)).await;
                if answer.is_ok() {
                    answer = release(context, owner, child).await;
                }
            }
        }
    }
    if let Some(message) = refused(&answer) {
        return Ok(Err(rejected(child, &message)));
    }
    answer
        .map(|answer| Ok(Box::new(answer)))
        .map_err(Error::api(format!("apply {}", child.title())))
}

/// Gives up what an overwrite made ours a second time. It would keep a field alive that is left out of a later apply.
async fn release(context: &Context, owner: &Owner, child: &Child) -> kube::Result<LiveChild> {
    let live = context
        .child_api(child.kind, &owner.namespace)
        .get(&child.name)
        .await?;
    let others: Vec<_> = live
        .managed_fields()
        .iter()
        .filter(|entry| {
            let ours = entry.manager.as_deref() == Some(OPERATOR) && entry.subresource.is_none();
            !ours || entry.operation.as_deref() != Some("Update")
        })
        .collect();
    let patch = json!({"metadata": {"resourceVersion": live.resource_version(), "managedFields": others}});
    context.metrics.write(child.kind.as_str(), "release");
    context
        .live_api(child.kind, &owner.namespace)
        .patch(&child.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
}
