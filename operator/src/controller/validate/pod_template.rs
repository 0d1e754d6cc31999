//! `spec.podTemplate`: the patch is merged, and the result must still be pods of this server.

use std::collections::BTreeMap;

use iam_mcp_crds::{PodTemplatePatch, spec::RESERVED_ENV, workload::RESERVED_NAME_PREFIX};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde::Serialize;
use serde_json::{Value, json};

use super::image::Program;
use super::pods::{is_reserved_annotation, is_reserved_label, is_reserved_path, is_reserved_volume};
use crate::controller::{
    build, pod_security, stored,
    strategic::{self, Refused},
};

/// What `patch` makes of `base`, the template of the server called `server`. `fixed` are variables and paths that stay.
///
/// # Errors
/// All that the result may not have, each with its path.
pub(super) fn patched(
    base: &PodTemplateSpec,
    patch: &PodTemplatePatch,
    server: &str,
    program: &Program,
    fixed: &[&str],
) -> Result<PodTemplateSpec, Vec<String>> {
    let (base, template) = parse(base, patch).map_err(|problem| vec![format!("podTemplate.{problem}")])?;
    let mut problems = Vec::new();
    check_metadata(&base, &template, &mut problems);
    let none = PodSpec::default();
    let (before, after) = (
        base.spec.as_ref().unwrap_or(&none),
        template.spec.as_ref().unwrap_or(&none),
    );
    check_spec(before, after, &mut problems);
    check_others(before, after, server, &build::ports(program), &mut problems);
    let find = |spec: &PodSpec| spec.containers.iter().find(|c| c.name == server).cloned();
    match (find(before), find(after)) {
        (Some(before), Some(after)) => check_server(&before, &after, program, fixed, &mut problems),
        _ => problems.push(format!("spec.containers[{server}] is the server, and must stay")),
    }
    let profile = pod_security::restricted(&template);
    problems.extend(
        profile
            .into_iter()
            .map(|problem| format!("{problem} (Pod Security profile restricted)")),
    );
    if problems.is_empty() {
        return Ok(template);
    }
    Err(problems
        .into_iter()
        .map(|problem| format!("podTemplate.{problem}"))
        .collect())
}

/// The template before and after the patch, in the same form.
fn parse(
    base: &PodTemplateSpec,
    patch: &PodTemplatePatch,
) -> Result<(PodTemplateSpec, PodTemplateSpec), Refused> {
    let mut given = json!({});
    for (name, half) in [("metadata", &patch.metadata), ("spec", &patch.spec)] {
        if let Some(half) = half {
            if !half.is_object() {
                return Err(refused(name, "must be an object".to_owned()));
            }
            given[name] = half.clone();
        }
    }
    let mut base = serde_json::to_value(base).map_err(|e| refused("", e.to_string()))?;
    stored::as_stored(&mut base);
    let mut merged = strategic::merge(&base, &given)?;
    stored::as_stored(&mut merged);
    let template = typed(&merged)?;
    let kept = serde_json::to_value(&template).map_err(|e| refused("", e.to_string()))?;
    match lost(&merged, &kept, "") {
        Some(unknown) => Err(refused(
            &unknown,
            "is not a field that this operator knows".to_owned(),
        )),
        None => Ok((typed(&base)?, template)),
    }
}

fn typed(template: &Value) -> Result<PodTemplateSpec, Refused> {
    serde_path_to_error::deserialize(template)
        .map_err(|error| refused(&error.path().to_string(), error.inner().to_string()))
}

fn refused(path: &str, problem: String) -> Refused {
    Refused {
        path: path.to_owned(),
        problem,
    }
}

/// Path of the first thing in `given` that is not in `kept`.
fn lost(given: &Value, kept: &Value, path: &str) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => given.iter().find_map(|(name, value)| {
            let at = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match kept.get(name) {
                Some(kept) => lost(value, kept, &at),
                None => (!value.is_null()).then_some(at),
            }
        }),
        (Value::Array(given), Value::Array(kept)) => given
            .iter()
            .zip(kept)
            .enumerate()
            .find_map(|(index, (given, kept))| lost(given, kept, &format!("{path}[{index}]"))),
        _ => None,
    }
}

