//! Pods as this machine sees them: their addresses, and their processes.

use std::{collections::BTreeMap, net::SocketAddr, process::Command};

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::ListParams};
use serde_json::Value;

use crate::{mcp::McpClient, operator::http_client, sandbox::Sandbox};

const PORT: u16 = 8080;
const ADMIN_PORT: u16 = 9090;

/// A running pod of a server.
pub struct RunningPod {
    /// Its name.
    pub name: String,
    /// Asks this pod, and no other.
    pub client: McpClient,
    address: std::net::IpAddr,
    container: String,
}

impl RunningPod {
    /// The pods of `server`, all of which must run.
    pub async fn all(sandbox: &Sandbox, server: &str) -> Vec<Self> {
        let params = ListParams::default().labels(&format!("app={server}"));
        let pods = sandbox.api::<Pod>().list(&params).await.expect("pods");
        pods.items.iter().map(|pod| Self::new(server, pod)).collect()
    }

    fn new(server: &str, pod: &Pod) -> Self {
        let name = pod.name_any();
        let status = pod.status.as_ref().expect("a status");
        let address = status.pod_ip.as_ref().expect("an address");
        let address = address.parse().expect("an IP address");
        let containers = status.container_statuses.as_ref().expect("containers");
        // Such as "containerd://8a1f...".
        let container = containers[0].container_id.as_ref().expect("a container");
        let container = container.rsplit('/').next().expect("an id").to_owned();
        Self {
            name,
            client: McpClient::at(server, SocketAddr::new(address, PORT)),
            address,
            container,
        }
    }

    /// Its open SSE streams, by its own account.
    pub async fn sessions(&self) -> u64 {
        let url = format!("http://{}/sessions", SocketAddr::new(self.address, ADMIN_PORT));
        let answer = http_client()
            .get(url)
            .send()
            .await
            .expect("the admin port answers");
        let report: Value = answer.json().await.expect("JSON");
        report["sessions"].as_u64().expect("a number of sessions")
    }

    /// `kill -9` of its container's processes. They are this machine's: nodes have network and mounts of
    /// their own, and nothing else.
    pub fn kill(&self) {
        let pids = self.pids();
        let killed = Command::new("kill").args(["-s", "KILL"]).args(&pids).status();
        assert!(killed.expect("kill is in PATH").success(), "kill {pids:?}");
    }

    /// Its container's processes.
    #[must_use]
    pub fn pids(&self) -> Vec<String> {
        let pids: Vec<String> = processes()
            .into_iter()
            .filter_map(|(pid, cgroup)| cgroup.contains(&self.container).then_some(pid))
            .collect();
        assert!(!pids.is_empty(), "no process of {} on this machine", self.name);
        pids
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> std::net::IpAddr {
        self.address
    }
}

/// The control group of each process, which has the id of its container in it.
fn processes() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // Processes end while we look.
    names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|pid| Some((std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?, pid)))
        .map(|(cgroup, pid)| (pid, cgroup))
        .collect()
}
