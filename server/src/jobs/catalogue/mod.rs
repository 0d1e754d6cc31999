//! placeholder
use futures::future::BoxFuture;
use super::{Error as JobError, Found, Provider, request::SearchRequest};
/// E
#[derive(Debug, thiserror::Error)]
pub enum Error { /// x
 #[error("x")] X }
impl Error { /// c
 #[must_use] pub fn category(&self) -> &'static str { "x" } }
/// C
#[derive(Debug, Default)]
pub struct Catalogue;
impl Provider for Catalogue { fn name(&self) -> &'static str { "catalogue" }
 fn search<'a>(&'a self, _: &'a SearchRequest) -> BoxFuture<'a, Result<Found, JobError>> { todo!() } }
