//! The owner of the number of pods.

use iam_mcp_crds::{AutoscalingSpec, ScalingPolicyType, ScalingRules, SelectPolicy};
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules,
    HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget,
};

use super::{ValidatedServer, metadata};

/// Seconds of calm before pods go. As Kubernetes has it, unless a flag of its controller manager says otherwise: a
/// pod that goes takes sessions along, and comes back a minute later when the load swings.
const CALM: i32 = 300;

pub(super) fn build(server: &ValidatedServer, autoscaling: &AutoscalingSpec) -> HorizontalPodAutoscaler {
    let memory = autoscaling
        .memory_utilization
        .map(|percent| metric(server, "memory", percent));
    let metrics = std::iter::once(metric(server, "cpu", autoscaling.cpu_utilization))
        .chain(memory)
        .collect();
    HorizontalPodAutoscaler {
        metadata: metadata(server),
        spec: Some(HorizontalPodAutoscalerSpec {
            // The Deployment and not the McpServer: a GET of the scale subresource is an error while
            // spec.replicas is unset.
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: server.name.clone(),
            },
            min_replicas: Some(autoscaling.min_replicas),
            max_replicas: autoscaling.max_replicas,
            metrics: Some(metrics),
            behavior: Some(behavior(autoscaling)),
        }),
        ..HorizontalPodAutoscaler::default()
    }
}

/// Of the server's container alone: of whole pods, a sidecar without a request would leave the HPA without any figure.
fn metric(server: &ValidatedServer, resource: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "ContainerResource".to_owned(),
        container_resource: Some(ContainerResourceMetricSource {
            container: server.name.clone(),
            name: resource.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn behavior(autoscaling: &AutoscalingSpec) -> HorizontalPodAutoscalerBehavior {
    let given = autoscaling.behavior.clone().unwrap_or_default();
    let down = given.scale_down.unwrap_or_default();
    HorizontalPodAutoscalerBehavior {
        scale_down: Some(rules(&ScalingRules {
            stabilization_window_seconds: Some(down.stabilization_window_seconds.unwrap_or(CALM)),
            ..down
        })),
        scale_up: given
            .scale_up
            .as_ref()
            .filter(|up| **up != ScalingRules::default())
            .map(rules),
    }
}

fn rules(given: &ScalingRules) -> HPAScalingRules {
    let policies: Vec<_> = given
        .policies
        .iter()
        .map(|policy| HPAScalingPolicy {
            type_: match policy.type_ {
                ScalingPolicyType::Pods => "Pods",
                ScalingPolicyType::Percent => "Percent",
            }
            .to_owned(),
            value: policy.value,
            period_seconds: policy.period_seconds,
        })
        .collect();
    HPAScalingRules {
        stabilization_window_seconds: given.stabilization_window_seconds,
        select_policy: given.select_policy.map(|select| {
            match select {
                SelectPolicy::Max => "Max",
                SelectPolicy::Min => "Min",
                SelectPolicy::Disabled => "Disabled",
            }
            .to_owned()
        }),
        policies: (!policies.is_empty()).then_some(policies),
        ..HPAScalingRules::default()
    }
}
