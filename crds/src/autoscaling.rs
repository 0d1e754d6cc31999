//! How many pods a server gets by its load.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A HorizontalPodAutoscaler on the Deployment. It targets the Deployment and not the `McpServer`,
/// whose scale subresource answers an error while `spec.replicas` is unset.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message("autoscaling: minReplicas must not be greater than maxReplicas")
)]
pub struct AutoscalingSpec {
    /// Fewest pods.
    #[serde(default = "AutoscalingSpec::default_min")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most pods.
    #[serde(default = "AutoscalingSpec::default_max")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// Percent of the CPU request that the pods should use on average.
    #[serde(default = "AutoscalingSpec::default_cpu")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_utilization: i32,
}

impl AutoscalingSpec {
    const fn default_min() -> i32 {
        2
    }

    const fn default_max() -> i32 {
        10
    }

    const fn default_cpu() -> i32 {
        70
    }
}

impl Default for AutoscalingSpec {
    fn default() -> Self {
        Self {
            min_replicas: Self::default_min(),
            max_replicas: Self::default_max(),
            cpu_utilization: Self::default_cpu(),
        }
    }
}
