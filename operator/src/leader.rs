//! Leader election by a Lease, with the semantics of client-go: writes carry resourceVersion, expiry
//! is judged by this process's own clock from the moment it saw the Lease change, and a leader that
//! cannot renew stops by itself before anybody else may start.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use tokio_util::sync::CancellationToken;

use crate::{OPERATOR, controller::watch::chain, fence::Fence};

/// How long a Lease holds without renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(10);
/// A leader that could not renew for this long stops. Less than the lease, so that two never act.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// Pause between tries.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// Pause before the next try when somebody else wrote the Lease in the moment between our look and our write.
const RACED: Duration = Duration::from_millis(50);

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// There is none, or nobody holds it, or its holder is gone: take it.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// Somebody holds it.
    Wait,
}

/// Decides from the Lease's holder, how long this process has seen the Lease unchanged, and how long
/// the holder asked for.
#[must_use]
pub fn decide(holder: Option<&str>, me: &str, unchanged: Duration, lease: Duration) -> Decision {
    match holder {
        None | Some("") => Decision::Acquire,
        Some(holder) if holder == me => Decision::Renew,
        Some(_) if unchanged > lease => Decision::Acquire,
        Some(_) => Decision::Wait,
    }
}

/// What one try to take or renew the Lease came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Attempt {
    /// It is ours.
    Ours,
    /// Somebody else has it.
    Theirs,
    /// Somebody wrote to it meanwhile: perhaps to take it, perhaps only an annotation. The next look tells.
    Raced,
}

/// One candidate for the Lease.
pub struct Elector {
    api: Api<Lease>,
    lease: String,
    namespace: String,
    me: String,
    /// The Lease's resourceVersion as last seen, and when it became that.
    seen: Option<(String, Instant)>,
    /// The Lease as we wrote it last: the next renewal needs no look.
    written: Option<Lease>,
    /// When the last write was begun.
    asked: Instant,
    /// When the write was begun that took or renewed it last: the API server may have written it right then.
    renewed: Option<Instant>,
    /// Shuts when the term ends.
    fence: Fence,
}

