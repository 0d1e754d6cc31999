//! What was last applied, so that a write is not repeated and drift can be told from a change.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::{kinds::ChildKind, owned::Digest, uid::Uid};

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
    applied: Mutex<HashMap<Uid, Vec<(ChildKind, Applied)>>>,
    in_the_way: Mutex<HashSet<(Uid, ChildKind)>>,
}

impl Memory {
    /// The last application.
    #[must_use]
    pub fn get(&self, owner: &str, kind: ChildKind) -> Option<Applied> {
        let applied = self.applied.lock();
        let kinds = applied.get(&Uid::from(owner))?;
        kinds
            .iter()
            .find(|(known, _)| *known == kind)
            .map(|(_, applied)| *applied)
    }

    /// Notes an application, or that a child is as it should be.
    pub fn set(&self, owner: &str, kind: ChildKind, applied: Applied) {
        let mut all = self.applied.lock();
        let kinds = all.entry(owner.into()).or_default();
        if let Some((_, known)) = kinds.iter_mut().find(|(known, _)| *known == kind) {
            *known = applied;
        } else {
            kinds.reserve_exact(1);
            kinds.push((kind, applied));
        }
    }

    /// Whether an object of somebody else's had the child's name when it was looked at last.
    #[must_use]
    pub fn is_in_the_way(&self, owner: &str, kind: ChildKind) -> bool {
        let all = self.in_the_way.lock();
        !all.is_empty() && all.contains(&(owner.into(), kind))
    }

    /// Notes whether one has.
    pub fn set_in_the_way(&self, owner: &str, kind: ChildKind, is: bool) {
        let key = (owner.into(), kind);
        let mut all = self.in_the_way.lock();
        if is {
            all.insert(key);
        } else {
            all.remove(&key);
        }
    }

    /// Forgets one child, because it is no longer wanted.
    pub fn remove(&self, owner: &str, kind: ChildKind) {
        if let Some(kinds) = self.applied.lock().get_mut(&Uid::from(owner)) {
            kinds.retain(|(known, _)| *known != kind);
        }
    }

    /// Forgets all children of an owner that is gone.
    pub fn forget(&self, owner: &str) {
        let owner = Uid::from(owner);
        self.applied.lock().remove(&owner);
        self.in_the_way.lock().retain(|(of, _)| *of != owner);
    }
}
