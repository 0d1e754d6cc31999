//! How many pods may be evicted at a time.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How many pods may be evicted at a time, as when nodes are drained.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.enabled || !has(self.maxUnavailable)")
        .message("disruption: maxUnavailable means nothing while enabled is false")
)]
pub struct DisruptionSpec {
    /// Whether there is a PodDisruptionBudget. There is none in any case where there can be one pod only.
    #[serde(default = "DisruptionSpec::default_enabled")]
    pub enabled: bool,

    /// Most pods that may be missing because of evictions: a number, or percent of the pods, rounded up. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("type(self) == int ? (self >= 1 && self <= 1000) : self.matches('^([1-9][0-9]?|100)%$')").message("disruption.maxUnavailable: a number from 1 to 1000, or a percentage from 1% to 100%; with 0 no node could ever be drained"))]
    pub max_unavailable: Option<IntOrString>,
}

impl DisruptionSpec {
    const fn default_enabled() -> bool {
        true
    }
}

impl Default for DisruptionSpec {
    fn default() -> Self {
        Self {
            enabled: Self::default_enabled(),
            max_unavailable: None,
        }
    }
}
