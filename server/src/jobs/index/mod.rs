//! Postings, indexed in memory: what the catalogue and the public boards search in.
//!
//! A posting lies in the index's store as JSON, compressed in blocks, and is only read when it is a hit. With its
//! words it takes about as much memory as it does in the file that it comes from.

mod query;
mod whereabouts;

use std::collections::HashSet;

use tantivy::{
    DocAddress, DocSet as _, Index as Tantivy, IndexReader, IndexSettings, IndexWriter, ReloadPolicy,
    Searcher, TERMINATED, TantivyDocument, Term,
    collector::TopDocs,
    indexer::NoMergePolicy,
    query::{EnableScoring, Query, TermQuery},
    schema::{Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value},
    tokenizer::{
        AsciiFoldingFilter, Language, LowerCaser, RawTokenizer, SimpleTokenizer, Stemmer, TextAnalyzer,
    },
};

use self::query::{Queries, Way};
pub(super) use self::whereabouts::Whereabouts;
use super::{job::Job, request::SearchRequest};

/// Analyzers, by name: words are stemmed, names are not, both lose their accents; codes stay as they are.
const WORDS: &str = "words";
const NAMES: &str = "names";
const CODES: &str = "codes";

/// Bytes of a block of the store, before it is compressed: a hit costs unpacking one, and a few postings fit in it.
const BLOCK: usize = 4_096;

/// What is indexed of a posting. Every field has term frequencies, also where they say nothing: only with them
/// does tantivy skip blocks of postings that cannot be among the best.
#[derive(Debug, Clone, Copy)]
struct Fields {
    /// The title.
    title: Field,
    /// The title, and other words for it.
    titles: Field,
    /// All words: title, other words, description.
    text: Field,
    city: Field,
    /// Countries' codes, and those that [`whereabouts`] has beside them.
    area: Field,
    platform: Field,
    id: Field,
    /// The posting itself, as text: tantivy reads bytes from its store one by one.
    job: Field,
}

/// Why postings could not be indexed or searched. None of it is likely.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// tantivy failed.
    #[error(transparent)]
    Tantivy(#[from] tantivy::TantivyError),
    /// A posting could not be written or read.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A posting, and what it is found by.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Job,
    /// Other words for its title.
    pub(super) also: String,
    pub(super) whereabouts: Whereabouts,
}

/// Makes an index, a posting at a time. Among equal hits, those that came first are answered first.
pub(super) struct Builder {
    index: Tantivy,
    writer: IndexWriter,
    fields: Fields,
    count: usize,
}

impl Builder {
    /// An index to be; `bytes` is the memory for postings on their way into it, 15 MB at least.
    pub(super) fn new(bytes: usize) -> Result<Self, Error> {
        let mut schema = Schema::builder();
        let mut text = |name, analyzer| {
            let indexing = TextFieldIndexing::default()
                .set_tokenizer(analyzer)
                .set_index_option(IndexRecordOption::WithFreqs);
            schema.add_text_field(name, TextOptions::default().set_indexing_options(indexing))
        };
        let (title, titles, all) = (text("title", WORDS), text("titles", WORDS), text("text", WORDS));
        let (city, area) = (text("city", NAMES), text("area", CODES));
        let (platform, id) = (text("platform", CODES), text("id", CODES));
        let fields = Fields {
            title,
            titles,
            text: all,
            city,
            area,
            platform,
            id,
            job: schema.add_text_field("job", STORED),
        };
        let settings = IndexSettings {
            docstore_compress_dedicated_thread: false,
            docstore_blocksize: BLOCK,
            ..IndexSettings::default()
        };
        let index = Tantivy::builder()
            .schema(schema.build())
            .settings(settings)
            .create_in_ram()?;
        index.tokenizers().register(WORDS, words());
        index.tokenizers().register(NAMES, names());
        index
            .tokenizers()
            .register(CODES, TextAnalyzer::from(RawTokenizer::default()));
        let writer: IndexWriter = index.writer_with_num_threads(1, bytes)?;
        // What it writes is merged once, at the end.
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Ok(Self {
            index,
            writer,
            fields,
            count: 0,
        })
    }

    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), Error> {
        let Entry {
            job,
            also,
            whereabouts,
        } = entry;
        let fields = self.fields;
        let mut document = TantivyDocument::new();
        document.add_text(fields.title, &job.title);
        // Twice, since a word of the title says more than a word beside it.
        document.add_text(fields.titles, &job.title);
        document.add_text(fields.titles, &job.title);
        document.add_text(fields.titles, also);
        for text in [&job.title, also, &job.description] {
            document.add_text(fields.text, text);
        }
        document.add_text(fields.city, &whereabouts.city);
        for area in &whereabouts.areas {
            document.add_text(fields.area, area);
        }
        if let Some(code) = whereabouts.perhaps {
            document.add_text(fields.area, perhaps(code));
        }
        if let Some(platform) = &job.platform {
            document.add_text(fields.platform, platform.to_lowercase());
        }
        document.add_text(fields.id, &job.job_id);
        document.add_text(fields.job, serde_json::to_string(job)?);
        self.writer.add_document(document)?;
        self.count += 1;
        Ok(())
    }

    /// Makes one segment of it: every search looks through one list for each word, and equal hits keep their order.
    pub(super) fn finish(mut self) -> Result<Index, Error> {
        self.writer.commit()?;
        let segments = self.index.searchable_segment_ids()?;
        if segments.len() > 1 {
            self.writer.merge(&segments).wait()?;
        }
        // Its threads and its memory go; nothing is ever added.
        self.writer.wait_merging_threads()?;
        let reader = self
            .index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Index {
            count: self.count,
            reader,
            fields: self.fields,
            queries: Queries::new(self.fields, words(), names()),
        })
    }
}

