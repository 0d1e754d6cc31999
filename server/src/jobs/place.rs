//! Where to work, as programs and as people write it.

use std::fmt;

use super::country::Country;

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A city and its country.
    City {
        /// The city, without anything behind it.
        city: String,
        /// Its country.
        country: &'static Country,
    },
    /// A whole country.
    Country(&'static Country),
    /// From anywhere.
    Remote,
    /// Something else, like "San Francisco, CA" or "Bay Area".
    Text {
        /// All of it.
        text: String,
        /// What stands before the first comma: most often the city.
        head: String,
    },
}

impl Place {
    /// A city in a country; `city` may carry its state or country behind a comma.
    #[must_use]
    pub fn city(city: &str, country: &'static Country) -> Self {
        let city = city.split(',').next().unwrap_or(city).trim().to_owned();
        if is_remote(&city) {
            Self::Remote
        } else {
            Self::City { city, country }
        }
    }

    /// Understands what can be understood, and keeps the rest as it is. A two-letter ending is left alone when
    /// it is a state of the USA as well as a country ("CA", "DE", "IN"): people mean the state.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if is_remote(text) {
            return Self::Remote;
        }
        let keep = |head: &str| Self::Text {
            text: text.to_owned(),
            head: head.trim().to_owned(),
        };
        match text.rsplit_once(',') {
            None => Country::find(text).map_or_else(|| keep(text), Self::Country),
            Some((front, last)) => {
                let head = front.split(',').next().unwrap_or(front);
                let last = last.trim();
                let state = last.len() == 2 && us_state(last);
                match Country::find(last) {
                    Some(country) if !state => Self::city(head, country),
                    _ => keep(head),
                }
            }
        }
    }

    /// The country, where it is known.
    #[must_use]
    pub fn country(&self) -> Option<&'static Country> {
        match self {
            Self::City { country, .. } | Self::Country(country) => Some(country),
            Self::Remote | Self::Text { .. } => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::City { city, country } => write!(out, "{city}, {}", country.name),
            Self::Country(country) => out.write_str(country.name),
            Self::Remote => out.write_str("remote"),
            Self::Text { text, .. } => out.write_str(text),
        }
    }
}

fn is_remote(text: &str) -> bool {
    ["remote", "anywhere", "worldwide", "work from home", "home office"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a code is that of a state of the USA.
#[must_use]
pub fn us_state(code: &str) -> bool {
    const STATES: &str = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH \
                          NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC";
    STATES.split(' ').any(|state| state.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_city_with_its_country_is_understood() {
        for text in [
            "Berlin, Germany",
            "berlin, germany",
            "Berlin, Berlin, Germany",
            "Berlin, Deutschland",
        ] {
            let Place::City { city, country } = Place::parse(text) else {
                panic!("{text}")
            };
            assert!(
                city.eq_ignore_ascii_case("berlin") && country.code == "DE",
                "{text}"
            );
        }
        assert_eq!(Place::parse("Zürich, CH").to_string(), "Zürich, Switzerland");
    }

    #[test]
    fn a_state_is_no_country() {
        for text in ["San Francisco, CA", "Indianapolis, IN", "Wilmington, DE"] {
            assert_eq!(Place::parse(text).country(), None, "{text}");
            assert_eq!(Place::parse(text).to_string(), text);
        }
    }

    #[test]
    fn a_country_alone_remote_and_the_rest() {
        assert_eq!(
            Place::parse("Netherlands").country().map(|country| country.code),
            Some("NL")
        );
        assert_eq!(Place::parse("Remote"), Place::Remote);
        assert!(matches!(Place::parse("Bay Area"), Place::Text { .. }));
    }
}
