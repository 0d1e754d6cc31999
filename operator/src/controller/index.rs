//! Who is concerned by an object that is not a child: HPAs that target a Deployment, and Secrets that
//! resources name.

use std::collections::{HashMap, HashSet};

use parking_lot::RwLock;

/// An object by namespace and name.
pub type Name = (String, String);

/// Which objects point at which, to be asked from both ends.
#[derive(Debug, Default)]
pub struct PointerIndex {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    targets: HashMap<Name, Vec<Name>>,
    sources: HashMap<Name, HashSet<Name>>,
}

impl PointerIndex {
    /// Notes that `source` points at exactly `targets`; returns the targets concerned: those that it
    /// pointed at before, and now.
    pub fn set(&self, source: &Name, targets: Vec<Name>) -> Vec<Name> {
        let mut inner = self.inner.write();
        let mut concerned = inner.detach(source);
        for target in &targets {
            inner
                .sources
                .entry(target.clone())
                .or_default()
                .insert(source.clone());
        }
        concerned.extend(targets.iter().cloned());
        if !targets.is_empty() {
            inner.targets.insert(source.clone(), targets);
        }
        concerned
    }

    /// Forgets `source`; returns the targets concerned.
    pub fn remove(&self, source: &Name) -> Vec<Name> {
        self.inner.write().detach(source)
    }

    /// After a new list of sources: forgets those of `namespace` (or of all) that it did not have;
    /// returns the targets concerned.
    pub fn retain_listed(&self, namespace: Option<&str>, listed: &HashSet<Name>) -> Vec<Name> {
        let mut inner = self.inner.write();
        let in_scope = |source: &Name| namespace.is_none_or(|ns| ns == source.0);
        let gone: Vec<Name> = inner
            .targets
            .keys()
            .filter(|s| in_scope(s) && !listed.contains(*s))
            .cloned()
            .collect();
        gone.iter().flat_map(|source| inner.detach(source)).collect()
    }

    /// What `source` points at.
    #[must_use]
    pub fn targets(&self, source: &Name) -> Vec<Name> {
        self.inner.read().targets.get(source).cloned().unwrap_or_default()
    }

    /// Whether anything points at `target`.
    #[must_use]
    pub fn is_target(&self, target: &Name) -> bool {
        self.inner.read().sources.contains_key(target)
    }

    /// What points at `target`.
    #[must_use]
    pub fn sources(&self, target: &Name) -> Vec<Name> {
        self.inner
            .read()
            .sources
            .get(target)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

impl Inner {
    fn detach(&mut self, source: &Name) -> Vec<Name> {
        let targets = self.targets.remove(source).unwrap_or_default();
        for target in &targets {
            if let Some(sources) = self.sources.get_mut(target) {
                sources.remove(source);
                if sources.is_empty() {
                    self.sources.remove(target);
                }
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        ("n".to_owned(), name.to_owned())
    }

    #[test]
    fn a_source_that_points_elsewhere_is_found_there_only() {
        let index = PointerIndex::default();
        index.set(&name("a"), vec![name("old")]);
        index.set(&name("b"), vec![name("old")]);
        assert_eq!(
            index.set(&name("a"), vec![name("new")]),
            [name("old"), name("new")]
        );
        assert_eq!(index.sources(&name("old")), [name("b")]);
        assert_eq!(index.sources(&name("new")), [name("a")]);
        assert_eq!(index.remove(&name("b")), [name("old")]);
        assert!(!index.is_target(&name("old")));
    }

    #[test]
    fn a_new_list_forgets_what_it_lacks() {
        let index = PointerIndex::default();
        index.set(&name("a"), vec![name("t")]);
        index.set(&("m".to_owned(), "b".to_owned()), vec![name("u")]);
        assert_eq!(index.retain_listed(Some("n"), &HashSet::new()), [name("t")]);
        assert!(
            index.is_target(&name("u")),
            "another namespace's watch says nothing of it"
        );
    }
}
