//! Any valid spec of a `McpServer`: what property tests of rendering, and walks against a real API server, draw from.
//!
//! A module a group of fields; a new field of the spec is added to the list of its group, and rules between groups to
//! [`fit`]. `tests/complete.rs` fails when a field of the schema, or a word of an enum, is never generated.
//!
//! A spec is JSON, as a person writes it, and not the parsed type: quantities in several spellings, defaults given and
//! left out. The operator, the definition's rules and the API server take all of them.

#![expect(clippy::expect_used, reason = "a test stops at a surprise")]

mod access;
mod any;
pub mod coverage;
mod exposure;
mod fit;
mod image;
mod names;
mod placement;
mod scaling;
mod server;
mod template;
mod volumes;

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::Value;

pub use any::Any;
pub use fit::fit;

/// Specs of a server called `name`, which some fields name.
pub fn specs(name: &str) -> Any {
    let mut fields = server::fields(name);
    fields.extend(image::fields());
    fields.extend(access::fields());
    fields.extend(scaling::fields());
    fields.extend(exposure::fields());
    fields.extend(placement::fields());
    fields.extend(volumes::fields(name));
    fields.extend(template::fields(name));
    any::then(any::fields_of(fields).boxed(), fit)
}

/// A source of specs that gives the same ones for the same seed.
pub struct Source {
    runner: TestRunner,
    specs: Any,
}

impl Source {
    /// Specs of a server called `name`, by `seed`.
    #[must_use]
    pub fn new(name: &str, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self {
            runner: TestRunner::new_with_rng(Config::default(), rng),
            specs: specs(name),
        }
    }
}

impl Iterator for Source {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let tree = self
            .specs
            .new_tree(&mut self.runner)
            .expect("filters that seldom refuse");
        Some(tree.current())
    }
}