/// The index, and the postings it finds.
pub(super) struct Index {
    count: usize,
    reader: IndexReader,
    fields: Fields,
    queries: Queries,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) jobs: Vec<Job>,
    /// Whether they are not where they were looked for, since nothing is there.
    pub(super) elsewhere: bool,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Index of {} postings", self.count)
    }
}

impl Index {
    /// How many postings it has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The posting of this id.
    pub(super) fn posting(&self, job_id: &str) -> Result<Option<Job>, Error> {
        let term = Term::from_field_text(self.fields.id, job_id);
        let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
        let searcher = self.reader.searcher();
        let hits = searcher.search(&query, &TopDocs::with_limit(1).order_by_score())?;
        hits.first().map(|&(_, at)| self.job(&searcher, at)).transpose()
    }

    /// Looks for all words first, then for any; in the place that was asked for first, then everywhere.
    ///
    /// Each step asks for less than the one before, so that the first steps, which are the cheap ones, are mostly
    /// the last.
    pub(super) fn search(&self, request: &SearchRequest) -> Result<Hits, Error> {
        let searcher = self.reader.searcher();
        let Some(role) = self.queries.role(&request.role) else {
            return Ok(Hits::default());
        };
        let platform = self.queries.platform(request.platform);
        for any_word in [false, true] {
            let near = request.place.as_ref().map(|place| self.queries.near(place));
            for (elsewhere, scopes) in [(false, near), (true, Some(vec![Vec::new()]))] {
                let mut found = Found::new(request.jobs);
                for mut scope in scopes.into_iter().flatten() {
                    scope.extend(platform.iter().cloned());
                    for way in self.queries.ways(&role, any_word, &scope) {
                        found.search(&searcher, &way)?;
                        if found.is_full() {
                            break;
                        }
                    }
                    if found.is_full() {
                        break;
                    }
                }
                if !found.at.is_empty() {
                    let jobs = found.at.iter().map(|&at| self.job(&searcher, at));
                    return Ok(Hits {
                        jobs: jobs.collect::<Result<_, _>>()?,
                        elsewhere: elsewhere && request.place.is_some(),
                    });
                }
            }
        }
        Ok(Hits::default())
    }

    fn job(&self, searcher: &Searcher, at: DocAddress) -> Result<Job, Error> {
        let document: TantivyDocument = searcher.doc(at)?;
        let job = document.get_first(self.fields.job);
        let json = job.as_ref().and_then(Value::as_str).unwrap_or_default();
        Ok(serde_json::from_str(json)?)
    }
}

/// The area of what may be in a country.
fn perhaps(code: &str) -> String {
    format!("perhaps {code}")
}

/// The hits of several queries, one after another.
struct Found {
    at: Vec<DocAddress>,
    seen: HashSet<DocAddress>,
    limit: usize,
}

impl Found {
    fn new(limit: usize) -> Self {
        Self {
            at: Vec::with_capacity(limit),
            seen: HashSet::new(),
            limit,
        }
    }

    fn is_full(&self) -> bool {
        self.at.len() >= self.limit
    }

    fn search(&mut self, searcher: &Searcher, way: &Way) -> Result<(), Error> {
        match way {
            Way::InOrder(query) => self.first(searcher, &**query),
            Way::Ranked(query) => self.best(searcher, &**query),
        }
    }

    /// Takes what matches until there is enough. Nothing is ever deleted from an index.
    fn first(&mut self, searcher: &Searcher, query: &dyn Query) -> Result<(), Error> {
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
        for (number, segment) in (0..).zip(searcher.segment_readers()) {
            let mut matches = weight.scorer(segment, 1.0)?;
            let mut id = matches.doc();
            while id != TERMINATED && !self.is_full() {
                self.take(DocAddress::new(number, id));
                id = matches.advance();
            }
        }
        Ok(())
    }

    fn best(&mut self, searcher: &Searcher, query: &dyn Query) -> Result<(), Error> {
        // Those that are known already may come again, before all others.
        let collector = TopDocs::with_limit(self.limit + self.at.len()).order_by_score();
        for (_, at) in searcher.search(query, &collector)? {
            self.take(at);
        }
        Ok(())
    }

    fn take(&mut self, at: DocAddress) {
        if !self.is_full() && self.seen.insert(at) {
            self.at.push(at);
        }
    }
}

fn words() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// Names in one spelling: lower case, without accents and punctuation.
pub(super) fn names() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// What an analyzer makes of a text.
pub(super) fn tokens(analyzer: &TextAnalyzer, text: &str) -> Vec<String> {
    use tantivy::tokenizer::TokenStream as _;
    // A clone, as analyzing needs a buffer of its own.
    let mut analyzer = analyzer.clone();
    let mut stream = analyzer.token_stream(text);
    let mut tokens = Vec::new();
    while let Some(token) = stream.next() {
        tokens.push(token.text.clone());
    }
    tokens
}
