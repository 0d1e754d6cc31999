//! Moves a fleet to the templates that this operator renders: a few servers at a time, and no more once one fails.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::index::Name;

/// Which servers get their new template now.
#[derive(Debug)]
pub struct Roll {
    /// How many at a time; 0: none, each waits for a change of its spec.
    most: usize,
    servers: Mutex<Servers>,
}

#[derive(Debug, Default)]
struct Servers {
    /// Those whose template is held back.
    waiting: BTreeSet<Name>,
    /// Those whose pods are being replaced.
    rolling: BTreeSet<Name>,
    /// Those of `rolling` that do not come to an end.
    failing: BTreeSet<Name>,
}

/// How far a fleet is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Servers whose template is held back.
    pub waiting: usize,
    /// Servers whose pods are being replaced.
    pub rolling: usize,
    /// Servers that do not come to an end: while there is one, no other begins.
    pub failing: usize,
}

impl Roll {
    /// A roll of `most` servers at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            servers: Mutex::default(),
        }
    }

    /// Whether `server`, whose template is held back, may have it now.
    pub fn admits(&self, server: &Name) -> bool {
        let mut servers = self.servers.lock();
        let free = servers.rolling.len() < self.most && servers.failing.is_empty();
        if servers.rolling.contains(server) || free {
            servers.waiting.remove(server);
            servers.rolling.insert(server.clone());
            return true;
        }
        servers.waiting.insert(server.clone());
        false
    }

    /// Notes how a server whose template is not held back fares: `complete` when all pods run it, `failing` when that
    /// does not come about. Gives the servers that may begin, to be looked at.
    #[must_use]
    pub fn note(&self, server: &Name, complete: bool, failing: bool) -> Vec<Name> {
        let mut servers = self.servers.lock();
        servers.waiting.remove(server);
        if !servers.rolling.contains(server) {
            return Vec::new();
        }
        if failing {
            servers.failing.insert(server.clone());
        } else {
            servers.failing.remove(server);
        }
        if complete && !failing {
            servers.rolling.remove(server);
        }
        servers.next(self.most)
    }

    /// Forgets a server that is gone; gives those that may begin.
    #[must_use]
    pub fn forget(&self, server: &Name) -> Vec<Name> {
        let mut servers = self.servers.lock();
        servers.waiting.remove(server);
        servers.failing.remove(server);
        if servers.rolling.remove(server) {
            servers.next(self.most)
        } else {
            Vec::new()
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let servers = self.servers.lock();
        Progress {
            waiting: servers.waiting.len(),
            rolling: servers.rolling.len(),
            failing: servers.failing.len(),
        }
    }
}

impl Servers {
    fn next(&self, most: usize) -> Vec<Name> {
        if !self.failing.is_empty() {
            return Vec::new();
        }
        let free = most.saturating_sub(self.rolling.len());
        self.waiting.iter().take(free).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> Name {
        ("n".to_owned(), format!("s{number}"))
    }

    #[test]
    fn so_many_at_a_time_and_the_next_when_one_is_done() {
        let roll = Roll::new(2);
        let admitted: Vec<_> = (0..4).map(|n| roll.admits(&name(n))).collect();
        assert_eq!(admitted, [true, true, false, false]);
        assert_eq!(roll.note(&name(0), false, false), []);
        assert_eq!(roll.note(&name(0), true, false), [name(2)]);
        assert!(roll.admits(&name(2)));
        assert!(!roll.admits(&name(3)));
        assert_eq!(roll.forget(&name(1)), [name(3)]);
    }

    #[test]
    fn one_that_fails_holds_up_the_others_until_it_is_well() {
        let roll = Roll::new(2);
        assert!(roll.admits(&name(0)));
        assert_eq!(roll.note(&name(0), false, true), []);
        assert!(!roll.admits(&name(1)), "a place is free, but the first one fails");
        assert_eq!(
            roll.progress(),
            Progress {
                waiting: 1,
                rolling: 1,
                failing: 1
            }
        );
        assert_eq!(roll.note(&name(0), true, false), [name(1)]);
    }

    #[test]
    fn nothing_moves_by_default() {
        let roll = Roll::new(0);
        assert!(!roll.admits(&name(0)));
        assert_eq!(roll.note(&name(1), true, false), []);
        assert_eq!(roll.progress().waiting, 1);
    }

    proptest! {
        /// Whatever happens in whatever order: never more than so many, and none begins while one fails.
        #[test]
        fn never_more_than_so_many(steps in prop::collection::vec((0_usize..6, 0_u8..4), 0..200), most in 0_usize..4) {
            let roll = Roll::new(most);
            for (number, what) in steps {
                let before = roll.progress();
                let server = name(number);
                let begins = match what {
                    0 => {
                        roll.admits(&server);
                        Vec::new()
                    }
                    1 => roll.note(&server, true, false),
                    2 => roll.note(&server, false, true),
                    _ => roll.forget(&server),
                };
                let after = roll.progress();
                prop_assert!(after.rolling <= most);
                if before.failing > 0 && what == 0 {
                    prop_assert!(after.rolling <= before.rolling);
                }
                prop_assert!(after.rolling + begins.len() <= most.max(after.rolling));
            }
        }
    }
}
