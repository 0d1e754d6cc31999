//! The Secrets `NAME-keys` and `NAME-token`: random keys that the server needs and nobody should type.
//!
//! They are made when absent, read live, never rendered, and never rewritten by apply: what is in them
//! stays until somebody deletes it, or it is followed by another: on a schedule, or by an annotation on the McpServer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use iam_mcp_crds::{McpServer, Reason, rotation::hours};
use jiff::{SignedDuration, Timestamp};
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
    build::{common_labels, keys_secret_name},
    cache::controller_uid,
    context::Context,
    error::{Blocked, Error},
    events::Happened,
    key_kinds::{KEY_BYTES, KeyKind, SESSION, TOKEN},
    key_secrets::KeySecrets,
    pods::poll::DrainKey,
    rotation::{Awaited, KeyId, Material, SecretKeys, Step, next_step},
};
use crate::OPERATOR;

/// Where the key stands that makes digests of Secrets worthless to those who may not read them.
const REFERENCE_KEY: &str = "reference-key";

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

/// When a key is to be followed by another.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wish {
    /// The McpServer's annotation, see [`KeyKind::rotate`].
    pub asked: Option<String>,
    /// As old as it may become.
    pub every: Option<SignedDuration>,
}

impl Wish {
    /// What `server` asks of its session key.
    #[must_use]
    pub fn of_session_key(server: &McpServer) -> Self {
        let sessions = server.spec.sessions.as_ref();
        let every = sessions.and_then(|sessions| sessions.rotate_key_every.as_deref());
        Self::of(server, &SESSION, every)
    }

    /// What `server` asks of the token that the operator makes, if it is to make one.
    #[must_use]
    pub fn of_token(server: &McpServer) -> Option<Self> {
        let bearer = server.spec.auth.as_ref()?.bearer.as_ref()?;
        let generated = bearer.generated.as_ref()?;
        Some(Self::of(server, &TOKEN, generated.rotate_every.as_deref()))
    }

    fn of(server: &McpServer, kind: &KeyKind, every: Option<&str>) -> Self {
        let every = every.and_then(hours);
        Self {
            asked: server.annotations().get(kind.rotate).cloned(),
            every: every.map(|hours| SignedDuration::from_hours(hours.into())),
        }
    }

    /// Whether a key that came into use at `made` is as old as it may be.
    #[must_use]
    pub fn is_due(&self, made: Option<Timestamp>, now: Timestamp) -> bool {
        let age = made.map(|made| now.duration_since(made));
        self.every.zip(age).is_some_and(|(every, age)| age >= every)
    }
}

/// When the key in use came into use.
#[must_use]
pub(super) fn made(kind: &KeyKind, metadata: &ObjectMeta) -> Option<Timestamp> {
    let noted = metadata
        .annotations
        .as_ref()
        .and_then(|noted| noted.get(kind.made));
    let noted = noted.and_then(|made| made.parse().ok());
    noted.or_else(|| metadata.creation_timestamp.as_ref().map(|made| made.0))
}

fn store<'a>(context: &'a Context, kind: &KeyKind) -> &'a KeySecrets {
    match kind.material {
        Material::SessionKey => &context.key_secrets,
        Material::Token => &context.token_secrets,
    }
}

/// The data of a Secret with these keys, and what follows from them.
fn data(kind: &KeyKind, current: Option<&[u8]>, next: Option<&[u8]>, previous: Option<&[u8]>) -> Value {
    let bytes = |key: &[u8]| ByteString(key.to_vec());
    let mut data = json!({
        kind.current: current.map(bytes),
        kind.next: next.map(bytes),
        kind.previous: previous.map(bytes),
    });
    if let Some((name, derive)) = kind.derived {
        let all: Vec<&[u8]> = [current, next, previous].into_iter().flatten().collect();
        data[name] = json!(bytes(&derive(&all)));
    }
    data
}