impl Elector {
    /// A candidate named `me` for the Lease of the operators of `class` in `namespace`. From its first term on, `fence` is
    /// open as long as that may last.
    #[must_use]
    pub fn new(client: Client, class: Option<&str>, namespace: &str, me: &str, fence: Fence) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            lease: match class {
                Some(class) => format!("{OPERATOR}-{class}"),
                None => OPERATOR.to_owned(),
            },
            namespace: namespace.to_owned(),
            me: me.to_owned(),
            seen: None,
            written: None,
            asked: Instant::now(),
            renewed: None,
            fence,
        }
    }

    /// Waits until this process is the leader, or until `stop`; says whether it leads.
    ///
    /// A Lease that is given up is seen by a watch, and so taken at once. Whether one has run out is seen by looking
    /// again and again, with or without that watch.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        let mut told = false;
        let mut changes = watcher::watch_object(self.api.clone(), &self.lease)
            .default_backoff()
            .filter(|change| std::future::ready(matches!(change, Ok(lease) if is_free(lease.as_ref()))))
            .boxed();
        loop {
            match self.attempt().await {
                Ok(Attempt::Ours) => return true,
                Ok(Attempt::Theirs) if !told => {
                    told = true;
                    tracing::info!(
                        lease = self.lease,
                        namespace = self.namespace,
                        "another operator leads; standing by"
                    );
                }
                Ok(Attempt::Theirs | Attempt::Raced) => {}
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "cannot read or write the Lease; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                Some(_) = changes.next() => {}
                () = tokio::time::sleep(RETRY_PERIOD) => {}
            }
        }
    }

    /// Renews until `stop` (then `true`), or until the Lease is lost (then `false`).
    pub async fn hold(&mut self, stop: &CancellationToken) -> bool {
        let mut pause = RETRY_PERIOD;
        loop {
            tokio::select! {
                () = stop.cancelled() => return true,
                () = tokio::time::sleep(pause) => {}
            }
            let started = Instant::now();
            let mut every = RETRY_PERIOD;
            match tokio::time::timeout(self.left(), self.attempt()).await {
                Ok(Ok(Attempt::Ours)) => {}
                Ok(Ok(Attempt::Theirs)) => return false,
                Ok(Ok(Attempt::Raced)) => every = RACED,
                Ok(Err(error)) => {
                    tracing::warn!(error = %chain(&error), "cannot renew the Lease; trying again");
                }
                Err(_) => tracing::warn!("the API server did not answer a renewal of the Lease"),
            }
            if self.left().is_zero() {
                return false;
            }
            // From start to start: behind a slow API server the next try begins at once.
            pause = every.saturating_sub(started.elapsed());
        }
    }

    /// How much of the term is left.
    fn left(&self) -> Duration {
        self.renewed.map_or(Duration::ZERO, |renewed| {
            RENEW_DEADLINE.saturating_sub(renewed.elapsed())
        })
    }

    /// Gives the Lease up, so that another operator can start at once.
    pub async fn release(&mut self) {
        let outcome = async {
            let Some(mut lease) = self.api.get_opt(&self.lease).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.me) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            self.api
                .replace(&self.lease, &PostParams::default(), &lease)
                .await
                .map(|_| ())
        };
        match tokio::time::timeout(RETRY_PERIOD, outcome).await {
            Ok(Ok(())) => {}
            Ok(Err::<(), kube::Error>(error)) => {
                tracing::warn!(error = %chain(&error), "cannot release the Lease");
            }
            Err(_) => tracing::warn!("the API server did not answer the release of the Lease"),
        }
    }

    /// One try to take or renew the Lease.
    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let attempt = self.write().await?;
        if attempt == Attempt::Ours {
            self.renewed = Some(self.asked);
            self.fence.shut_at(self.asked + RENEW_DEADLINE);
        }
        Ok(attempt)
    }

    async fn write(&mut self) -> Result<Attempt, kube::Error> {
        let now = MicroTime(jiff::Timestamp::now());
        // A renewal: most likely it is as we left it. If not, it is looked at.
        if let Some(mut lease) = self.written.take() {
            lease.spec.get_or_insert_default().renew_time = Some(now.clone());
            let params = PostParams::default();
            self.asked = Instant::now();
            let answer = self.api.replace(&self.lease, &params, &lease).await;
            if self.take_in(answer)? == Attempt::Ours {
                return Ok(Attempt::Ours);
            }
        }
        let Some(mut lease) = self.api.get_opt(&self.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.lease.clone()),
                    namespace: Some(self.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(LeaseSpec {
                    holder_identity: Some(self.me.clone()),
                    lease_duration_seconds: Some(seconds(LEASE_DURATION)),
                    acquire_time: Some(now.clone()),
                    renew_time: Some(now),
                    lease_transitions: Some(0),
                    ..LeaseSpec::default()
                }),
            };
            self.asked = Instant::now();
            let answer = self.api.create(&PostParams::default(), &lease).await;
            return self.take_in(answer);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));

        let spec = lease.spec.get_or_insert_default();
        let asked = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        match decide(
            spec.holder_identity.as_deref(),
            &self.me,
            since.elapsed(),
            Duration::from_secs(asked),
        ) {
            Decision::Wait => return Ok(Attempt::Theirs),
            Decision::Renew => {}
            Decision::Acquire => {
                spec.acquire_time = Some(now.clone());
                spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default() + 1);
            }
        }
        spec.holder_identity = Some(self.me.clone());
        spec.lease_duration_seconds = Some(seconds(LEASE_DURATION));
        spec.renew_time = Some(now);
        // The resourceVersion that was read goes along: of two writers one gets a conflict.
        let params = PostParams::default();
        self.asked = Instant::now();
        let answer = self.api.replace(&self.lease, &params, &lease).await;
        self.take_in(answer)
    }

    /// Takes in the answer to a write of ours.
    fn take_in(&mut self, answer: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
        match answer {
            Ok(lease) => {
                self.written = Some(lease);
                Ok(Attempt::Ours)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::Raced),
            Err(error) => Err(error),
        }
    }
}

/// Whether nobody holds a Lease.
fn is_free(lease: Option<&Lease>) -> bool {
    lease
        .and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref())
        .is_none_or(str::is_empty)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_free_lease_is_taken_and_a_held_one_waited_for() {
        let lease = LEASE_DURATION;
        assert_eq!(decide(None, "a", Duration::ZERO, lease), Decision::Acquire);
        assert_eq!(decide(Some(""), "a", Duration::ZERO, lease), Decision::Acquire);
        assert_eq!(decide(Some("a"), "a", lease * 9, lease), Decision::Renew);
        assert_eq!(decide(Some("b"), "a", lease, lease), Decision::Wait);
        assert_eq!(
            decide(Some("b"), "a", lease + Duration::from_millis(1), lease),
            Decision::Acquire
        );
    }

    proptest! {
        /// A holder that renews at its latest moment is never overtaken: whoever waits has seen the
        /// Lease unchanged for at most the deadline and one retry, whatever the clocks say.
        #[test]
        fn a_renewing_leader_is_never_overtaken(late_ms in 0_u64..=7_000, me in "[a-z]{1,8}") {
            prop_assume!(me != "leader");
            let seen = Duration::from_millis(late_ms);
            prop_assert_eq!(decide(Some("leader"), &me, seen, LEASE_DURATION), Decision::Wait);
        }
    }

    #[test]
    fn the_deadline_leaves_time_before_the_lease_ends() {
        assert!(
            RENEW_DEADLINE + RETRY_PERIOD < LEASE_DURATION,
            "a leader stops before another may start"
        );
    }
}
