//! What the fields on access, limits, telemetry and jobs add to the server's container and its pod. A spec without them
//! adds nothing.

use iam_mcp_crds::SecretKeyRef;
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};

use super::{ValidatedServer, auth, deployment::SECRET_MODE, jobs, limits, telemetry};

/// What is added.
#[derive(Debug, Default)]
pub(super) struct Additions {
    pub(super) env: Vec<EnvVar>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

/// Everything that is added for `server`.
pub(super) fn build(server: &ValidatedServer) -> Additions {
    let mut additions = Additions::default();
    auth::add(server, &mut additions);
    limits::add(server, &mut additions);
    telemetry::add(server, &mut additions);
    jobs::add(server, &mut additions);
    additions
}

impl Additions {
    /// Sets a variable.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.push(EnvVar {
            name: name.to_owned(),
            value: Some(value.into()),
            value_from: None,
        });
    }

    /// Sets a variable, if there is a value for it.
    pub(super) fn set_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.set(name, value.to_string());
        }
    }

    /// Sets a variable to what stands in a Secret when the pod starts.
    pub(super) fn set_from(&mut self, name: &str, secret: &SecretKeyRef) {
        self.env.push(EnvVar {
            name: name.to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: secret.name.clone(),
                    key: secret.key.clone(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
        });
    }

    /// Mounts one key of a Secret as the file `directory`/`file`. The pod waits until there is that key.
    pub(super) fn mount_key(&mut self, volume: &str, secret: &SecretKeyRef, directory: &str, file: &str) {
        let source = Volume {
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.name.clone()),
                default_mode: Some(SECRET_MODE),
                items: Some(vec![KeyToPath {
                    key: secret.key.clone(),
                    path: file.to_owned(),
                    mode: None,
                }]),
                optional: None,
            }),
            ..Volume::default()
        };
        self.mount(volume, source, directory, true);
    }

    /// Mounts `source` as the volume `name`.
    pub(super) fn mount(&mut self, name: &str, source: Volume, path: &str, read_only: bool) {
        self.volumes.push(Volume {
            name: name.to_owned(),
            ..source
        });
        self.mounts.push(VolumeMount {
            name: name.to_owned(),
            mount_path: path.to_owned(),
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
    }
}
