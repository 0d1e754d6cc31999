//! What the pods are like: placement, identity, volumes, probes, rollout.

use std::collections::{BTreeMap, BTreeSet};

use iam_mcp_crds::{
    ExtraVolume, McpServerSpec, ProbesSpec, RolloutSpec, RolloutStrategy, field_env,
    workload::{
        RESERVED_ANNOTATIONS, RESERVED_LABELS, RESERVED_NAME_PREFIX, RESERVED_PREFIX, RESERVED_VOLUMES,
    },
};
use k8s_openapi::{
    api::core::v1::{Affinity, PodTemplateSpec, Toleration, TopologySpreadConstraint, Volume, VolumeMount},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Invalid, ValidatedServer};

/// The pods' shape.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// Labels of nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are put up with.
    pub tolerations: Vec<Toleration>,
    /// Nearness to nodes and pods.
    pub affinity: Option<Affinity>,
    /// How the pods spread; `None`: over nodes.
    pub spread: Option<Vec<TopologySpreadConstraint>>,
    /// Priority class, if not the cluster's default.
    pub priority_class: Option<String>,
    /// Secrets with credentials of registries.
    pub pull_secrets: Vec<String>,
    /// Somebody else's ServiceAccount; `None`: the operator makes one.
    pub service_account: Option<String>,
    /// Labels beside the operator's.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Volumes beside the operator's.
    pub volumes: Vec<Volume>,
    /// Mounts beside the operator's.
    pub mounts: Vec<VolumeMount>,
    /// How patient the probes are.
    pub probes: ProbesSpec,
    /// How new pods take over.
    pub strategy: Strategy,
    /// The template as `podTemplate` made it; `None`: as it is built.
    pub template: Option<Box<PodTemplateSpec>>,
    /// What a person should know of a spec that is valid.
    pub note: Option<String>,
}

/// How new pods take over from old ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Strategy {
    /// A pod goes when its successor is ready.
    Rolling {
        /// Pods beyond those wanted.
        max_surge: IntOrString,
        /// Pods that may be missing.
        max_unavailable: IntOrString,
    },
    /// All old pods end before the first new one starts.
    Recreate,
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Rolling {
            max_surge: IntOrString::String("25%".to_owned()),
            max_unavailable: IntOrString::Int(0),
        }
    }
}

/// Access modes of the claims that a resource names; `None` for one that does not exist.
pub type Claims = BTreeMap<String, Option<Vec<String>>>;

/// The claims that the volumes of `spec` name, `podTemplate` and `jobSearch` among them.
#[must_use]
pub fn claims_named(spec: &McpServerSpec) -> BTreeSet<String> {
    let typed = spec
        .volumes
        .iter()
        .filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone()));
    let patch = spec.pod_template.as_ref().and_then(|t| t.spec.as_ref());
    let patched = patch
        .and_then(|spec| spec["volumes"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|volume| {
            volume["persistentVolumeClaim"]["claimName"]
                .as_str()
                .map(str::to_owned)
        });
    let search = spec.job_search.as_ref();
    let catalogue = search.and_then(|search| search.catalogue.as_ref()?.claim_name.clone());
    let saved = search.and_then(|search| Some(search.saved_jobs.as_ref()?.claim_name.clone()));
    typed.chain(patched).chain(catalogue).chain(saved).collect()
}

