//! Handing the number of pods to an HPA.

use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::error::Error;

/// The second field manager, and the only one: it holds `spec.replicas` from the moment we let go of
/// it until the HPA writes it.
const HANDOVER: &str = "iam-mcp-operator-handover";

/// Gives `spec.replicas` of a Deployment to another manager at its live value. Without this, leaving
/// the field out of our next apply would make the API server reset it to its default, 1.
///
/// # Errors
/// When the API server cannot be asked, or the Deployment changed meanwhile (then the next try sees
/// the new count).
pub async fn hand_over(api: &Api<DynamicObject>, namespace: &str, name: &str) -> Result<(), Error> {
    let live = api
        .get(name)
        .await
        .map_err(Error::api(format!("read Deployment/{name}")))?;
    let patch = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": live.resource_version()},
        "spec": {"replicas": live.data["spec"]["replicas"]},
    });
    api.patch(name, &PatchParams::apply(HANDOVER).force(), &Patch::Apply(&patch))
        .await
        .map_err(Error::api(format!(
            "hand the replicas of Deployment/{name} to its HPA"
        )))?;
    Ok(())
}
