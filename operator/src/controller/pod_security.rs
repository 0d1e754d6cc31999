//! The `restricted` Pod Security profile: what it forbids in a pod template, as of Kubernetes 1.35
//! (`k8s.io/pod-security-admission/policy`, all checks of the levels baseline and restricted).
//!
//! Not taken over are its exemptions for Windows pods and for pods with a user namespace: what passes here
//! passes in every namespace that enforces the profile, also in older clusters.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, HTTPGetAction, LifecycleHandler, PodSpec, PodTemplateSpec,
    Probe, SELinuxOptions, SeccompProfile, TCPSocketAction, Volume,
};

const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SELINUX_TYPES: [&str; 5] = [
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// What `template` has that the profile forbids: the path, and what it must be.
#[must_use]
pub fn restricted(template: &PodTemplateSpec) -> Vec<String> {
    let mut found = Findings::default();
    let metadata = template.metadata.iter();
    for (key, value) in metadata.filter_map(|m| m.annotations.as_ref()).flatten() {
        let allowed = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with(APPARMOR_ANNOTATION) && !allowed {
            found.add(
                &format!("metadata.annotations[{key}]"),
                "must be runtime/default or localhost/...",
            );
        }
    }
    if let Some(spec) = &template.spec {
        pod(spec, &mut found);
    }
    found.0
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, path: &str, problem: &str) {
        self.0.push(format!("{path} {problem}"));
    }

    fn unless(&mut self, allowed: bool, path: &str, problem: &str) {
        if !allowed {
            self.add(path, problem);
        }
    }
}

fn pod(spec: &PodSpec, found: &mut Findings) {
    for (name, value) in [
        ("hostNetwork", spec.host_network),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
    ] {
        found.unless(value != Some(true), &format!("spec.{name}"), "must not be true");
    }
    for volume in spec.volumes.iter().flatten() {
        found.unless(
            is_harmless(volume),
            &format!("spec.volumes[{}]", volume.name),
            "must be a configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret volume",
        );
    }
    let context = spec.security_context.clone().unwrap_or_default();
    let path = "spec.securityContext";
    seccomp(context.seccomp_profile.as_ref(), path, found);
    apparmor(context.app_armor_profile.as_ref(), path, found);
    selinux(context.se_linux_options.as_ref(), path, found);
    found.unless(
        context.run_as_non_root != Some(false),
        &format!("{path}.runAsNonRoot"),
        "must be true",
    );
    found.unless(
        context.run_as_user != Some(0),
        &format!("{path}.runAsUser"),
        "must not be 0",
    );
    let host_process = context.windows_options.and_then(|w| w.host_process);
    found.unless(
        host_process != Some(true),
        &format!("{path}.windowsOptions.hostProcess"),
        "must not be true",
    );
    for sysctl in context.sysctls.iter().flatten() {
        found.unless(
            SYSCTLS.contains(&sysctl.name.as_str()),
            &format!("{path}.sysctls[{}]", sysctl.name),
            "is not one of the safe ones",
        );
    }
    let inherits = Inherited {
        non_root: context.run_as_non_root == Some(true),
        seccomp: context.seccomp_profile.is_some(),
    };
    for (list, containers) in [
        ("containers", Some(&spec.containers)),
        ("initContainers", spec.init_containers.as_ref()),
    ] {
        for each in containers.into_iter().flatten() {
            container(each, &format!("spec.{list}[{}]", each.name), &inherits, found);
        }
    }
    for each in spec.ephemeral_containers.iter().flatten() {
        found.add(
            &format!("spec.ephemeralContainers[{}]", each.name),
            "cannot be in a template",
        );
    }
}

/// What a container has from its pod.
struct Inherited {
    non_root: bool,
    seccomp: bool,
}

