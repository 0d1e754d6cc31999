//! Where a posting's work is, for the index.

use crate::jobs::{
    country::Country,
    place::{Place, us_state},
};

/// The area of everything that can be done from afar.
pub(super) const REMOTE: &str = "remote";

/// The area of what can be done from anywhere in the world.
pub(super) const WORLDWIDE: &str = "worldwide";

/// The area of what is somewhere, in a country that nobody names.
pub(super) const SOMEWHERE: &str = "somewhere";

/// Where a posting's work is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::jobs) struct Whereabouts {
    /// City and state, as written; empty, if there is none.
    pub(in crate::jobs) city: String,
    /// Countries' codes, and the areas above.
    pub(in crate::jobs) areas: Vec<&'static str>,
    /// The country's code, if it is one behind the city that is a state of the USA as well: "Berlin, DE".
    pub(in crate::jobs) perhaps: Option<&'static str>,
}

impl Whereabouts {
    /// Whether it can be done from afar.
    pub(in crate::jobs) fn is_remote(&self) -> bool {
        self.areas.contains(&REMOTE)
    }

    /// Whether there is a place, but no country to it.
    pub(in crate::jobs) fn is_somewhere(&self) -> bool {
        self.areas.contains(&SOMEWHERE)
    }

    /// Whether a country is named.
    pub(in crate::jobs) fn has_country(&self) -> bool {
        self.areas.iter().any(|area| area.len() == 2)
    }

    /// Of work at `location`, as people write it: one place, like "Berlin, Germany" or "San Francisco, CA", or
    /// several countries, like "USA, Canada".
    pub(in crate::jobs) fn of(location: &str, remote: bool) -> Self {
        let place = Place::parse(location);
        let mut areas = Vec::new();
        let mut city = String::new();
        let mut perhaps = None;
        // Boards write "Remote (Germany)", "Remote - UK" and "USA Only".
        let parts: Vec<_> = location
            .split([',', ';', '/', '(', ')', '|'])
            .flat_map(|part| part.split(" - "))
            .map(|part| part.trim().trim_end_matches(" Only").trim_end_matches(" only"))
            .filter(|part| !part.is_empty())
            .collect();
        match &place {
            Place::City { city: head, country } => {
                city.clone_from(head);
                areas.push(country.code);
            }
            Place::Country(country) => areas.push(country.code),
            Place::Remote => {}
            Place::Text { text, .. } => {
                city.clone_from(text);
                let state = parts.last().filter(|last| us_state(last));
                let known = parts.iter().filter_map(|part| Country::find(part));
                if let Some(state) = state {
                    areas.push("US");
                    perhaps = Country::find(state).map(|country| country.code);
                } else {
                    areas.extend(known.map(|country| country.code));
                }
            }
        }
        let from_afar =
            remote || place == Place::Remote || parts.iter().any(|part| Place::parse(part) == Place::Remote);
        if from_afar {
            let anywhere = parts.iter().all(|part| Place::parse(part) == Place::Remote);
            areas.push(REMOTE);
            if anywhere {
                areas.push(WORLDWIDE);
            }
        }
        if areas.is_empty() && !city.is_empty() {
            areas.push(SOMEWHERE);
        }
        areas.dedup();
        Self { city, areas, perhaps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_means_two_things_is_kept_as_both() {
        for (location, perhaps) in [
            ("Berlin, DE", Some("DE")),
            ("Tel Aviv, IL", Some("IL")),
            ("Austin, TX", None),
            ("Berlin, Germany", None),
        ] {
            let whereabouts = Whereabouts::of(location, false);
            assert_eq!(whereabouts.perhaps, perhaps, "{location}");
            assert_eq!(
                whereabouts.areas,
                [if location.contains("Germany") { "DE" } else { "US" }]
            );
        }
    }

    #[test]
    fn places_are_read_as_boards_write_them() {
        for (location, remote, city, areas) in [
            ("Berlin, Germany", false, "Berlin", vec!["DE"]),
            ("Berlin, Berlin, Germany", true, "Berlin", vec!["DE", REMOTE]),
            ("San Francisco, CA", false, "San Francisco, CA", vec!["US"]),
            ("Munich", false, "Munich", vec![SOMEWHERE]),
            ("", false, "", vec![]),
            ("Worldwide", true, "", vec![REMOTE, WORLDWIDE]),
            ("", true, "", vec![REMOTE, WORLDWIDE]),
            ("Germany", true, "", vec!["DE", REMOTE]),
            ("USA Only", true, "USA Only", vec!["US", REMOTE]),
            (
                "France, Spain, Europe",
                true,
                "France, Spain, Europe",
                vec!["FR", "ES", REMOTE],
            ),
            ("Remote (Germany)", false, "Remote (Germany)", vec!["DE", REMOTE]),
            ("Remote - Canada", false, "Remote - Canada", vec!["CA", REMOTE]),
        ] {
            let whereabouts = Whereabouts::of(location, remote);
            assert_eq!(
                (whereabouts.city.as_str(), &whereabouts.areas),
                (city, &areas),
                "{location}"
            );
        }
    }
}
