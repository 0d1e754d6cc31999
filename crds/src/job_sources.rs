//! Sources of postings besides JSearch, and what is kept of them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source of postings, where there are several.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum JobSource {
    /// JSearch on RapidAPI, for a key.
    JSearch,
    /// The samples, or your own postings.
    Catalogue,
    /// arbeitnow.com
    Arbeitnow,
    /// remotive.com
    Remotive,
    /// The boards of companies on greenhouse.io.
    Greenhouse,
}

/// The boards of companies on Greenhouse.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GreenhouseSpec {
    /// The companies, as the addresses of their boards name them, such as `stripe`.
    #[schemars(
        length(min = 1, max = 20),
        inner(length(min = 1, max = 100), regex(pattern = "^[A-Za-z0-9_-]+$"))
    )]
    pub boards: Vec<String>,
}

/// Your own postings: files `*.jsonl`, which the server reads again when they change.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.configMapName) != has(self.claimName)")
        .message("jobSearch.catalogue: give exactly one of configMapName and claimName")
)]
pub struct CatalogueSpec {
    /// A ConfigMap whose keys are the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub config_map_name: Option<String>,

    /// A claim with the files at its top. It is mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: Option<String>,
}

/// What is kept of earlier searches.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCacheSpec {
    /// Seconds that an equal search gets the same answer; 0: never. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub seconds: Option<i32>,

    /// Megabytes of memory for answers. Default: 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4096))]
    pub megabytes: Option<i32>,
}

/// Where clients keep postings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedJobsSpec {
    /// A claim that all pods mount; of a kind that several nodes can mount, unless rollouts may stop the old pods
    /// first.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}
