//! The Secret `NAME-keys`: random keys that the server needs and nobody should type.
//!
//! It is made when absent, read live, never rendered, and never rewritten by apply: what is in it
//! stays until somebody deletes it, or asks for another key by an annotation on the McpServer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, ObjectMeta, Patch, PatchParams, PostParams},
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::{
    adopt::{self, Taken},
    apply::Owner,
    build::{SESSION_KEY, keys_secret_name},
    cache::controller_uid,
    context::Context,
    error::{Blocked, Error},
    events::Happened,
    pods::poll::DrainKey,
    rotation::{Awaited, KeyId, SecretKeys, Step, next_step},
};
use crate::OPERATOR;
use iam_mcp_crds::Reason;

/// Length of a key in bytes: 256 bits.
const KEY_BYTES: usize = 32;

/// Annotation on a McpServer: any new value asks for a new session key.
pub const ROTATE: &str = "iam-mcp.dev/rotate-session-key";
/// Annotation on the Secret: the value of [`ROTATE`] that was last acted on.
pub(super) const ACTED_ON: &str = "iam-mcp.dev/rotate-session-key";
/// Annotation on the Secret: when the last step of a rotation under way was taken.
pub(super) const SINCE: &str = "iam-mcp.dev/session-key-since";
/// Where the key that is to seal next stands.
pub(super) const NEXT_KEY: &str = "session-key-next";
/// Where the key that sealed before stands.
pub(super) const PREVIOUS_KEY: &str = "session-key-previous";

/// Pause between two looks while pods take up a key.
const LOOK_SOON: Duration = Duration::from_secs(3);
/// Pause between two looks while old pods live on.
const LOOK_LATER: Duration = Duration::from_mins(1);
/// How long the last pod that sealed with a key has to be gone: its clients come back within seconds, with
/// what it gave them.
const GONE_FOR: Duration = Duration::from_secs(30);

/// What was done about the Secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// By its metadata it is as it should be, and no rotation is wanted or under way.
    Rests,
    /// It was there.
    Unchanged(Box<Secret>),
    /// It was made, or a missing key was added to it.
    Created,
    /// It was that of a server of this name that is gone, and was taken back with its keys.
    Adopted,
    /// Somebody else's object has the name.
    Blocked(Blocked),
}

/// Makes the Secret with the keys of `owner` if it is absent, and adds what it lacks.
///
/// # Errors
/// When the API server cannot be asked, or the system gives no randomness.
pub async fn ensure(
    context: &Context,
    owner: &Owner,
    labels: impl FnOnce() -> Result<BTreeMap<String, String>, Error>,
) -> Result<Outcome, Error> {
    if context.key_secrets.rests(owner) {
        return Ok(Outcome::Rests);
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &owner.namespace);
    let name = keys_secret_name(&owner.name);
    let action = format!("read Secret/{name}");
    let server = (owner.namespace.clone(), owner.name.clone());
    let live = if context.key_secrets.exists(&server) {
        api.get_opt(&name).await.map_err(Error::api(action))?
    } else {
        // The watch has all of them. One that came since is refused below, and the next pass knows of it.
        None
    };
    let Some(live) = live else {
        // What is asked for at the start is a key, and this is one.
        let acted_on = owner
            .rotate
            .iter()
            .map(|wanted| (ACTED_ON.to_owned(), wanted.clone()));
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(owner.namespace.clone()),
                labels: Some(labels()?),
                annotations: owner.rotate.is_some().then(|| acted_on.collect()),
                owner_references: Some(vec![owner.reference.clone()]),
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
            Ok(made) => {
                context.key_secrets.see(&made.metadata);
                Ok(Outcome::Created)
            }
            Err(error) => Err(Error::api(format!("create Secret/{name}"))(error)),
        };
    };
    if controller_uid(&live.metadata).as_deref() != Some(owner.uid.as_str()) {
        let secrets = ApiResource::erase::<Secret>(&());
        let objects = Api::namespaced_with(context.client.clone(), &owner.namespace, &secrets);
        let taken = if adopt::was_ours(&serde_json::to_value(&live)?) {
            adopt::take_back(context, owner, &objects, "Secret", &name).await?
        } else {
            Taken::Foreign
        };
        match taken {
            Taken::Ours(ours) => {
                context.key_secrets.see(&ours.metadata);
                return Ok(Outcome::Adopted);
            }
            // The watch wakes us when it tells of its end.
            Taken::Gone => return Ok(Outcome::Rests),
            Taken::Foreign => {}
        }
        return Ok(Outcome::Blocked(Blocked {
            reason: Reason::NameConflict,
            message: format!(
                "Secret/{name} exists and does not belong to this McpServer; delete or rename it, or rename the McpServer"
            ),
        }));
    }
    if key(&live, SESSION_KEY).is_some() {
        return Ok(Outcome::Unchanged(Box::new(live)));
    }
    let change = json!({"data": {SESSION_KEY: ByteString(random_key()?)}});
    write(
        context,
        &api,
        &live,
        change,
        format!("add a key to Secret/{name}"),
    )
    .await?;
    Ok(Outcome::Created)
}

/// What a look at a rotation came to.
#[derive(Debug, Default)]
pub struct Rotation {
    /// The step that was taken, for an event.
    pub told: Option<(Happened, String)>,
    /// When to look again.
    pub again: Option<Duration>,
}

