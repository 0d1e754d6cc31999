//! The way to the API server.

use std::path::Path;

use anyhow::Context as _;
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::api_requests::ApiRequests;

/// A client whose requests are counted, and the namespace that its configuration names: by `kubeconfig`, else by the KUBECONFIG variable,
/// `~/.kube/config`, or the pod's service account.
///
/// # Errors
/// When there is no such configuration, or it cannot be read.
pub async fn connect(kubeconfig: Option<&Path>, requests: &ApiRequests) -> anyhow::Result<(Client, String)> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig: cannot read {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.context(
            "no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account",
        )?,
    };
    let namespace = config.default_namespace.clone();
    let client = ClientBuilder::try_from(config)?.with_layer(requests).build();
    Ok((client, namespace))
}
