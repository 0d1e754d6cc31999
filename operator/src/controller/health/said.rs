//! What a server says of itself, kept once for all servers that say the same.

use std::{collections::HashSet, sync::Arc};

use iam_mcp_crds::ObservedServer;

use super::tools::{Tools, readable};

/// Longest name that is kept, in bytes.
const NAME_BYTES: usize = 128;
/// Longest version of a server or of the protocol.
const VERSION_BYTES: usize = 64;
/// Most versions of the protocol.
const VERSIONS: usize = 16;

/// What a server says of itself.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Said {
    name: Box<str>,
    version: Box<str>,
    protocol_versions: Box<[Box<str>]>,
    /// Its tools.
    pub tools: Tools,
    /// Whether it gave a session id; `None` when it was not asked.
    pub stateful: Option<bool>,
}

impl Said {
    /// As much of it as is kept.
    #[must_use]
    pub fn bounded(
        name: &str,
        version: &str,
        protocol_versions: &[String],
        tools: Tools,
        stateful: Option<bool>,
    ) -> Self {
        let versions = protocol_versions.iter().take(VERSIONS);
        Self {
            name: readable(name, NAME_BYTES).into(),
            version: readable(version, VERSION_BYTES).into(),
            protocol_versions: versions
                .map(|version| readable(version, VERSION_BYTES).into())
                .collect(),
            tools,
            stateful,
        }
    }

    /// As the status shows it.
    #[must_use]
    pub fn shown(&self) -> ObservedServer {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ObservedServer {
            name: given(&self.name),
            version: given(&self.version),
            protocol_versions: self.protocol_versions.iter().map(ToString::to_string).collect(),
            tools: i32::try_from(self.tools.count).unwrap_or(i32::MAX),
            tools_digest: Some(self.tools.digest()),
            session_ids: None,
        }
    }

    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let tools = match self.tools.count {
            1 => "1 tool".to_owned(),
            count => format!("{count} tools"),
        };
        format!(
            "the server speaks MCP {} and has {tools}",
            self.protocol_versions.join(", ")
        )
    }
}

/// One copy of each thing that is said: ten thousand servers of one image say the same.
#[derive(Debug, Default)]
pub struct Copies {
    all: HashSet<Arc<Said>>,
    clean_at: usize,
}

impl Copies {
    /// The one copy of `said`.
    pub fn one(&mut self, said: Said) -> Arc<Said> {
        if let Some(known) = self.all.get(&said) {
            return Arc::clone(known);
        }
        if self.all.len() >= self.clean_at {
            self.all.retain(|known| Arc::strong_count(known) > 1);
            self.clean_at = self.all.len() * 2 + 16;
        }
        let said = Arc::new(said);
        self.all.insert(Arc::clone(&said));
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str) -> Said {
        Said::bounded(name, "1", &["2026-07-28".to_owned()], Tools::default(), None)
    }

    #[test]
    fn the_same_is_kept_once_and_what_nobody_says_goes() {
        let mut copies = Copies::default();
        let first = copies.one(said("a"));
        assert!(Arc::ptr_eq(&first, &copies.one(said("a"))));
        for number in 0..1000 {
            copies.one(said(&number.to_string()));
        }
        assert!(copies.all.len() < 50, "{}", copies.all.len());
        assert!(Arc::ptr_eq(&first, &copies.one(said("a"))));
    }

    #[test]
    fn a_status_has_bounds() {
        let versions = vec!["v".repeat(1000); 1000];
        let shown = Said::bounded(&"n".repeat(1000), "", &versions, Tools::default(), None).shown();
        assert_eq!(shown.name.unwrap().len(), NAME_BYTES);
        assert_eq!(shown.version, None);
        assert_eq!(
            (shown.protocol_versions.len(), shown.protocol_versions[0].len()),
            (VERSIONS, VERSION_BYTES)
        );
    }
}