/// Parses what `spec` says of the pods of the server called `name`; what is wrong is added to `problems`.
pub(super) fn validate(name: &str, spec: &McpServerSpec, problems: &mut Vec<String>) -> Pods {
    if spec.service_account_name.as_deref() == Some(name) {
        problems.push(format!(
            "serviceAccountName: {name} is the ServiceAccount that the operator makes; leave the field out to use it"
        ));
    }
    for key in spec.pod_labels.keys().filter(|key| is_reserved_label(key)) {
        problems.push(format!(
            "podLabels: {key} is set by the operator or by Kubernetes; leave it out"
        ));
    }
    for key in spec
        .pod_annotations
        .keys()
        .filter(|key| is_reserved_annotation(key))
    {
        problems.push(format!(
            "podAnnotations: {key} is set by the operator or by kubectl; leave it out"
        ));
    }
    let volumes: Vec<_> = spec.volumes.iter().map(|v| volume(v, problems)).collect();
    unique("volumes", volumes.iter().map(|v| &v.name), problems);
    for mount in &spec.volume_mounts {
        let path = &mount.mount_path;
        if !spec.volumes.iter().any(|v| v.name == mount.name) {
            problems.push(format!(
                "volumeMounts: {path} needs a volume {:?} in volumes",
                mount.name
            ));
        }
        if !is_plain_path(path) {
            problems.push(format!(
                "volumeMounts: {path:?} must be absolute, without ':', '.', '..' or a '/' at its end"
            ));
        }
        if is_reserved_path(path) {
            problems.push(format!(
                "volumeMounts: {path} is the operator's; mount below /data, or elsewhere"
            ));
        }
    }
    unique(
        "volumeMounts",
        spec.volume_mounts.iter().map(|m| &m.mount_path),
        problems,
    );
    let mut pods = Pods {
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        affinity: spec.affinity.as_deref().cloned(),
        spread: spec.topology_spread_constraints.clone(),
        priority_class: spec.priority_class_name.clone(),
        pull_secrets: spec.image_pull_secrets.iter().map(|s| s.name.clone()).collect(),
        service_account: spec.service_account_name.clone(),
        labels: spec.pod_labels.clone(),
        annotations: spec.pod_annotations.clone(),
        volumes,
        mounts: spec.volume_mounts.clone(),
        probes: spec.probes.as_deref().cloned().unwrap_or_default(),
        ..Pods::default()
    };
    // Nothing is known of the claims yet.
    let unknown = claims_named(spec)
        .into_iter()
        .map(|claim| (claim, None))
        .collect();
    rollout(&mut pods, spec.rollout.as_deref(), &unknown, problems);
    pods
}

impl ValidatedServer {
    /// Chooses how new pods take over, now that `claims` are known.
    ///
    /// # Errors
    /// [`Invalid`] when the resource asks for a rollout that would never end.
    pub fn settle_claims(
        &mut self,
        rollout_spec: Option<&RolloutSpec>,
        claims: &Claims,
    ) -> Result<(), Invalid> {
        let mut problems = Vec::new();
        rollout(&mut self.pods, rollout_spec, claims, &mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Invalid(problems))
        }
    }
}

fn rollout(pods: &mut Pods, given: Option<&RolloutSpec>, claims: &Claims, problems: &mut Vec<String>) {
    let none = RolloutSpec::default();
    let given = given.unwrap_or(&none);
    let counts = given.max_surge.is_some() || given.max_unavailable.is_some();
    let rolling = Strategy::Rolling {
        max_surge: given
            .max_surge
            .clone()
            .unwrap_or(IntOrString::String("25%".to_owned())),
        max_unavailable: given.max_unavailable.clone().unwrap_or(IntOrString::Int(0)),
    };
    let alone = claims
        .iter()
        .find(|(_, modes)| modes.as_ref().is_none_or(|modes| !is_shared(modes)));
    pods.note = None;
    pods.strategy = match (given.strategy, counts, alone) {
        (Some(RolloutStrategy::Recreate), true, _) => {
            problems.push(
                "rollout: maxSurge and maxUnavailable are for the strategy RollingUpdate; Recreate stops all old pods first"
                    .to_owned(),
            );
            rolling
        }
        (Some(RolloutStrategy::Recreate), false, _) => Strategy::Recreate,
        (None, false, Some((claim, modes))) => {
            pods.note = Some(format!(
                "rollouts stop the old pods first (Recreate): claim {claim} {}",
                match modes {
                    Some(modes) => format!(
                        "is {}, and a new pod on another node would wait for it for ever",
                        modes.join(", ")
                    ),
                    None => "does not exist yet, and may be for one node only".to_owned(),
                }
            ));
            Strategy::Recreate
        }
        _ => {
            if is_zero(given.max_surge.as_ref())
                && given.max_unavailable.as_ref().is_none_or(|n| is_zero(Some(n)))
            {
                problems.push(
                    "rollout: with maxSurge 0 no new pod can start before an old one goes; let one go with maxUnavailable"
                        .to_owned(),
                );
            }
            if let Some((claim, Some(modes))) = alone
                && !is_zero(given.max_surge.as_ref())
            {
                problems.push(format!(
                    "rollout: claim {claim} is {}: a new pod on another node would wait for it for ever while the old one runs; \
                     use strategy Recreate, or maxSurge 0 with maxUnavailable 1",
                    modes.join(", ")
                ));
            }
            rolling
        }
    };
}

