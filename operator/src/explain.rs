//! `explain`: what the operator would do now to the children of one server, and why, without doing it.

use anyhow::{Context as _, bail};
use iam_mcp_crds::McpServer;
use k8s_openapi::api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Secret};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    OPERATOR,
    cli::ExplainArgs,
    connect::connect,
    controller::{
        adopt::was_ours,
        apply::Owner,
        build,
        cache::controller_uid,
        drift::differences,
        health::affinity::resolve_as_told,
        key_kinds::KeyKind,
        kinds::{Child, ChildKind, in_order},
        owned::{owned_digest, owned_fields, owned_parts},
        template::{Fate, fate},
        validate::{Defaults, validate},
    },
};

/// What would become of one child.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is as it should be.
    Nothing,
    /// It would be made.
    Create,
    /// It would be changed.
    Update,
    /// It would be deleted, since it is no longer asked for.
    Delete,
    /// It was the child of a server of this name that is gone, and would be taken back.
    Adopt,
    /// It belongs to somebody else and is left alone.
    Blocked,
}

/// One field that would change.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Where it stands.
    pub field: String,
    /// What it is.
    pub is: String,
    /// What it would be.
    pub should_be: String,
}

/// What would become of one child, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// `Kind/name`.
    pub child: String,
    /// What would be done.
    pub action: Action,
    /// Why, in words, where fields do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// The fields that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Prints what the operator would do to the server.
///
/// # Errors
/// When the cluster cannot be read, or has no such server, or its spec is invalid.
pub async fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let (client, default_namespace) = connect(args.kubeconfig.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or(default_namespace);
    let server: McpServer = Api::namespaced(client.clone(), &namespace)
        .get_opt(&args.name)
        .await
        .context("cannot read McpServers")?
        .with_context(|| {
            format!(
                "there is no McpServer {} in namespace {namespace}; see kubectl get mcps -A",
                args.name
            )
        })?;
    let defaults = Defaults {
        server_image: args.server_image.clone(),
        operator_namespace: args.operator_namespace.clone(),
    };
    let steps = steps(&client, &server, &defaults).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&steps)?);
    } else {
        print!("{}", table(&steps));
    }
    Ok(())
}

async fn steps(client: &Client, server: &McpServer, defaults: &Defaults) -> anyhow::Result<Vec<Step>> {
    let name = server.name_any();
    let Some(mut owner) = Owner::of(server, &server.status.clone().unwrap_or_default()) else {
        bail!("McpServer {name} has no uid");
    };
    let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &owner.namespace);
    let hpas = hpas
        .list(&ListParams::default())
        .await
        .context("cannot list HorizontalPodAutoscalers")?;
    let scaled = hpas.iter().any(|hpa| {
        let target = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
        target.is_some_and(|target| target.kind == "Deployment" && target.name == name)
    });
    let mut validated = validate(server, defaults, scaled)
        .with_context(|| format!("McpServer {name} is invalid, and its children stay as they are"))?;
    resolve_as_told(&mut validated, &server.status.clone().unwrap_or_default());
    // What Secrets hold is not looked at: who explains need not be allowed to.
    let told = owner
        .template
        .record
        .as_ref()
        .and_then(|record| record.references.clone());
    owner.template.references.clone_from(&told);
    validated.references = told;
    let reference = serde_json::to_value(&owner.reference)?;
    let wanted = in_order(build::build(&validated), Some(&reference))?;

    let mut steps = Vec::new();
    for kind in owner.key_kinds() {
        steps.push(keys(client, &owner, kind).await?);
    }
    for kind in ChildKind::ALL {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &owner.namespace, &kind.api_resource());
        if kind.optional().is_some() && !is_served(&api).await? {
            steps.extend(wanted.iter().find(|child| child.kind == kind).map(|child| Step {
                child: child.title(),
                action: Action::Blocked,
                why: Some("the cluster does not have its kind"),
                differences: Vec::new(),
            }));
            continue;
        }
        let live = api
            .get_opt(&name)
            .await
            .with_context(|| format!("cannot read {}/{name}", kind.as_str()))?;
        let child = wanted.iter().find(|child| child.kind == kind);
        let held = match (child, &live) {
            (Some(child), Some(live)) => held(child, live, &owner)?,
            _ => None,
        };
        let mut step = step(kind, held.as_ref().or(child), live.as_ref(), &owner.uid)?;
        if let (Some(step), Some(_)) = (&mut step, held) {
            step.why.get_or_insert(
                "its pods are an earlier operator's, and stay until the spec changes or the fleet is rolled",
            );
        }
        steps.extend(step);
    }
    Ok(steps)
}

/// Whether the cluster has a kind that it may lack.
async fn is_served(api: &Api<DynamicObject>) -> anyhow::Result<bool> {
    match api.list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(true),
        // A group that nobody serves answers in plain text.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error).context("cannot list an optional kind"),
    }
}

/// A Secret with keys is made when it is missing, and never changed but by a rotation.
async fn keys(client: &Client, owner: &Owner, kind: &KeyKind) -> anyhow::Result<Step> {
    let name = format!("{}{}", owner.name, kind.suffix);
    let api: Api<Secret> = Api::namespaced(client.clone(), &owner.namespace);
    let live = api
        .get_metadata_opt(&name)
        .await
        .with_context(|| format!("cannot read Secret/{name}"))?;
    let action = match live {
        None => Action::Create,
        Some(live) if controller_uid(&live.metadata).as_deref() == Some(owner.uid.as_str()) => {
            Action::Nothing
        }
        Some(live) => {
            let mut live = serde_json::to_value(live)?;
            live["kind"] = "Secret".into();
            if was_ours(&live) {
                Action::Adopt
            } else {
                Action::Blocked
            }
        }
    };
    Ok(Step {
        child: format!("Secret/{name}"),
        action,
        why: why(action),
        differences: Vec::new(),
    })
}

