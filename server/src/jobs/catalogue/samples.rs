//! Makes the sample postings out of `data/catalogue.json`: each role at ten places, always in the same way.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use serde::Deserialize;

use crate::jobs::{
    country::Country,
    index::{Entry, Whereabouts},
    job::Job,
    request::Platform,
};

const DATA: &str = include_str!("../../../data/catalogue.json");

/// Places that every role is offered at, at the head of the list: people try these first.
const HUBS: usize = 4;

/// Further places for each role, taken from the rest of the list in turn.
const OTHERS: usize = 6;

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    roles: Vec<Role<'a>>,
    companies: Vec<Company<'a>>,
    places: Vec<Place<'a>>,
}

#[derive(Deserialize)]
struct Role<'a> {
    title: &'a str,
    also: &'a str,
    field: &'a str,
    does: [&'a str; 3],
    needs: [&'a str; 2],
    /// Thousands of EUR a year.
    pay: f64,
}

#[derive(Deserialize)]
struct Company<'a> {
    name: &'a str,
    trade: &'a str,
    /// Fields it hires in; any, if empty.
    #[serde(borrow)]
    fields: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Place<'a> {
    city: &'a str,
    region: &'a str,
    country: &'a str,
    currency: &'a str,
    /// What a salary in EUR is multiplied by.
    pay: f64,
}

/// All samples, dated within the last four weeks.
pub(super) fn all() -> Result<Vec<Entry>, serde_json::Error> {
    let data: Data<'static> = serde_json::from_str(DATA)?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let others = data.places.len() - HUBS;
    let mut samples = Vec::with_capacity(data.roles.len() * (HUBS + OTHERS));
    for (number, role) in data.roles.iter().enumerate() {
        let fitting: Vec<_> = data
            .companies
            .iter()
            .filter(|company| company.fields.is_empty() || company.fields.contains(&role.field))
            // Hospitals hire nurses, but not every software company does.
            .filter(|company| !(company.fields.is_empty() && is_hands_on(role.field)))
            .collect();
        let places = (0..HUBS).chain((0..OTHERS).map(|other| HUBS + (number * OTHERS + other) % others));
        for (turn, place) in places.enumerate() {
            let company = fitting[(number * 7 + turn * 5) % fitting.len()];
            samples.push(sample(samples.len(), role, &data.places[place], company, today));
        }
    }
    Ok(samples)
}

fn is_hands_on(field: &str) -> bool {
    matches!(field, "health" | "education" | "craft" | "service")
}

fn sample(
    number: usize,
    role: &Role<'static>,
    place: &Place<'_>,
    company: &Company<'_>,
    today: Date,
) -> Entry {
    let graded = matches!(role.field, "tech" | "business") && !role.title.contains("Manager");
    let (grade, factor) = match number % 4 {
        1 if graded => ("Senior ", 1.25),
        3 if graded => ("Junior ", 0.8),
        _ => ("", 1.0),
    };
    let title = format!("{grade}{}", role.title);
    let country = Country::find(place.country);
    let city = [place.city, place.region].join(" ").trim().to_owned();
    let location = match country {
        None => place.city.to_owned(),
        Some(country) if place.region.is_empty() => format!("{}, {}", place.city, country.name),
        Some(country) => format!("{}, {}, {}", place.city, place.region, country.name),
    };
    let (does, needs) = (&role.does, &role.needs);
    let whereabouts = if country.is_some() {
        format!("in {}", place.city)
    } else {
        "to work remotely".to_owned()
    };
    let description = format!(
        "Sample posting, invented: there is no such company or job.\n{} ({}) looks for a {title} {whereabouts}. You \
         will {}, {}, and {}. You bring {}, and {}.",
        company.name, company.trade, does[0], does[1], does[2], needs[0], needs[1],
    );
    let platform = Platform::ALL[number % Platform::ALL.len()];
    let days = i64::try_from(number * 11 % 28).unwrap_or_default();
    let job = Job {
        job_id: format!("sample-{:04}", number + 1),
        title,
        company: company.name.to_owned(),
        location,
        description,
        apply_link: format!("https://example.com/jobs/sample-{:04}", number + 1),
        posted_at: today.checked_sub(days.days()).ok().map(|date| date.to_string()),
        employment_type: Some(
            ["full-time", "full-time", "full-time", "part-time", "contract"][number % 5].to_owned(),
        ),
        remote: country.is_none(),
        salary: Some(salary(role.pay * factor * place.pay, place.currency)),
        platform: Some(platform.name().to_owned()),
        sample: true,
    };
    let areas = country.map_or_else(|| vec!["remote", "worldwide"], |country| vec![country.code]);
    Entry {
        job,
        also: role.also.to_owned(),
        whereabouts: Whereabouts {
            city,
            areas,
            perhaps: None,
        },
    }
}

/// A range from `thousands` up, as people write it.
fn salary(thousands: f64, currency: &str) -> String {
    format!(
        "{:.0},000–{:.0},000 {currency} a year",
        thousands.round(),
        (thousands * 1.2).round()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_a_few_hundred_and_each_is_marked_as_a_sample() {
        let samples = all().expect("good data");
        assert_eq!(samples.len(), 420);
        for sample in &samples {
            assert!(sample.job.sample && sample.job.description.starts_with("Sample posting, invented"));
            assert!(sample.job.apply_link.starts_with("https://example.com/"));
            assert_eq!(
                sample.job.remote,
                sample.whereabouts.is_remote(),
                "{:?}",
                sample.job
            );
        }
    }

    #[test]
    fn they_are_unlike_each_other_and_always_the_same() {
        let (once, again) = (all().expect("good data"), all().expect("good data"));
        assert!(once.iter().zip(&again).all(|(a, b)| a.job == b.job));
        let distinct: HashSet<_> = once
            .iter()
            .map(|s| (&s.job.title, &s.job.company, &s.job.location))
            .collect();
        assert_eq!(distinct.len(), once.len());
        let countries: HashSet<_> = once.iter().flat_map(|s| s.whereabouts.areas.clone()).collect();
        assert!(countries.len() >= 20, "{}", countries.len());
    }
}
