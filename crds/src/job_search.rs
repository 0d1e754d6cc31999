//! Where `search_jobs` finds its postings.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    job_sources::{CatalogueSpec, GreenhouseSpec, JobCacheSpec, JobSource, SavedJobsSpec},
    schema,
};

/// Where `search_jobs` finds its postings.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.provider != 'JSearch' || (has(self.rapidApi) && has(self.rapidApi.keySecretRef))")
        .message("jobSearch: provider JSearch needs rapidApi.keySecretRef, the Secret that holds the RapidAPI key"),
    validation = Rule::new("!has(self.providers) || self.provider == 'Auto'")
        .message("jobSearch: give provider or providers, not both"),
    validation = Rule::new("!has(self.providers) || !('JSearch' in self.providers) || (has(self.rapidApi) && has(self.rapidApi.keySecretRef))")
        .message("jobSearch: JSearch in providers needs rapidApi.keySecretRef, the Secret that holds the RapidAPI key"),
    validation = Rule::new("has(self.greenhouse) == (has(self.providers) && 'Greenhouse' in self.providers)")
        .message("jobSearch: greenhouse.boards and Greenhouse in providers need each other")
)]
pub struct JobSearchSpec {
    /// `Auto`: JSearch when there is a RapidAPI key, else the catalogue of sample postings.
    #[serde(default)]
    pub provider: JobProvider,

    /// JSearch on RapidAPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rapid_api: Option<RapidApiSpec>,

    /// Several sources of postings that are asked at the same time, instead of `provider`; in this order where they are
    /// equally good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::set_of_few)]
    pub providers: Vec<JobSource>,

    /// The boards of companies on Greenhouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greenhouse: Option<GreenhouseSpec>,

    /// Your own postings, in the place of the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<CatalogueSpec>,

    /// What is kept of earlier searches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<JobCacheSpec>,

    /// Where clients keep postings. Unset: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_jobs: Option<SavedJobsSpec>,
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

    /// Requests of one pod that the key may be used for, such as `300/month`; `off`: no limit. Units: `minute`, `hour`,
    /// `day`, `month`. Default: `1000/hour`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 3, max = 20),
        regex(pattern = "^(off|[1-9][0-9]{0,8}/(minute|hour|day|month))$")
    )]
    pub budget: Option<String>,
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
