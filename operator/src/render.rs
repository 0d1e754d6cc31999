//! `render`: the children of `McpServer` resources as YAML, without a cluster.

use std::{fmt::Write as _, fs, io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use iam_mcp_crds::{McpServer, McpServerStatus};
use kube::ResourceExt as _;
use serde_json::Value;

use crate::{
    cli::RenderArgs,
    controller::{build, health::affinity::resolve_as_told, kinds, validate},
};

/// Prints the children of every `McpServer` in the file.
///
/// # Errors
/// When the file cannot be read, holds no `McpServer`, or one that is invalid.
pub fn render(args: &RenderArgs) -> anyhow::Result<()> {
    let text = read(&args.filename)?;
    print!("{}", render_text(&text, args)?);
    Ok(())
}

/// The children as one YAML stream.
///
/// # Errors
/// As [`render`].
pub fn render_text(text: &str, args: &RenderArgs) -> anyhow::Result<String> {
    let mut out = String::new();
    for (index, document) in documents(text).enumerate() {
        let place = || format!("document {} of {}", index + 1, args.filename.display());
        let value: Value = serde_saphyr::from_str(document).with_context(place)?;
        if value["kind"] != "McpServer" {
            continue;
        }
        let mut server: McpServer = serde_json::from_value(value).with_context(place)?;
        server
            .metadata
            .namespace
            .get_or_insert_with(|| args.namespace.clone());
        let defaults = validate::Defaults {
            server_image: args.server_image.clone(),
            operator_namespace: args.operator_namespace.clone(),
        };
        let mut validated = validate::validate(&server, &defaults, false)
            .with_context(|| format!("McpServer/{} is invalid", server.name_any()))?;
        // Without a cluster nothing is known of it but what it says itself.
        resolve_as_told(&mut validated, &McpServerStatus::default());
        let validate::ValidatedServer { namespace, name, .. } = &validated;
        let keys = if validate::has_keys(&server.spec) {
            let keys = build::keys_secret_name(name);
            format!(" Not here: Secret/{keys}, whose random keys the operator makes in the cluster.")
        } else {
            String::new()
        };
        writeln!(out, "# Children of McpServer {namespace}/{name}.{keys}")?;
        for child in kinds::in_order(build::build(&validated), None)? {
            out.push_str("---\n");
            out.push_str(&serde_saphyr::to_string(&child.manifest)?);
        }
    }
    if out.is_empty() {
        bail!("no McpServer in {}", args.filename.display());
    }
    Ok(out)
}

/// The documents of a YAML stream.
fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---")
        .map(|document| document.strip_prefix("---").unwrap_or(document))
        .filter(|document| {
            document
                .lines()
                .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        })
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
