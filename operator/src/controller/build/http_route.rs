//! The way to the server through a Gateway.

use iam_mcp_crds::{GatewayRef, HttpRouteSpec};
use serde_json::{Map, Value, json};

use super::{ValidatedServer, metadata};

/// As the API server stores it, defaults and all: its lists are owned as a whole, and what it would fill in itself
/// would look like drift.
pub(super) fn build(server: &ValidatedServer, route: &HttpRouteSpec) -> Value {
    let parents: Vec<Value> = route.parent_refs.iter().map(parent).collect();
    let mut spec = json!({
        "parentRefs": parents,
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": route.path}}],
            // None: an event stream is one request that lasts for hours.
            "timeouts": {"request": "0s"},
            "backendRefs": [{
                "group": "", "kind": "Service", "name": server.name, "port": server.service.port, "weight": 1,
            }],
        }],
    });
    if !route.hostnames.is_empty() {
        spec["hostnames"] = json!(route.hostnames);
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(server),
        "spec": spec,
    })
}

fn parent(gateway: &GatewayRef) -> Value {
    let GatewayRef {
        name,
        namespace,
        section_name,
        port,
    } = gateway;
    let mut parent = Map::new();
    parent.insert("group".to_owned(), json!("gateway.networking.k8s.io"));
    parent.insert("kind".to_owned(), json!("Gateway"));
    parent.insert("name".to_owned(), json!(name));
    if let Some(namespace) = namespace {
        parent.insert("namespace".to_owned(), json!(namespace));
    }
    if let Some(section) = section_name {
        parent.insert("sectionName".to_owned(), json!(section));
    }
    if let Some(port) = port {
        parent.insert("port".to_owned(), json!(port));
    }
    Value::Object(parent)
}
