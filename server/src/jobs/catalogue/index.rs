//! The samples, indexed.

use tantivy::{
    Index as Tantivy, IndexReader, ReloadPolicy, Searcher, TantivyDocument,
    collector::TopDocs,
    query::Query,
    schema::{FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions},
    tokenizer::{AsciiFoldingFilter, Language, LowerCaser, SimpleTokenizer, Stemmer, TextAnalyzer},
};

use super::{query::Queries, samples::Sample};
use crate::jobs::{job::Job, request::SearchRequest};

/// Memory of the one writer, in bytes, while it builds: the least that tantivy takes.
const WRITER_BYTES: usize = 15_000_000;

/// Analyzers, by name: words are stemmed, names are not; both lose their accents.
const WORDS: &str = "words";
const NAMES: &str = "names";

/// The field that leads from a hit to its posting.
const NUMBER: &str = "number";

/// What is indexed of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) title: Field,
    pub(super) also: Field,
    pub(super) body: Field,
    pub(super) city: Field,
    /// A country's code, or `remote`.
    pub(super) area: Field,
    pub(super) platform: Field,
}

/// The index, and the postings it finds.
pub(super) struct Index {
    jobs: Vec<Job>,
    reader: IndexReader,
    queries: Queries,
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Hits {
    pub(super) jobs: Vec<Job>,
    /// Whether they are not where they were looked for, since nothing is there.
    pub(super) elsewhere: bool,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Index of {} postings", self.jobs.len())
    }
}

impl Index {
    /// Indexes the samples.
    pub(super) fn build(samples: Vec<Sample>) -> Result<Self, super::Error> {
        let mut schema = Schema::builder();
        let mut text = |name, analyzer| {
            let indexing = TextFieldIndexing::default()
                .set_tokenizer(analyzer)
                .set_index_option(IndexRecordOption::WithFreqs);
            schema.add_text_field(name, TextOptions::default().set_indexing_options(indexing))
        };
        let (title, also, body) = (text("title", WORDS), text("also", WORDS), text("body", WORDS));
        let city = text("city", NAMES);
        let area = schema.add_text_field("area", STRING);
        let platform = schema.add_text_field("platform", STRING);
        let number = schema.add_u64_field(NUMBER, FAST);
        let fields = Fields {
            title,
            also,
            body,
            city,
            area,
            platform,
        };

        let index = Tantivy::create_in_ram(schema.build());
        index.tokenizers().register(WORDS, words());
        index.tokenizers().register(NAMES, names());
        let mut writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        for (place, sample) in samples.iter().enumerate() {
            let mut document = TantivyDocument::new();
            document.add_text(title, &sample.job.title);
            document.add_text(also, sample.also);
            document.add_text(body, &sample.job.description);
            document.add_text(city, &sample.city);
            document.add_text(area, sample.country.map_or("remote", |country| country.code));
            document.add_text(platform, sample.platform.name());
            document.add_u64(number, place as u64);
            writer.add_document(document)?;
        }
        writer.commit()?;
        // Its thread and its memory go; nothing is ever added.
        writer.wait_merging_threads()?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        let jobs = samples.into_iter().map(|sample| sample.job).collect();
        Ok(Self {
            jobs,
            reader,
            queries: Queries::new(fields, words(), names()),
        })
    }

    /// The posting of this id.
    pub(super) fn posting(&self, job_id: &str) -> Option<Job> {
        self.jobs.iter().find(|job| job.job_id == job_id).cloned()
    }

    /// Looks in the place that was asked for first, then everywhere; for all words first, then for any.
    pub(super) fn search(&self, request: &SearchRequest) -> Result<Hits, super::Error> {
        let searcher = self.reader.searcher();
        for all_words in [true, false] {
            let Some(role) = self.queries.role(&request.role, all_words) else {
                break;
            };
            let role = self.queries.on_platform(role, request.platform);
            if let Some(place) = &request.place {
                let jobs = self.top(
                    &searcher,
                    &*self.queries.at(role.box_clone(), place),
                    request.jobs,
                )?;
                if !jobs.is_empty() {
                    return Ok(Hits {
                        jobs,
                        elsewhere: false,
                    });
                }
            }
            let jobs = self.top(&searcher, &*role, request.jobs)?;
            if !jobs.is_empty() {
                return Ok(Hits {
                    jobs,
                    elsewhere: request.place.is_some(),
                });
            }
        }
        Ok(Hits {
            jobs: Vec::new(),
            elsewhere: false,
        })
    }

    fn top(&self, searcher: &Searcher, query: &dyn Query, limit: usize) -> Result<Vec<Job>, super::Error> {
        let hits = searcher.search(query, &TopDocs::with_limit(limit).order_by_score())?;
        let mut jobs = Vec::with_capacity(hits.len());
        for (_, hit) in hits {
            let numbers = searcher
                .segment_reader(hit.segment_ord)
                .fast_fields()
                .u64(NUMBER)?;
            let number = numbers
                .first(hit.doc_id)
                .and_then(|number| usize::try_from(number).ok());
            jobs.extend(number.and_then(|number| self.jobs.get(number)).cloned());
        }
        Ok(jobs)
    }
}

fn words() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

fn names() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}
