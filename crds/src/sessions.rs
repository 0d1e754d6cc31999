//! What becomes of open sessions when a pod has to go.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What becomes of open sessions when a pod has to go: a rollout, a scale-down, a drained node.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.drainIdleSeconds) || self.drainIdleSeconds <= self.drainSeconds")
        .message("sessions: drainIdleSeconds must not be greater than drainSeconds, after which every session ends in any case")
)]
pub struct SessionsSpec {
    /// Seconds that a pod goes on serving its open sessions after it was asked to stop; it ends
    /// earlier when they end earlier. The pods' grace period is this and a margin.
    #[serde(default = "SessionsSpec::default_drain")]
    #[schemars(range(min = 0, max = 86400))]
    pub drain_seconds: i32,

    /// Seconds without a call after which a draining pod may end a session earlier. Unset: it
    /// never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub drain_idle_seconds: Option<i32>,

    /// Most pods that may drain at a time, since they still count against quotas. Beyond it, those
    /// that began first end their sessions within seconds.
    #[serde(default = "SessionsSpec::default_max_draining")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_draining_pods: i32,

    /// Time from one session key to the next in hours, such as `720h`; at least `192h`. No session is lost. Unset: only
    /// on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 6), regex(pattern = "^[1-9][0-9]{2,4}h$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('192h')").message("sessions.rotateKeyEvery: at least 192h, which is 8 days: the key before is accepted for 7 days at most, and goes before the next comes"))]
    pub rotate_key_every: Option<String>,
}

impl SessionsSpec {
    const fn default_drain() -> i32 {
        300
    }

    const fn default_max_draining() -> i32 {
        20
    }
}

impl Default for SessionsSpec {
    fn default() -> Self {
        Self {
            drain_seconds: Self::default_drain(),
            drain_idle_seconds: None,
            max_draining_pods: Self::default_max_draining(),
            rotate_key_every: None,
        }
    }
}
