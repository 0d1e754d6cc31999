//! The RapidAPI key, which may come from a file that changes under us.

use std::{path::Path, sync::Arc};

use secrecy::SecretString;

use crate::{
    config::KeySource,
    fresh::{self, Fresh},
};

/// The key at this moment. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Key(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: KeySource,
    content: Fresh<Option<SecretString>>,
}

impl Key {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(source: KeySource) -> Self {
        Self(Arc::new(Inner {
            source,
            content: Fresh::new(fresh::FILE),
        }))
    }

    /// The file's content, if it is there and not empty; else the value, if one was given.
    #[must_use]
    pub fn get(&self) -> Option<SecretString> {
        self.in_file().or_else(|| self.0.source.value.clone())
    }

    /// Whether there is one; cheaper than getting it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.source.value.is_some() || self.in_file().is_some()
    }

    fn in_file(&self) -> Option<SecretString> {
        let path = self.0.source.file.as_deref()?;
        self.0.content.get(|_| content(path))
    }
}

/// A few bytes from memory: not worth a trip to another thread.
fn content(path: &Path) -> Option<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim();
            (!text.is_empty()).then(|| SecretString::from(text))
        }
        // Pods start before their Secret exists.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the RapidAPI key cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn get(source: KeySource) -> Option<String> {
        let key = Key::new(source);
        assert_eq!(key.is_there(), key.get().is_some());
        key.get().map(|key| key.expose_secret().to_owned())
    }

    #[test]
    fn a_file_wins_when_it_holds_something() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let source = KeySource {
            file: Some(file.path().into()),
            value: Some("from-env".into()),
        };
        assert_eq!(
            get(source.clone()).as_deref(),
            Some("from-env"),
            "an empty file is no key"
        );
        std::fs::write(file.path(), "from-file\n").expect("written");
        assert_eq!(get(source).as_deref(), Some("from-file"));
    }

    #[test]
    fn no_file_and_no_value_is_no_key() {
        assert_eq!(get(KeySource::default()), None);
        assert_eq!(
            get(KeySource {
                file: Some("/nonexistent/key".into()),
                value: None
            }),
            None
        );
    }
}
