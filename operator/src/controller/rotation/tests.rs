//! Each rule by itself, and a rotation among pods that come, go and lag.

use proptest::prelude::*;

use super::*;

const OLD: KeyId = KeyId([1; 8]);
const NEW: KeyId = KeyId([2; 8]);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn pod(created: i64, seals: KeyId, accepts: &[KeyId]) -> PodKeys {
    PodKeys {
        created: at(created),
        running: true,
        draining: None,
        said: Some((seals, accepts.to_vec())),
    }
}

fn silent(created: i64, running: bool) -> PodKeys {
    PodKeys {
        created: at(created),
        running,
        draining: None,
        said: None,
    }
}

fn rotating() -> SecretKeys {
    SecretKeys {
        sealing: OLD,
        next: Some(NEW),
        since: Some(at(0)),
        acted_on: Some("1".to_owned()),
        ..SecretKeys::default()
    }
}

fn promoted() -> SecretKeys {
    SecretKeys {
        sealing: NEW,
        next: None,
        previous: Some(OLD),
        ..rotating()
    }
}

#[test]
fn ids_are_the_contracts() {
    assert_eq!(KeyId::of(&[7; 32]).to_string(), "c288517c2e65d1dc");
    assert_eq!(KeyId::parse("c288517c2e65d1dc"), Some(KeyId::of(&[7; 32])));
}

#[test]
fn a_new_wish_starts_a_rotation_and_an_old_one_does_not() {
    let rest = |acted_on: Option<&str>| SecretKeys {
        acted_on: acted_on.map(str::to_owned),
        ..SecretKeys::default()
    };
    for (acted_on, wanted, step) in [
        (None, None, Step::Rest),
        (None, Some("1"), Step::Start),
        (Some("1"), Some("1"), Step::Rest),
        (Some("1"), Some("2"), Step::Start),
        (Some("1"), None, Step::Rest),
    ] {
        let pods = [silent(0, true)];
        assert_eq!(
            next_step(&rest(acted_on), wanted, &pods, at(0)),
            step,
            "{acted_on:?} {wanted:?}"
        );
    }
}

#[test]
fn a_key_seals_when_every_pod_accepts_it() {
    let step = |pods: &[PodKeys], now| next_step(&rotating(), Some("1"), pods, at(now));
    let knows = pod(-9, OLD, &[OLD, NEW]);
    let knows_not = pod(-9, OLD, &[OLD]);
    let waits = |pods| Step::Await(Awaited::Acceptance(pods));
    assert_eq!(step(&[knows.clone(), knows_not.clone()], 5), waits(1));
    assert_eq!(
        step(&[knows_not, silent(-9, true)], 9_999_999),
        waits(2),
        "however long it takes"
    );
    assert_eq!(step(&[knows.clone(), knows.clone()], 5), Step::Promote);
    assert_eq!(step(&[], 5), Step::Promote);
    assert_eq!(
        step(&[knows.clone(), silent(3, false)], 5),
        waits(1),
        "it may have mounted the old keys"
    );
    assert_eq!(
        step(&[knows, silent(3, false)], 181),
        Step::Promote,
        "one that never starts"
    );
}

/// The kubelet brings it no new key, however long it drains.
#[test]
fn a_pod_that_drains_is_waited_for_until_no_client_reaches_it() {
    let knows = pod(-9, OLD, &[OLD, NEW]);
    let drains = PodKeys {
        draining: Some(at(0)),
        ..pod(-9, OLD, &[OLD])
    };
    let pods = [knows, drains.clone()];
    let step = |now| next_step(&rotating(), Some("1"), &pods, at(now));
    assert_eq!(step(60), Step::Await(Awaited::Acceptance(1)));
    assert_eq!(step(61), Step::Promote);
    let after = |now| next_step(&promoted(), Some("1"), std::slice::from_ref(&drains), at(now));
    assert_eq!(
        after(3600),
        Step::Await(Awaited::OldPods(1)),
        "its sessions live on"
    );
}

#[test]
fn an_old_key_goes_with_the_last_pod_that_may_have_sealed_with_it() {
    let step = |pods: &[PodKeys], now| next_step(&promoted(), Some("1"), pods, at(now));
    let old_pod = pod(-9, NEW, &[NEW, OLD]);
    let new_pod = pod(61, NEW, &[NEW, OLD]);
    let waits = |awaited| Step::Await(awaited);
    assert_eq!(step(&[pod(61, OLD, &[OLD, NEW])], 99), waits(Awaited::Sealing(1)));
    assert_eq!(
        step(&[silent(61, true), old_pod.clone()], 99),
        waits(Awaited::Sealing(1))
    );
    assert_eq!(
        step(&[old_pod.clone(), new_pod.clone()], 99),
        waits(Awaited::OldPods(1))
    );
    assert_eq!(step(&[new_pod], 99), Step::Unneeded);
    let week = 7 * 86_400;
    assert_eq!(
        step(std::slice::from_ref(&old_pod), week),
        waits(Awaited::OldPods(1))
    );
    assert_eq!(
        step(&[old_pod], week + 601),
        Step::Retire,
        "no session is that old"
    );
    assert_eq!(
        step(&[silent(-9, true)], week + 601),
        waits(Awaited::Sealing(1)),
        "a pod that says nothing may seal with it now"
    );
}

