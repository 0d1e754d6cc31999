//! Whose requests the server answers.

use iam_mcp_crds::{BearerSpec, OidcSpec, SecretKeyRef};

use super::{ValidatedServer, additions::Additions};

/// Where the file with the tokens is mounted.
const AUTH_DIR: &str = "/var/run/iam-mcp/auth";
/// The volume's name.
const VOLUME: &str = "iam-mcp-auth";
/// The file's name, and the key of the owned Secret that holds it.
pub const TOKENS: &str = "tokens";

/// Name of the Secret with the token that the operator makes.
#[must_use]
pub fn token_secret_name(server: &str) -> String {
    format!("{server}-token")
}

/// The key that holds the tokens of `bearer`, for the server called `server`.
#[must_use]
pub fn tokens_of(server: &str, bearer: &BearerSpec) -> SecretKeyRef {
    bearer.tokens_secret_ref.clone().unwrap_or_else(|| SecretKeyRef {
        name: token_secret_name(server),
        key: TOKENS.to_owned(),
    })
}

pub(super) fn add(server: &ValidatedServer, to: &mut Additions) {
    let Some(auth) = &server.auth else {
        return;
    };
    if let Some(bearer) = &auth.bearer {
        to.set("AUTH", "bearer");
        to.set("AUTH_TOKENS_FILE", format!("{AUTH_DIR}/{TOKENS}"));
        to.mount_key(VOLUME, &tokens_of(&server.name, bearer), AUTH_DIR, TOKENS);
    }
    if let Some(oidc) = &auth.oidc {
        // Without `..`: what is not passed on does not compile.
        let OidcSpec {
            issuer,
            audiences,
            jwks_url,
            scopes,
            principal_claim,
            public_url,
        } = oidc;
        to.set("AUTH", "oidc");
        to.set("OIDC_AUDIENCE", audiences.join(","));
        to.set("OIDC_ISSUER", issuer);
        to.set_some("OIDC_JWKS_URL", jwks_url.as_ref());
        to.set_some("OIDC_PRINCIPAL_CLAIM", principal_claim.as_ref());
        to.set_some("OIDC_SCOPES", (!scopes.is_empty()).then(|| scopes.join(" ")));
        to.set_some("PUBLIC_URL", public_url.as_ref());
    }
}
