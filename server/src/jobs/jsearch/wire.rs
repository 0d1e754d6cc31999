//! JSearch's JSON, as far as we read it. Any field may be missing or null.

use serde::Deserialize;

use crate::jobs::job::{Job, clean};

/// The answer to `/search`, and to `/job-details`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) data: Vec<Posting>,
}

/// One posting.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Posting {
    job_id: Option<String>,
    job_title: Option<String>,
    employer_name: Option<String>,
    job_city: Option<String>,
    job_state: Option<String>,
    job_country: Option<String>,
    job_description: Option<String>,
    job_apply_link: Option<String>,
    job_posted_at_datetime_utc: Option<String>,
    job_employment_type: Option<String>,
    job_is_remote: Option<bool>,
    job_min_salary: Option<f64>,
    job_max_salary: Option<f64>,
    job_salary_currency: Option<String>,
    job_salary_period: Option<String>,
    job_publisher: Option<String>,
}

impl Posting {
    /// A job, unless it lacks what makes it one: an id, a title and a link to apply.
    pub(super) fn into_job(self) -> Option<Job> {
        let text = |field: Option<String>| field.map(|text| clean(&text)).filter(|text| !text.is_empty());
        let remote = self.job_is_remote.unwrap_or(false);
        let salary = self.salary();
        let apply_link = text(self.job_apply_link)
            // Anything else could run a program when a person clicks on it.
            .filter(|link| link.starts_with("https://") || link.starts_with("http://"))?;
        let location: Vec<_> = [self.job_city, self.job_state, self.job_country]
            .into_iter()
            .filter_map(text)
            .collect();
        Some(Job {
            job_id: text(self.job_id)?,
            title: text(self.job_title)?,
            company: text(self.employer_name).unwrap_or_else(|| "not named".to_owned()),
            location: match location.join(", ") {
                place if !place.is_empty() => place,
                _ if remote => "Remote".to_owned(),
                _ => "not named".to_owned(),
            },
            description: text(self.job_description).unwrap_or_default(),
            apply_link,
            posted_at: text(self.job_posted_at_datetime_utc)
                .and_then(|time| time.get(..10).map(str::to_owned)),
            employment_type: text(self.job_employment_type).map(|kind| employment(&kind)),
            remote,
            salary,
            platform: text(self.job_publisher),
            sample: false,
        })
    }

    fn salary(&self) -> Option<String> {
        let currency = self.job_salary_currency.as_deref().unwrap_or("USD");
        let period = self.job_salary_period.as_deref().unwrap_or("YEAR").to_lowercase();
        let range = match (self.job_min_salary, self.job_max_salary) {
            (Some(min), Some(max)) if min < max => format!("{min:.0}–{max:.0}"),
            (Some(one), _) | (_, Some(one)) => format!("{one:.0}"),
            (None, None) => return None,
        };
        Some(clean(&format!("{range} {currency} a {period}")))
    }
}

fn employment(kind: &str) -> String {
    match kind.to_uppercase().replace(['-', ' '], "").as_str() {
        "FULLTIME" => "full-time".to_owned(),
        "PARTTIME" => "part-time".to_owned(),
        "CONTRACTOR" => "contract".to_owned(),
        "INTERN" => "internship".to_owned(),
        _ => kind.to_owned(),
    }
}
