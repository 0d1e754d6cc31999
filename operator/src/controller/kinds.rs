//! The kinds of children that are applied, and one child ready to be applied.

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    build::Children,
    owned::{Digest, Parts, desired_parts},
    stored::as_stored,
};

/// A kind of child.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ChildKind {
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `v1` Service.
    Service,
    /// `apps/v1` Deployment.
    Deployment,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `autoscaling/v2` HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `gateway.networking.k8s.io/v1` HTTPRoute, which a cluster may lack.
    HttpRoute,
    /// `monitoring.coreos.com/v1` PodMonitor, which a cluster may lack.
    PodMonitor,
}

/// A kind that a cluster may lack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OptionalApi {
    /// Group and version, as in `apiVersion`.
    pub api_version: &'static str,
    /// The plural.
    pub plural: &'static str,
    /// Name of its `CustomResourceDefinition`.
    pub definition: &'static str,
    /// What brings it.
    pub install: &'static str,
}

impl ChildKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::ServiceAccount,
        Self::Service,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::Ingress,
        Self::HorizontalPodAutoscaler,
        Self::NetworkPolicy,
        Self::HttpRoute,
        Self::PodMonitor,
    ];

    /// The kinds that a cluster may lack.
    pub const OPTIONAL: [Self; 2] = [Self::HttpRoute, Self::PodMonitor];

    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Ingress => "Ingress",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::HttpRoute => "HTTPRoute",
            Self::PodMonitor => "PodMonitor",
        }
    }

    /// What there is to know of a kind that a cluster may lack; `None` of those that every cluster has.
    #[must_use]
    pub const fn optional(self) -> Option<OptionalApi> {
        match self {
            Self::HttpRoute => Some(OptionalApi {
                api_version: "gateway.networking.k8s.io/v1",
                plural: "httproutes",
                definition: "httproutes.gateway.networking.k8s.io",
                install: "the Gateway API, version 1.0 or later (https://gateway-api.sigs.k8s.io)",
            }),
            Self::PodMonitor => Some(OptionalApi {
                api_version: "monitoring.coreos.com/v1",
                plural: "podmonitors",
                definition: "podmonitors.monitoring.coreos.com",
                install: "the Prometheus operator (https://prometheus-operator.dev)",
            }),
            Self::ServiceAccount
            | Self::Service
            | Self::Deployment
            | Self::PodDisruptionBudget
            | Self::Ingress
            | Self::HorizontalPodAutoscaler
            | Self::NetworkPolicy => None,
        }
    }

    /// Group, version and plural for the API.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Ingress => ApiResource::erase::<Ingress>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::HttpRoute => foreign("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
            Self::PodMonitor => foreign("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
        }
    }
}

fn foreign(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// A child as it should be.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// The whole intended object, as server-side apply wants it.
    pub manifest: Value,
    /// Digest of the intended fields.
    pub digest: Digest,
    /// The same in parts.
    pub parts: Parts,
    /// Whether the pod template is the live one and not that of `manifest`.
    pub holds_template: bool,
}

impl Child {
    /// The child of `kind` that is as `manifest` says.
    #[must_use]
    pub fn new(kind: ChildKind, manifest: Value) -> Self {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let parts = desired_parts(&manifest);
        Self {
            kind,
            name: name.to_owned(),
            digest: parts.whole(),
            parts,
            holds_template: false,
            manifest,
        }
    }

    /// The same child with the pod template that is live, whose digest is `template`.
    #[must_use]
    pub fn holding(&self, template: Digest) -> Self {
        let parts = Parts {
            template: Some(template),
            ..self.parts
        };
        Self {
            digest: parts.whole(),
            parts,
            holds_template: true,
            ..self.clone()
        }
    }

    /// `Kind/name`, for messages.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }
}

/// Children in the order in which they are applied, each owned by `owner` (an owner reference as
/// JSON; `None` when rendering for people).
///
/// The identity comes first, since pods cannot be made without it, and the policy before the pods that it guards; the
/// rest is independent.
///
/// # Errors
/// When a child cannot be written as JSON, which would be a fault of the builder.
pub fn in_order(children: Children, owner: Option<&Value>) -> Result<Vec<Child>, serde_json::Error> {
    // Without `..`: a new kind that is built but not applied does not compile.
    let Children {
        service_account,
        service,
        deployment,
        pdb,
        network_policy,
        ingress,
        http_route,
        hpa,
        pod_monitor,
    } = children;
    let mut list = Vec::with_capacity(ChildKind::ALL.len());
    if let Some(service_account) = service_account {
        list.push(child(ChildKind::ServiceAccount, &service_account, owner)?);
    }
    list.push(child(ChildKind::Service, &service, owner)?);
    list.push(child(ChildKind::Deployment, &deployment, owner)?);
    if let Some(pdb) = pdb {
        list.push(child(ChildKind::PodDisruptionBudget, &pdb, owner)?);
    }
    if let Some(policy) = network_policy {
        list.insert(1, child(ChildKind::NetworkPolicy, &policy, owner)?);
    }
    if let Some(ingress) = ingress {
        list.push(child(ChildKind::Ingress, &ingress, owner)?);
    }
    if let Some(hpa) = hpa {
        list.push(child(ChildKind::HorizontalPodAutoscaler, &hpa, owner)?);
    }
    if let Some(route) = http_route {
        list.push(child(ChildKind::HttpRoute, &route, owner)?);
    }
    if let Some(monitor) = pod_monitor {
        list.push(child(ChildKind::PodMonitor, &monitor, owner)?);
    }
    Ok(list)
}

fn child<K: Serialize>(
    kind: ChildKind,
    object: &K,
    owner: Option<&Value>,
) -> Result<Child, serde_json::Error> {
    let mut manifest = serde_json::to_value(object)?;
    if kind == ChildKind::Deployment {
        as_stored(&mut manifest["spec"]["template"]);
    }
    // k8s-openapi writes `status` only when set; an applied child has none.
    if let Some(owner) = owner {
        manifest["metadata"]["ownerReferences"] = json!([owner]);
    }
    Ok(Child::new(kind, manifest))
}
