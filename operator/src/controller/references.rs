//! What the pods of a server read when they start, and not again: Secrets and ConfigMaps as environment. A digest of it
//! stands in the pod template, so other content makes other pods. What is mounted is not among it: servers read files
//! again.

use std::collections::{BTreeMap, BTreeSet};

use iam_mcp_crds::McpServerStatus;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodTemplateSpec, Secret};
use kube::Api;
use ring::hmac;

use super::{
    apply::Owner, build, context::Context, error::Error, index::Name, keys::reference_key, owned::short_hex,
    validate::ValidatedServer,
};

/// An object whose keys are environment.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// A ConfigMap of this name.
    ConfigMap(String),
    /// A Secret of this name.
    Secret(String),
}

/// The keys that are read, by object; `None` is all of them.
pub type References = BTreeMap<Source, BTreeSet<Option<String>>>;

/// Content of an object by key; `None` where it is not there.
type Content = Option<BTreeMap<String, Vec<u8>>>;

/// What the containers of `template` have as environment.
#[must_use]
pub fn of(template: &PodTemplateSpec) -> References {
    let mut references = References::new();
    let spec = template.spec.as_ref();
    let containers = spec.into_iter().flat_map(|spec| &spec.containers);
    let before = spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    for container in containers.chain(before) {
        add(container, &mut references);
    }
    references
}

fn add(container: &Container, references: &mut References) {
    let mut note = |source, key| {
        references.entry(source).or_default().insert(key);
    };
    for from in container.env_from.iter().flatten() {
        if let Some(map) = &from.config_map_ref {
            note(Source::ConfigMap(map.name.clone()), None);
        }
        if let Some(secret) = &from.secret_ref {
            note(Source::Secret(secret.name.clone()), None);
        }
    }
    for from in container
        .env
        .iter()
        .flatten()
        .filter_map(|var| var.value_from.as_ref())
    {
        if let Some(map) = &from.config_map_key_ref {
            note(Source::ConfigMap(map.name.clone()), Some(map.key.clone()));
        }
        if let Some(secret) = &from.secret_key_ref {
            note(Source::Secret(secret.name.clone()), Some(secret.key.clone()));
        }
    }
}

/// The digest of `content`. It is keyed: whoever may read Deployments but not Secrets could else try passwords.
fn digest(key: &[u8], references: &References, content: &BTreeMap<&Source, Content>) -> String {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    // Each part with its length, so that no two contents are the same bytes.
    let mut part = |bytes: Option<&[u8]>| {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        mac.update(&length.to_be_bytes());
        mac.update(bytes.unwrap_or_default());
    };
    for (source, keys) in references {
        let (kind, name) = match source {
            Source::ConfigMap(name) => ("ConfigMap", name),
            Source::Secret(name) => ("Secret", name),
        };
        part(Some(kind.as_bytes()));
        part(Some(name.as_bytes()));
        let Some(content) = content.get(source).and_then(Option::as_ref) else {
            part(None);
            continue;
        };
        for (key, value) in content {
            if keys.contains(&None) || keys.contains(&Some(key.clone())) {
                part(Some(key.as_bytes()));
                part(Some(value));
            }
        }
    }
    let mut short = [0; 16];
    short.copy_from_slice(&mac.sign().as_ref()[..16]);
    short_hex(&short)
}

/// What a look at the references came to.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The digest for the pod template; `None` for a server that refers to nothing.
    pub digest: Option<String>,
    /// Whether the Secret `NAME-keys` was made for it.
    pub made_keys: bool,
}