fn check_metadata(base: &PodTemplateSpec, template: &PodTemplateSpec, problems: &mut Vec<String>) {
    let (before, after) = (
        base.metadata.clone().unwrap_or_default(),
        template.metadata.clone().unwrap_or_default(),
    );
    let (labels, annotations) = (
        after.labels.clone().unwrap_or_default(),
        after.annotations.clone().unwrap_or_default(),
    );
    let had = before.labels.unwrap_or_default();
    let touched = |key: &&String| is_reserved_label(key) && labels.get(*key) != had.get(*key);
    for key in labels
        .keys()
        .chain(had.keys().filter(|key| !labels.contains_key(*key)))
        .filter(touched)
    {
        problems.push(format!(
            "metadata.labels[{key}] is the operator's, and must stay as it is"
        ));
    }
    for key in annotations.keys().filter(|key| is_reserved_annotation(key)) {
        problems.push(format!(
            "metadata.annotations[{key}] is set by the operator or by kubectl; leave it out"
        ));
    }
    let others = kube::api::ObjectMeta {
        labels: None,
        annotations: None,
        ..after
    };
    if others != kube::api::ObjectMeta::default() {
        problems.push("metadata may have labels and annotations only".to_owned());
    }
}

fn check_spec(before: &PodSpec, after: &PodSpec, problems: &mut Vec<String>) {
    let mut fixed = |is: bool, path: &str, way_out: &str| {
        if !is {
            problems.push(format!("spec.{path} {way_out}"));
        }
    };
    fixed(
        before.termination_grace_period_seconds == after.termination_grace_period_seconds,
        "terminationGracePeriodSeconds",
        "follows from sessions.drainSeconds; change that",
    );
    fixed(
        before.service_account_name == after.service_account_name && after.service_account.is_none(),
        "serviceAccountName",
        "follows from serviceAccountName; change that",
    );
    fixed(
        after
            .restart_policy
            .as_deref()
            .is_none_or(|policy| policy == "Always"),
        "restartPolicy",
        "must be Always",
    );
    fixed(
        after.active_deadline_seconds.is_none(),
        "activeDeadlineSeconds",
        "cannot be set for a server",
    );
    fixed(
        after
            .security_context
            .as_ref()
            .is_some_and(|context| context.fs_group.is_some()),
        "securityContext.fsGroup",
        "must be set: by it the server can read its keys",
    );
    let (had, has) = (
        before.volumes.as_deref().unwrap_or_default(),
        after.volumes.as_deref().unwrap_or_default(),
    );
    for volume in had.iter().filter(|volume| is_reserved_volume(&volume.name)) {
        fixed(
            has.contains(volume),
            &format!("volumes[{}]", volume.name),
            "is the operator's, and must stay as it is",
        );
    }
    for volume in has.iter().filter(|volume| is_reserved_volume(&volume.name)) {
        fixed(
            had.iter().any(|known| known.name == volume.name),
            &format!("volumes[{}]", volume.name),
            "has a name that is the operator's; choose another",
        );
    }
}

/// Sidecars and init containers stay out of the way of the server.
fn check_others(
    before: &PodSpec,
    spec: &PodSpec,
    server: &str,
    ports: &[(&str, i32)],
    problems: &mut Vec<String>,
) {
    let ours = before.init_containers.as_deref().unwrap_or_default();
    let kept = spec.init_containers.as_deref().unwrap_or_default();
    for container in ours.iter().filter(|container| !kept.contains(container)) {
        problems.push(format!(
            "spec.initContainers[{}] is the operator's, and must stay as it is",
            container.name
        ));
    }
    for (list, containers) in [
        ("containers", Some(&spec.containers)),
        ("initContainers", spec.init_containers.as_ref()),
    ] {
        for container in containers.into_iter().flatten() {
            let at = format!("spec.{list}[{}]", container.name);
            let is_ours = ours.iter().any(|ours| ours.name == container.name);
            if (list == "containers" && container.name == server) || (list == "initContainers" && is_ours) {
                continue;
            }
            if container.name == server || container.name.starts_with(RESERVED_NAME_PREFIX) {
                problems.push(format!("{at} has a name that is the operator's; choose another"));
            }
            for port in container.ports.iter().flatten() {
                let taken = ports.iter().any(|(name, number)| {
                    port.name.as_deref() == Some(name) || port.container_port == *number
                });
                if taken {
                    problems.push(format!(
                        "{at}.ports[{}] has the number or the name of a port of the server; choose another",
                        port.container_port
                    ));
                }
            }
        }
    }
}

