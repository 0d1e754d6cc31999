//! Waiting: a condition with a deadline, never a pause.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest wait for what the operator or the control plane does within milliseconds when the machine
/// is not busy.
pub const SOON: Duration = Duration::from_secs(30);

/// Looks until it finds, and panics with what it saw last when `within` is over.
pub async fn eventually<T, Look, Looking>(within: Duration, what: &str, look: Look) -> T
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Result<T, String>>,
{
    match found(within, what, look).await {
        Ok(found) => found,
        Err(problem) => panic!("{problem}"),
    }
}

/// Looks until it finds, or until `within` is over.
///
/// # Errors
/// What was waited for, and what was seen last.
pub async fn found<T, Look, Looking>(within: Duration, what: &str, mut look: Look) -> Result<T, String>
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if start.elapsed() >= within => {
                return Err(format!(
                    "waited {} s for: {what}\n  last seen: {seen}",
                    within.as_secs()
                ));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Looks until it has seen the same for `still`, and gives that.
pub async fn steady<T, Look, Looking>(within: Duration, still: Duration, what: &str, mut look: Look) -> T
where
    T: PartialEq + std::fmt::Debug,
    Look: FnMut() -> Looking,
    Looking: Future<Output = T>,
{
    let start = Instant::now();
    let mut seen = look().await;
    let mut since = Instant::now();
    while since.elapsed() < still {
        assert!(
            start.elapsed() < within,
            "waited {} s for an end of: {what}\n  last seen: {seen:?}",
            within.as_secs()
        );
        tokio::time::sleep(PAUSE).await;
        let now = look().await;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

/// `Ok` when `holds`, else what was seen.
///
/// # Errors
/// `seen`, when it does not hold.
pub fn when(holds: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{seen:?}")) }
}
