//! The process behind a pod's container: the nodes of the test cluster are on this machine.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// The pid of the server in `pod`, by the pod's uid in the processes' control groups.
#[must_use]
pub fn pid_of(pod: &Pod, program: &str) -> Option<u32> {
    // The systemd driver writes underscores, the other one hyphens.
    let uid = pod.uid()?;
    let names = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let at = Path::new("/proc").join(pid.to_string());
        let groups = fs::read_to_string(at.join("cgroup")).unwrap_or_default();
        let command = fs::read_to_string(at.join("cmdline")).unwrap_or_default();
        names.iter().any(|name| groups.contains(name.as_str())) && command.contains(program)
    })
    .min()
}