/// Takes the next step of a rotation of the session key, if one is wanted or under way: one write at most.
///
/// # Errors
/// When the API server cannot be asked, the Secret changed meanwhile, or the system gives no randomness.
pub async fn rotate(context: &Context, owner: &Owner, live: &Secret) -> Result<Rotation, Error> {
    let server = (owner.namespace.clone(), owner.name.clone());
    let now = Timestamp::now();
    let step = next_step(
        &secret_keys(live),
        owner.rotate.as_deref(),
        &context.pods.keys(&server),
        now,
    );
    let waits_for_pods = matches!(
        step,
        Step::Start | Step::Promote | Step::Stamp | Step::Await(Awaited::Acceptance(_) | Awaited::Sealing(_))
    );
    context.pods.set_rotating(&server, waits_for_pods);
    let unneeded_for = unneeded_for(context, owner, step == Step::Unneeded);

    let acted_on = owner.rotate.as_deref();
    let (change, told) = match step {
        Step::Rest => return Ok(Rotation::default()),
        Step::Await(awaited) => {
            tracing::debug!(
                server = owner.name,
                namespace = owner.namespace,
                ?awaited,
                "a rotation waits"
            );
            return Ok(Rotation {
                told: None,
                again: Some(if waits_for_pods { LOOK_SOON } else { LOOK_LATER }),
            });
        }
        Step::Unneeded if unneeded_for < GONE_FOR => {
            return Ok(Rotation {
                told: None,
                again: Some(GONE_FOR.saturating_sub(unneeded_for)),
            });
        }
        Step::Stamp => (json!({"metadata": {"annotations": {SINCE: now}}}), None),
        Step::Start => (
            json!({
                "metadata": {"annotations": {SINCE: now, ACTED_ON: acted_on}},
                "data": {NEXT_KEY: ByteString(random_key()?)},
            }),
            Some((
                Happened::KeyRotationStarted,
                "a new session key was added; it seals when every running pod accepts it",
            )),
        ),
        Step::Promote => (
            json!({
                "metadata": {"annotations": {SINCE: now}},
                "data": {
                    SESSION_KEY: key(live, NEXT_KEY),
                    PREVIOUS_KEY: key(live, SESSION_KEY),
                    NEXT_KEY: null,
                },
            }),
            Some((
                Happened::KeyPromoted,
                "every running pod accepts the new session key, so it seals from now on; the old one is accepted until the pods that sealed with it are gone, for 7 days at most",
            )),
        ),
        Step::Retire | Step::Unneeded => (
            json!({"metadata": {"annotations": {SINCE: null}}, "data": {PREVIOUS_KEY: null}}),
            Some((
                Happened::KeyRetired,
                "no session is left that the old session key sealed; it is accepted no longer",
            )),
        ),
    };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &owner.namespace);
    context.metrics.write("Secret", "rotate_key");
    let action = format!(
        "rotate the session key in Secret/{}",
        keys_secret_name(&owner.name)
    );
    write(context, &api, live, change, action).await?;
    Ok(Rotation {
        told: told.map(|(happened, note)| (happened, note.to_owned())),
        again: Some(LOOK_SOON),
    })
}

/// Notes that no rotation is wanted or under way.
pub fn rest(context: &Context, owner: &Owner) {
    let server = (owner.namespace.clone(), owner.name.clone());
    context.pods.set_rotating(&server, false);
    context.unneeded_keys.lock().remove(&owner.uid);
}

/// How long no pod has needed the old key, as far as this operator knows.
fn unneeded_for(context: &Context, owner: &Owner, unneeded: bool) -> Duration {
    let mut since = context.unneeded_keys.lock();
    if unneeded {
        since
            .entry(owner.uid.clone())
            .or_insert_with(Instant::now)
            .elapsed()
    } else {
        since.remove(&owner.uid);
        Duration::ZERO
    }
}

/// Writes one change of the Secret as it was read: of two operators that each put in a key of their own, one
/// would undo what pods have taken up from the other.
async fn write(
    context: &Context,
    api: &Api<Secret>,
    live: &Secret,
    mut change: Value,
    action: String,
) -> Result<(), Error> {
    change["metadata"]["resourceVersion"] = json!(live.resource_version());
    let params = PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    let written = api
        .patch(&live.name_any(), &params, &Patch::Merge(change))
        .await
        .map_err(Error::api(action))?;
    context.key_secrets.see(&written.metadata);
    Ok(())
}

/// What pods are told with to end a drain, by each key in a Secret that they may accept; the one that seals first.
#[must_use]
pub fn drain_keys(secret: &Secret) -> Vec<DrainKey> {
    let keys = [SESSION_KEY, NEXT_KEY, PREVIOUS_KEY].into_iter();
    keys.filter_map(|name| key(secret, name))
        .map(|key| DrainKey::of(&key.0))
        .collect()
}

fn secret_keys(secret: &Secret) -> SecretKeys {
    let id = |name| key(secret, name).map(|key| KeyId::of(&key.0));
    let noted = |name| secret.annotations().get(name);
    SecretKeys {
        sealing: id(SESSION_KEY).unwrap_or_default(),
        next: id(NEXT_KEY),
        previous: id(PREVIOUS_KEY),
        since: noted(SINCE).and_then(|since| since.parse().ok()),
        acted_on: noted(ACTED_ON).cloned(),
    }
}

/// A key in a Secret, if it is one: the server refuses others.
fn key<'a>(secret: &'a Secret, name: &str) -> Option<&'a ByteString> {
    secret
        .data
        .as_ref()?
        .get(name)
        .filter(|key| key.0.len() == KEY_BYTES)
}

fn random_key() -> Result<Vec<u8>, Error> {
    let mut key = vec![0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| Error::Random)?;
    Ok(key)
}
