//! Which providers are asked.

use crate::config::source::Reader;

/// A provider, by the name that settings give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderName {
    /// JSearch on RapidAPI, for a key.
    JSearch,
    /// The samples, or the user's own postings.
    Catalogue,
    /// arbeitnow.com
    Arbeitnow,
    /// remotive.com
    Remotive,
    /// The boards of companies on greenhouse.io.
    Greenhouse,
}

impl ProviderName {
    const ALL: [Self; 5] = [
        Self::JSearch,
        Self::Catalogue,
        Self::Arbeitnow,
        Self::Remotive,
        Self::Greenhouse,
    ];

    /// The provider of this name, in lower case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Its name in settings, answers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JSearch => "jsearch",
            Self::Catalogue => "catalogue",
            Self::Arbeitnow => "arbeitnow",
            Self::Remotive => "remotive",
            Self::Greenhouse => "greenhouse",
        }
    }
}

/// Which providers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderChoice {
    /// JSearch if there is a key at the moment of the call, else the catalogue.
    Auto,
    /// These, at the same time; in this order where they are equally good. Never empty.
    These(Vec<ProviderName>),
}

/// Reads `JOB_PROVIDERS`, which wins, and `JOB_PROVIDER`; both must be valid.
pub(super) fn read(reader: &mut Reader<'_>) -> ProviderChoice {
    let one = reader.parse("JOB_PROVIDER", ProviderChoice::Auto, one);
    let Some(mut several) = reader.list("JOB_PROVIDERS", several) else {
        return one;
    };
    let mut seen = Vec::new();
    several.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    if several.is_empty() {
        let value = reader.get("JOB_PROVIDERS");
        reader.reject(
            "JOB_PROVIDERS",
            value,
            "name at least one provider, or leave it unset",
        );
    }
    ProviderChoice::These(several)
}

fn one(text: &str) -> Result<ProviderChoice, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(ProviderChoice::Auto),
        "jsearch" => Ok(ProviderChoice::These(vec![ProviderName::JSearch])),
        "catalogue" | "catalog" => Ok(ProviderChoice::These(vec![ProviderName::Catalogue])),
        _ => Err("use Auto, JSearch or Catalogue; several go into JOB_PROVIDERS".to_owned()),
    }
}

fn several(text: &str) -> Result<ProviderName, String> {
    let name = text.to_ascii_lowercase();
    let name = if name == "catalog" { "catalogue" } else { &name };
    ProviderName::find(name).ok_or_else(|| {
        let names = ProviderName::ALL.map(ProviderName::name);
        format!("use some of {}", names.join(", "))
    })
}
