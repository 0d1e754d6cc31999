//! Reads what a resource names: the Secret with its RapidAPI key, the claims among its volumes, whether an HPA has
//! its pods, and whether the cluster has the kinds that it asks for.

use iam_mcp_crds::{McpServer, MonitoringMode, Reason, SecretKeyRef};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{Api, ResourceExt as _};

use super::{
    apis::Served,
    context::{Context, full_name},
    error::{Blocked, Error},
    kinds::ChildKind,
    validate::{Claims, claims_named},
};

/// What a resource names, as it is now.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// What is wrong with the Secret of the RapidAPI key, if it is named.
    pub key_problem: Option<Blocked>,
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
    let reference = server
        .spec
        .job_search
        .as_ref()
        .and_then(|j| j.rapid_api.as_ref()?.key_secret_ref.as_ref());
    // Before the read: a Secret that appears right after it must wake us.
    context.secrets.set(
        &name,
        reference
            .map(|r| (name.0.clone(), r.name.clone()))
            .into_iter()
            .collect(),
    );
    let key_problem = match reference {
        Some(reference) => key_problem(server, reference, context).await?,
        None => None,
    };
    Ok(References {
        key_problem,
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

async fn key_problem(
    server: &McpServer,
    reference: &SecretKeyRef,
    context: &Context,
) -> Result<Option<Blocked>, Error> {
    let namespace = server.namespace().unwrap_or_default();
    let SecretKeyRef { name, key } = reference;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let secret = api
        .get_opt(name)
        .await
        .map_err(Error::api(format!("read Secret/{name}")))?;
    let Some(secret) = secret else {
        return Ok(Some(Blocked {
            reason: Reason::SecretNotFound,
            message: format!(
                "Secret {namespace}/{name}, named by spec.jobSearch.rapidApi.keySecretRef, does not exist; make it with: \
                 kubectl create secret generic {name} -n {namespace} --from-literal={key}=YOUR_KEY"
            ),
        }));
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let problem = match value {
        None => format!(
            "Secret {namespace}/{name} has no key {key:?}, which spec.jobSearch.rapidApi.keySecretRef names"
        ),
        // With `Auto` an empty key means "no account yet": the server searches its samples and says so.
        Some(value)
            if value.0.is_empty()
                && server
                    .spec
                    .job_search
                    .as_ref()
                    .is_some_and(|j| j.provider == iam_mcp_crds::JobProvider::JSearch) =>
        {
            format!("key {key:?} of Secret {namespace}/{name} is empty, and provider JSearch needs one")
        }
        Some(_) => return Ok(None),
    };
    Ok(Some(Blocked {
        reason: Reason::SecretKeyNotFound,
        message: problem,
    }))
}
