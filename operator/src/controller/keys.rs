//! The Secret `NAME-keys`: random keys that the server needs and nobody should type.
//!
//! It is made when absent, read live, never rendered, and never rewritten by apply: what is in it
//! stays until somebody deletes it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;

use super::{
    build::{SESSION_KEY, keys_secret_name},
    cache::controller_uid,
    error::{Blocked, Error},
};
use crate::OPERATOR;
use iam_mcp_crds::Reason;

/// Length of a key in bytes: 256 bits.
const KEY_BYTES: usize = 32;

/// Where the key that is to seal next stands.
const NEXT_KEY: &str = "session-key-next";
/// Where the key that sealed before stands.
const PREVIOUS_KEY: &str = "session-key-previous";

/// What was done about the Secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was there.
    Unchanged,
    /// It was made, or a missing key was added to it.
    Created,
    /// Somebody else's object has the name.
    Blocked(Blocked),
}

/// Makes the Secret with the keys of `server` if it is absent, and adds what it lacks.
///
/// # Errors
/// When the API server cannot be asked, or the system gives no randomness.
pub async fn ensure(
    client: &Client,
    namespace: &str,
    server: &str,
    owner: &OwnerReference,
    labels: &BTreeMap<String, String>,
) -> Result<Outcome, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let name = keys_secret_name(server);
    let action = format!("read Secret/{name}");
    let Some(live) = api.get_opt(&name).await.map_err(Error::api(action))? else {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                labels: Some(labels.clone()),
                owner_references: Some(vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(BTreeMap::from([(
                SESSION_KEY.to_owned(),
                ByteString(random_key()?),
            )])),
            ..Secret::default()
        };
        let params = PostParams {
            field_manager: Some(OPERATOR.to_owned()),
            ..PostParams::default()
        };
        return match api.create(&params, &secret).await {
            Ok(_) => Ok(Outcome::Created),
            Err(error) => Err(Error::api(format!("create Secret/{name}"))(error)),
        };
    };
    if controller_uid(&live.metadata).as_deref() != Some(owner.uid.as_str()) {
        return Ok(Outcome::Blocked(Blocked {
            reason: Reason::NameConflict,
            message: format!(
                "Secret/{name} exists and does not belong to this McpServer; delete or rename it, or rename the McpServer"
            ),
        }));
    }
    if live
        .data
        .as_ref()
        .is_some_and(|d| d.get(SESSION_KEY).is_some_and(|k| k.0.len() == KEY_BYTES))
    {
        return Ok(Outcome::Unchanged);
    }
    // Without resourceVersion two operators could each put in a key of their own.
    let patch = json!({
        "metadata": {"resourceVersion": live.resource_version()},
        "data": {SESSION_KEY: ByteString(random_key()?)},
    });
    let params = PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    api.patch(&name, &params, &Patch::Merge(patch))
        .await
        .map_err(Error::api(format!("add a key to Secret/{name}")))?;
    Ok(Outcome::Created)
}

/// The keys in a Secret that pods may accept, the one that seals first.
#[must_use]
pub fn accepted_keys(secret: &Secret) -> Vec<Vec<u8>> {
    let keys = [SESSION_KEY, NEXT_KEY, PREVIOUS_KEY].into_iter();
    keys.filter_map(|name| secret.data.as_ref()?.get(name))
        .filter(|key| key.0.len() == KEY_BYTES)
        .map(|key| key.0.clone())
        .collect()
}

fn random_key() -> Result<Vec<u8>, Error> {
    let mut key = vec![0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| Error::Random)?;
    Ok(key)
}
