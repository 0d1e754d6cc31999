//! Whether the children of a server are what the operator would render. The judge is the API server: it is asked what a
//! server-side apply of the rendered child, in the operator's name, would change, and the answer must be nothing. That
//! counts a field taken over, a field that should have gone and a foreign entry in a list that is one value.

use iam_mcp_crds::{McpServer, Transport};
use iam_mcp_e2e::{OPERATOR, children, sandbox::Sandbox};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

/// A kind of child, and its name for one server.
pub(crate) struct Kind {
    pub(crate) title: &'static str,
    pub(crate) api: Api<DynamicObject>,
    pub(crate) name: String,
}

/// All kinds of children of the server called `name`.
pub(crate) fn kinds(sandbox: &Sandbox, name: &str) -> Vec<Kind> {
    let api =
        |resource: &ApiResource| Api::namespaced_with(sandbox.client.clone(), sandbox.namespace(), resource);
    children::kinds(name)
        .into_iter()
        .map(|(kind, resource, name)| Kind {
            title: kind,
            api: api(&resource),
            name,
        })
        .collect()
}

/// Whether all children are as `rendered`, and no others are there.
pub(crate) async fn judge(sandbox: &Sandbox, server: &McpServer, rendered: &[Value]) -> Result<(), String> {
    for Kind {
        title: kind,
        api,
        name,
    } in kinds(sandbox, &server.name_any())
    {
        if kind == "Secret" {
            keys_are_there(sandbox, server, &name).await?;
            continue;
        }
        let live = api.get_opt(&name).await.map_err(|e| format!("{kind}: {e}"))?;
        let wanted = rendered.iter().find(|child| child["kind"] == kind);
        match (live, wanted) {
            (None, None) => {}
            (None, Some(_)) => return Err(format!("{kind}/{name} is missing")),
            (Some(_), None) => return Err(format!("{kind}/{name} is there, and should not be")),
            (Some(live), Some(wanted)) => {
                let wanted = with_digest(wanted, &live);
                let after = would_be(&api, server, &wanted)
                    .await
                    .map_err(|error| format!("{kind}/{name} cannot be applied: {error}"))?;
                let (live, after) = (comparable(&live)?, comparable(&after)?);
                if let Some(difference) = difference(&live, &after, "") {
                    return Err(format!("an apply would change {kind}/{name}: {difference}"));
                }
            }
        }
    }
    Ok(())
}

/// Annotation of pods: a digest of the environment that they have from Secrets and ConfigMaps.
const REFERENCES: &str = "iam-mcp.dev/references";

/// What is rendered without a cluster lacks the digest of what pods refer to. Where they refer to something, that of `live`
/// is as good as any; where they do not, there must be none.
fn with_digest(rendered: &Value, live: &DynamicObject) -> Value {
    let mut rendered = rendered.clone();
    let digest = &live.data["spec"]["template"]["metadata"]["annotations"][REFERENCES];
    let text = rendered["spec"]["template"].to_string();
    let sources = ["secretKeyRef", "configMapKeyRef", "secretRef", "configMapRef"];
    if digest.is_string()
        && sources
            .iter()
            .any(|source| text.contains(&format!("\"{source}\"")))
    {
        rendered["spec"]["template"]["metadata"]["annotations"][REFERENCES] = digest.clone();
    }
    rendered
}

async fn keys_are_there(sandbox: &Sandbox, server: &McpServer, name: &str) -> Result<(), String> {
    if server.spec.endpoint.is_some() || server.spec.transport == Some(Transport::Stdio) {
        // The pods of another image share no keys.
        return Ok(());
    }
    let secret = sandbox
        .api::<Secret>()
        .get_opt(name)
        .await
        .map_err(|e| e.to_string())?;
    let secret = secret.ok_or_else(|| format!("Secret/{name} is missing"))?;
    let owned = secret
        .owner_references()
        .iter()
        .any(|owner| Some(&owner.uid) == server.uid().as_ref());
    let key = secret
        .data
        .and_then(|data| data.get("session-key").map(|key| key.0.len()));
    if owned && key == Some(32) {
        Ok(())
    } else {
        Err(format!(
            "Secret/{name}: owned {owned}, length of its session-key {key:?}"
        ))
    }
}

/// The object after an apply of `wanted` by the operator.
async fn would_be(
    api: &Api<DynamicObject>,
    server: &McpServer,
    wanted: &Value,
) -> kube::Result<DynamicObject> {
    let mut manifest = wanted.clone();
    let mut owner = json!(server.controller_owner_ref(&()).unwrap());
    owner["blockOwnerDeletion"] = json!(true);
    manifest["metadata"]["ownerReferences"] = json!([owner]);
    let mut params = PatchParams::apply(OPERATOR).force();
    params.dry_run = true;
    let name = wanted["metadata"]["name"].as_str().unwrap();
    api.patch(name, &params, &Patch::Apply(&manifest)).await
}

/// All but what changes with a write that changes nothing; of the managed fields only whose they are.
fn comparable(object: &DynamicObject) -> Result<Value, String> {
    let mut value = serde_json::to_value(object).map_err(|e| e.to_string())?;
    let ours: Vec<Value> = value["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] == OPERATOR && entry["operation"] == "Apply")
        .map(|entry| entry["fieldsV1"].clone())
        .collect();
    let metadata = value["metadata"].as_object_mut().ok_or("no metadata")?;
    metadata.remove("resourceVersion");
    metadata.remove("generation");
    metadata.insert("managedFields".to_owned(), Value::Array(ours));
    value.as_object_mut().ok_or("no object")?.remove("status");
    Ok(value)
}

/// The first place where two values differ, with both.
pub(crate) fn difference(a: &Value, b: &Value, at: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left
                .keys()
                .chain(right.keys().filter(|key| !left.contains_key(*key)));
            keys.into_iter()
                .find_map(|key| difference(&a[key], &b[key], &format!("{at}.{key}")))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(index, (left, right))| difference(left, right, &format!("{at}[{index}]"))),
        _ if a == b => None,
        _ => Some(format!("{at} is {a}, would be {b}")),
    }
}
