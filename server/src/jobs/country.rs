//! Countries: ISO 3166-1 alpha-2 codes, English names, and other names that people use.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::LazyLock,
};

/// `CODE|name|other names…`, one country a line.
const TABLE: &str = include_str!("../../data/countries.txt");

static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    TABLE
        .lines()
        .filter_map(|line| {
            let (code, names) = line.split_once('|')?;
            let name = names.split('|').next()?;
            Some(Country { code, name, names })
        })
        .collect()
});

/// Every code and name in small letters. Each search that names a place asks for it.
static BY_NAME: LazyLock<HashMap<String, &'static Country>> = LazyLock::new(|| {
    let mut by_name = HashMap::new();
    for country in COUNTRIES.iter() {
        for name in country.names.split('|').chain([country.code]) {
            by_name.entry(name.to_lowercase()).or_insert(country);
        }
    }
    by_name
});

/// A country.
#[derive(Debug, PartialEq, Eq)]
pub struct Country {
    /// Its ISO 3166-1 alpha-2 code, in capitals.
    pub code: &'static str,
    /// Its English name.
    pub name: &'static str,
    names: &'static str,
}

impl Country {
    /// All of them, by code.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        COUNTRIES.iter()
    }

    /// The country with this code or one of whose names this is, in any case.
    #[must_use]
    pub fn find(text: &str) -> Option<&'static Self> {
        BY_NAME.get(&text.trim().to_lowercase()).copied()
    }
}

/// By its code alone, which is unique.
impl Hash for Country {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_country_is_found_by_code_and_by_each_name() {
        assert_eq!(COUNTRIES.len(), TABLE.lines().count());
        assert_eq!(COUNTRIES.len(), 249);
        for country in COUNTRIES.iter() {
            assert_eq!(Country::find(country.code), Some(country));
            for name in country.names.split('|') {
                assert_eq!(Country::find(&name.to_uppercase()), Some(country), "{name}");
            }
        }
    }

    #[test]
    fn codes_and_names_are_unique() {
        let codes: HashSet<_> = COUNTRIES.iter().map(|country| country.code).collect();
        let names: Vec<_> = COUNTRIES
            .iter()
            .flat_map(|country| country.names.split('|'))
            .collect();
        assert_eq!(codes.len(), COUNTRIES.len());
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn common_names() {
        for (name, code) in [
            ("uk", "GB"),
            ("usa", "US"),
            ("Holland", "NL"),
            ("deutschland", "DE"),
            (" fr ", "FR"),
        ] {
            assert_eq!(
                Country::find(name).map(|country| country.code),
                Some(code),
                "{name}"
            );
        }
        assert_eq!(Country::find("Atlantis"), None);
        assert_eq!(Country::find(""), None);
    }
}
