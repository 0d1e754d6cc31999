//! What the operator reports: the status of `McpServer`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw when it last looked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct McpServerStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions: `Accepted`, `Ready`, `Progressing`, `Degraded`, `Verified`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Ready pods of those wanted, for people: `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_pods: Option<String>,

    /// Label selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Where MCP clients connect (Streamable HTTP; `/sse` stands beside `/mcp`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// The image of the current pod template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// What the current pod template was made from. With it an operator tells a change of the spec, which
    /// replaces pods at once, from a change of its own, which does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRecord>,

    /// Pods that were asked to stop and still serve open sessions, those that began first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub draining_pods: Vec<DrainingPod>,

    /// What the server said of itself when it last spoke MCP with the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ObservedServer>,

    /// What `service.sessionAffinity: Auto` came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<ChosenAffinity>,
}

/// What `service.sessionAffinity: Auto` came to.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChosenAffinity {
    /// `ClientIP` or `None`.
    pub value: String,
    /// Why.
    pub reason: String,
}

/// What a server said of itself over MCP, cut to a bounded length.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedServer {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The versions of MCP that it says it speaks; of a server that knows no `server/discover`, the one that
    /// it chose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub protocol_versions: Vec<String>,
    /// Number of its tools.
    pub tools: i32,
    /// Digest of the names and schemas of its tools, whatever their order: servers with the same tools have
    /// the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools_digest: Option<String>,
    /// Whether it gives session ids, which only the pod that gave one knows. Unset where it was not asked: of a
    /// server that speaks the era without sessions, it is with `service.sessionAffinity: Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_ids: Option<bool>,
}

/// What a pod template was made from, in digests.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRecord {
    /// Of the spec, as far as pods depend on it.
    pub asked_for: String,
    /// Of the template as it was rendered.
    pub rendered: String,
    /// Of the template as the API server keeps it.
    pub live: String,
    /// Of the Secrets and ConfigMaps that are the pods' environment, as the template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
}

/// A pod that was asked to stop and still serves open sessions.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainingPod {
    /// Its name.
    pub name: String,
    /// When its last session ends at the latest.
    pub until: Time,
    /// What is waited for: its open sessions, rounded down to a power of two, so that the status is
    /// not written for each that ends.
    pub sessions: i32,
}

/// Types of conditions.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ConditionType {
    /// The spec can be acted on.
    Accepted,
    /// The server answers as asked.
    Ready,
    /// A rollout is under way.
    Progressing,
    /// Something needs a person.
    Degraded,
    /// The server speaks MCP; unknown while nobody could ask it.
    Verified,
}

impl ConditionType {
    /// The name in `status.conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Verified => "Verified",
        }
    }
}

/// Reasons of conditions and events, one word each.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The spec is valid.
    Valid,
    /// The spec contradicts itself in a way the schema cannot see.
    Invalid,
    /// The API server refused a child made from this spec.
    ChildRejected,
    /// An object of a child's name exists and belongs to somebody else.
    NameConflict,
    /// A Secret named by the spec does not exist.
    SecretNotFound,
    /// A Secret named by the spec lacks the key, or the key is empty.
    SecretKeyNotFound,
    /// All wanted pods are ready.
    PodsReady,
    /// Some or all wanted pods are not ready.
    PodsNotReady,
    /// The server is scaled to zero.
    ScaledToZero,
    /// New pods are taking over from old ones.
    RolloutInProgress,
    /// All pods run the current template.
    RolloutComplete,
    /// All pods run the current template, and this operator would render another; they are left as they are until
    /// the spec changes, or an operator rolls its fleet.
    UpdateHeldBack,
    /// The rollout made no progress within its deadline.
    RolloutStuck,
    /// The cluster lacks a kind that the spec asks for.
    ApiNotInstalled,
    /// The controller of the Ingress' class ends long streams, and cannot be told otherwise from here.
    IngressEndsStreams,
    /// What the controller of the Ingress' class does to long streams is not known.
    IngressClassUnknown,
    /// The pods run a release of the server that this operator does not support.
    ReleaseUnsupported,
    /// Calls of the API server keep failing.
    ReconcileFailed,
    /// The resource says that nothing may be changed.
    Paused,
    /// Nothing needs a person.
    AsExpected,
    /// The server answered over MCP as it should.
    ProtocolAnswered,
    /// The server did not answer over MCP, or not as it should.
    ProtocolFailed,
    /// The server asks for a credential that the operator does not have.
    NotAuthorized,
    /// The server asks for a credential that the spec names, and the operator cannot read it, or there is none.
    CredentialMissing,
    /// The server was not asked yet.
    NotAskedYet,
    /// The server is never asked.
    VerifyOff,
}

impl Reason {
    /// Whether a person should know, while the server answers none the worse for it.
    #[must_use]
    pub const fn leaves_ready(self) -> bool {
        matches!(
            self,
            Self::ApiNotInstalled
                | Self::IngressEndsStreams
                | Self::IngressClassUnknown
                | Self::ReleaseUnsupported
        )
    }

    /// The word in `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::Invalid => "Invalid",
            Self::ChildRejected => "ChildRejected",
            Self::NameConflict => "NameConflict",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretKeyNotFound => "SecretKeyNotFound",
            Self::PodsReady => "PodsReady",
            Self::PodsNotReady => "PodsNotReady",
            Self::ScaledToZero => "ScaledToZero",
            Self::RolloutInProgress => "RolloutInProgress",
            Self::RolloutComplete => "RolloutComplete",
            Self::UpdateHeldBack => "UpdateHeldBack",
            Self::RolloutStuck => "RolloutStuck",
            Self::ApiNotInstalled => "ApiNotInstalled",
            Self::IngressEndsStreams => "IngressEndsStreams",
            Self::IngressClassUnknown => "IngressClassUnknown",
            Self::ReleaseUnsupported => "ReleaseUnsupported",
            Self::ReconcileFailed => "ReconcileFailed",
            Self::Paused => "Paused",
            Self::AsExpected => "AsExpected",
            Self::ProtocolAnswered => "ProtocolAnswered",
            Self::ProtocolFailed => "ProtocolFailed",
            Self::NotAuthorized => "NotAuthorized",
            Self::CredentialMissing => "CredentialMissing",
            Self::NotAskedYet => "NotAskedYet",
            Self::VerifyOff => "VerifyOff",
        }
    }
}
