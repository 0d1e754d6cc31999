//! Images that are not builds of our server: they get what any program understands, and nothing else.

use k8s_openapi::{
    api::core::v1::{
        Container, EmptyDirVolumeSource, EnvVar, HTTPGetAction, Probe, ResourceRequirements, TCPSocketAction,
        Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use iam_mcp_crds::{EndpointSpec, Protocol};

use super::{
    ValidatedServer,
    deployment::{ADMIN_PORT, HTTP_PORT, PORTS, asked_at_the_admin_port, mount, restricted},
    env,
};
use crate::controller::validate::{HttpImage, Program, StdioImage};

/// A directory that the program can write to, since its root is read-only.
const TMP: &str = "/tmp";
const TMP_VOLUME: &str = "iam-mcp-tmp";
/// Where the bridge is, in a pod whose program speaks on stdin and stdout.
const BRIDGE_DIR: &str = "/var/run/iam-mcp/bin";
const BRIDGE_VOLUME: &str = "iam-mcp-bin";
/// The init container that puts it there.
const BRIDGE: &str = "iam-mcp-bridge";

/// The ports of the server's container, by name.
#[must_use]
pub fn ports(program: &Program) -> Vec<(&'static str, i32)> {
    match program {
        Program::Ours => PORTS.to_vec(),
        Program::Http(image) => vec![("http", image.endpoint.port)],
        Program::Stdio(_) => vec![("http", HTTP_PORT), ("admin", ADMIN_PORT)],
    }
}

/// The container of an image that serves HTTP by itself.
pub(super) fn http(base: Container, server: &ValidatedServer, image: &HttpImage) -> Container {
    let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let probe = |period, failures| Some(probe(&image.endpoint, period, failures));
    Container {
        command: given(&image.command),
        args: given(&image.args),
        env: (!server.env.is_empty()).then(|| server.env.clone()),
        startup_probe: probe(1, 60),
        readiness_probe: probe(5, 2),
        liveness_probe: probe(10, 3),
        volume_mounts: writes_to_tmp(server).then(|| vec![mount(TMP_VOLUME, TMP, false)]),
        ..base
    }
}

/// The container of an image whose program speaks on stdin and stdout: the bridge runs it.
pub(super) fn stdio(
    base: Container,
    server: &ValidatedServer,
    image: &StdioImage,
    env: Vec<EnvVar>,
    more_mounts: Vec<VolumeMount>,
) -> Container {
    let protocol = match server.protocol {
        Protocol::Auto => None,
        Protocol::Stateless => Some("--protocol=stateless"),
        Protocol::Legacy => Some("--protocol=legacy"),
    };
    let bridge = format!("{BRIDGE_DIR}/iam-mcp-server");
    let command = [bridge.as_str(), "bridge"].into_iter().chain(protocol);
    let mut mounts = vec![mount(BRIDGE_VOLUME, BRIDGE_DIR, true)];
    if writes_to_tmp(server) {
        mounts.push(mount(TMP_VOLUME, TMP, false));
    }
    mounts.extend(more_mounts);
    Container {
        command: Some(command.chain(["--"]).map(str::to_owned).collect()),
        args: Some(image.command.clone()),
        env: Some(env::build(server, env)),
        volume_mounts: Some(mounts),
        ..asked_at_the_admin_port(base)
    }
}

/// What runs before: the image of our server, which copies its static binary to where the bridge is to be.
pub(super) fn init_containers(server: &ValidatedServer) -> Option<Vec<Container>> {
    let Program::Stdio(image) = &server.program else {
        return None;
    };
    let quantities = |list: &[(&str, &str)]| {
        let quantity = |(name, value): &(&str, &str)| ((*name).to_owned(), Quantity((*value).to_owned()));
        Some(list.iter().map(quantity).collect())
    };
    Some(vec![Container {
        name: BRIDGE.to_owned(),
        image: Some(image.bridge.clone()),
        args: Some(vec!["install".to_owned(), BRIDGE_DIR.to_owned()]),
        resources: Some(ResourceRequirements {
            requests: quantities(&[("cpu", "10m"), ("memory", "16Mi")]),
            // Pages of the file that is written count too, and are given back under pressure.
            limits: quantities(&[("memory", "64Mi")]),
            claims: None,
        }),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![mount(BRIDGE_VOLUME, BRIDGE_DIR, false)]),
        ..Container::default()
    }])
}

/// The volumes of both.
pub(super) fn volumes(server: &ValidatedServer) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let bridge = matches!(server.program, Program::Stdio(_)).then(|| empty(BRIDGE_VOLUME));
    let tmp = writes_to_tmp(server).then(|| empty(TMP_VOLUME));
    bridge.into_iter().chain(tmp).collect()
}

/// Unless somebody mounts something else there.
fn writes_to_tmp(server: &ValidatedServer) -> bool {
    server.pods.mounts.iter().all(|mount| mount.mount_path != TMP)
}

fn probe(endpoint: &EndpointSpec, period: i32, failures: i32) -> Probe {
    let port = IntOrString::String("http".to_owned());
    let get = endpoint.health_path.as_ref().map(|path| HTTPGetAction {
        path: Some(path.clone()),
        port: port.clone(),
        scheme: Some("HTTP".to_owned()),
        ..HTTPGetAction::default()
    });
    Probe {
        tcp_socket: get.is_none().then_some(TCPSocketAction { port, host: None }),
        http_get: get,
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}
