//! From what a person looks for to what the index is asked.

use std::collections::HashSet;

use tantivy::{
    Term,
    query::{BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption},
    tokenizer::{TextAnalyzer, TokenStream as _},
};

use super::index::Fields;
use crate::jobs::{place::Place, request::Platform};

/// Words that say nothing about a job.
const FILLERS: &str = "a an and any as at for from i in job jobs looking me near of on open opening openings opportunity \
position positions posting postings role roles some that the to vacancies vacancy want with work";

/// Words that many jobs share: welcome in a hit, but not enough for one while there are better words.
const GENERIC: &str = "agent analyst assistant associate consultant developer developers engineer engineering engineers \
entry expert head intern junior lead leader level manager mid officer operator part principal professional \
programmer remote representative senior specialist staff student team technician time full worker";

/// What a hit in a title, in its other words and in the text weighs.
const WEIGHTS: [f32; 3] = [4.0, 2.0, 0.5];

/// What the right city, the right country and working from anywhere add. More than any word does: among
/// postings for the role, near ones come first.
const NEAR: [f32; 3] = [60.0, 25.0, 5.0];

/// Makes queries.
#[derive(Clone)]
pub(super) struct Queries {
    fields: Fields,
    words: TextAnalyzer,
    names: TextAnalyzer,
    fillers: HashSet<String>,
    generic: HashSet<String>,
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

    /// Postings for a role: with all of its telling words, or with any of them. `None` if it has no words.
    pub(super) fn role(&self, role: &str, all_words: bool) -> Option<Box<dyn Query>> {
        let tokens: Vec<_> = tokens(&self.words, role)
            .into_iter()
            .filter(|token| !self.fillers.contains(token))
            .collect();
        let (generic, telling): (Vec<_>, Vec<_>) = tokens
            .iter()
            .partition(|token| self.generic.contains(token.as_str()));
        let each = |tokens: &[&String]| tokens.iter().map(|token| self.word(token)).collect::<Vec<_>>();
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        match (telling.is_empty(), generic.is_empty()) {
            (true, true) => return None,
            (true, false) => return Some(Box::new(BooleanQuery::union(each(&generic)))),
            (false, _) if all_words => {
                clauses.extend(each(&telling).into_iter().map(|word| (Occur::Must, word)));
            }
            (false, _) => clauses.push((Occur::Must, Box::new(BooleanQuery::union(each(&telling))))),
        }
        clauses.extend(each(&generic).into_iter().map(|word| (Occur::Should, word)));
        Some(Box::new(BooleanQuery::new(clauses)))
    }

    /// Those on a platform.
    pub(super) fn on_platform(&self, role: Box<dyn Query>, platform: Option<Platform>) -> Box<dyn Query> {
        let Some(platform) = platform else { return role };
        // Which board it is says nothing about how well a posting fits.
        let board = weighed(term(self.fields.platform, platform.name()), 0.0);
        Box::new(BooleanQuery::new(vec![(Occur::Must, role), (Occur::Must, board)]))
    }

    /// Those in a place, in its country, or for any place; nearer ones first.
    pub(super) fn at(&self, role: Box<dyn Query>, place: &Place) -> Box<dyn Query> {
        let [city_weight, country_weight, remote_weight] = NEAR;
        let area = |code: &str, weight| weighed(term(self.fields.area, code), weight);
        let remote = || area("remote", remote_weight);
        let near: Vec<Box<dyn Query>> = match place {
            Place::City { city, country } => {
                let here = vec![self.city(city), term(self.fields.area, country.code)];
                let here = weighed(Box::new(BooleanQuery::intersection(here)), city_weight);
                vec![here, area(country.code, country_weight), remote()]
            }
            Place::Country(country) => vec![area(country.code, country_weight), remote()],
            Place::Remote => vec![remote()],
            // Nobody knows how large an unknown place is, so only hits in it count.
            Place::Text { head, .. } => vec![weighed(self.city(head), city_weight)],
        };
        Box::new(BooleanQuery::new(vec![
            (Occur::Must, role),
            (Occur::Must, Box::new(BooleanQuery::union(near))),
        ]))
    }

    fn word(&self, token: &str) -> Box<dyn Query> {
        let Fields {
            title, also, body, ..
        } = self.fields;
        let fields = [title, also, body].into_iter().zip(WEIGHTS);
        Box::new(BooleanQuery::union(
            fields
                .map(|(field, weight)| {
                    Box::new(BoostQuery::new(term(field, token), weight)) as Box<dyn Query>
                })
                .collect(),
        ))
    }

    fn city(&self, city: &str) -> Box<dyn Query> {
        let tokens = tokens(&self.names, city);
        Box::new(BooleanQuery::intersection(
            tokens.iter().map(|token| term(self.fields.city, token)).collect(),
        ))
    }
}

fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, text),
        IndexRecordOption::WithFreqs,
    ))
}

fn weighed(query: Box<dyn Query>, weight: f32) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, weight))
}

fn tokens(analyzer: &TextAnalyzer, text: &str) -> Vec<String> {
    // A clone, as analyzing needs a buffer of its own.
    let mut analyzer = analyzer.clone();
    let mut stream = analyzer.token_stream(text);
    let mut tokens = Vec::new();
    while let Some(token) = stream.next() {
        tokens.push(token.text.clone());
    }
    tokens
}