/// The container of the server keeps what the operator, the Service and the keys need.
fn check_server(
    before: &Container,
    after: &Container,
    program: &Program,
    fixed: &[&str],
    problems: &mut Vec<String>,
) {
    let at = format!("spec.containers[{}]", after.name);
    let (command, args) = match program {
        Program::Ours => (
            "the server's command is fixed",
            "the server's arguments are fixed",
        ),
        Program::Http(_) | Program::Stdio(_) => ("use spec.command", "use spec.args"),
    };
    let ports = build::ports(program);
    for (same, field, way_out) in [
        (before.image == after.image, "image", "use spec.image"),
        (
            before.image_pull_policy == after.image_pull_policy,
            "imagePullPolicy",
            "use spec.imagePullPolicy",
        ),
        (before.command == after.command, "command", command),
        (before.args == after.args, "args", args),
        (
            before.resources == after.resources,
            "resources",
            "use spec.resources",
        ),
        (
            before.startup_probe == after.startup_probe,
            "startupProbe",
            "use spec.probes",
        ),
        (
            before.readiness_probe == after.readiness_probe,
            "readinessProbe",
            "use spec.probes",
        ),
        (
            before.liveness_probe == after.liveness_probe,
            "livenessProbe",
            "use spec.probes",
        ),
        (
            before.lifecycle == after.lifecycle,
            "lifecycle",
            "the server drains when it is told to stop, and needs its whole grace period for that",
        ),
        (
            before.restart_policy == after.restart_policy
                && before.restart_policy_rules == after.restart_policy_rules,
            "restartPolicy",
            "a server is always restarted",
        ),
    ] {
        if !same {
            problems.push(format!("{at}.{field} cannot be changed here: {way_out}"));
        }
    }
    let mut keep = |list: &str, key: &str, before: Value, after: Value, ours: &dyn Fn(&str) -> bool| {
        let (before, after) = (by_key(&before, key), by_key(&after, key));
        for (name, value) in &before {
            if ours(name) && after.get(name) != Some(value) {
                problems.push(format!(
                    "{at}.{list}[{name}] is the operator's, and must stay as it is"
                ));
            }
        }
        for name in after
            .keys()
            .filter(|name| ours(name) && !before.contains_key(*name))
        {
            problems.push(format!(
                "{at}.{list}[{name}] is the operator's to set; leave it out"
            ));
        }
    };
    keep(
        "env",
        "name",
        list(before.env.as_deref()),
        list(after.env.as_deref()),
        &|name| (program.has_our_variables() && RESERVED_ENV.contains(&name)) || fixed.contains(&name),
    );
    keep(
        "ports",
        "containerPort",
        list(before.ports.as_deref()),
        list(after.ports.as_deref()),
        &|number| ports.iter().any(|(_, ours)| ours.to_string() == number),
    );
    keep(
        "volumeMounts",
        "mountPath",
        list(before.volume_mounts.as_deref()),
        list(after.volume_mounts.as_deref()),
        &|path| is_reserved_path(path) || fixed.contains(&path),
    );
}

fn list<T: Serialize>(items: Option<&[T]>) -> Value {
    serde_json::to_value(items).unwrap_or_default()
}

/// Items of a list by their key, as text.
fn by_key(items: &Value, key: &str) -> BTreeMap<String, Value> {
    let items = items.as_array().into_iter().flatten();
    let text = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    items.map(|item| (text(&item[key]), item.clone())).collect()
}
