//! Reads what a resource names: Secrets by fields of their own, the claims among its volumes, whether an HPA has
//! its pods, and whether the cluster has the kinds that it asks for.

use iam_mcp_crds::{McpServer, MonitoringMode};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt as _};

use super::{
    apis::Served,
    context::{Context, full_name},
    error::{Blocked, Error},
    index::Name,
    kinds::ChildKind,
    named,
    validate::{Claims, claims_named},
};

/// What a resource names, as it is now.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// What is wrong with a Secret that a field names.
    pub secret_problem: Option<Blocked>,
    /// The Secrets that fields name.
    pub secrets: Vec<Name>,
    /// Whether an HPA, ours or somebody's, targets the Deployment.
    pub hpa_targets_deployment: bool,
    /// The claims among its volumes.
    pub claims: Claims,
    /// Which of the kinds that a cluster may lack are there.
    pub served: Served,
}

/// Reads what `server` names, and notes whom to wake when it changes.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn dereference(server: &McpServer, context: &Context) -> Result<References, Error> {
    let name = full_name(&server.metadata);
    let named = named::secrets(&server.spec);
    let secrets: Vec<Name> = named
        .iter()
        .map(|n| (name.0.clone(), n.secret.name.clone()))
        .collect();
    // Before the read: a Secret that appears right after it must wake us.
    context.secrets.set(&name, secrets.clone());
    let secret_problem = named::problem(server, &named, context).await?;
    Ok(References {
        secret_problem,
        secrets,
        hpa_targets_deployment: context.hpas.is_target(&name),
        claims: claims(server, context).await?,
        served: context.apis.look(&name, &asked_for(server)),
    })
}

/// The kinds that `server` asks for and a cluster may lack.
fn asked_for(server: &McpServer) -> Vec<ChildKind> {
    let spec = &server.spec;
    let monitor = spec
        .monitoring
        .as_ref()
        .is_some_and(|m| m.mode != MonitoringMode::Annotations);
    [
        (spec.http_route.is_some(), ChildKind::HttpRoute),
        (monitor, ChildKind::PodMonitor),
    ]
    .into_iter()
    .filter_map(|(asked, kind)| asked.then_some(kind))
    .collect()
}

/// Who may mount the claims that the volumes name. Modes never change, so nothing has to wake us but a claim
/// that does not exist yet.
async fn claims(server: &McpServer, context: &Context) -> Result<Claims, Error> {
    let mut claims = Claims::new();
    for name in claims_named(&server.spec) {
        let namespace = server.namespace().unwrap_or_default();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
        let claim = api
            .get_opt(&name)
            .await
            .map_err(Error::api(format!("read PersistentVolumeClaim/{name}")))?;
        claims.insert(
            name,
            claim.map(|claim| claim.spec.unwrap_or_default().access_modes.unwrap_or_default()),
        );
    }
    Ok(claims)
}
