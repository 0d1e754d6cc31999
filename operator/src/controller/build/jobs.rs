//! Sources of postings besides JSearch, and what is kept of them.

use iam_mcp_crds::{CatalogueSpec, JobSource};
use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, PersistentVolumeClaimVolumeSource, Volume};

use super::{ValidatedServer, additions::Additions};

/// Where the server looks for a user's own postings: below `IAM_DATA_ROOT`.
pub const CATALOGUE_DIR: &str = "/data/catalogue";
/// Where it keeps what clients save.
pub const SAVED_DIR: &str = "/data/saved";
/// The mode of files that everybody may read.
const READABLE: i32 = 0o444;

pub(super) fn add(server: &ValidatedServer, to: &mut Additions) {
    let jobs = &server.jobs;
    to.set_some(
        "GREENHOUSE_BOARDS",
        jobs.greenhouse.as_ref().map(|boards| boards.boards.join(",")),
    );
    if let Some(cache) = &jobs.cache {
        to.set_some("JOB_CACHE_MB", cache.megabytes);
        to.set_some("JOB_CACHE_SECONDS", cache.seconds);
    }
    if !jobs.providers.is_empty() {
        let names: Vec<_> = jobs.providers.iter().map(|source| name(*source)).collect();
        to.set("JOB_PROVIDERS", names.join(","));
    }
    to.set_some("JSEARCH_BUDGET", jobs.budget.as_ref());
    if let Some(catalogue) = &jobs.catalogue {
        to.mount("iam-mcp-catalogue", source(catalogue), CATALOGUE_DIR, true);
    }
    if let Some(saved) = &jobs.saved_jobs {
        to.set("SAVED_JOBS", "shared");
        to.mount("iam-mcp-saved", claim(&saved.claim_name, false), SAVED_DIR, false);
    }
}

fn source(catalogue: &CatalogueSpec) -> Volume {
    if let Some(name) = &catalogue.claim_name {
        return claim(name, true);
    }
    Volume {
        config_map: Some(ConfigMapVolumeSource {
            name: catalogue.config_map_name.clone().unwrap_or_default(),
            default_mode: Some(READABLE),
            // Until it is there, the samples are searched.
            optional: Some(true),
            items: None,
        }),
        ..Volume::default()
    }
}

fn claim(name: &str, read_only: bool) -> Volume {
    Volume {
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: name.to_owned(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}

const fn name(source: JobSource) -> &'static str {
    match source {
        JobSource::JSearch => "jsearch",
        JobSource::Catalogue => "catalogue",
        JobSource::Arbeitnow => "arbeitnow",
        JobSource::Remotive => "remotive",
        JobSource::Greenhouse => "greenhouse",
    }
}