#[test]
fn a_second_wish_waits_for_the_end_of_the_first() {
    let pods = [pod(-9, NEW, &[NEW, OLD])];
    let step = next_step(&promoted(), Some("2"), &pods, at(99));
    assert_eq!(step, Step::Await(Awaited::OldPods(1)));
    let three = SecretKeys {
        next: Some(KeyId([3; 8])),
        ..promoted()
    };
    assert_eq!(
        next_step(&three, Some("2"), &pods, at(99)),
        step,
        "no room for a second old key"
    );
}

#[test]
fn keys_put_in_by_hand_get_a_time() {
    for keys in [rotating(), promoted()] {
        let keys = SecretKeys { since: None, ..keys };
        assert_eq!(next_step(&keys, None, &[], at(0)), Step::Stamp);
    }
}

/// What happens between two looks of the operator.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Seconds pass, and each pod that lags by no more has the Secret of now.
    Time(u16),
    /// A pod is put on a node and mounts the Secret; later changes of it reach the pod after `lag` seconds.
    Start { lag: u8 },
    /// A pod's containers run.
    Run(u8),
    /// A pod is asked to end, and drains.
    Drain(u8),
    /// A pod is gone.
    End(u8),
    /// The operator hears of a pod.
    Poll(u8),
    /// Somebody asks for another rotation.
    Wish,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (1_u16..300).prop_map(Happens::Time),
        1 => (30_000_u16..).prop_map(Happens::Time),
        2 => (0_u8..120).prop_map(|lag| Happens::Start { lag }),
        4 => any::<u8>().prop_map(Happens::Run),
        2 => any::<u8>().prop_map(Happens::Drain),
        2 => any::<u8>().prop_map(Happens::End),
        8 => any::<u8>().prop_map(Happens::Poll),
        1 => Just(Happens::Wish),
    ]
}

/// A pod as it is, beside what the operator knows of it.
struct RealPod {
    known: PodKeys,
    lag: i64,
    /// The Secret as it sees it, and since when the Secret was so.
    mounted: SecretKeys,
    version: i64,
    /// Keys that it sealed with, and when last.
    sealed: Vec<(KeyId, i64)>,
}

#[derive(Default)]
struct World {
    now: i64,
    pods: Vec<RealPod>,
    secret: SecretKeys,
    /// The Secret's content from each second on.
    history: Vec<(i64, SecretKeys)>,
    wish: u32,
    keys_made: u64,
}

impl World {
    fn write(&mut self, change: impl FnOnce(&mut SecretKeys)) {
        change(&mut self.secret);
        self.history.push((self.now, self.secret.clone()));
    }

    fn new_key(&mut self) -> KeyId {
        self.keys_made += 1;
        KeyId(self.keys_made.to_be_bytes())
    }

    fn happen(&mut self, what: Happens) {
        let count = self.pods.len();
        let pick = |number: u8| (count > 0).then(|| usize::from(number) % count.max(1));
        match what {
            Happens::Time(seconds) => self.now += i64::from(seconds),
            Happens::Start { lag } if count < 6 => self.pods.push(RealPod {
                known: silent(self.now, false),
                lag: i64::from(lag),
                mounted: self.secret.clone(),
                version: self.now,
                sealed: Vec::new(),
            }),
            Happens::Run(pod) => {
                if let Some(pod) = pick(pod) {
                    self.pods[pod].known.running = true;
                }
            }
            Happens::Drain(pod) => {
                if let Some(pod) = pick(pod) {
                    let now = at(self.now);
                    self.pods[pod].known.draining.get_or_insert(now);
                }
            }
            Happens::End(pod) => {
                if let Some(pod) = pick(pod) {
                    self.pods.swap_remove(pod);
                }
            }
            Happens::Poll(pod) => {
                if let Some(pod) = pick(pod).map(|pod| &mut self.pods[pod])
                    && pod.known.running
                {
                    let keys = &pod.mounted;
                    let accepted = [Some(keys.sealing), keys.next, keys.previous];
                    pod.known.said = Some((keys.sealing, accepted.into_iter().flatten().collect()));
                }
            }
            Happens::Wish => self.wish += 1,
            Happens::Start { .. } => {}
        }
        for pod in &mut self.pods {
            if pod.known.draining.is_some() {
                // No new sessions, and no new keys.
                continue;
            }
            let seen = self
                .history
                .iter()
                .rev()
                .find(|(since, _)| *since + pod.lag <= self.now);
            // What is mounted never becomes older than it was at the start.
            if let Some((version, keys)) = seen.filter(|(version, _)| *version >= pod.version) {
                (pod.version, pod.mounted) = (*version, keys.clone());
            }
            if pod.known.running {
                let sealing = pod.mounted.sealing;
                pod.sealed.retain(|(key, _)| *key != sealing);
                pod.sealed.push((sealing, self.now));
            }
        }
    }

