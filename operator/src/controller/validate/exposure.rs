//! How clients reach a server, how it is scaled and watched: rules between fields.

use iam_mcp_crds::{HttpRouteSpec, McpServerSpec, MonitoringMode, MonitoringSpec, ServiceSpec, ServiceType};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What is wrong with these parts of `spec`.
pub(super) fn problems(spec: &McpServerSpec) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(hpa) = &spec.autoscaling
        && hpa.min_replicas > hpa.max_replicas
    {
        problems.push(format!(
            "autoscaling: minReplicas {} is greater than maxReplicas {}",
            hpa.min_replicas, hpa.max_replicas
        ));
    }
    if let Some(ingress) = &spec.ingress {
        if ingress.tls_secret_name.is_some() && ingress.host.is_none() {
            problems
                .push("ingress: tlsSecretName needs host, the name that the certificate is for".to_owned());
        }
        of_path("ingress", &ingress.path, &mut problems);
    }
    if let Some(service) = &spec.service {
        of_service(service, &mut problems);
    }
    if let Some(route) = &spec.http_route {
        of_route(spec, route, &mut problems);
    }
    if let Some(disruption) = &spec.disruption
        && let Some(most) = &disruption.max_unavailable
    {
        if !disruption.enabled {
            problems.push("disruption: maxUnavailable means nothing while enabled is false".to_owned());
        }
        if !lets_go(most) {
            problems.push(format!(
                "disruption.maxUnavailable: {most:?} is neither a number from 1 on nor a percentage from 1% to 100%; with 0 no \
                 node could ever be drained"
            ));
        }
    }
    if let Some(monitoring) = &spec.monitoring {
        of_monitoring(monitoring, &mut problems);
    }
    problems
}

fn of_service(service: &ServiceSpec, problems: &mut Vec<String>) {
    let type_ = service.type_.unwrap_or_default();
    let from_outside = type_ != ServiceType::ClusterIP;
    let balanced = type_ == ServiceType::LoadBalancer;
    for (field, set, fits, needs) in [
        (
            "nodePort",
            service.node_port.is_some(),
            from_outside,
            "NodePort or LoadBalancer",
        ),
        (
            "externalTrafficPolicy",
            service.external_traffic_policy.is_some(),
            from_outside,
            "NodePort or LoadBalancer",
        ),
        (
            "loadBalancerClass",
            service.load_balancer_class.is_some(),
            balanced,
            "LoadBalancer",
        ),
        (
            "loadBalancerSourceRanges",
            !service.load_balancer_source_ranges.is_empty(),
            balanced,
            "LoadBalancer",
        ),
    ] {
        if set && !fits {
            problems.push(format!("service: {field} needs type {needs}"));
        }
    }
}

fn of_route(spec: &McpServerSpec, route: &HttpRouteSpec, problems: &mut Vec<String>) {
    if route.parent_refs.is_empty() {
        problems.push("httpRoute.parentRefs: name the Gateway that takes the route".to_owned());
    }
    of_path("httpRoute", &route.path, problems);
    if let Some(ingress) = &spec.ingress
        && ingress.path != route.path
    {
        problems.push(format!(
            "httpRoute: path {:?} must be that of ingress, {:?}, because the server answers below one path",
            route.path, ingress.path
        ));
    }
}

fn of_path(field: &str, path: &str, problems: &mut Vec<String>) {
    if !path.starts_with('/') || (path.len() > 1 && path.ends_with('/')) {
        problems.push(format!(
            "{field}.path: {path:?} must start with '/' and not end with one"
        ));
    }
}

/// Whether a budget lets any pod go.
fn lets_go(most: &IntOrString) -> bool {
    match most {
        IntOrString::Int(number) => *number >= 1,
        IntOrString::String(text) => text
            .strip_suffix('%')
            .filter(|digits| !digits.starts_with(['0', '+']))
            .and_then(|digits| digits.parse::<u8>().ok())
            .is_some_and(|percent| (1..=100).contains(&percent)),
    }
}

fn of_monitoring(monitoring: &MonitoringSpec, problems: &mut Vec<String>) {
    if monitoring.mode == MonitoringMode::Annotations
        && (monitoring.interval.is_some() || !monitoring.labels.is_empty())
    {
        problems.push(
            "monitoring: interval and labels are for a PodMonitor; mode Annotations has none".to_owned(),
        );
    }
    for label in monitoring.labels.keys() {
        if label == "app" || label.starts_with("app.kubernetes.io/") {
            problems.push(format!(
                "monitoring.labels: {label} is one of the operator's own labels"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lets_somebody_go() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        for good in [
            IntOrString::Int(1),
            IntOrString::Int(50),
            percent("1%"),
            percent("100%"),
        ] {
            assert!(lets_go(&good), "{good:?}");
        }
        for bad in [
            IntOrString::Int(0),
            IntOrString::Int(-1),
            percent("0%"),
            percent("101%"),
            percent("5"),
            percent("+5%"),
            percent("05%"),
            percent("%"),
        ] {
            assert!(!lets_go(&bad), "{bad:?}");
        }
    }
}
