//! A pod, reduced to what the operator needs of it.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Resource, ResourceExt as _,
    core::{NamespaceResourceScope, ObjectMeta},
};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use super::cost::{self, Annotated};
use crate::controller::health::gate::{CONDITION, Gate, OPEN_FOR};

/// A pod as it is read: the rest of it is left out while it is decoded, which at thousands of pods is most of
/// the memory and the time.
#[derive(Clone, Debug, Deserialize)]
pub struct SlimPod {
    #[serde(deserialize_with = "slim_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SlimSpec,
    status: Option<SlimStatus>,
}

/// Reads of a pod's metadata what is needed: two thirds of it are who set which field.
fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        deletion_grace_period_seconds: Option<i64>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
    }
    let slim = Slim::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        deletion_grace_period_seconds: slim.deletion_grace_period_seconds,
        labels: slim.labels,
        annotations: slim.annotations,
        ..ObjectMeta::default()
    })
}

impl Resource for SlimPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What is read of a pod's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SlimSpec {
    node_name: Option<String>,
    readiness_gates: Vec<SlimGate>,
    containers: Vec<SlimContainerSpec>,
}

/// What is read of a container's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SlimContainerSpec {
    name: String,
    ports: Vec<SlimPort>,
}

/// What is read of a container's port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SlimPort {
    name: Option<String>,
}

/// What is read of a pod's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SlimStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    conditions: Vec<SlimCondition>,
    container_statuses: Vec<SlimContainer>,
}

/// What is read of a readiness gate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SlimGate {
    condition_type: String,
}

/// What is read of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SlimContainer {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

/// What is read of a condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SlimCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    message: Option<String>,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It has no node yet.
    Unscheduled,
    /// It has a node, and its containers do not run yet.
    Starting,
    /// Its containers run.
    Running,
    /// They have ended for good.
    Over,
}

/// A pod that was asked to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deletion {
    /// When it is killed, in unix seconds: Kubernetes notes the end of the grace, not its start.
    pub at: i64,
    /// Its grace in seconds.
    pub grace: i64,
}

impl Deletion {
    /// When it was asked, in unix seconds. A grace that is shortened later leaves this as it is.
    #[must_use]
    pub const fn began(self) -> i64 {
        self.at - self.grace
    }
}

/// What is kept of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The server that it belongs to, by its label.
    pub server: String,
    /// Its uid.
    pub uid: String,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// When it was made.
    pub created: Timestamp,
    /// Digest of the label that names the pod template it was made from.
    pub template: u64,
    /// Whether it takes traffic.
    pub ready: bool,
    /// How far it is.
    pub phase: Phase,
    /// Whether it was asked to stop.
    pub deletion: Option<Deletion>,
    /// Its gate, if it has one.
    pub gate: Option<Box<Gate>>,
    /// Whether it has no admin port: its image is not a build of ours, and nobody asks it for its sessions.
    pub silent: bool,
    /// What a scale-down reads.
    pub cost: Annotated,
}

impl Seen {
    /// Reads a pod; `None` when no server is named by its label.
    #[must_use]
    pub fn new(pod: &SlimPod) -> Option<Self> {
        let metadata: &ObjectMeta = &pod.metadata;
        let status = pod.status.as_ref();
        let phase = match status.and_then(|status| status.phase.as_deref()) {
            Some("Running") => Phase::Running,
            Some("Succeeded" | "Failed") => Phase::Over,
            _ if pod.spec.node_name.is_some() => Phase::Starting,
            _ => Phase::Unscheduled,
        };
        let deletion = metadata.deletion_timestamp.as_ref().map(|at| Deletion {
            at: at.0.as_second(),
            grace: metadata.deletion_grace_period_seconds.unwrap_or_default(),
        });
        let created = metadata.creation_timestamp.as_ref();
        Some(Self {
            server: pod.labels().get("app")?.clone(),
            uid: metadata.uid.clone()?,
            ip: status
                .and_then(|status| status.pod_ip.as_deref())
                .and_then(|ip| ip.parse().ok()),
            created: created.map_or(Timestamp::UNIX_EPOCH, |created| created.0),
            template: template(pod.labels().get(TEMPLATE).map(String::as_str)),
            ready: is_true(status, "Ready"),
            gate: gate(pod),
            silent: is_silent(pod),
            phase,
            deletion,
            cost: Annotated::parse(pod.annotations().get(cost::ANNOTATION).map(String::as_str)),
        })
    }

