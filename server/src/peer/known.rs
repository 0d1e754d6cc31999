//! Which other replicas there are, as far as messages between them have told.
//!
//! Whoever passes a message on says who it is, and is told in the answer whom the other knows. Nobody is asked and
//! nothing is configured; it serves to find a client that has come back after its replica was killed.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{hex, transport::sse::session_id::Owner};

/// How long a replica that is not heard of is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Replicas that are remembered: as many as find room in a header.
const MOST: usize = 32;

/// Replicas that were heard of.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<[u8; 16], (SocketAddr, Instant)>>);

impl Known {
    /// Remembers a replica.
    pub fn heard(&self, replica: &Owner) {
        let Some(address) = replica.address else { return };
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.retain(|_, (_, heard)| heard.elapsed() < REMEMBERED);
        }
        if known.len() < MOST || known.contains_key(&replica.uid) {
            known.insert(replica.uid, (address, Instant::now()));
        }
    }

    /// Forgets one that is gone.
    pub fn gone(&self, replica: &Owner) {
        self.0.lock().remove(&replica.uid);
    }

    /// All that are remembered.
    #[must_use]
    pub fn all(&self) -> Vec<Owner> {
        let known = self.0.lock();
        let fresh = known
            .iter()
            .filter(|(_, (_, heard))| heard.elapsed() < REMEMBERED);
        fresh
            .map(|(uid, (address, _))| Owner {
                uid: *uid,
                address: Some(*address),
            })
            .collect()
    }
}

/// Replicas as text, for a header.
#[must_use]
pub fn write(replicas: &[Owner]) -> String {
    let one = |replica: &Owner| Some(format!("{}@{}", hex::encode(&replica.uid), replica.address?));
    replicas.iter().filter_map(one).collect::<Vec<_>>().join(",")
}

/// Reads such a text; what is none is left out.
#[must_use]
pub fn read(text: &str) -> Vec<Owner> {
    let one = |text: &str| {
        let (uid, address) = text.split_once('@')?;
        Some(Owner {
            uid: hex::decode(uid)?.try_into().ok()?,
            address: Some(address.parse().ok()?),
        })
    };
    text.split(',').take(MOST).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(number: u8) -> Owner {
        Owner {
            uid: [number; 16],
            address: Some(SocketAddr::from(([10, 0, 0, number], 9091))),
        }
    }

    #[test]
    fn replicas_there_and_back() {
        let mut replicas = vec![replica(1), replica(2)];
        replicas[1].address = "[fd00::2]:9091".parse().ok();
        assert_eq!(read(&write(&replicas)), replicas);
        assert_eq!(read("nonsense,@,zz@10.0.0.1:1"), []);
    }

    #[tokio::test(start_paused = true)]
    async fn those_not_heard_of_make_room() {
        let known = Known::default();
        for number in 0..=u8::try_from(MOST).expect("few") {
            known.heard(&replica(number));
        }
        assert_eq!(known.all().len(), MOST);
        tokio::time::advance(REMEMBERED).await;
        known.heard(&replica(200));
        assert_eq!(known.all(), [replica(200)]);
        known.gone(&replica(200));
        assert_eq!(known.all(), []);
    }
}
