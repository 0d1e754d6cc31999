//! The pods: restricted Pod Security profile, keys as files, probes on the admin port.

use iam_mcp_crds::{ImagePullPolicy, Verify};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{
            Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HTTPGetAction, KeyToPath,
            PodReadinessGate, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile,
            SecretVolumeSource, SecurityContext, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::api::ObjectMeta;

use super::{
    ValidatedServer, additions, env, image, keys_secret_name,
    labels::{common, pod_selector},
    metadata, pods,
};
use crate::controller::{
    health::gate,
    validate::{Program, Replicas},
};

/// The numeric user and group of the image; numeric, so that `runAsNonRoot` can be checked.
const USER: i64 = 65532;
/// Where the server answers MCP.
pub const MCP_PORT: u16 = 8080;
/// The same, as Kubernetes writes it.
pub(super) const HTTP_PORT: i32 = MCP_PORT as i32;
/// Where it answers probes, metrics and the operator.
pub(super) const ADMIN_PORT: i32 = 9090;
/// Where it takes messages for its sessions from the other pods.
pub(super) const PEER_PORT: i32 = 9091;
/// The ports of the container of a build of ours, by name.
pub(super) const PORTS: [(&str, i32); 3] = [("http", HTTP_PORT), ("admin", ADMIN_PORT), ("peer", PEER_PORT)];
/// Where the Secret with its keys is mounted.
pub(super) const KEYS_DIR: &str = "/var/run/iam-mcp/keys";
/// Where the RapidAPI key is mounted.
pub(super) const RAPIDAPI_DIR: &str = "/var/run/iam-mcp/rapidapi";
/// Readable for the group, which `fsGroup` makes ours; nobody else.
pub(super) const SECRET_MODE: i32 = 0o440;
/// Annotation of the pods: digest of the keys of Secrets and ConfigMaps that are their environment.
pub const REFERENCES: &str = "iam-mcp.dev/references";
/// Seconds of grace beyond the time to drain: the server exits at most 12 s after it, and a busy node may
/// be slow. Less, and the kubelet would cut what the server is about to end in good order.
pub const MARGIN: i64 = 30;

pub(super) fn build(server: &ValidatedServer) -> Deployment {
    Deployment {
        metadata: metadata(server),
        spec: Some(DeploymentSpec {
            replicas: match server.replicas {
                Replicas::Ours(n) => Some(n),
                Replicas::Theirs => None,
            },
            selector: LabelSelector {
                match_labels: Some(pod_selector(&server.name)),
                ..LabelSelector::default()
            },
            strategy: Some(pods::strategy(server)),
            template: referring(
                match &server.pods.template {
                    Some(patched) => patched.as_ref().clone(),
                    None => template(server),
                },
                server.references.as_deref(),
            ),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// The template with a digest of what its pods read when they start, and not again: other content makes other pods.
fn referring(mut template: PodTemplateSpec, digest: Option<&str>) -> PodTemplateSpec {
    if let Some(digest) = digest {
        let metadata = template.metadata.get_or_insert_default();
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(REFERENCES.to_owned(), digest.to_owned());
    }
    template
}

/// The pods' template, before `podTemplate` changes it.
pub(super) fn template(server: &ValidatedServer) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(common(&server.name)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(server)),
    };
    pods::shape(&mut template, server);
    template
}

fn pod(server: &ValidatedServer) -> PodSpec {
    let more = additions::build(server);
    let mut volumes = match server.program {
        Program::Ours => volumes(server),
        Program::Http(_) | Program::Stdio(_) => image::volumes(server),
    };
    volumes.extend(more.volumes);
    PodSpec {
        service_account_name: Some(server.name.clone()),
        automount_service_account_token: Some(false),
        // Service links would add a variable for every Service of the namespace, and `PORT`-like names
        // among them have confused servers before.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(i64::from(server.sessions.drain_seconds) + MARGIN),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        init_containers: image::init_containers(server),
        containers: vec![container(server, more.env, more.mounts)],
        volumes: Some(volumes),
        readiness_gates: (server.verify == Verify::Gate).then(|| {
            vec![PodReadinessGate {
                condition_type: gate::CONDITION.to_owned(),
            }]
        }),
        ..PodSpec::default()
    }
}

fn container(server: &ValidatedServer, env: Vec<EnvVar>, mounts: Vec<VolumeMount>) -> Container {
    let base = Container {
        name: server.name.clone(),
        image: Some(server.image.clone()),
        image_pull_policy: server.image_pull_policy.map(|p| {
            match p {
                ImagePullPolicy::Always => "Always",
                ImagePullPolicy::IfNotPresent => "IfNotPresent",
                ImagePullPolicy::Never => "Never",
            }
            .to_owned()
        }),
        ports: Some(
            image::ports(&server.program)
                .iter()
                .map(|(name, number)| port(name, *number))
                .collect(),
        ),
        env_from: (!server.env_from.is_empty()).then(|| server.env_from.clone()),
        resources: Some(server.resources.clone()),
        security_context: Some(restricted()),
        ..Container::default()
    };
    match &server.program {
        Program::Ours => ours(base, server, env, mounts),
        Program::Http(program) => image::http(base, server, program),
        Program::Stdio(program) => image::stdio(base, server, program, env, mounts),
    }
}

/// What the `restricted` profile asks of a container, and a root that nobody can write to.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn ours(
    base: Container,
    server: &ValidatedServer,
    env: Vec<EnvVar>,
    more_mounts: Vec<VolumeMount>,
) -> Container {
    let mut mounts = vec![mount("data", "/data", false), mount("keys", KEYS_DIR, true)];
    if server.rapid_api_key.is_some() {
        mounts.push(mount("rapidapi", RAPIDAPI_DIR, true));
    }
    mounts.extend(more_mounts);
    Container {
        args: Some(vec!["http".to_owned()]),
        env: Some(env::build(server, env)),
        volume_mounts: Some(mounts),
        ..asked_at_the_admin_port(base)
    }
}

/// With the probes that our binary answers.
pub(super) fn asked_at_the_admin_port(container: Container) -> Container {
    Container {
        // 60 s for a first start on a busy node, noticed within one second of being ready.
        startup_probe: Some(probe("/readyz", 1, 60)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        ..container
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn volumes(server: &ValidatedServer) -> Vec<Volume> {
    let secret = |volume: &str, source: SecretVolumeSource| Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            default_mode: Some(SECRET_MODE),
            ..source
        }),
        ..Volume::default()
    };
    let mut volumes = vec![
        Volume {
            name: "data".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
        secret(
            "keys",
            SecretVolumeSource {
                secret_name: Some(keys_secret_name(&server.name)),
                ..SecretVolumeSource::default()
            },
        ),
    ];
    if let Some(reference) = &server.rapid_api_key {
        volumes.push(secret(
            "rapidapi",
            SecretVolumeSource {
                secret_name: Some(reference.name.clone()),
                items: Some(vec![KeyToPath {
                    key: reference.key.clone(),
                    path: "key".to_owned(),
                    mode: None,
                }]),
                // The server runs on its sample catalogue until the Secret appears, and then finds the
                // key in this volume without a restart.
                optional: Some(true),
                ..SecretVolumeSource::default()
            },
        ));
    }
    volumes
}
