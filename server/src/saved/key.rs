//! Under which name a posting is kept.

use ring::digest;

use crate::hex;

/// Bytes of a digest that tell postings apart.
const BYTES: usize = 16;

/// The ending of a posting's file.
const ENDING: &str = ".json";

/// A digest of a posting's id: whatever stands in the id, the file name made of it is hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey([u8; BYTES]);

impl JobKey {
    /// Of the posting with this id.
    #[must_use]
    pub fn of(job_id: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, job_id.as_bytes());
        let mut first = [0; BYTES];
        first.copy_from_slice(&digest.as_ref()[..BYTES]);
        Self(first)
    }

    /// Its file's name.
    pub(super) fn file_name(self) -> String {
        format!("{}{ENDING}", hex::encode(&self.0))
    }

    /// Of the posting that is kept in a file of this name; `None` for files that are none of ours.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let bytes = hex::decode(name.strip_suffix(ENDING)?)?;
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_holds_nothing_of_the_id_and_leads_back() {
        let key = JobKey::of("../../etc/passwd");
        let name = key.file_name();
        assert_eq!(name.len(), 32 + ENDING.len());
        assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'),
            "{name}"
        );
        assert_eq!(JobKey::of_file(&name), Some(key));
        for other in [".saving-abc", "notes.json", "README", "0123.json"] {
            assert_eq!(JobKey::of_file(other), None, "{other}");
        }
    }
}
