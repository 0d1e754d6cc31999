//! Whose requests a server answers.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{job_search::SecretKeyRef, rotation::RotationSpec};

/// Whose requests the server answers: those with one of its own tokens, or with one of an identity provider.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bearer) != has(self.oidc)")
        .message("auth: give exactly one of bearer and oidc; leave auth out to serve everybody who reaches the port")
)]
pub struct AuthSpec {
    /// `Authorization: Bearer` with one of the tokens of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<BearerSpec>,

    /// `Authorization: Bearer` with a token that an identity provider made for this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSpec>,
}

/// Where the tokens come from. They are mounted as a file that the server reads again: other tokens need no restart.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.generated) != has(self.tokensSecretRef)")
        .message("auth.bearer: give exactly one of generated and tokensSecretRef")
)]
pub struct BearerSpec {
    /// The operator makes one token, and keeps it in the Secret `NAME-token` under the key `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<RotationSpec>,

    /// A Secret of yours whose key holds a token a line: `NAME TOKEN`, or only `TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_secret_ref: Option<SecretKeyRef>,
}

/// Which tokens of an identity provider are taken.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcSpec {
    /// Who made them, exactly as they say in `iss`: an `https` address without query or fragment.
    #[schemars(length(min = 9, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://[^/?#@ ,]+(/[^?#@ ,]*)?$')").message("auth.oidc.issuer: use an https address without user, query and fragment, for example https://login.example.com/realms/jobs"))]
    pub issuer: String,

    /// For whom they were made: one of these stands in `aud`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(validation = Rule::new(r"self.all(a, a.matches('^[^, \t\r\n]+$'))").message("auth.oidc.audiences: each is one word, without spaces and commas, for example https://mcp.example.com/mcp"))]
    pub audiences: Vec<String>,

    /// Where the issuer's keys are. Default: where the issuer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 1024))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://[^/?#@ ]+([/?][^#@ ]*)?$')").message("auth.oidc.jwksUrl: use an https address without user and fragment"))]
    pub jwks_url: Option<String>,

    /// Scopes that they must have, all of them; `a|b` where one of two is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new(r"self.all(s, s.matches('^[!#-+\\--\\[\\]-{}~]+([|][!#-+\\--\\[\\]-{}~]+)*$'))").message("auth.oidc.scopes: each is a scope, or several with | between them: visible ASCII without spaces, commas, quotes and backslashes"))]
    pub scopes: Vec<String>,

    /// The claim that says whose they are. Default: `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\s]+$"))]
    pub principal_claim: Option<String>,

    /// The address that clients know the server by, which tells them where to get a token. Default: what they asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@ ]+(/[^?#@ ]*)?$')").message("auth.oidc.publicUrl: use the address that clients know, for example https://mcp.example.com"))]
    pub public_url: Option<String>,
}
