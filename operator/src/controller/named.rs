//! The Secrets that a resource names by a field of their own, and what is wrong with them.

use iam_mcp_crds::{JobProvider, JobSource, McpServer, McpServerSpec, Reason, SecretKeyRef};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use super::{
    context::Context,
    error::{Blocked, Error},
    health::credential::first_token,
};

/// A Secret that a field names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named<'a> {
    /// The field.
    pub field: &'static str,
    /// Which key of which Secret.
    pub secret: &'a SecretKeyRef,
    /// What the key is to hold, as an example.
    pub example: &'static str,
    /// What is to be there.
    pub needs: Needs,
}

/// What is to be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needs {
    /// The key; it may be empty.
    Key,
    /// Something in it; why, if not because there is no point in an empty one.
    Content(Option<&'static str>),
    /// A token that clients can show.
    Tokens,
}

/// The Secrets that `spec` names.
#[must_use]
pub fn secrets(spec: &McpServerSpec) -> Vec<Named<'_>> {
    let search = spec.job_search.as_ref();
    let asks_jsearch = search.is_some_and(|search| {
        search.provider == JobProvider::JSearch || search.providers.contains(&JobSource::JSearch)
    });
    // With `Auto` an empty key means "no account yet": the server searches its samples and says so.
    let rapid_api_needs = if asks_jsearch {
        Needs::Content(Some("provider JSearch needs one"))
    } else {
        Needs::Key
    };
    let telemetry = spec.telemetry.as_ref();
    let traces = telemetry.and_then(|telemetry| telemetry.traces.as_ref());
    let bearer = spec.auth.as_ref().and_then(|auth| auth.bearer.as_ref());
    let named = [
        (
            "spec.jobSearch.rapidApi.keySecretRef",
            search.and_then(|search| search.rapid_api.as_ref()?.key_secret_ref.as_ref()),
            "YOUR_KEY",
            rapid_api_needs,
        ),
        (
            "spec.auth.bearer.tokensSecretRef",
            bearer.and_then(|bearer| bearer.tokens_secret_ref.as_ref()),
            "TOKEN_OF_AT_LEAST_16_CHARACTERS",
            Needs::Tokens,
        ),
        (
            "spec.limits.urlSecretRef",
            spec.limits
                .as_ref()
                .and_then(|limits| limits.url_secret_ref.as_ref()),
            "redis://:PASSWORD@valkey.mcp.svc:6379/0",
            Needs::Content(None),
        ),
        (
            "spec.telemetry.adminTokenSecretRef",
            telemetry.and_then(|telemetry| telemetry.admin_token_secret_ref.as_ref()),
            "TOKEN_OF_AT_LEAST_16_CHARACTERS",
            Needs::Tokens,
        ),
        (
            "spec.telemetry.traces.headersSecretRef",
            traces.and_then(|traces| traces.headers_secret_ref.as_ref()),
            "authorization=Bearer%20TOKEN",
            Needs::Content(None),
        ),
    ];
    let some = |(field, secret, example, needs): (_, Option<_>, _, _)| {
        let secret = secret?;
        Some(Named {
            field,
            secret,
            example,
            needs,
        })
    };
    named.into_iter().filter_map(some).collect()
}

