//! How much each client may do, and how much a pod holds open.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::job_search::SecretKeyRef;

/// How much each client may do, and how much a pod holds open. What is unset is as the server has it.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Messages a second of one client, twice that at once; 0: no limit. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub messages_per_second: Option<i32>,

    /// Calls of a tool by one client, by the tool's name, such as `search_jobs: 10/s`; `*` is every tool that is not
    /// named, `0` no limit. Units: `s`, `minute`, `hour`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "minLength": 1, "maxLength": 24}))]
    #[x_kube(validation = Rule::new(r"self.all(t, t == '*' || t.matches('^[A-Za-z0-9_.-]{1,128}$'))").message("limits.tools: each key is a tool's name, or '*' for the others"), validation = Rule::new(r"self.all(t, self[t] == '0' || self[t].matches('^[1-9][0-9]{0,5}/(s|minute|hour)$'))").message("limits.tools: each value is a number and s, minute or hour, for example 10/s, or 0 for no limit"))]
    pub tools: BTreeMap<String, String>,

    /// Open sessions of one pod. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sessions: Option<i32>,

    /// Open connections of one pod. Default: 20000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<i32>,

    /// Addresses and networks of proxies that are believed to say whom a request comes from, such as `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 49), regex(pattern = r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"))
    )]
    pub trusted_proxies: Vec<String>,

    /// The key of a Secret that holds the address of a Valkey or Redis in which the pods count together, such as
    /// `redis://:PASSWORD@valkey.mcp.svc:6379/0`. Default: each pod counts for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
}
