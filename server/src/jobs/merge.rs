//! One list out of several providers' lists.

use std::collections::HashSet;

use tantivy::tokenizer::TextAnalyzer;

use super::{
    index::{names, tokens},
    job::Job,
};

/// Endings of companies' names that say nothing about which company it is.
const FORMS: &str = "ab ag as bv co company corp corporation gmbh inc incorporated kg limited llc ltd nv oy plc pty sa sas se srl";

/// What stands in a title for whom it is meant: "(m/w/d)" and its kin.
const FOR_ALL: &str = "all alle d div divers diverse f fmd gender gn h m mwd w x";

/// The best of each list, then the second best of each, and so on, without those that were there already.
pub(super) fn interleaved(lists: &[&[Job]], limit: usize) -> Vec<Job> {
    let analyzer = names();
    let mut seen = HashSet::new();
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or_default();
    (0..longest)
        .flat_map(|rank| lists.iter().filter_map(move |list| list.get(rank)))
        .filter(|job| seen.insert(identity(&analyzer, job)))
        .take(limit)
        .cloned()
        .collect()
}

/// What two postings of one job have in common: company, title and place, however boards spell them.
fn identity(analyzer: &TextAnalyzer, job: &Job) -> [String; 3] {
    let mut company = tokens(analyzer, &job.company);
    while company.len() > 1 && company.last().is_some_and(|last| is_one_of(last, FORMS)) {
        company.pop();
    }
    let mut title = tokens(analyzer, &without_brackets(&job.title));
    if title.is_empty() {
        title = tokens(analyzer, &job.title);
    }
    let city = job.location.split([',', '(', ';']).next().unwrap_or_default();
    [company, title, tokens(analyzer, city)].map(|tokens| tokens.join(" "))
}

/// A title without brackets that only say that it is for everybody.
fn without_brackets(title: &str) -> String {
    let mut kept = String::with_capacity(title.len());
    let mut rest = title;
    while let Some((before, bracket)) = rest.split_once('(') {
        kept.push_str(before);
        let Some((inside, after)) = bracket.split_once(')') else {
            rest = bracket;
            break;
        };
        let mut words = inside
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        if !words.all(|word| is_one_of(&word.to_lowercase(), FOR_ALL)) {
            kept.extend([" ", inside, " "]);
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

fn is_one_of(word: &str, words: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(job_id: &str, title: &str, company: &str, location: &str) -> Job {
        Job {
            job_id: job_id.to_owned(),
            title: title.to_owned(),
            company: company.to_owned(),
            location: location.to_owned(),
            description: String::new(),
            apply_link: String::new(),
            posted_at: None,
            employment_type: None,
            remote: false,
            salary: None,
            platform: None,
            sample: false,
        }
    }

    #[test]
    fn every_list_has_its_turn_and_what_is_there_already_is_left_out() {
        let first = [
            job(
                "a1",
                "Rust Engineer (m/w/d)",
                "Example GmbH",
                "Zürich, Switzerland",
            ),
            job("a2", "Nurse", "Ward", "Berlin"),
            job("a3", "Baker", "Oven", "Berlin"),
        ];
        let second = [
            job("b1", "Nurse", "Ward", "Hamburg"),
            job("b2", "Rust engineer", "EXAMPLE", "Zurich"),
            job("b3", "Rust Engineer (Senior)", "Example", "Zurich"),
        ];
        let ids = |limit| {
            let merged = interleaved(&[&first, &second], limit);
            merged.into_iter().map(|job| job.job_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(20), ["a1", "b1", "a2", "a3", "b3"]);
        assert_eq!(ids(3), ["a1", "b1", "a2"]);
    }

    #[test]
    fn odd_brackets_are_kept() {
        assert_eq!(
            without_brackets("Cook (f/m/x) nights (late) (open"),
            "Cook  nights  late  open"
        );
    }
}
