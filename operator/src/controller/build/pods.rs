//! What a person says of the pods, put into their template.

use iam_mcp_crds::ProbeSpec;
use k8s_openapi::{
    api::{
        apps::v1::{DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{LocalObjectReference, PodTemplateSpec, Probe, TopologySpreadConstraint},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{ValidatedServer, labels::pod_selector};
use crate::controller::validate::Strategy;

/// Puts into `template`, which is complete without it, what `server` says of its pods.
pub(super) fn shape(template: &mut PodTemplateSpec, server: &ValidatedServer) {
    let pods = &server.pods;
    let metadata = template.metadata.get_or_insert_default();
    metadata
        .labels
        .get_or_insert_default()
        .extend(pods.labels.clone());
    metadata.annotations = (!pods.annotations.is_empty()).then(|| pods.annotations.clone());
    let spec = template.spec.get_or_insert_default();
    spec.node_selector = (!pods.node_selector.is_empty()).then(|| pods.node_selector.clone());
    spec.tolerations = (!pods.tolerations.is_empty()).then(|| pods.tolerations.clone());
    spec.affinity.clone_from(&pods.affinity);
    let spread = spread(server);
    spec.topology_spread_constraints = (!spread.is_empty()).then_some(spread);
    spec.priority_class_name.clone_from(&pods.priority_class);
    let secrets = pods
        .pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() });
    spec.image_pull_secrets = (!pods.pull_secrets.is_empty()).then(|| secrets.collect());
    if let Some(account) = &pods.service_account {
        spec.service_account_name = Some(account.clone());
    }
    spec.volumes.get_or_insert_default().extend(pods.volumes.clone());
    for container in spec.containers.iter_mut().filter(|c| c.name == server.name) {
        container
            .volume_mounts
            .get_or_insert_default()
            .extend(pods.mounts.clone());
        for (probe, given) in [
            (&mut container.startup_probe, &pods.probes.startup),
            (&mut container.readiness_probe, &pods.probes.readiness),
            (&mut container.liveness_probe, &pods.probes.liveness),
        ] {
            if let (Some(probe), Some(given)) = (probe, given) {
                patient(probe, given);
            }
        }
    }
}

/// How the pods spread.
///
/// The default is the same whatever the number of pods: were it only for several, a change from one to two would
/// change the template and replace the pod that is there.
fn spread(server: &ValidatedServer) -> Vec<TopologySpreadConstraint> {
    let ours = || LabelSelector {
        match_labels: Some(pod_selector(&server.name)),
        ..LabelSelector::default()
    };
    let Some(given) = &server.pods.spread else {
        return vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(ours()),
            // Each revision spreads by itself: old pods, which drain for minutes, do not push new ones together.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        }];
    };
    let complete = |constraint: &TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: constraint.label_selector.clone().or_else(|| Some(ours())),
        ..constraint.clone()
    };
    given.iter().map(complete).collect()
}

fn patient(probe: &mut Probe, given: &ProbeSpec) {
    let ProbeSpec {
        initial_delay_seconds,
        period_seconds,
        timeout_seconds,
        failure_threshold,
    } = given;
    // An explicit 0 is what the API server has too, as no field.
    probe.initial_delay_seconds = initial_delay_seconds.filter(|seconds| *seconds != 0);
    probe.period_seconds = period_seconds.or(probe.period_seconds);
    probe.timeout_seconds = timeout_seconds.or(probe.timeout_seconds);
    probe.failure_threshold = failure_threshold.or(probe.failure_threshold);
}

pub(super) fn strategy(server: &ValidatedServer) -> DeploymentStrategy {
    match &server.pods.strategy {
        Strategy::Rolling {
            max_surge,
            max_unavailable,
        } => DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_unavailable: Some(max_unavailable.clone()),
                max_surge: Some(max_surge.clone()),
            }),
        },
        Strategy::Recreate => DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        },
    }
}