fn container(container: &Container, at: &str, inherits: &Inherited, found: &mut Findings) {
    for port in container.ports.iter().flatten() {
        let path = format!("{at}.ports[{}].hostPort", port.container_port);
        found.unless(port.host_port.unwrap_or_default() == 0, &path, "must not be set");
    }
    hosts(container, at, found);
    let context = container.security_context.clone().unwrap_or_default();
    let path = format!("{at}.securityContext");
    let field = |name: &str| format!("{path}.{name}");
    found.unless(
        context.privileged != Some(true),
        &field("privileged"),
        "must not be true",
    );
    found.unless(
        context.allow_privilege_escalation == Some(false),
        &field("allowPrivilegeEscalation"),
        "must be false",
    );
    capabilities(context.capabilities.as_ref(), &field("capabilities"), found);
    let non_root = context.run_as_non_root.unwrap_or(inherits.non_root);
    found.unless(non_root, &field("runAsNonRoot"), "must be true");
    found.unless(
        context.run_as_user != Some(0),
        &field("runAsUser"),
        "must not be 0",
    );
    found.unless(
        context
            .proc_mount
            .as_deref()
            .is_none_or(|mount| mount == "Default"),
        &field("procMount"),
        "must be Default",
    );
    let host_process = context.windows_options.as_ref().and_then(|w| w.host_process);
    found.unless(
        host_process != Some(true),
        &field("windowsOptions.hostProcess"),
        "must not be true",
    );
    if context.seccomp_profile.is_some() || !inherits.seccomp {
        seccomp(context.seccomp_profile.as_ref(), &path, found);
    }
    apparmor(context.app_armor_profile.as_ref(), &path, found);
    selinux(context.se_linux_options.as_ref(), &path, found);
}

fn is_harmless(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

/// Probes and hooks may ask their own pod only.
fn hosts(container: &Container, at: &str, found: &mut Findings) {
    let mut ask = |path: String, http: Option<&HTTPGetAction>, tcp: Option<&TCPSocketAction>| {
        let is_named = |host: Option<&String>| host.is_some_and(|host| !host.is_empty());
        found.unless(
            !is_named(http.and_then(|h| h.host.as_ref())),
            &format!("{path}.httpGet.host"),
            "must not be set",
        );
        found.unless(
            !is_named(tcp.and_then(|t| t.host.as_ref())),
            &format!("{path}.tcpSocket.host"),
            "must not be set",
        );
    };
    let probes: [(&str, &Option<Probe>); 3] = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    for (name, probe) in probes {
        if let Some(probe) = probe {
            ask(
                format!("{at}.{name}"),
                probe.http_get.as_ref(),
                probe.tcp_socket.as_ref(),
            );
        }
    }
    let lifecycle = container.lifecycle.as_ref();
    let hooks: [(&str, Option<&LifecycleHandler>); 2] = [
        ("postStart", lifecycle.and_then(|l| l.post_start.as_ref())),
        ("preStop", lifecycle.and_then(|l| l.pre_stop.as_ref())),
    ];
    for (name, hook) in hooks {
        if let Some(hook) = hook {
            ask(
                format!("{at}.lifecycle.{name}"),
                hook.http_get.as_ref(),
                hook.tcp_socket.as_ref(),
            );
        }
    }
}

fn capabilities(given: Option<&Capabilities>, path: &str, found: &mut Findings) {
    let none = Capabilities::default();
    let given = given.unwrap_or(&none);
    found.unless(
        given.drop.iter().flatten().any(|c| c == "ALL"),
        &format!("{path}.drop"),
        "must have ALL",
    );
    found.unless(
        given.add.iter().flatten().all(|c| c == "NET_BIND_SERVICE"),
        &format!("{path}.add"),
        "must have NET_BIND_SERVICE at most",
    );
}

fn seccomp(profile: Option<&SeccompProfile>, path: &str, found: &mut Findings) {
    let allowed = profile.map(|p| ["RuntimeDefault", "Localhost"].contains(&p.type_.as_str()));
    // At the pod it may be left to the containers.
    if allowed == Some(false) || (allowed.is_none() && path != "spec.securityContext") {
        found.add(
            &format!("{path}.seccompProfile.type"),
            "must be RuntimeDefault or Localhost",
        );
    }
}

fn apparmor(profile: Option<&AppArmorProfile>, path: &str, found: &mut Findings) {
    found.unless(
        profile.is_none_or(|p| ["RuntimeDefault", "Localhost"].contains(&p.type_.as_str())),
        &format!("{path}.appArmorProfile.type"),
        "must be RuntimeDefault or Localhost",
    );
}

fn selinux(options: Option<&SELinuxOptions>, path: &str, found: &mut Findings) {
    let Some(options) = options else { return };
    let is_set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let path = format!("{path}.seLinuxOptions");
    found.unless(
        SELINUX_TYPES.contains(&options.type_.as_deref().unwrap_or_default()),
        &format!("{path}.type"),
        "must be container_t, container_init_t, container_kvm_t or container_engine_t",
    );
    found.unless(!is_set(&options.user), &format!("{path}.user"), "must not be set");
    found.unless(!is_set(&options.role), &format!("{path}.role"), "must not be set");
}

#[cfg(test)]
mod tests;