/// Makes the Secret with the keys of `owner` if it is absent, and adds what it lacks.
///
/// # Errors
/// When the API server cannot be asked, or the system gives no randomness.
pub async fn ensure(context: &Context, owner: &Owner, kind: &'static KeyKind) -> Result<Outcome, Error> {
    let known = store(context, kind);
    if known.rests(owner) {
        return Ok(Outcome::Rests);
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &owner.namespace);
    let name = format!("{}{}", owner.name, kind.suffix);
    let action = format!("read Secret/{name}");
    let server = (owner.namespace.clone(), owner.name.clone());
    let live = if known.exists(&server) {
        api.get_opt(&name).await.map_err(Error::api(action))?
    } else {
        // The watch has all of them. One that came since is refused below, and the next pass knows of it.
        None
    };
    let Some(live) = live else {
        // What is asked for at the start is a key, and this is one.
        let asked = owner.wish(kind).asked.as_ref();
        let acted_on = asked.map(|asked| BTreeMap::from([(kind.rotate.to_owned(), asked.clone())]));
        let secret = json!({
            "metadata": ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(owner.namespace.clone()),
                labels: Some(common_labels(&owner.name)),
                annotations: acted_on,
                owner_references: Some(vec![owner.reference.clone()]),
                ..ObjectMeta::default()
            },
            "type": "Opaque",
            "data": without_nulls(data(kind, Some(&random(kind)?), None, None)),
        });
        let secret: Secret = serde_json::from_value(secret)?;
        let params = PostParams {
            field_manager: Some(OPERATOR.to_owned()),
            ..PostParams::default()
        };
        return match api.create(&params, &secret).await {
            Ok(made) => {
                known.see(&made.metadata);
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
                known.see(&ours.metadata);
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
    let [current, next, previous] = keys_in(&live, kind);
    if current.is_some() && is_derived(&live, kind) {
        return Ok(Outcome::Unchanged(Box::new(live)));
    }
    let mut change = json!({});
    let current = if let Some(current) = current {
        current.0.clone()
    } else {
        // Another than the one before is as new as can be.
        change["metadata"]["annotations"][kind.made] = json!(Timestamp::now());
        random(kind)?
    };
    let (next, previous) = (
        next.map(|key| key.0.as_slice()),
        previous.map(|key| key.0.as_slice()),
    );
    change["data"] = data(kind, Some(&current), next, previous);
    let action = format!("add a key to Secret/{name}");
    write(context, &api, kind, &live, change, action).await?;
    Ok(Outcome::Created)
}

/// Whether what follows from the keys is what stands there.
fn is_derived(secret: &Secret, kind: &KeyKind) -> bool {
    kind.derived.is_none_or(|(name, derive)| {
        let all: Vec<&[u8]> = keys_in(secret, kind)
            .into_iter()
            .flatten()
            .map(|key| key.0.as_slice())
            .collect();
        let live = secret.data.as_ref().and_then(|data| data.get(name));
        live.is_some_and(|live| live.0 == derive(&all))
    })
}

fn without_nulls(mut data: Value) -> Value {
    if let Value::Object(fields) = &mut data {
        fields.retain(|_, value| !value.is_null());
    }
    data
}

/// The key with which digests of what a server refers to are made, out of its `NAME-keys`; it is made there if it is
/// missing. `None` when the Secret is somebody else's.
///
/// # Errors
/// When the API server cannot be asked, or the system gives no randomness.
pub async fn reference_key(context: &Context, owner: &Owner) -> Result<Option<(Vec<u8>, bool)>, Error> {
    let name = keys_secret_name(&owner.name);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &owner.namespace);
    let outcome = ensure(context, owner, &SESSION).await?;
    let (live, created) = match outcome {
        Outcome::Blocked(_) => return Ok(None),
        Outcome::Unchanged(live) => (*live, false),
        Outcome::Rests | Outcome::Created | Outcome::Adopted => {
            let live = api.get(&name).await;
            let live = live.map_err(Error::api(format!("read Secret/{name}")))?;
            (live, outcome == Outcome::Created)
        }
    };
    let known = live.data.as_ref().and_then(|data| data.get(REFERENCE_KEY));
    if let Some(known) = known.filter(|key| key.0.len() == KEY_BYTES) {
        return Ok(Some((known.0.clone(), created)));
    }
    let key = random(&SESSION)?;
    let change = json!({"data": {REFERENCE_KEY: ByteString(key.clone())}});
    context.metrics.write("Secret", "add_key");
    let action = format!("add a key to Secret/{name}");
    write(context, &api, &SESSION, &live, change, action).await?;
    Ok(Some((key, created)))
}

/// What a look at a rotation came to.
#[derive(Debug, Default)]
pub struct Rotation {
    /// The step that was taken, for an event.
    pub told: Vec<(Happened, String)>,
    /// When to look again.
    pub again: Option<Duration>,
    /// Whether pods are to say soon which keys they know.
    pub waits_for_pods: bool,
}

impl Rotation {
    /// Both.
    pub fn join(&mut self, other: Self) {
        self.told.extend(other.told);
        self.again = self.again.into_iter().chain(other.again).min();
        self.waits_for_pods |= other.waits_for_pods;
    }
}

/// Takes the next step of a rotation of a key, if one is wanted or under way: one write at most.
///
/// # Errors
/// When the API server cannot be asked, the Secret changed meanwhile, or the system gives no randomness.
pub async fn rotate(
    context: &Context,
    owner: &Owner,
    kind: &'static KeyKind,
    live: &Secret,
) -> Result<Rotation, Error> {
    let server = (owner.namespace.clone(), owner.name.clone());
    let now = Timestamp::now();
    let wish = owner.wish(kind);
    let asked = wish.asked.as_deref();
    let pods = context.pods.keys(&server, kind.material);
    let step = next_step(&secret_keys(live, kind, wish, now), asked, &pods, now);
    let waits_for_pods = matches!(
        step,
        Step::Start | Step::Promote | Step::Stamp | Step::Await(Awaited::Acceptance(_) | Awaited::Sealing(_))
    );
    let unneeded_for = unneeded_for(context, owner, step == Step::Unneeded);
    let wait = |again| Rotation {
        told: Vec::new(),
        again: Some(again),
        waits_for_pods,
    };

    let [current, next, previous] = keys_in(live, kind).map(|key| key.map(|key| key.0.as_slice()));
    let (change, told) = match step {
        Step::Rest => return Ok(Rotation::default()),
        Step::Await(awaited) => {
            tracing::debug!(
                server = owner.name,
                namespace = owner.namespace,
                kind = kind.called,
                ?awaited,
                "a rotation waits"
            );
            return Ok(wait(if waits_for_pods { LOOK_SOON } else { LOOK_LATER }));
        }
        Step::Unneeded if unneeded_for < GONE_FOR => {
            return Ok(wait(GONE_FOR.saturating_sub(unneeded_for)));
        }
        Step::Stamp => (json!({"metadata": {"annotations": {kind.since: now}}}), None),
        Step::Start => (
            json!({
                "metadata": {"annotations": {kind.since: now, kind.rotate: asked}},
                "data": data(kind, current, Some(&random(kind)?), previous),
            }),
            Some((Happened::KeyRotationStarted, kind.told.started)),
        ),
        Step::Promote => (
            json!({
                "metadata": {"annotations": {kind.since: now, kind.made: now}},
                "data": data(kind, next, None, current),
            }),
            Some((Happened::KeyPromoted, kind.told.promoted)),
        ),
        Step::Retire | Step::Unneeded => (
            json!({
                "metadata": {"annotations": {kind.since: null}},
                "data": data(kind, current, next, None),
            }),
            Some((Happened::KeyRetired, kind.told.retired)),
        ),
    };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &owner.namespace);
    context.metrics.write("Secret", "rotate_key");
    let action = format!("rotate the {} in Secret/{}", kind.called, live.name_any());
    write(context, &api, kind, live, change, action).await?;
    Ok(Rotation {
        told: told
            .map(|(happened, note)| (happened, note.to_owned()))
            .into_iter()
            .collect(),
        ..wait(LOOK_SOON)
    })
}

