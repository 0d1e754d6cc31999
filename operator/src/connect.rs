//! The way to the API server.

use std::path::Path;

use anyhow::Context as _;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client, and the namespace that its configuration names: by `kubeconfig`, else by the KUBECONFIG variable,
/// `~/.kube/config`, or the pod's service account.
///
/// # Errors
/// When there is no such configuration, or it cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<(Client, String)> {
    let config = config(kubeconfig).await?;
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config)?, namespace))
}

/// The configuration that [`connect`] uses.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    Ok(match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig: cannot read {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.context(
            "no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account",
        )?,
    })
}
