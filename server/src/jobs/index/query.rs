//! From what a person looks for to what the index is asked.

use std::collections::HashSet;

use tantivy::{
    Term,
    query::{BooleanQuery, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption},
    tokenizer::TextAnalyzer,
};

use super::{
    Fields, perhaps, tokens,
    whereabouts::{REMOTE, SOMEWHERE, WORLDWIDE},
};
use crate::jobs::{place::Place, request::Platform};

/// Words that say nothing about a job.
const FILLERS: &str = "a an and any as at for from i in job jobs looking me near of on open opening openings opportunity \
position positions posting postings role roles some that the to vacancies vacancy want with work";

/// Words that many jobs share: welcome in a hit, but not enough for one while there are better words.
const GENERIC: &str = "agent analyst assistant associate consultant developer developers engineer engineering engineers \
entry expert head intern junior lead leader level manager mid officer operator part principal professional \
programmer remote representative senior specialist staff student team technician time full worker";

/// One way to find a role.
pub(super) enum Way {
    /// Whatever matches is as good as the rest, and comes in the order of the index.
    InOrder(Box<dyn Query>),
    /// The best matches come first.
    Ranked(Box<dyn Query>),
}

/// Makes queries.
///
/// Nearly all of them are plain conjunctions or disjunctions of terms, which tantivy answers without looking
/// at postings that cannot be among the best; a tree of weighed clauses would make it score every match.
pub(super) struct Queries {
    fields: Fields,
    words: TextAnalyzer,
    names: TextAnalyzer,
    fillers: HashSet<String>,
    generic: HashSet<String>,
}

/// What a role is looked for by.
#[derive(Debug)]
pub(super) struct Role {
    /// Words that a hit has, all or some of them; at least one.
    telling: Vec<String>,
    /// Words that are welcome.
    generic: Vec<String>,
}

impl Queries {
    pub(super) fn new(fields: Fields, words: TextAnalyzer, names: TextAnalyzer) -> Self {
        let fillers = tokens(&words, FILLERS).into_iter().collect();
        let generic = tokens(&words, GENERIC).into_iter().collect();
        Self {
            fields,
            words,
            names,
            fillers,
            generic,
        }
    }

    /// The words of a role; `None` if it has none that says anything.
    pub(super) fn role(&self, role: &str) -> Option<Role> {
        let mut seen = HashSet::new();
        let (generic, telling): (Vec<_>, Vec<_>) = tokens(&self.words, role)
            .into_iter()
            .filter(|token| !self.fillers.contains(token) && seen.insert(token.clone()))
            .partition(|token| self.generic.contains(token.as_str()));
        match (telling.is_empty(), generic.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Role {
                telling: generic,
                generic: Vec::new(),
            }),
            (false, _) => Some(Role { telling, generic }),
        }
    }

    /// The ways to find a role within `scope`, best first.
    ///
    /// Titles with all words are not ranked: they differ by their length, which says little, and the first few that
    /// are found are a small part of those that would have to be weighed.
    pub(super) fn ways(&self, role: &Role, any_word: bool, scope: &[Term]) -> Vec<Way> {
        let Fields {
            title, titles, text, ..
        } = self.fields;
        let terms = |field: Field, words: &[String]| -> Vec<Term> {
            let term = |word: &String| Term::from_field_text(field, word);
            words.iter().map(term).collect()
        };
        if any_word {
            // One word is all words, which were looked for before.
            if role.telling.len() == 1 {
                return Vec::new();
            }
            return [titles, text]
                .map(|field| Way::Ranked(some(terms(field, &role.telling), scope)))
                .into();
        }
        let scoped = |mut terms: Vec<Term>| {
            terms.extend(scope.iter().cloned());
            all(terms)
        };
        let mut ways = Vec::with_capacity(4);
        if !role.generic.is_empty() {
            let mut whole = terms(title, &role.telling);
            whole.extend(terms(title, &role.generic));
            ways.push(Way::InOrder(scoped(whole)));
        }
        ways.push(Way::InOrder(scoped(terms(title, &role.telling))));
        ways.push(Way::Ranked(scoped(terms(titles, &role.telling))));
        ways.push(Way::Ranked(scoped(terms(text, &role.telling))));
        ways
    }

    /// What narrows a search to a platform.
    pub(super) fn platform(&self, platform: Option<Platform>) -> Option<Term> {
        platform.map(|platform| Term::from_field_text(self.fields.platform, platform.name()))
    }

    /// What narrows a search to a place, nearest first: the city, its country, then work from anywhere.
    pub(super) fn near(&self, place: &Place) -> Vec<Vec<Term>> {
        let area = |code: &str| Term::from_field_text(self.fields.area, code);
        match place {
            Place::City { city, country } => {
                let code = country.code;
                let here = |code| {
                    let mut terms = self.city(city);
                    terms.push(area(code));
                    terms
                };
                let (country, anywhere) = (area(country.code), area(WORLDWIDE));
                let perhaps = &perhaps(code);
                vec![
                    here(code),
                    here(perhaps),
                    here(SOMEWHERE),
                    vec![country],
                    vec![anywhere],
                ]
            }
            Place::Country(country) => {
                let areas = [country.code, WORLDWIDE, &perhaps(country.code)];
                areas.map(|code| vec![area(code)]).into()
            }
            Place::Remote => vec![vec![area(WORLDWIDE)], vec![area(REMOTE)]],
            // Nobody knows how large an unknown place is, so only hits in it count.
            Place::Text { head, .. } => Some(self.city(head))
                .filter(|terms| !terms.is_empty())
                .into_iter()
                .collect(),
        }
    }

    fn city(&self, city: &str) -> Vec<Term> {
        let tokens = tokens(&self.names, city);
        let term = |token: &String| Term::from_field_text(self.fields.city, token);
        tokens.iter().map(term).collect()
    }
}

/// Postings with all of these.
fn all(mut terms: Vec<Term>) -> Box<dyn Query> {
    match terms.pop() {
        Some(only) if terms.is_empty() => term(only),
        last => {
            let clauses = terms.into_iter().chain(last);
            Box::new(BooleanQuery::new(
                clauses.map(|each| (Occur::Must, term(each))).collect(),
            ))
        }
    }
}

/// Postings in a scope, with some of these.
fn some(terms: Vec<Term>, scope: &[Term]) -> Box<dyn Query> {
    let clauses = terms.into_iter().map(|each| (Occur::Should, term(each)));
    let union = BooleanQuery::new(clauses.collect());
    if scope.is_empty() {
        return Box::new(union);
    }
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(union))];
    clauses.extend(scope.iter().map(|each| (Occur::Must, term(each.clone()))));
    Box::new(BooleanQuery::new(clauses))
}

fn term(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
}
