//! Settings of the token check.

use std::path::PathBuf;

use super::{
    oidc::{self, OidcSettings},
    source::Reader,
};
use crate::http::tokens;

/// Whether clients need a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthSettings {
    /// Everybody is served, as one anonymous principal.
    None,
    /// `Authorization: Bearer` with one of the tokens in a file that is read again when it changes.
    Bearer {
        /// The file.
        tokens: PathBuf,
    },
    /// `Authorization: Bearer` with a token that an identity provider made for this server.
    Oidc(OidcSettings),
}

impl AuthSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let file = reader.get("AUTH_TOKENS_FILE");
        let auth = reader.get("AUTH");
        let kind = auth.as_deref().map(str::to_ascii_lowercase);
        let kind = kind.as_deref().unwrap_or("none");
        // Whoever wrote tokens, or an issuer, believes that they are asked for.
        if file.is_some() && kind != "bearer" {
            let advice = "is read with AUTH=bearer only: set that too, or unset this";
            reader.reject("AUTH_TOKENS_FILE", file.clone(), advice);
        }
        if kind != "oidc" {
            for variable in oidc::VARIABLES {
                if let Some(value) = reader.get(variable) {
                    let advice = "is read with AUTH=oidc only: set that too, or unset this";
                    reader.reject(variable, Some(value), advice);
                }
            }
        }
        match kind {
            "none" => Self::None,
            "bearer" => bearer(reader, file),
            "oidc" => Self::Oidc(OidcSettings::read(reader)),
            _ => {
                reader.reject("AUTH", auth, "use none, bearer or oidc");
                Self::None
            }
        }
    }
}

fn bearer(reader: &mut Reader<'_>, file: Option<String>) -> AuthSettings {
    let tokens = PathBuf::from(file.as_deref().unwrap_or_default());
    let checked = match file {
        Some(_) => tokens::check(&tokens),
        None => Err("AUTH=bearer needs a file with a token a line".to_owned()),
    };
    if let Err(advice) = checked {
        reader.reject("AUTH_TOKENS_FILE", file, advice);
    }
    AuthSettings::Bearer { tokens }
}

#[cfg(test)]
mod tests {
    use crate::config::{AuthSettings, Settings};

    fn read(auth: Option<&str>, file: Option<&str>) -> Result<AuthSettings, String> {
        let settings = Settings::read(|name| match name {
            "AUTH" => auth.map(str::to_owned),
            "AUTH_TOKENS_FILE" => file.map(str::to_owned),
            _ => None,
        });
        match settings {
            Ok(settings) => Ok(settings.http.auth),
            Err(invalid) => Err(invalid.to_string()),
        }
    }

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn none_is_the_default_and_bearer_takes_a_file() {
        assert_eq!(read(None, None), Ok(AuthSettings::None));
        assert_eq!(read(Some("None"), None), Ok(AuthSettings::None));
        let file = file("alice 0123456789abcdef\n");
        let tokens = file.path().to_path_buf();
        assert_eq!(
            read(Some("Bearer"), tokens.to_str()),
            Ok(AuthSettings::Bearer { tokens })
        );
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        for (auth, file, advice) in [
            (Some("oauth"), None, "AUTH=\"oauth\": use none, bearer or oidc"),
            (Some("bearer"), None, "AUTH_TOKENS_FILE: AUTH=bearer needs a file"),
            (Some("bearer"), Some("/nonexistent/tokens"), "cannot be read"),
            (None, Some("/nonexistent/tokens"), "with AUTH=bearer only"),
        ] {
            let told = read(auth, file).expect_err("a bad combination");
            assert!(
                told.contains("a setting is not valid") && told.contains(advice),
                "{told}"
            );
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused_without_showing_what_is_in_it() {
        let file = file("# nobody yet\nalice s3cret\n");
        let told = read(Some("bearer"), file.path().to_str()).expect_err("no token");
        assert!(
            told.contains("holds no token") && told.contains("line 2"),
            "{told}"
        );
        assert!(!told.contains("s3cret") && !told.contains("alice"), "{told}");
    }
}