    fn look(&mut self) -> Result<(), TestCaseError> {
        let wanted = self.wish.to_string();
        let pods: Vec<_> = self.pods.iter().map(|pod| pod.known.clone()).collect();
        let now = at(self.now);
        match next_step(&self.secret, Some(&wanted), &pods, now) {
            Step::Rest | Step::Await(_) => {}
            Step::Stamp => prop_assert!(false, "each step notes its time"),
            Step::Start => {
                let key = self.new_key();
                self.write(|keys| {
                    keys.next = Some(key);
                    keys.acted_on = Some(wanted);
                    keys.since = Some(now);
                });
            }
            Step::Promote => {
                let next = self.secret.next.unwrap_or_default();
                let reached = |pod: &&RealPod| {
                    let began = pod.known.draining;
                    pod.known.running && began.is_none_or(|began| now.duration_since(began).as_secs() <= 60)
                };
                for pod in self.pods.iter().filter(reached) {
                    let knows = pod.mounted.next == Some(next) || pod.mounted.sealing == next;
                    prop_assert!(knows, "a running pod does not accept the key that is to seal");
                }
                prop_assert_eq!(self.secret.previous, None, "an old key would be lost");
                self.write(|keys| {
                    keys.previous = Some(std::mem::replace(&mut keys.sealing, next));
                    keys.next = None;
                    keys.since = Some(now);
                });
            }
            Step::Retire | Step::Unneeded => {
                let previous = self.secret.previous.unwrap_or_default();
                for pod in &self.pods {
                    let sealed = pod.sealed.iter().find(|(key, _)| *key == previous);
                    let left = sealed.is_some_and(|(_, last)| last + 7 * 86_400 > self.now);
                    prop_assert!(
                        !left,
                        "a pod has sessions that were sealed with the key that goes"
                    );
                }
                self.write(|keys| {
                    keys.previous = None;
                    keys.since = None;
                });
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_pod_is_ever_asked_for_a_key_that_it_does_not_know(
        happenings in prop::collection::vec(happens(), 1..120)
    ) {
        let mut world = World::default();
        let first = world.new_key();
        world.write(|keys| keys.sealing = first);
        world.secret.acted_on = Some("0".to_owned());
        for happening in happenings {
            world.happen(happening);
            world.look()?;
        }
    }
}

#[test]
fn a_key_that_is_as_old_as_it_may_be_is_followed_by_another() {
    let due = SecretKeys {
        sealing: OLD,
        due: true,
        ..SecretKeys::default()
    };
    assert_eq!(next_step(&due, None, &[], at(0)), Step::Start);
    let under_way = SecretKeys {
        due: true,
        ..promoted()
    };
    assert_ne!(
        next_step(&under_way, None, &[], at(0)),
        Step::Start,
        "one after the other"
    );
}

#[test]
fn a_token_is_promoted_by_pods_and_retired_by_time() {
    let token = |keys| SecretKeys {
        material: Material::Token,
        ..keys
    };
    let knows = pod(0, KeyId::default(), &[OLD, NEW]);
    let lags = pod(0, KeyId::default(), &[OLD]);
    let step = |keys, pods: &[PodKeys], now| next_step(&token(keys), None, pods, at(now));
    assert_eq!(
        step(rotating(), &[knows.clone(), lags.clone()], 90),
        Step::Await(Awaited::Acceptance(1))
    );
    assert_eq!(step(rotating(), std::slice::from_ref(&knows), 90), Step::Promote);
    for now in [0, 90, 7 * 86_400] {
        assert_eq!(
            step(promoted(), &[], now),
            Step::Await(Awaited::Clients),
            "whatever becomes of pods"
        );
    }
    assert_eq!(step(promoted(), &[lags], 7 * 86_400 + 601), Step::Retire);
}
