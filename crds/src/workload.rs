//! What the pods are like beside the server's container: volumes, pull secrets, and a patch for the rest.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretVolumeSource,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// Labels that the operator sets on every pod: the selectors of Deployment and Service, and its own watches
/// depend on them. Neither `spec.podLabels` nor `spec.podTemplate` may name them.
pub const RESERVED_LABELS: &[&str] = &[
    "app",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "pod-template-hash",
];

/// Annotations of pods that belong to the operator, or to `kubectl rollout restart`.
pub const RESERVED_ANNOTATIONS: &[&str] = &[
    "controller.kubernetes.io/pod-deletion-cost",
    "kubectl.kubernetes.io/restartedAt",
];

/// Start of the keys of labels and annotations that are the operator's, now or later.
pub const RESERVED_PREFIX: &str = "iam-mcp.dev/";

/// Volumes that the operator makes.
pub const RESERVED_VOLUMES: &[&str] = &["data", "keys", "rapidapi"];

/// Start of the names of volumes and containers that are the operator's, now or later.
pub const RESERVED_NAME_PREFIX: &str = "iam-mcp-";

/// A Secret with the credentials of a registry, in the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct PullSecret {
    /// Name of the Secret, of type `kubernetes.io/dockerconfigjson`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One volume more, of a kind that the `restricted` Pod Security profile allows.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "[has(self.configMap), has(self.secret), has(self.projected), has(self.downwardAPI), has(self.emptyDir), \
         has(self.persistentVolumeClaim), has(self.csi)].filter(x, x).size() == 1"
    )
    .message("volumes: give each exactly one of configMap, secret, projected, downwardAPI, emptyDir, persistentVolumeClaim and csi")
)]
pub struct ExtraVolume {
    /// Its name, for `volumeMounts`. `data`, `keys`, `rapidapi` and what starts with `iam-mcp-` are the operator's.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// Keys of a ConfigMap as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,

    /// Keys of a Secret as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,

    /// Several sources in one directory, tokens of the service account among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected: Option<ProjectedVolumeSource>,

    /// Fields of the pod as files.
    #[serde(default, rename = "downwardAPI", skip_serializing_if = "Option::is_none")]
    pub downward_api: Option<DownwardAPIVolumeSource>,

    /// An empty directory that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,

    /// A claim that exists in the same namespace. With one that a single node can mount, rollouts stop the old
    /// pods first (`Recreate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,

    /// Storage of a CSI driver, made with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
}

/// A strategic merge patch over the pod template. The API server cannot see into it: the operator checks the
/// result, and says in `Accepted` what it refuses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct PodTemplatePatch {
    /// Over the pods' metadata: labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub metadata: Option<Value>,

    /// Over the pods' spec. Lists merge as `kubectl patch --type=strategic` merges them: containers and volumes by name,
    /// mounts by path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub spec: Option<Value>,
}
