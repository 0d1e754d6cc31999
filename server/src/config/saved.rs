//! Settings of saved jobs.

use super::source::Reader;

/// Whether clients may keep postings in `IAM_DATA_ROOT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedJobs {
    /// Where this process is the only one of its server, and can write there.
    Auto,
    /// Never.
    Off,
    /// In a folder of this process; what cannot be written is an error of the call.
    Local,
    /// In a volume that all replicas share.
    Shared,
}

impl SavedJobs {
    /// `replica` says whether the process is one of several.
    pub(super) fn read(reader: &mut Reader<'_>, replica: bool) -> Self {
        let saved = reader.parse("SAVED_JOBS", Self::Auto, |text| {
            match text.to_ascii_lowercase().as_str() {
                "auto" => Ok(Self::Auto),
                "off" => Ok(Self::Off),
                "local" => Ok(Self::Local),
                "shared" => Ok(Self::Shared),
                _ => Err("use auto, off, local or shared".to_owned()),
            }
        });
        if saved == Self::Local && replica {
            // What one replica saves the next would not find.
            let advice = "with PEER_PORT this is one of several replicas: use shared if all of them have the same \
                          volume at IAM_DATA_ROOT, else off";
            reader.reject("SAVED_JOBS", reader.get("SAVED_JOBS"), advice);
        }
        saved
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{SavedJobs, Settings};

    fn read(value: &str, replica: bool) -> Result<SavedJobs, String> {
        let key = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(key.path(), [1; 32]).expect("written");
        let settings = Settings::read(|name| match name {
            "SAVED_JOBS" => Some(value.to_owned()),
            "PEER_PORT" if replica => Some("9091".to_owned()),
            "POD_IP" => Some("10.0.0.1".to_owned()),
            "POD_UID" => Some("0".repeat(32)),
            "SESSION_KEY_FILE" => key.path().to_str().map(str::to_owned),
            _ => None,
        });
        settings
            .map(|settings| settings.saved)
            .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_folder_of_its_own_is_for_a_server_that_is_alone() {
        assert_eq!(read("", true), Ok(SavedJobs::Auto));
        assert_eq!(read("Local", false), Ok(SavedJobs::Local));
        assert_eq!(read("shared", true), Ok(SavedJobs::Shared));
        let told = read("local", true).expect_err("several");
        assert!(
            told.contains("SAVED_JOBS") && told.contains("use shared"),
            "{told}"
        );
        assert!(
            read("yes", false)
                .expect_err("unknown")
                .contains("auto, off, local or shared")
        );
    }
}
