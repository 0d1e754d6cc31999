//! Names under which operators of a test act, so that the audit log tells them apart and the API server can treat
//! each in its own way.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{api_proxy::ApiProxy, setting};

/// The group of all of them. It may do everything and, unlike `system:masters`, is not exempt from priority and fairness.
const GROUP: &str = "iam-mcp-e2e:operators";

/// A `kubeconfig` in a file of its own, with which the bearer acts as `user`.
pub struct Identity {
    /// The name in the audit log.
    pub user: String,
    file: PathBuf,
}

impl Identity {
    /// An identity named `name` of the test that has `namespace`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub async fn new(client: &Client, namespace: &str, name: &str) -> Self {
        Self::by(client, namespace, name, None).await
    }

    /// The same, whose way to the API server is `proxy`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub async fn through(client: &Client, namespace: &str, name: &str, proxy: &ApiProxy) -> Self {
        Self::by(client, namespace, name, Some(proxy)).await
    }

    async fn by(client: &Client, namespace: &str, name: &str, proxy: Option<&ApiProxy>) -> Self {
        may_do_everything(client).await;
        let user = format!("iam-mcp-e2e:{namespace}:{name}");
        let mut config = kubeconfig();
        config["users"][0]["user"]["as"] = json!(user);
        config["users"][0]["user"]["as-groups"] = json!([GROUP]);
        if let Some(proxy) = proxy {
            // The certificate of the API server is for this address too.
            config["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", proxy.address()));
        }
        let file = std::env::temp_dir().join(format!(
            "iam-mcp-e2e-{}-{namespace}-{name}.kubeconfig",
            std::process::id()
        ));
        let mut open = std::fs::OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let mut out = open.open(&file).expect("a file");
        // JSON is YAML.
        out.write_all(config.to_string().as_bytes()).expect("a file");
        Self { user, file }
    }

    /// The arguments of an operator that acts under it.
    ///
    /// # Panics
    /// When the directory of temporary files has a name that is no text.
    #[must_use]
    pub fn arguments(&self) -> [&str; 2] {
        ["--kubeconfig", self.file.to_str().expect("a path in text")]
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Host and port of the API server.
///
/// # Panics
/// When the `kubeconfig` of the cluster has no such server.
#[must_use]
pub fn api_server() -> String {
    let config = kubeconfig();
    let server = config["clusters"][0]["cluster"]["server"]
        .as_str()
        .expect("a server");
    server
        .trim_start_matches("https://")
        .trim_end_matches('/')
        .to_owned()
}

fn kubeconfig() -> Value {
    let text = std::fs::read_to_string(setting("E2E_KUBECONFIG")).expect("E2E_KUBECONFIG is a file");
    serde_saphyr::from_str(&text).expect("E2E_KUBECONFIG is a kubeconfig")
}

async fn may_do_everything(client: &Client) {
    let binding = ClusterRoleBinding {
        metadata: ObjectMeta {
            name: Some(GROUP.to_owned()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: "cluster-admin".to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "Group".to_owned(),
            name: GROUP.to_owned(),
            ..Subject::default()
        }]),
    };
    let api: Api<ClusterRoleBinding> = Api::all(client.clone());
    let params = PatchParams::apply("iam-mcp-e2e").force();
    api.patch(GROUP, &params, &Patch::Apply(&binding))
        .await
        .expect("the API server takes the binding");
}
