//! Postings that clients keep, each client its own: files below `IAM_DATA_ROOT` ([`store`]), and word of what
//! changes among them ([`changes`]).
//!
//! Where several replicas serve the same clients, what one saves another must find: they need a volume that all
//! of them have, and `SAVED_JOBS=shared` says that there is one.

mod document;
mod error;
mod key;
pub mod store;

use std::{path::Path, sync::Arc};

use rustix::fs::{Access, access};

use self::store::{Kept, Listed, Store};
pub use self::{document::SavedJob, error::Error, key::JobKey};
use crate::{
    config::{SavedJobs, Settings, Transport},
    http::principal::Principal,
    jobs::job::Job,
};

/// The saved postings. Clones share them.
#[derive(Debug, Clone)]
pub struct Saved {
    store: Arc<Store>,
}

impl Saved {
    /// What the settings offer to clients of `transport`, if anything. Writes nothing.
    #[must_use]
    pub fn offered(settings: &Settings, transport: Transport) -> Option<Self> {
        let root = &settings.names.data_root;
        let one_of_several = transport == Transport::Http && settings.sessions.replica.is_some();
        let offered = match settings.saved {
            SavedJobs::Off => false,
            SavedJobs::Local | SavedJobs::Shared => true,
            // Tools that can only ever fail would waste everybody's time.
            SavedJobs::Auto => !one_of_several && could_be_made(root),
        };
        offered.then(|| Self::new(root))
    }

    /// Those below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            store: Arc::new(Store::new(root)),
        }
    }

    /// Saves postings for `owner`; what became of each, in their order.
    ///
    /// # Errors
    /// When the task that does it fails.
    pub async fn save(&self, owner: Principal, jobs: Vec<Job>) -> Result<Vec<Result<Kept, Error>>, Error> {
        self.on_disk(move |store| jobs.iter().map(|job| store.save(owner, job)).collect())
            .await
    }

    /// Takes postings of `owner` away; whether each was there, in their order.
    ///
    /// # Errors
    /// When the task that does it fails.
    pub async fn remove(
        &self,
        owner: Principal,
        job_ids: Vec<String>,
    ) -> Result<Vec<Result<bool, Error>>, Error> {
        self.on_disk(move |store| job_ids.iter().map(|id| store.remove(owner, id)).collect())
            .await
    }

    /// The posting with this id, if `owner` saved it.
    ///
    /// # Errors
    /// When its file is damaged or cannot be read.
    pub async fn get(&self, owner: Principal, job_id: String) -> Result<Option<SavedJob>, Error> {
        self.on_disk(move |store| store.get(owner, &job_id)).await?
    }

    /// All postings of `owner`, the newest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn list(&self, owner: Principal) -> Result<Listed, Error> {
        self.on_disk(move |store| store.list(owner)).await?
    }

    /// Runs to its end even when the caller is cancelled, so nothing is left half done.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        Ok(tokio::task::spawn_blocking(move || work(&store)).await?)
    }
}

/// Whether folders could be made below `root`, which need not exist: nothing is tried out.
fn could_be_made(root: &Path) -> bool {
    let existing = root.ancestors().find(|path| path.exists());
    let folder = match existing {
        // A relative path, whose first folder is in the working directory.
        None => Path::new("."),
        Some(path) if path.as_os_str().is_empty() => Path::new("."),
        Some(path) => path,
    };
    folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests;
