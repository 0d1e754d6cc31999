//! How many pods may be evicted at a time.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{ValidatedServer, labels::pod_selector, metadata};

pub(super) fn build(server: &ValidatedServer) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(server),
        spec: Some(PodDisruptionBudgetSpec {
            // A most and not a least: with a least, a server that was scaled down to it would block the
            // drain of its node for ever.
            max_unavailable: Some(
                server
                    .disruption
                    .max_unavailable
                    .clone()
                    .unwrap_or(IntOrString::Int(1)),
            ),
            selector: Some(LabelSelector {
                match_labels: Some(pod_selector(&server.name)),
                ..LabelSelector::default()
            }),
            // A pod that is not ready has no sessions to lose, and must not keep its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