/// Reads what the pods of `server` refer to, and notes whom to wake when it changes. Where it may not be read, the digest
/// stays as `previous` has it.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn resolve(
    server: &ValidatedServer,
    owner: &Owner,
    named: Vec<Name>,
    previous: &McpServerStatus,
    context: &Context,
) -> Result<Resolved, Error> {
    let references = match &server.pods.template {
        Some(template) => of(template),
        None => of(&build::pod_template(server)),
    };
    // Before the read: what changes right after it must wake us.
    let server_name = (owner.namespace.clone(), owner.name.clone());
    let of_kind = |secrets: bool| {
        references.keys().filter_map(move |source| match source {
            Source::Secret(name) if secrets => Some((owner.namespace.clone(), name.clone())),
            Source::ConfigMap(name) if !secrets => Some((owner.namespace.clone(), name.clone())),
            Source::Secret(_) | Source::ConfigMap(_) => None,
        })
    };
    let secrets: BTreeSet<Name> = named.into_iter().chain(of_kind(true)).collect();
    context.secrets.set(&server_name, secrets.into_iter().collect());
    context.config_maps.set(&server_name, of_kind(false).collect());
    if references.is_empty() {
        return Ok(Resolved::default());
    }
    let as_before = || {
        previous
            .template
            .as_ref()
            .and_then(|template| template.references.clone())
    };
    let Some((key, made_keys)) = reference_key(context, owner).await? else {
        return Ok(Resolved {
            digest: as_before(),
            made_keys: false,
        });
    };
    let mut objects = BTreeMap::new();
    for source in references.keys() {
        let Some(found) = read(source, &owner.namespace, context).await? else {
            return Ok(Resolved {
                digest: as_before(),
                made_keys,
            });
        };
        objects.insert(source, found);
    }
    Ok(Resolved {
        digest: Some(digest(&key, &references, &objects)),
        made_keys,
    })
}

/// Reads an object; `None` if that is not allowed.
async fn read(source: &Source, namespace: &str, context: &Context) -> Result<Option<Content>, Error> {
    let client = context.client.clone();
    let (answer, title) = match source {
        Source::Secret(name) => {
            let api: Api<Secret> = Api::namespaced(client, namespace);
            let keys_of = |secret: Secret| {
                let data = secret.data.unwrap_or_default().into_iter();
                data.map(|(key, value)| (key, value.0)).collect()
            };
            (
                api.get_opt(name).await.map(|found| found.map(keys_of)),
                format!("Secret/{name}"),
            )
        }
        Source::ConfigMap(name) => {
            let api: Api<ConfigMap> = Api::namespaced(client, namespace);
            let keys_of = |map: ConfigMap| {
                let text = map.data.unwrap_or_default().into_iter();
                let text = text.map(|(key, value)| (key, value.into_bytes()));
                let bytes = map.binary_data.unwrap_or_default().into_iter();
                text.chain(bytes.map(|(key, value)| (key, value.0))).collect()
            };
            (
                api.get_opt(name).await.map(|found| found.map(keys_of)),
                format!("ConfigMap/{name}"),
            )
        }
    };
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(Error::api(format!("read {title}"))(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn references(spec: &Value) -> References {
        of(&serde_json::from_value(json!({"spec": spec})).unwrap())
    }

    fn several() -> References {
        references(&json!({
            "containers": [
                {"name": "a", "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ], "envFrom": [{"configMapRef": {"name": "m"}}]},
            ],
            "initContainers": [
                {"name": "b", "env": [{"name": "B", "valueFrom": {"configMapKeyRef": {"name": "n", "key": "k"}}}]},
            ],
            "volumes": [{"name": "v", "secret": {"secretName": "mounted"}}],
        }))
    }

    #[test]
    fn what_is_environment_is_found_and_what_is_mounted_is_not() {
        let key = || BTreeSet::from([Some("k".to_owned())]);
        assert_eq!(
            several(),
            References::from([
                (Source::ConfigMap("m".to_owned()), BTreeSet::from([None])),
                (Source::ConfigMap("n".to_owned()), key()),
                (Source::Secret("s".to_owned()), key()),
            ])
        );
        assert!(references(&json!({"containers": [{"name": "a"}]})).is_empty());
    }

    fn of_content(key: &[u8], change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> String {
        let references = several();
        let (secret, map) = (Source::Secret("s".to_owned()), Source::ConfigMap("m".to_owned()));
        let text = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
        let mut of_secret = BTreeMap::from([text("k", "1"), text("unread", "1")]);
        change(&mut of_secret);
        let content = BTreeMap::from([(&secret, Some(of_secret)), (&map, None)]);
        digest(key, &references, &content)
    }

    #[test]
    fn the_digest_follows_what_is_read() {
        let plain = of_content(b"key", |_| ());
        assert_eq!(of_content(b"key", |_| ()), plain);
        assert_eq!(
            of_content(b"key", |secret| {
                secret.insert("unread".to_owned(), b"2".to_vec());
            }),
            plain
        );
        assert_ne!(
            of_content(b"key", |secret| {
                secret.insert("k".to_owned(), b"2".to_vec());
            }),
            plain
        );
        assert_ne!(
            of_content(b"key", |secret| {
                secret.remove("k");
            }),
            plain
        );
        assert_ne!(
            of_content(b"other", |_| ()),
            plain,
            "nobody can compute it without the key"
        );
    }
}
