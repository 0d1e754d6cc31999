//! Sessions held by the TypeScript SDK, as people's programs hold them: `ops/bench/sessions/clients`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::setting;

const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ops/bench/sessions/clients/sessions"
);

/// A program on a node of the cluster that does nothing about an error, but tells it. Killed when dropped.
pub struct SdkSessions {
    _child: Child,
    dir: PathBuf,
}

impl SdkSessions {
    /// Holds `sessions` over SSE with the Service `name` at `address`, and calls on each every `every` seconds.
    #[must_use]
    pub fn open(name: &str, address: &str, sessions: usize, every: f32) -> Self {
        let dir = std::env::temp_dir().join(format!("iam-mcp-e2e-sdk-{}-{address}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let hosts = dir.join("hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost\n{address} {name}\n")).expect("a file");
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", node()))
            .args(["unshare", "--mount", "sh", "-ec"])
            // The Service's name, as pods know it; the machine's own file stays as it is.
            .arg("mount --bind \"$0\" /etc/hosts; exec \"$@\"")
            .arg(&hosts)
            .args([PROGRAM, "typescript", "--seconds", "300"])
            .args(["--url", &format!("http://{name}")])
            .args(["--sessions", &sessions.to_string(), "--every", &every.to_string()])
            .arg("--events")
            .arg(dir.join("events"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nsenter is in PATH");
        Self { _child: child, dir }
    }

    /// What happened so far, oldest first: `at` in milliseconds since 1970, `session`, `event`.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.join("events")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The events called `name`.
    #[must_use]
    pub fn events_called(&self, name: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == name);
        events
    }
}

impl Drop for SdkSessions {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The network namespace of the cluster's first node: Services can be reached from there.
fn node() -> String {
    format!("iam-{}-node1", cluster_name())
}

/// The name by which `ops/cluster` knows the cluster of the tests.
#[must_use]
pub fn cluster_name() -> String {
    let kubeconfig = setting("E2E_KUBECONFIG");
    let cluster = Path::new(&kubeconfig)
        .parent()
        .and_then(Path::file_name)
        .expect("E2E_KUBECONFIG is in the directory of a cluster of ops/cluster");
    cluster.to_string_lossy().into_owned()
}