/// Notes that no rotation of the session key is wanted or under way.
pub fn rest(context: &Context, owner: &Owner) {
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
    kind: &KeyKind,
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
    store(context, kind).see(&written.metadata);
    Ok(())
}

/// What pods are told with to end a drain, by each key in a Secret that they may accept; the one that seals first.
#[must_use]
pub fn drain_keys(secret: &Secret) -> Vec<DrainKey> {
    let keys = keys_in(secret, &SESSION).into_iter().flatten();
    keys.map(|key| DrainKey::of(&key.0)).collect()
}

fn secret_keys(secret: &Secret, kind: &KeyKind, wish: &Wish, now: Timestamp) -> SecretKeys {
    let [current, next, previous] = keys_in(secret, kind).map(|key| key.map(|key| KeyId::of(&key.0)));
    let noted = |name| secret.annotations().get(name);
    SecretKeys {
        material: kind.material,
        due: wish.is_due(made(kind, &secret.metadata), now),
        sealing: current.unwrap_or_default(),
        next,
        previous,
        since: noted(kind.since).and_then(|since| since.parse().ok()),
        acted_on: noted(kind.rotate).cloned(),
    }
}

/// The keys in a Secret that are such: the one in use, the next, the one before.
fn keys_in<'a>(secret: &'a Secret, kind: &KeyKind) -> [Option<&'a ByteString>; 3] {
    [kind.current, kind.next, kind.previous].map(|name| {
        let key = secret.data.as_ref()?.get(name)?;
        kind.is_valid(&key.0).then_some(key)
    })
}

fn random(kind: &KeyKind) -> Result<Vec<u8>, Error> {
    let mut bytes = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok((kind.make)(&bytes))
}
