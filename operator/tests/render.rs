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
                jobSearch: {provider: JSearch}\n  sessions: {drainSeconds: 60, drainIdleSeconds: 61}\n";
    let error = format!("{:#}", render(text).unwrap_err());
    for part in [
        "metadata.name",
        "PORT",
        "tlsSecretName needs host",
        "minReplicas 9",
        "needs rapidApi.keySecretRef",
        "drainIdleSeconds 61 is greater than drainSeconds 60",
    ] {
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
}
