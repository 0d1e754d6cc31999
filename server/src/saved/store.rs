//! The files of saved postings: `IAM_DATA_ROOT/saved/OWNER/JOB.json`.
//!
//! Owner and job are digests, so that no name can lead out of the folder, and a file a job, so that several
//! processes that save at once lose nothing of each other's. A file is written beside its place and moved
//! there: it is whole, or not there. Everything here waits for the disk; [`super::Saved`] takes it off the
//! async threads.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, Metadata},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, Unit};
use parking_lot::Mutex;

use super::{
    document::{self, SavedJob},
    error::Error,
    key::JobKey,
};
use crate::{hex, http::principal::Principal, jobs::job::Job};

/// The most postings that one owner has.
pub const MOST_JOBS: usize = 500;

/// The most bytes of one posting's file.
pub const MOST_BYTES: usize = 64 * 1024;

/// Files that are being written begin so. One is left where a process was killed.
const UNFINISHED: &str = ".saving-";

/// Age at which such a file is no longer being written.
const ABANDONED: Duration = Duration::from_hours(1);

/// Owners are spread over so many locks, so that in one process none gets more than [`MOST_JOBS`]. Other
/// processes may each add a call's worth beyond it at the same moment.
const LOCKS: usize = 16;

/// The store. It makes no folder before something is saved.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    locks: [Mutex<()>; LOCKS],
}

/// What became of a posting that was to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new.
    Added,
    /// It was there, with another content.
    Updated,
    /// It was there already.
    Unchanged,
}

/// An owner's postings.
#[derive(Debug, Default)]
pub struct Listed {
    /// The newest first.
    pub jobs: Vec<SavedJob>,
    /// Names of the files that could not be read.
    pub damaged: Vec<String>,
}

/// What tells whether a file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    bytes: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            bytes: metadata.len(),
        }
    }
}

impl Store {
    /// The store below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            folder: root.join("saved"),
            locks: Default::default(),
        }
    }

    /// Saves a posting for `owner`.
    ///
    /// # Errors
    /// When it is too long or one too many, its file is damaged, or the disk does not take it.
    pub fn save(&self, owner: Principal, job: &Job) -> Result<Kept, Error> {
        let _lock = self.lock(owner);
        let folder = self.prepare(owner)?;
        let key = JobKey::of(&job.job_id);
        let (saved_at, kept) = match read(&folder, key)? {
            Some(before) if before.job == *job => return Ok(Kept::Unchanged),
            Some(before) => (before.saved_at, Kept::Updated),
            None if count(&folder)? >= MOST_JOBS => return Err(Error::Full),
            None => (now(), Kept::Added),
        };
        let bytes = document::write(saved_at, job)?;
        // Readable for the owner of the process only, as `tempfile` makes them.
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(key.file_name()))
            .map_err(|error| error.error)?;
        // The name too must survive a power cut.
        File::open(&folder)?.sync_all()?;
        Ok(kept)
    }

    /// Takes a posting away; whether it was there. A damaged file goes only where somebody moves it.
    ///
    /// # Errors
    /// When it is damaged, or the disk does not let it go.
    pub fn remove(&self, owner: Principal, job_id: &str) -> Result<bool, Error> {
        let _lock = self.lock(owner);
        let Some(folder) = self.existing(owner)? else {
            return Ok(false);
        };
        let key = JobKey::of(job_id);
        if read(&folder, key)?.is_none() {
            return Ok(false);
        }
        match fs::remove_file(folder.join(key.file_name())) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        File::open(&folder)?.sync_all()?;
        Ok(true)
    }

    /// The posting with this id, if `owner` saved it.
    ///
    /// # Errors
    /// When its file is damaged or cannot be read.
    pub fn get(&self, owner: Principal, job_id: &str) -> Result<Option<SavedJob>, Error> {
        match self.existing(owner)? {
            Some(folder) => read(&folder, JobKey::of(job_id)),
            None => Ok(None),
        }
    }

    /// All postings of `owner`.
    ///
    /// # Errors
    /// When the folder cannot be read; single files that cannot are named in the answer.
    pub fn list(&self, owner: Principal) -> Result<Listed, Error> {
        let mut listed = Listed::default();
        let Some(folder) = self.existing(owner)? else {
            return Ok(listed);
        };
        for key in entries(&folder)?.into_keys() {
            match read(&folder, key) {
                Ok(Some(saved)) => listed.jobs.push(saved),
                // Removed since.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(file = key.file_name(), %error, "a saved job cannot be read");
                    listed.damaged.push(key.file_name());
                }
            }
        }
        listed.jobs.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        Ok(listed)
    }

    fn folder_of(&self, owner: Principal) -> PathBuf {
        self.folder.join(hex::encode(owner.as_bytes()))
    }

    /// `owner`'s folder, if there is one.
    fn existing(&self, owner: Principal) -> Result<Option<PathBuf>, Error> {
        let folder = self.folder_of(owner);
        Ok((is_folder(&self.folder)? && is_folder(&folder)?).then_some(folder))
    }

    /// `owner`'s folder, made if need be.
    fn prepare(&self, owner: Principal) -> Result<PathBuf, Error> {
        let folder = self.folder_of(owner);
        if let Some(existing) = self.existing(owner)? {
            sweep(&existing);
            return Ok(existing);
        }
        if let Some(root) = self.folder.parent().filter(|root| !root.as_os_str().is_empty()) {
            fs::create_dir_all(root)?;
        }
        for folder in [&self.folder, &folder] {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        self.existing(owner)?.ok_or(Error::NotAFolder)
    }

    fn lock(&self, owner: Principal) -> parking_lot::MutexGuard<'_, ()> {
        self.locks[usize::from(owner.as_bytes()[0]) % LOCKS].lock()
    }
}

/// Newest first, and always in the same order.
pub(super) fn order(saved: &SavedJob) -> (std::cmp::Reverse<Timestamp>, &str) {
    (std::cmp::Reverse(saved.saved_at), &saved.job.job_id)
}

fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// Whether a plain folder stands there. A symbolic link is none: it could lead anywhere.
fn is_folder(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(Error::NotAFolder),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The postings' files in a folder, whatever they hold.
fn entries(folder: &Path) -> Result<BTreeMap<JobKey, Stamp>, Error> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(key) = entry.file_name().to_str().and_then(JobKey::of_file) else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => {
                found.insert(key, Stamp::of(&metadata));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn count(folder: &Path) -> Result<usize, Error> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        count += usize::from(entry?.file_name().to_str().and_then(JobKey::of_file).is_some());
    }
    Ok(count)
}

fn read(folder: &Path, key: JobKey) -> Result<Option<SavedJob>, Error> {
    let path = folder.join(key.file_name());
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.is_file() => return Err(Error::Damaged("it is no plain file".to_owned())),
        Ok(metadata) if metadata.len() > MOST_BYTES as u64 => {
            return Err(Error::Damaged("it is too long".to_owned()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    document::read(key, &bytes).map(Some)
}

/// Takes away what a killed process left behind. Nothing depends on it, so what fails is left.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let unfinished = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(UNFINISHED));
        if unfinished && is_abandoned(&entry.path()).unwrap_or_default() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_abandoned(path: &Path) -> io::Result<bool> {
    let age = fs::symlink_metadata(path)?.modified()?.elapsed();
    Ok(age.is_ok_and(|age| age > ABANDONED))
}

#[cfg(test)]
mod tests;
