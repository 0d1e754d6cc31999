//! Where `search_jobs` finds its postings.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where `search_jobs` finds its postings.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.provider != 'JSearch' || (has(self.rapidApi) && has(self.rapidApi.keySecretRef))")
        .message("jobSearch: provider JSearch needs rapidApi.keySecretRef, the Secret that holds the RapidAPI key")
)]
pub struct JobSearchSpec {
    /// `Auto`: JSearch when there is a RapidAPI key, else the catalogue of sample postings.
    #[serde(default)]
    pub provider: JobProvider,

    /// JSearch on RapidAPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rapid_api: Option<RapidApiSpec>,
}

/// A source of postings.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum JobProvider {
    /// JSearch when there is a key, else the catalogue.
    #[default]
    Auto,
    /// JSearch on RapidAPI; a search without a key is an error.
    JSearch,
    /// The sample postings inside the server.
    Catalogue,
}

/// JSearch on RapidAPI.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RapidApiSpec {
    /// Host of the API. Default: `jsearch.p.rapidapi.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-zA-Z0-9.-]+$"))]
    pub host: Option<String>,

    /// The Secret that holds the RapidAPI key. It is mounted and read again when it changes: a
    /// rotated key needs no restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyRef>,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}
