//! Where postings come from, and what is kept of them.

use iam_mcp_crds::{
    CatalogueSpec, GreenhouseSpec, JobCacheSpec, JobProvider, JobSearchSpec, JobSource, McpServerSpec,
    SavedJobsSpec,
};

use crate::controller::build::{CATALOGUE_DIR, SAVED_DIR};

/// Sources besides the one that `jobSearch.provider` names, and what is kept of what they answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jobs {
    /// Several sources; empty: as `provider` says.
    pub providers: Vec<JobSource>,
    /// The boards of companies.
    pub greenhouse: Option<GreenhouseSpec>,
    /// The user's own postings.
    pub catalogue: Option<CatalogueSpec>,
    /// What is kept of earlier searches.
    pub cache: Option<JobCacheSpec>,
    /// Where clients keep postings.
    pub saved_jobs: Option<SavedJobsSpec>,
    /// Requests that the RapidAPI key may be used for.
    pub budget: Option<String>,
}

impl Jobs {
    pub(super) fn of(search: &JobSearchSpec) -> Self {
        Self {
            providers: search.providers.clone(),
            greenhouse: search.greenhouse.clone(),
            catalogue: search.catalogue.clone(),
            cache: search.cache.clone(),
            saved_jobs: search.saved_jobs.clone(),
            budget: search.rapid_api.as_ref().and_then(|api| api.budget.clone()),
        }
    }
}

/// Paths that fields of `search` mount, with the fields' names.
pub(super) fn mounted(search: &JobSearchSpec) -> impl Iterator<Item = (&'static str, &'static str)> {
    let catalogue = search
        .catalogue
        .as_ref()
        .map(|_| (CATALOGUE_DIR, "jobSearch.catalogue"));
    let saved = search
        .saved_jobs
        .as_ref()
        .map(|_| (SAVED_DIR, "jobSearch.savedJobs"));
    catalogue.into_iter().chain(saved)
}

/// What is wrong with `spec.jobSearch`.
pub(super) fn problems(spec: &McpServerSpec) -> Vec<String> {
    let search = spec.job_search.clone().unwrap_or_default();
    let mut problems = Vec::new();
    let has_key = search
        .rapid_api
        .as_ref()
        .is_some_and(|api| api.key_secret_ref.is_some());
    if search.provider == JobProvider::JSearch && !has_key {
        problems.push("jobSearch: provider JSearch needs rapidApi.keySecretRef".to_owned());
    }
    let asks = |source| search.providers.contains(&source);
    if !search.providers.is_empty() && search.provider != JobProvider::Auto {
        problems.push("jobSearch: give provider or providers, not both".to_owned());
    }
    if asks(JobSource::JSearch) && !has_key {
        problems.push("jobSearch: JSearch in providers needs rapidApi.keySecretRef".to_owned());
    }
    if asks(JobSource::Greenhouse) != search.greenhouse.is_some() {
        problems.push("jobSearch: greenhouse.boards and Greenhouse in providers need each other".to_owned());
    }
    if let Some(greenhouse) = &search.greenhouse {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let good = |board: &String| (1..=100).contains(&board.len()) && board.chars().all(plain);
        if greenhouse.boards.is_empty() || greenhouse.boards.len() > 20 || !greenhouse.boards.iter().all(good)
        {
            problems.push(
                "jobSearch.greenhouse.boards: name 1 to 20 boards as their addresses do, such as stripe"
                    .to_owned(),
            );
        }
    }
    if let Some(catalogue) = &search.catalogue
        && catalogue.config_map_name.is_some() == catalogue.claim_name.is_some()
    {
        problems.push("jobSearch.catalogue: give exactly one of configMapName and claimName".to_owned());
    }
    for (path, field) in mounted(&search) {
        if spec.volume_mounts.iter().any(|mount| mount.mount_path == path) {
            problems.push(format!(
                "volumeMounts: {path} is mounted by {field}; use one of them"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(spec: Value) -> Vec<String> {
        problems(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn what_is_right_is_taken() {
        let key = json!({"keySecretRef": {"name": "a", "key": "b"}});
        for search in [
            json!({}),
            json!({"provider": "JSearch", "rapidApi": key}),
            json!({"providers": ["JSearch", "Remotive"], "rapidApi": key}),
            json!({"providers": ["Greenhouse"], "greenhouse": {"boards": ["stripe"]}}),
            json!({"catalogue": {"configMapName": "postings"}, "savedJobs": {"claimName": "saved"}}),
        ] {
            assert_eq!(
                found(json!({"jobSearch": search})),
                Vec::<String>::new(),
                "{search}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mount = json!([{"name": "x", "mountPath": "/data/catalogue"}]);
        for (spec, part) in [
            (
                json!({"jobSearch": {"provider": "JSearch"}}),
                "provider JSearch needs",
            ),
            (
                json!({"jobSearch": {"providers": ["Remotive"], "provider": "Catalogue"}}),
                "not both",
            ),
            (
                json!({"jobSearch": {"providers": ["JSearch"]}}),
                "JSearch in providers",
            ),
            (
                json!({"jobSearch": {"providers": ["Greenhouse"]}}),
                "need each other",
            ),
            (
                json!({"jobSearch": {"greenhouse": {"boards": ["a"]}}}),
                "need each other",
            ),
            (
                json!({"jobSearch": {"providers": ["Greenhouse"], "greenhouse": {"boards": ["../a"]}}}),
                "as their addresses do",
            ),
            (
                json!({"jobSearch": {"catalogue": {}}}),
                "exactly one of configMapName",
            ),
            (
                json!({"jobSearch": {"catalogue": {"claimName": "a"}}, "volumeMounts": mount}),
                "is mounted by jobSearch.catalogue",
            ),
        ] {
            let told = found(spec.clone());
            assert!(told.len() == 1 && told[0].contains(part), "{spec}: {told:?}");
        }
    }
}