/// What is wrong with the first of `named` that is not as it should be.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn problem(
    server: &McpServer,
    named: &[Named<'_>],
    context: &Context,
) -> Result<Option<Blocked>, Error> {
    let namespace = server.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    for named in named {
        let name = &named.secret.name;
        let secret = match api.get_opt(name).await {
            Ok(secret) => secret,
            // Whether it is there, the kubelet says.
            Err(kube::Error::Api(status)) if status.code == 403 => continue,
            Err(error) => return Err(Error::api(format!("read Secret/{name}"))(error)),
        };
        if let Some(found) = wrong(named, &namespace, secret.as_ref()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn wrong(named: &Named<'_>, namespace: &str, secret: Option<&Secret>) -> Option<Blocked> {
    let Named { field, example, .. } = named;
    let SecretKeyRef { name, key } = named.secret;
    let Some(secret) = secret else {
        return Some(Blocked {
            reason: Reason::SecretNotFound,
            message: format!(
                "Secret {namespace}/{name}, named by {field}, does not exist; make it with: \
                 kubectl create secret generic {name} -n {namespace} --from-literal={key}={example}"
            ),
        });
    };
    let of = format!("key {key:?} of Secret {namespace}/{name}");
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let message = match (value, named.needs) {
        (None, _) => format!("Secret {namespace}/{name} has no key {key:?}, which {field} names"),
        (Some(value), Needs::Content(why)) if value.0.is_empty() => match why {
            Some(why) => format!("{of} is empty, and {why}"),
            None => format!("{of}, which {field} names, is empty"),
        },
        (Some(value), Needs::Tokens) if first_token(&String::from_utf8_lossy(&value.0)).is_none() => {
            format!(
                "{of}, which {field} names, holds no token: write at least 16 visible ASCII characters into it, \
                 for example by openssl rand -base64 24"
            )
        }
        _ => return None,
    };
    Some(Blocked {
        reason: Reason::SecretKeyNotFound,
        message,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(spec: Value, data: Option<Value>) -> Option<Blocked> {
        let spec: McpServerSpec = serde_json::from_value(spec).unwrap();
        let secret = data.map(|data| serde_json::from_value(json!({"data": data})).unwrap());
        let named = secrets(&spec);
        assert_eq!(named.len(), 1);
        wrong(&named[0], "n", secret.as_ref())
    }

    fn rapid_api(provider: &str) -> Value {
        json!({"jobSearch": {"provider": provider, "rapidApi": {"keySecretRef": {"name": "s", "key": "k"}}}})
    }

    #[test]
    fn every_field_is_told_with_a_command() {
        let secret = json!({"name": "s", "key": "k"});
        for (spec, part) in [
            (rapid_api("Auto"), "--from-literal=k=YOUR_KEY"),
            (
                json!({"auth": {"bearer": {"tokensSecretRef": secret}}}),
                "spec.auth.bearer.tokensSecretRef",
            ),
            (json!({"limits": {"urlSecretRef": secret}}), "redis://"),
            (
                json!({"telemetry": {"adminTokenSecretRef": secret}}),
                "adminTokenSecretRef",
            ),
            (
                json!({"telemetry": {"traces": {"endpoint": "http://c", "headersSecretRef": secret}}}),
                "authorization=",
            ),
        ] {
            let told = found(spec.clone(), None).unwrap();
            assert_eq!(told.reason, Reason::SecretNotFound);
            assert!(told.message.contains(part), "{told:?}");
            let told = found(spec, Some(json!({"other": ""}))).unwrap();
            assert_eq!(told.reason, Reason::SecretKeyNotFound);
        }
    }

    #[test]
    fn what_a_key_holds_matters_to_some() {
        assert_eq!(found(rapid_api("Auto"), Some(json!({"k": ""}))), None);
        assert!(
            found(rapid_api("JSearch"), Some(json!({"k": ""})))
                .unwrap()
                .message
                .contains("empty")
        );
        let limits = json!({"limits": {"urlSecretRef": {"name": "s", "key": "k"}}});
        assert!(found(limits.clone(), Some(json!({"k": ""}))).is_some());
        assert_eq!(found(limits, Some(json!({"k": "eA=="}))), None);
        let tokens = json!({"auth": {"bearer": {"tokensSecretRef": {"name": "s", "key": "k"}}}});
        let told = found(tokens.clone(), Some(json!({"k": "c2hvcnQ="}))).unwrap();
        assert!(
            told.message.contains("holds no token") && !told.message.contains("short"),
            "{told:?}"
        );
        assert_eq!(
            found(tokens, Some(json!({"k": "MDEyMzQ1Njc4OWFiY2RlZg=="}))),
            None
        );
    }
}