/// Whether pods on several nodes can mount a claim with these modes.
fn is_shared(modes: &[String]) -> bool {
    let has = |mode: &str| modes.iter().any(|m| m == mode);
    has("ReadWriteMany") || (has("ReadOnlyMany") && !has("ReadWriteOnce") && !has("ReadWriteOncePod"))
}

fn is_zero(count: Option<&IntOrString>) -> bool {
    match count {
        Some(IntOrString::Int(n)) => *n == 0,
        Some(IntOrString::String(text)) => text == "0%" || text == "0",
        None => false,
    }
}

fn volume(given: &ExtraVolume, problems: &mut Vec<String>) -> Volume {
    // Without `..`: a source that is not built does not compile.
    let ExtraVolume {
        name,
        config_map,
        secret,
        projected,
        downward_api,
        empty_dir,
        persistent_volume_claim,
        csi,
    } = given.clone();
    let sources = [
        config_map.is_some(),
        secret.is_some(),
        projected.is_some(),
        downward_api.is_some(),
        empty_dir.is_some(),
        persistent_volume_claim.is_some(),
        csi.is_some(),
    ];
    if sources.into_iter().filter(|is| *is).count() != 1 {
        problems.push(format!(
            "volumes: give {name} exactly one of configMap, secret, projected, downwardAPI, emptyDir, persistentVolumeClaim and csi"
        ));
    }
    if is_reserved_volume(&name) {
        problems.push(format!("volumes: {name} is the operator's; choose another name"));
    }
    Volume {
        name,
        config_map,
        secret,
        projected,
        downward_api,
        empty_dir,
        persistent_volume_claim,
        csi,
        ..Volume::default()
    }
}

fn unique<'a>(list: &str, keys: impl Iterator<Item = &'a String>, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            problems.push(format!("{list}: {key} stands there twice"));
        }
    }
}

pub(super) fn is_reserved_label(key: &str) -> bool {
    RESERVED_LABELS.contains(&key) || key.starts_with(RESERVED_PREFIX)
}

pub(super) fn is_reserved_annotation(key: &str) -> bool {
    RESERVED_ANNOTATIONS.contains(&key) || key.starts_with(RESERVED_PREFIX)
}

pub(super) fn is_reserved_volume(name: &str) -> bool {
    RESERVED_VOLUMES.contains(&name) || name.starts_with(RESERVED_NAME_PREFIX)
}

fn is_plain_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/')
            .all(|step| !step.is_empty() && step != "." && step != ".." && !step.contains(':'))
    })
}

/// Whether a mount there would hide what the operator mounts.
pub(super) fn is_reserved_path(path: &str) -> bool {
    let path = path.strip_prefix("/var").unwrap_or(path);
    path == "/data" || path == "/run/iam-mcp" || path.starts_with("/run/iam-mcp/")
}

/// The variables that fields set, and the paths that they mount: not for `podTemplate` to change.
fn fixed_by_fields(spec: &McpServerSpec) -> Vec<&'static str> {
    let variables = field_env::taken(spec).into_iter().flat_map(|(_, names)| names);
    let mounts = spec.job_search.iter().flat_map(super::jobs::mounted);
    variables.copied().chain(mounts.map(|(path, _)| path)).collect()
}

