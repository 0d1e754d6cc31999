//! How many pods a server gets by its load.

use kube::KubeSchema;
use schemars::JsonSchema;
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

    /// Percent of the memory request that the pods should use on average. Unset: memory does not count. Of
    /// two metrics the one that asks for more pods decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub memory_utilization: Option<i32>,

    /// How fast pods come and go. Default: Kubernetes' own, with five minutes of calm before pods go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
}

/// How fast pods come and go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingBehavior {
    /// How pods come. Default: at once, doubling or by four every 15 seconds, whichever is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,

    /// How pods go. Default: as far as the load of the last five minutes allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// How fast pods come, or go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds over which the most careful recommendation counts. Default: 0 for pods that come, 300 for
    /// pods that go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,

    /// Which of several policies counts. Default: `Max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,

    /// How many pods may come or go in how long. Default: Kubernetes' own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SelectPolicy {
    /// The one that allows most.
    Max,
    /// The one that allows least.
    Min,
    /// None: no pod comes, or goes.
    Disabled,
}

/// How many pods may come or go in how long.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// What `value` counts.
    #[serde(rename = "type")]
    pub type_: ScalingPolicyType,

    /// Pods, or percent of the pods.
    #[schemars(range(min = 1, max = 1000))]
    pub value: i32,

    /// In how many seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What a scaling policy counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ScalingPolicyType {
    /// Pods.
    Pods,
    /// Percent of the pods.
    Percent,
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
            memory_utilization: None,
            behavior: None,
        }
    }
}
