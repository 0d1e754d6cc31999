//! Images that are not builds of this project's server: what they speak, and where.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the program in the image takes messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Transport {
    /// Over HTTP: builds of this project's server and, where `endpoint` says so, any other.
    #[default]
    Http,
    /// On stdin and stdout. The pod gets this project's static binary from an init container, which runs `command` once
    /// for each session and serves it over HTTP.
    Stdio,
}

/// Which eras of MCP a server speaks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Protocol {
    /// It is asked: first for 2026-07-28, in which each message stands alone, then with `initialize`.
    #[default]
    Auto,
    /// 2026-07-28 alone. It is never asked with `initialize`, and no client needs to keep its pod.
    Stateless,
    /// The versions that begin with `initialize` alone. It is asked with that, and a client keeps its pod.
    Legacy,
}

/// Where an image that is not a build of this project's server serves MCP over HTTP. Its presence, be it empty, says
/// that the image is such a one: it then gets no variable, key, port and argument that it does not know.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.ssePath) || self.ssePath != self.path")
        .message("endpoint: ssePath is the stream of the older HTTP+SSE transport; path is that of Streamable HTTP, and another one")
)]
pub struct EndpointSpec {
    /// Port of the container.
    #[serde(default = "EndpointSpec::default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,

    /// Path of Streamable HTTP.
    #[serde(default = "EndpointSpec::default_path")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[-A-Za-z0-9._~/%]*$"))]
    pub path: String,

    /// Path of the stream of the older HTTP+SSE transport, where the image has it. Such a stream lives in one pod: with
    /// `sessionAffinity: Auto` a client keeps its pod. The operator sees to it that the stream opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[-A-Za-z0-9._~/%]*$"))]
    pub sse_path: Option<String>,

    /// Path that answers a GET with 200 while the server is well; the probes ask it. Unset: they look whether somebody
    /// takes connections at the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[-A-Za-z0-9._~/%]*$"))]
    pub health_path: Option<String>,
}

impl EndpointSpec {
    const fn default_port() -> i32 {
        8080
    }

    fn default_path() -> String {
        "/mcp".to_owned()
    }
}

impl Default for EndpointSpec {
    fn default() -> Self {
        Self {
            port: Self::default_port(),
            path: Self::default_path(),
            sse_path: None,
            health_path: None,
        }
    }
}
