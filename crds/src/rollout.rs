//! How new pods take over from old ones.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// How new pods take over from old ones.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.strategy) || self.strategy != 'Recreate' || !(has(self.maxSurge) || has(self.maxUnavailable))"
    )
    .message("rollout: maxSurge and maxUnavailable are for the strategy RollingUpdate; Recreate stops all old pods first"),
    validation = Rule::new(
        "!has(self.maxSurge) || !(string(self.maxSurge) in ['0', '0%']) || \
         (has(self.maxUnavailable) && !(string(self.maxUnavailable) in ['0', '0%']))"
    )
    .message("rollout: with maxSurge 0 no new pod can start before an old one goes; let one go with maxUnavailable")
)]
pub struct RolloutSpec {
    /// `RollingUpdate`: a pod goes when its successor is ready. `Recreate`: all old pods end before the first new one
    /// starts. Default: `RollingUpdate`; `Recreate` where a volume is a claim that a single node can mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RolloutStrategy>,

    /// Pods beyond those wanted while a rollout goes on, as a number or a percentage. Default: 25%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count_or_percent")]
    pub max_surge: Option<IntOrString>,

    /// Pods that may be missing while a rollout goes on, as a number or a percentage. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count_or_percent")]
    pub max_unavailable: Option<IntOrString>,
}

/// How new pods take over from old ones.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RolloutStrategy {
    /// A pod goes when its successor is ready.
    #[default]
    RollingUpdate,
    /// All old pods end before the first new one starts.
    Recreate,
}
