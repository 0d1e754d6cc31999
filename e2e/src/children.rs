//! The children of a server, whatever their kind.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};

use crate::OPERATOR;

/// `HTTPRoute`, which a cluster may lack.
#[must_use]
pub fn http_route() -> ApiResource {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    ApiResource::from_gvk_with_plural(&kind, "httproutes")
}

/// `PodMonitor`, which a cluster may lack.
#[must_use]
pub fn pod_monitor() -> ApiResource {
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor");
    ApiResource::from_gvk_with_plural(&kind, "podmonitors")
}

/// Every kind of child with its name for a server called `name`.
#[must_use]
pub fn kinds(name: &str) -> Vec<(&'static str, ApiResource, String)> {
    let same = name.to_owned();
    vec![
        (
            "ServiceAccount",
            ApiResource::erase::<ServiceAccount>(&()),
            same.clone(),
        ),
        (
            "Secret",
            ApiResource::erase::<Secret>(&()),
            format!("{name}-keys"),
        ),
        ("Deployment", ApiResource::erase::<Deployment>(&()), same.clone()),
        ("Service", ApiResource::erase::<Service>(&()), same.clone()),
        ("Ingress", ApiResource::erase::<Ingress>(&()), same.clone()),
        (
            "PodDisruptionBudget",
            ApiResource::erase::<PodDisruptionBudget>(&()),
            same.clone(),
        ),
        (
            "HorizontalPodAutoscaler",
            ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            same.clone(),
        ),
        (
            "NetworkPolicy",
            ApiResource::erase::<NetworkPolicy>(&()),
            same.clone(),
        ),
        ("HTTPRoute", http_route(), same.clone()),
        ("PodMonitor", pod_monitor(), same),
    ]
}

/// The children that exist, by kind.
pub async fn all(client: &Client, namespace: &str, name: &str) -> BTreeMap<&'static str, DynamicObject> {
    let mut found = BTreeMap::new();
    for (kind, resource, name) in kinds(name) {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        match api.get(&name).await {
            Ok(child) => {
                found.insert(kind, child);
            }
            // By its code, since for a kind that the cluster lacks there is no reason.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{kind}/{name} cannot be read: {error}"),
        }
    }
    found
}

/// What changes with any write to a child, by kind: uid and resourceVersion. The status of an HPA and of
/// a PodDisruptionBudget changes without anybody's doing, so of them only what the operator owns counts.
#[must_use]
pub fn versions(children: &BTreeMap<&'static str, DynamicObject>) -> BTreeMap<&'static str, String> {
    let version = |kind: &str, child: &DynamicObject| {
        if !matches!(kind, "HorizontalPodAutoscaler" | "PodDisruptionBudget") {
            return child.resource_version().unwrap_or_default();
        }
        let ours = child
            .managed_fields()
            .iter()
            .filter(|entry| entry.manager.as_deref() == Some(OPERATOR));
        format!("{:?}", ours.map(|entry| entry.time.clone()).collect::<Vec<_>>())
    };
    let tell = |kind: &'static str, child: &DynamicObject| {
        (
            kind,
            format!("{} {}", child.uid().unwrap_or_default(), version(kind, child)),
        )
    };
    children.iter().map(|(kind, child)| tell(kind, child)).collect()
}
