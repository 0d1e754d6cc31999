//! How clients reach a server through a Gateway.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An HTTPRoute of the Gateway API, for clients that come through a Gateway.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways that take the route.
    #[schemars(length(min = 1, max = 16))]
    pub parent_refs: Vec<GatewayRef>,

    /// Host names of the server. Unset: those of the Gateway's listeners, which the server then has to know from
    /// `service.hostnames`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hostnames: Vec<String>,

    /// Path under which the server is reached; the server answers below it too.
    #[serde(default = "HttpRouteSpec::default_path")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^/([-._~a-zA-Z0-9]+(/[-._~a-zA-Z0-9]+)*)?$')").message("httpRoute.path: starts with '/' and does not end with one, for example /jobs"))]
    pub path: String,
}

impl HttpRouteSpec {
    fn default_path() -> String {
        "/".to_owned()
    }
}

/// A Gateway, or one of its listeners.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its namespace, whose listener must allow routes from here. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// The listener. Default: every listener that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,

    /// The listener's port. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}
