//! What was last applied, so that a write is not repeated and drift can be told from a change.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{kinds::ChildKind, owned::Digest};

/// What was asked for and what the API server made of it.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// Digest of what was applied.
    pub desired: Digest,
    /// Digest of our fields in the answer. It differs from `desired` where the API server writes a
    /// value in another form (`1000m` becomes `1`); without it such a child would be applied for ever.
    pub answered: Option<Digest>,
}

/// The last application of each child, by its owner's uid.
#[derive(Debug, Default)]
pub struct Memory {
    applied: Mutex<HashMap<String, HashMap<ChildKind, Applied>>>,
}

impl Memory {
    /// The last application.
    #[must_use]
    pub fn get(&self, owner: &str, kind: ChildKind) -> Option<Applied> {
        self.applied
            .lock()
            .get(owner)
            .and_then(|kinds| kinds.get(&kind))
            .copied()
    }

    /// Notes an application, or that a child is as it should be.
    pub fn set(&self, owner: &str, kind: ChildKind, applied: Applied) {
        self.applied
            .lock()
            .entry(owner.to_owned())
            .or_default()
            .insert(kind, applied);
    }

    /// Forgets one child, because it is no longer wanted.
    pub fn remove(&self, owner: &str, kind: ChildKind) {
        if let Some(kinds) = self.applied.lock().get_mut(owner) {
            kinds.remove(&kind);
        }
    }

    /// Forgets all children of an owner that is gone.
    pub fn forget(&self, owner: &str) {
        self.applied.lock().remove(owner);
    }
}
