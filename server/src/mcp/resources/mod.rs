//! Resources: what clients can read by URI. One file a source; this one only says which source a URI is of.

pub mod page;
pub mod saved;
pub mod uri;

use futures::future::BoxFuture;
use rmcp::{
    ErrorData,
    model::{
        CacheScope, ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource,
        ResourceTemplate,
    },
};

use self::page::Cursor;
use crate::{http::principal::Principal, mcp::LIST_TTL_MS};

/// Resources of one kind.
pub trait Source: std::fmt::Debug + Send + Sync {
    /// Whether `uri` is of this kind, there or not.
    fn serves(&self, uri: &str) -> bool;

    /// Those that `principal` may see, in an order that only changes where one comes or goes.
    fn list(&self, principal: Principal) -> BoxFuture<'_, Result<Vec<Resource>, ErrorData>>;

    /// Templates of their URIs.
    fn templates(&self) -> Vec<ResourceTemplate>;

    /// Whether each principal sees others, so that no cache may share them.
    fn is_private(&self) -> bool;

    /// One of them, as `principal` may see it.
    ///
    /// # Errors
    /// [`not_found`], where there is none.
    fn read<'a>(
        &'a self,
        uri: &'a str,
        principal: Principal,
    ) -> BoxFuture<'a, Result<ReadResourceResult, ErrorData>>;
}

/// All resources, source by source.
#[derive(Debug, Default)]
pub struct Resources(Vec<Box<dyn Source>>);

impl Resources {
    /// Those of these sources, listed in this order.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self(sources)
    }

    /// Whether there are none at all, and never will be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `resources/list`: the page that `cursor` asks for.
    ///
    /// # Errors
    /// When the cursor is none of ours, or a source fails.
    pub async fn list(
        &self,
        cursor: Option<&str>,
        principal: Principal,
    ) -> Result<ListResourcesResult, ErrorData> {
        let start = Cursor::read(cursor)?;
        let mut all = Vec::new();
        for source in &self.0 {
            all.extend(source.list(principal).await?);
        }
        let (resources, next) = start.page(all);
        let mut result = ListResourcesResult::with_all_items(resources);
        result.next_cursor = next;
        Ok(if self.0.iter().any(|source| source.is_private()) {
            // Changes at any time, and differs from one principal to the next.
            result.with_ttl_ms(0).with_cache_scope(CacheScope::Private)
        } else {
            result
                .with_ttl_ms(LIST_TTL_MS)
                .with_cache_scope(CacheScope::Public)
        })
    }

    /// `resources/templates/list`: few, on one page, and the same for everybody.
    ///
    /// # Errors
    /// When there is a cursor, which none of our answers gave.
    pub fn templates(&self, cursor: Option<&str>) -> Result<ListResourceTemplatesResult, ErrorData> {
        if cursor.is_some() {
            return Err(page::made_up());
        }
        let all = self.0.iter().flat_map(|source| source.templates()).collect();
        Ok(ListResourceTemplatesResult::with_all_items(all)
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    /// `resources/read`.
    ///
    /// # Errors
    /// When there is no such resource, or its source fails.
    pub async fn read(&self, uri: &str, principal: Principal) -> Result<ReadResourceResult, ErrorData> {
        match self.0.iter().find(|source| source.serves(uri)) {
            Some(source) => source.read(uri, principal).await,
            None => Err(not_found(uri)),
        }
    }
}

/// What is said of a URI that leads nowhere: -32002, which rmcp turns into -32602 for clients of 2026-07-28.
#[must_use]
pub fn not_found(uri: &str) -> ErrorData {
    // What came from outside is shown back, but not at any length.
    let shown: String = uri.chars().take(200).collect();
    ErrorData::resource_not_found(
        format!("there is no resource {shown:?}"),
        Some(serde_json::json!({ "uri": shown })),
    )
}
