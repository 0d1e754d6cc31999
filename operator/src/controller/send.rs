//! Sends one child to the API server: makes it, or applies it, and tells what only a person can end from what passes.

use iam_mcp_crds::Reason;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    apply::Owner,
    context::Context,
    error::{Blocked, Error},
    kinds::{Child, ChildKind},
    live::LiveChild,
    owned,
};
use crate::OPERATOR;

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

/// Applies one child, whose live object has `version`; the inner error is a refusal that only a person can end.
pub(super) async fn send(
    context: &Context,
    owner: &Owner,
    child: &Child,
    version: Option<String>,
) -> Result<Result<Box<LiveChild>, Blocked>, Error> {
    let api = context.live_api(child.kind, &owner.namespace);
    let params = PatchParams::apply(OPERATOR).force();
    let manifest = manifest(context, owner, child).await?;
    let patch = Patch::Apply(&manifest);
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
        return Ok(Err(rejected(child, &message)));
    }
    answer
        .map(|answer| Ok(Box::new(answer)))
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

fn rejected(child: &Child, message: &str) -> Blocked {
    Blocked {
        reason: Reason::ChildRejected,
        message: format!("the API server refuses {}: {message}", child.title()),
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
