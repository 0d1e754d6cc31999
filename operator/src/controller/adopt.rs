//! Children without their owner: a McpServer was deleted with `--cascade=orphan`, or a backup was brought back and the
//! McpServer has another uid than before. What was this operator's is taken back; what is somebody else's is not.
//!
//! A name or a label proves nothing: people copy them. Two things do. A controller reference to a McpServer of the very
//! name of the child's server: it belonged to a server of that name, and of that name there is one. And, where nobody owns
//! it, the API server's own record that this operator's field manager wrote it.

use iam_mcp_crds::McpServer;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    apply::Owner,
    build::MANAGED_BY,
    context::Context,
    error::Error,
    key_kinds::{SESSION, TOKEN},
};
use crate::OPERATOR;

/// What became of a child without its owner.
#[derive(Debug)]
pub enum Taken {
    /// It belongs to the server now.
    Ours(Box<DynamicObject>),
    /// It is gone meanwhile, by the garbage collector's doing most likely.
    Gone,
    /// It is somebody else's.
    Foreign,
}

/// Whether `live` was a child of a McpServer of this operator, of the same name, that is no more. Of `managedFields` it is
/// enough to have our own entries.
#[must_use]
pub fn was_ours(live: &Value) -> bool {
    let metadata = &live["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let server = match live["kind"].as_str() {
        Some("Secret") => [&SESSION, &TOKEN]
            .into_iter()
            .find_map(|kind| name.strip_suffix(kind.suffix))
            .unwrap_or_default(),
        _ => name,
    };
    if metadata["labels"][MANAGED_BY] != OPERATOR || !metadata["deletionTimestamp"].is_null() {
        return false;
    }
    let owners = metadata["ownerReferences"].as_array();
    match owners
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true)
    {
        Some(owner) => is_mcp_server(owner) && owner["name"] == server,
        None => metadata["managedFields"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|entry| entry["manager"] == OPERATOR && entry["subresource"].is_null()),
    }
}

fn is_mcp_server(owner: &Value) -> bool {
    let group = owner["apiVersion"]
        .as_str()
        .and_then(|version| version.split('/').next());
    owner["kind"] == *McpServer::kind(&()) && group == Some(&*McpServer::group(&()))
}

/// Makes the object `name` of `api` a child of `owner`, if it was ours.
///
/// # Errors
/// When the API server cannot be asked, the object changed meanwhile, or `owner` is itself no more.
pub async fn take_back(
    context: &Context,
    owner: &Owner,
    api: &Api<DynamicObject>,
    kind: &'static str,
    name: &str,
) -> Result<Taken, Error> {
    let title = format!("{kind}/{name}");
    let Some(live) = api
        .get_opt(name)
        .await
        .map_err(Error::api(format!("read {title}")))?
    else {
        return Ok(Taken::Gone);
    };
    let mut value = serde_json::to_value(&live)?;
    // A single object says its kind, but that depends on who decoded it.
    value["kind"] = json!(kind);
    if !was_ours(&value) {
        return Ok(Taken::Foreign);
    }
    still_there(context, owner).await?;
    let others = live
        .owner_references()
        .iter()
        .filter(|other| other.controller != Some(true));
    let owners: Vec<_> = others.chain([&owner.reference]).collect();
    // As it was read: what the garbage collector removes or somebody else takes meanwhile is not touched.
    let patch = json!({"metadata": {
        "uid": live.uid(),
        "resourceVersion": live.resource_version(),
        "ownerReferences": owners,
    }});
    let params = PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    context.metrics.write(kind, "adopt");
    match api.patch(name, &params, &Patch::Merge(&patch)).await {
        Ok(ours) => Ok(Taken::Ours(Box::new(ours))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Taken::Gone),
        Err(error) => Err(Error::api(format!("take {title} back"))(error)),
    }
}

/// Makes sure that `owner` is what has its name now. An operator whose watch lags behind would give the children of a new
/// server to one that is gone, and the garbage collector would delete them.
async fn still_there(context: &Context, owner: &Owner) -> Result<(), Error> {
    let api: Api<McpServer> = Api::namespaced(context.client.clone(), &owner.namespace);
    // A list, since that is what the operator may do; without a resourceVersion it is not answered from a cache that lags.
    let params = ListParams::default().fields(&format!("metadata.name={}", owner.name));
    let found = api
        .list_metadata(&params)
        .await
        .map_err(Error::api(format!("look for McpServer/{}", owner.name)))?;
    let is_there = found
        .iter()
        .any(|server| server.metadata.uid.as_ref() == Some(&owner.uid));
    if is_there { Ok(()) } else { Err(Error::Superseded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(kind: &str, name: &str) -> Value {
        json!({"kind": kind, "metadata": {
            "name": name,
            "labels": {MANAGED_BY: OPERATOR},
            "managedFields": [{"manager": OPERATOR, "operation": "Apply", "fieldsV1": {}}],
        }})
    }

    fn owned_by(mut child: Value, api_version: &str, kind: &str, name: &str) -> Value {
        let owner =
            json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": "old", "controller": true});
        child["metadata"]["ownerReferences"] = json!([owner]);
        child
    }

    #[test]
    fn what_a_server_of_that_name_had_is_ours() {
        let service = child("Service", "jobs");
        let secret = child("Secret", "jobs-keys");
        for version in ["iam-mcp.dev/v1alpha1", "iam-mcp.dev/v1beta1"] {
            assert!(was_ours(&owned_by(service.clone(), version, "McpServer", "jobs")));
            assert!(was_ours(&owned_by(secret.clone(), version, "McpServer", "jobs")));
        }
        // Brought back without managedFields, the reference is still enough.
        let mut bare = owned_by(service, "iam-mcp.dev/v1alpha1", "McpServer", "jobs");
        bare["metadata"]["managedFields"] = Value::Null;
        assert!(was_ours(&bare));
    }

    #[test]
    fn what_nobody_owns_is_ours_if_we_wrote_it() {
        assert!(was_ours(&child("Service", "jobs")));
        let mut by_hand = child("Service", "jobs");
        by_hand["metadata"]["managedFields"] =
            json!([{"manager": "kubectl", "operation": "Apply", "fieldsV1": {}}]);
        assert!(!was_ours(&by_hand), "a copy of our manifest is not ours");
        let mut unmarked = child("Service", "jobs");
        unmarked["metadata"]["labels"] = json!({});
        assert!(!was_ours(&unmarked), "somebody took the label away");
    }

    #[test]
    fn what_somebody_else_owns_is_not_ours() {
        let service = child("Service", "jobs");
        for (version, kind, name) in [
            ("iam-mcp.dev/v1alpha1", "McpServer", "other"),
            ("example.com/v1", "McpServer", "jobs"),
            ("iam-mcp.dev.example.com/v1", "McpServer", "jobs"),
            ("apps/v1", "Deployment", "jobs"),
        ] {
            assert!(
                !was_ours(&owned_by(service.clone(), version, kind, name)),
                "{version} {kind} {name}"
            );
        }
        let secret = child("Secret", "jobs");
        assert!(!was_ours(&owned_by(
            secret,
            "iam-mcp.dev/v1alpha1",
            "McpServer",
            "jobs"
        )));
    }

    #[test]
    fn what_is_being_deleted_is_left_to_go() {
        let mut going = child("Service", "jobs");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(!was_ours(&going));
    }
}
