//! What `render` prints. The snapshots pin the rendered pod template: a change there restarts every
//! server of a fleet at the next upgrade, and must be meant.

use std::path::PathBuf;

use iam_mcp_operator::{cli::RenderArgs, render::render_text};

fn render(text: &str) -> anyhow::Result<String> {
    let args = RenderArgs {
        filename: PathBuf::from("test.yaml"),
        namespace: "default".to_owned(),
        server_image: "registry.example.com/iam-mcp-server:1".to_owned(),
        operator_namespace: "iam-mcp-system".to_owned(),
    };
    render_text(text, &args)
}

const SMALL: &str = "apiVersion: iam-mcp.dev/v1alpha1\nkind: McpServer\nmetadata: {name: small}\nspec: {}\n";

#[test]
fn the_smallest_server() {
    insta::assert_snapshot!(render(SMALL).unwrap());
}

#[test]
fn a_server_with_everything() {
    let text = r"
apiVersion: iam-mcp.dev/v1alpha1
kind: McpServer
metadata: {name: jobs, namespace: mcp}
spec:
  image: ghcr.io/acme/jobs@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  imagePullPolicy: Always
  replicas: 3
  jobSearch:
    provider: JSearch
    rapidApi: {host: api.example.com, keySecretRef: {name: rapidapi, key: KEY}}
  logLevel: DEBUG
  cors: {origins: ['https://a.example.com', 'https://b.example.com']}
  env: [{name: RATE_LIMIT, value: '50'}]
  envFrom: [{configMapRef: {name: more}}]
  resources: {requests: {memory: 0.125Gi}, limits: {memory: 1024Mi}}
  service: {port: 8000, sessionAffinity: None}
  ingress:
    className: nginx
    host: jobs.example.com
    path: /jobs
    tlsSecretName: jobs-tls
    annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: '3600'}
  autoscaling: {minReplicas: 3, cpuUtilization: 60}
  sessions: {drainSeconds: 3600, drainIdleSeconds: 600, maxDrainingPods: 5}
";
    insta::assert_snapshot!(render(text).unwrap());
}

#[test]
fn a_server_with_a_network() {
    let text = r"
apiVersion: iam-mcp.dev/v1alpha1
kind: McpServer
metadata: {name: jobs, namespace: mcp}
spec:
  service:
    type: LoadBalancer
    port: 443
    nodePort: 30443
    annotations: {example.com/balancer: internal}
    appProtocol: kgateway.dev/mcp
    hostnames: [lb.example.com]
    externalTrafficPolicy: Local
    loadBalancerClass: example.com/lb
    loadBalancerSourceRanges: [10.0.0.0/8]
  ingress: {className: contour, path: /jobs}
  httpRoute:
    parentRefs: [{name: public, namespace: gateways, sectionName: https, port: 443}, {name: internal}]
    hostnames: [jobs.example.com]
    path: /jobs
  autoscaling:
    memoryUtilization: 80
    behavior:
      scaleUp: {selectPolicy: Min, policies: [{type: Pods, value: 2, periodSeconds: 60}]}
      scaleDown: {stabilizationWindowSeconds: 600}
  disruption: {maxUnavailable: 25%}
  networkPolicy:
    from: [{namespaceLabels: {role: edge}, podLabels: {app: proxy}}, {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]
    metricsFrom: [{namespaceLabels: {kubernetes.io/metadata.name: monitoring}}]
    to: [{podLabels: {app: db}, ports: [5432]}]
  monitoring: {interval: 30s, labels: {release: prometheus}}
";
    insta::assert_snapshot!(render(text).unwrap());
}

#[test]
fn no_key_material_is_rendered() {
    let text = render(SMALL).unwrap();
    assert!(!text.contains("kind: Secret"), "{text}");
}

#[test]
fn other_documents_are_passed_over_and_none_at_all_is_an_error() {
    let other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: mcp}\n";
    let both = format!("# a comment\n---\n{other}---\n{SMALL}");
    assert_eq!(render(&both).unwrap(), render(SMALL).unwrap());
    let error = render(other).unwrap_err();
    assert_eq!(format!("{error:#}"), "no McpServer in test.yaml");
}

#[test]
fn an_invalid_server_is_told_every_problem() {
    let text = "kind: McpServer\napiVersion: iam-mcp.dev/v1alpha1\nmetadata: {name: a.b}\nspec:\n  \
                env: [{name: PORT, value: '1'}]\n  ingress: {tlsSecretName: t}\n  autoscaling: {minReplicas: 9, maxReplicas: 2}\n  \
                httpRoute: {parentRefs: [], path: jobs}\n  disruption: {maxUnavailable: 0}\n  service: {nodePort: 30000}\n  \
                monitoring: {mode: Annotations, interval: 30s, labels: {app: x}}\n  networkPolicy: {from: [{}]}\n  \
                jobSearch: {provider: JSearch}\n  sessions: {drainSeconds: 60, drainIdleSeconds: 61}\n";
    let error = format!("{:#}", render(text).unwrap_err());
    for part in [
        "metadata.name",
        "PORT",
        "tlsSecretName needs host",
        "minReplicas 9",
        "needs rapidApi.keySecretRef",
        "httpRoute.parentRefs: name the Gateway",
        "httpRoute.path: \"jobs\"",
        "must be that of ingress",
        "disruption.maxUnavailable",
        "nodePort needs type NodePort or LoadBalancer",
        "mode Annotations has none",
        "app is one of the operator's own labels",
        "networkPolicy.from[0]",
        "drainIdleSeconds 61 is greater than drainSeconds 60",
    ] {
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
}