/// The child with the live pod template, if the rendered one would be held back.
fn held(child: &Child, live: &DynamicObject, owner: &Owner) -> anyhow::Result<Option<Child>> {
    let live = serde_json::to_value(live)?;
    let Some(template) = owned_parts(&live, OPERATOR).and_then(|parts| parts.template) else {
        return Ok(None);
    };
    let Some(rendered) = child.parts.template else {
        return Ok(None);
    };
    if fate(&owner.template, &rendered, Some(&template)) == Fate::Apply {
        return Ok(None);
    }
    let mut held = child.holding(template);
    let fields = owned_fields(&live, OPERATOR).unwrap_or_default();
    held.manifest["spec"]["template"] = fields["spec"]["template"].clone();
    Ok(Some(held))
}

/// What would become of the child of one kind; `None` when it is neither there nor wanted, or not ours.
fn step(
    kind: ChildKind,
    wanted: Option<&Child>,
    live: Option<&DynamicObject>,
    owner: &str,
) -> anyhow::Result<Option<Step>> {
    let is_ours = live.map(|live| controller_uid(&live.metadata).as_deref() == Some(owner));
    let (action, name, differences) = match (wanted, live) {
        (None, Some(live)) if is_ours == Some(true) => (Action::Delete, live.name_any(), Vec::new()),
        (None, _) => return Ok(None),
        (Some(child), None) => (Action::Create, child.name.clone(), Vec::new()),
        (Some(child), Some(live)) if is_ours == Some(false) => {
            let live = serde_json::to_value(live)?;
            if was_ours(&live) {
                (Action::Adopt, child.name.clone(), changes(child, &live))
            } else {
                (Action::Blocked, child.name.clone(), Vec::new())
            }
        }
        (Some(child), Some(live)) => {
            let live = serde_json::to_value(live)?;
            let differences = changes(child, &live);
            let action = if differences.is_empty() && owned_digest(&live, OPERATOR) == Some(child.digest) {
                Action::Nothing
            } else {
                Action::Update
            };
            (action, child.name.clone(), differences)
        }
    };
    let why = match action {
        Action::Update if differences.is_empty() => {
            Some("it owns fields that are no longer asked for, or somebody took some over")
        }
        _ => why(action),
    };
    Ok(Some(Step {
        child: format!("{}/{name}", kind.as_str()),
        action,
        why,
        differences,
    }))
}

fn changes(child: &Child, live: &Value) -> Vec<Difference> {
    differences(live, &child.manifest)
        .into_iter()
        .map(|(field, is, should_be)| Difference { field, is, should_be })
        .collect()
}

const fn why(action: Action) -> Option<&'static str> {
    match action {
        Action::Nothing | Action::Update => None,
        Action::Create => Some("it is missing"),
        Action::Delete => Some("it is no longer asked for"),
        Action::Adopt => Some("it belonged to a McpServer of this name that is gone"),
        Action::Blocked => Some("it belongs to somebody else; delete or rename it, or rename the McpServer"),
    }
}

/// The steps for people: a line a child, and below it a line a field.
#[must_use]
pub fn table(steps: &[Step]) -> String {
    let width = steps
        .iter()
        .map(|step| step.child.len())
        .max()
        .unwrap_or_default();
    let mut lines = Vec::new();
    for step in steps {
        let what = match step.action {
            Action::Nothing => "as it should be",
            Action::Create => "would be made",
            Action::Update => "would be changed",
            Action::Delete => "would be deleted",
            Action::Adopt => "would be taken back",
            Action::Blocked => "is left alone",
        };
        let why = step.why.map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(format!("{:width$}  {what}{why}", step.child));
        for Difference { field, is, should_be } in &step.differences {
            lines.push(format!("    {field}: {is} -> {should_be}"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(owner: &str, replicas: i32) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "jobs",
                "ownerReferences": [{"apiVersion": "a", "kind": "McpServer", "name": "jobs", "uid": owner, "controller": true}],
                "managedFields": [{"manager": OPERATOR, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
            },
            "spec": {"replicas": replicas},
        }))
        .expect("an object")
    }

    fn wanted(replicas: i32) -> Child {
        let manifest = json!({"metadata": {"name": "jobs"}, "spec": {"replicas": replicas}});
        Child::new(ChildKind::Service, manifest)
    }

    #[test]
    fn each_child_has_one_fate() {
        let fate = |wanted: Option<&Child>, live: Option<&DynamicObject>| {
            step(ChildKind::Service, wanted, live, "us")
                .expect("it can be compared")
                .map(|step| step.action)
        };
        let (two, ours, theirs) = (wanted(2), live("us", 2), live("them", 2));
        assert_eq!(fate(None, None), None);
        assert_eq!(fate(None, Some(&theirs)), None);
        assert_eq!(fate(None, Some(&ours)), Some(Action::Delete));
        assert_eq!(fate(Some(&two), None), Some(Action::Create));
        assert_eq!(fate(Some(&two), Some(&theirs)), Some(Action::Blocked));
        assert_eq!(fate(Some(&two), Some(&live("us", 3))), Some(Action::Update));
    }

    #[test]
    fn a_change_is_told_field_by_field() {
        let step = step(ChildKind::Service, Some(&wanted(2)), Some(&live("us", 7)), "us")
            .expect("it can be compared")
            .expect("it is wanted");
        assert_eq!(
            table(&[step]),
            "Service/jobs  would be changed\n    spec.replicas: 7 -> 2\n"
        );
    }
}