    /// Whether it was asked to stop and its containers still run.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.phase == Phase::Running && self.deletion.is_some()
    }

    /// Whether it counts among the pods that its server is to have.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.phase != Phase::Over && self.deletion.is_none()
    }
}

/// The label by which a Deployment tells its pod templates apart.
const TEMPLATE: &str = "pod-template-hash";

fn template(label: Option<&str>) -> u64 {
    let mut first = [0; 8];
    let digest = Sha256::digest(label.unwrap_or_default());
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// Whether the server's container names its ports, and none of them is the admin port.
fn is_silent(pod: &SlimPod) -> bool {
    let server = pod.labels().get("app");
    let mut containers = pod.spec.containers.iter();
    let container = containers.find(|container| Some(&container.name) == server);
    container.is_some_and(|container| {
        let mut names = container.ports.iter().map(|port| port.name.as_deref());
        !container.ports.is_empty() && names.all(|name| name != Some("admin"))
    })
}

fn gate(pod: &SlimPod) -> Option<Box<Gate>> {
    let mut gates = pod.spec.readiness_gates.iter();
    gates.find(|gate| gate.condition_type == CONDITION)?;
    let server = pod.labels().get("app")?;
    let status = pod.status.as_ref();
    let mut containers = status.into_iter().flat_map(|status| &status.container_statuses);
    let container = containers.find(|container| container.name == *server);
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    let open = conditions.find(|condition| condition.type_ == CONDITION && condition.status == "True");
    Some(Box::new(Gate {
        container: container.and_then(|container| container.container_id.as_deref().map(Into::into)),
        containers_ready: is_true(status, "ContainersReady"),
        // Opened by somebody else, it is open for nobody that we know of.
        open_for: open.map(|open| {
            let message = open.message.as_deref().unwrap_or_default();
            message.strip_prefix(OPEN_FOR).unwrap_or_default().into()
        }),
    }))
}

fn is_true(status: Option<&SlimStatus>, type_: &str) -> bool {
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| condition.type_ == type_ && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(pod: serde_json::Value) -> Option<Seen> {
        Seen::new(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_is_read_from_what_the_api_server_sends() {
        let pod = seen(json!({
            "metadata": {
                "name": "jobs-1", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
                "deletionTimestamp": "2026-01-01T00:10:00Z", "deletionGracePeriodSeconds": 330,
                "labels": {"app": "jobs"}, "annotations": {"controller.kubernetes.io/pod-deletion-cost": "16"},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "jobs"}]},
            "status": {"phase": "Running", "podIP": "fd00::7", "hostIP": "10.0.0.1"},
        }))
        .unwrap();
        assert_eq!(pod.server, "jobs");
        assert_eq!(pod.ip, Some("fd00::7".parse().unwrap()));
        assert_eq!(pod.cost, Annotated::Cost(16));
        let began = pod.deletion.unwrap().began();
        assert_eq!(
            began,
            "2026-01-01T00:04:30Z".parse::<Timestamp>().unwrap().as_second()
        );
        assert!(pod.drains() && !pod.stays());
    }

    #[test]
    fn phases() {
        let phase = |spec, status| {
            let pod =
                json!({"metadata": {"uid": "u", "labels": {"app": "jobs"}}, "spec": spec, "status": status});
            seen(pod).unwrap().phase
        };
        assert_eq!(phase(json!({}), json!({})), Phase::Unscheduled);
        assert_eq!(
            phase(json!({"nodeName": "n"}), json!({"phase": "Pending"})),
            Phase::Starting
        );
        assert_eq!(
            phase(json!({"nodeName": "n"}), json!({"phase": "Failed"})),
            Phase::Over
        );
    }

    #[test]
    fn a_pod_without_the_admin_port_is_not_asked() {
        let silent = |ports: serde_json::Value| {
            let containers =
                json!([{"name": "proxy", "ports": [{"name": "admin"}]}, {"name": "jobs", "ports": ports}]);
            seen(json!({"metadata": {"uid": "u", "labels": {"app": "jobs"}}, "spec": {"containers": containers}}))
                .unwrap()
                .silent
        };
        assert!(silent(json!([{"name": "http", "containerPort": 3000}])));
        assert!(!silent(json!([{"name": "http"}, {"name": "admin"}])));
        assert!(!silent(json!([])), "nothing is known");
    }

    #[test]
    fn a_pod_of_no_server_is_nobodys() {
        assert_eq!(seen(json!({"metadata": {"uid": "u"}, "spec": {}})), None);
    }
}