/// Puts the patch of `podTemplate` over the template of `server`, if there is one.
///
/// # Errors
/// [`Invalid`] with all that the result may not have.
pub(super) fn patch_template(server: &mut ValidatedServer, spec: &McpServerSpec) -> Result<(), Invalid> {
    let base = || crate::controller::build::pod_template(server);
    let Some(patch) = &spec.pod_template else {
        // Of all other fields only an annotation can leave the profile.
        if !spec.pod_annotations.is_empty() {
            let found = crate::controller::pod_security::restricted(&base());
            let tell = |problem| format!("podAnnotations: {problem} (Pod Security profile restricted)");
            let found: Vec<_> = found.into_iter().map(tell).collect();
            return if found.is_empty() {
                Ok(())
            } else {
                Err(Invalid(found))
            };
        }
        return Ok(());
    };
    let fixed = fixed_by_fields(spec);
    let patched = super::pod_template::patched(&base(), patch, &server.name, &server.program, &fixed)
        .map_err(Invalid)?;
    server.pods.template = Some(Box::new(patched));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn strategy(rollout_spec: Value, modes: Option<&[&str]>) -> Result<Strategy, String> {
        let given: RolloutSpec = serde_json::from_value(rollout_spec).unwrap();
        let modes = modes.map(|modes| modes.iter().map(|m| (*m).to_owned()).collect());
        let claims = Claims::from([("data".to_owned(), modes)]);
        let (mut pods, mut problems) = (Pods::default(), Vec::new());
        rollout(&mut pods, Some(&given), &claims, &mut problems);
        assert_eq!(
            pods.note.is_some(),
            given.strategy.is_none() && pods.strategy == Strategy::Recreate,
            "the operator's own choice is told"
        );
        if problems.is_empty() {
            Ok(pods.strategy)
        } else {
            Err(problems.join("; "))
        }
    }

    #[test]
    fn a_claim_for_one_node_never_meets_a_surge() {
        let surge = json!({"strategy": "RollingUpdate"});
        let in_place = json!({"maxSurge": 0, "maxUnavailable": 1});
        let rolling = Strategy::default();
        for one in [
            &["ReadWriteOnce"][..],
            &["ReadWriteOncePod"],
            &["ReadWriteOnce", "ReadOnlyMany"],
        ] {
            assert_eq!(strategy(json!({}), Some(one)).unwrap(), Strategy::Recreate);
            for refused in [surge.clone(), json!({"maxSurge": 1})] {
                assert!(
                    strategy(refused, Some(one))
                        .unwrap_err()
                        .contains("use strategy Recreate")
                );
            }
            assert!(matches!(
                strategy(in_place.clone(), Some(one)).unwrap(),
                Strategy::Rolling { .. }
            ));
            assert_eq!(
                strategy(json!({"strategy": "Recreate"}), Some(one)).unwrap(),
                Strategy::Recreate
            );
        }
        for many in [
            &["ReadWriteMany"][..],
            &["ReadOnlyMany"],
            &["ReadWriteOnce", "ReadWriteMany"],
        ] {
            assert_eq!(strategy(json!({}), Some(many)).unwrap(), rolling);
            assert_eq!(strategy(surge.clone(), Some(many)).unwrap(), rolling);
        }
        assert_eq!(
            strategy(json!({}), None).unwrap(),
            Strategy::Recreate,
            "nothing is known"
        );
        assert_eq!(
            strategy(surge, None).unwrap(),
            rolling,
            "what is asked for is done"
        );
    }

    #[test]
    fn a_rollout_must_be_able_to_start() {
        let many = Some(&["ReadWriteMany"][..]);
        for stuck in [
            json!({"maxSurge": 0}),
            json!({"maxSurge": "0%", "maxUnavailable": 0}),
        ] {
            assert!(strategy(stuck, many).unwrap_err().contains("maxUnavailable"));
        }
        assert!(strategy(json!({"maxSurge": 0, "maxUnavailable": "10%"}), many).is_ok());
        assert!(strategy(json!({"strategy": "Recreate", "maxSurge": 1}), many).is_err());
    }

    #[test]
    fn paths() {
        for good in [
            "/etc/jobs",
            "/data/jobs",
            "/var/run/iam-mcp-more",
            "/.hidden",
            "/run/secrets",
        ] {
            assert!(is_plain_path(good) && !is_reserved_path(good), "{good}");
        }
        for bad in ["", "/", "etc", "/etc/", "/a//b", "/a/../b", "/a/.", "/a:b"] {
            assert!(!is_plain_path(bad), "{bad}");
        }
        for ours in [
            "/data",
            "/var/run/iam-mcp",
            "/run/iam-mcp/keys",
            "/var/run/iam-mcp/rapidapi",
        ] {
            assert!(is_reserved_path(ours), "{ours}");
        }
    }
}
