//! When calls are made, for how long, and what they took.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};

use tokio::time::Instant;

/// A load under way, which its clients share.
#[derive(Clone)]
pub struct Load(Rc<Shared>);

struct Shared {
    clients: usize,
    /// Between two calls of one client, where there is a rate.
    pause: Option<Duration>,
    end: Cell<Option<Instant>>,
    start: Cell<Option<Instant>>,
    length: Duration,
    left: Cell<u64>,
    times: RefCell<Vec<Duration>>,
    bytes: Cell<usize>,
}

impl Load {
    /// From `clients`, for so long or so many `calls`, in one line or at `rate` calls a second together.
    pub fn new(clients: usize, length: Duration, rate: Option<f64>, calls: Option<u64>) -> Self {
        let pause = rate.map(|rate| {
            Duration::from_secs_f64(f64::from(u32::try_from(clients).unwrap_or(u32::MAX)) / rate)
        });
        Self(Rc::new(Shared {
            clients,
            pause,
            end: Cell::new(None),
            start: Cell::new(None),
            length,
            left: Cell::new(calls.unwrap_or(u64::MAX)),
            times: RefCell::default(),
            bytes: Cell::new(0),
        }))
    }

    pub fn clients(&self) -> usize {
        self.0.clients
    }

    /// Starts the clock; nothing before counts.
    pub fn begin(&self) {
        let now = Instant::now();
        self.0.start.set(Some(now));
        self.0.end.set(Some(now + self.0.length));
    }

    /// Waits until client `number` shall make its call `turn`; false when the load is over.
    pub async fn next(&self, number: usize, turn: u32) -> bool {
        if let (Some(pause), Some(start)) = (self.0.pause, self.0.start.get()) {
            // Spread evenly, and each client at its own moment.
            let share = f64::from(u32::try_from(number).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(self.0.clients).unwrap_or(u32::MAX));
            tokio::time::sleep_until(start + pause.mul_f64(share) + pause * turn).await;
        }
        let over = self.0.end.get().is_some_and(|end| Instant::now() >= end);
        let left = self.0.left.get();
        self.0.left.set(left.saturating_sub(1));
        !over && left > 0
    }

    /// Notes a call's time.
    pub fn took(&self, time: Duration, bytes: usize) {
        self.0.times.borrow_mut().push(time);
        self.0.bytes.set(bytes);
    }

    /// What was measured, in all.
    pub fn measured(&self) -> Measured {
        let mut times = self.0.times.borrow().clone();
        times.sort_unstable();
        let seconds = self
            .0
            .start
            .get()
            .map_or(0.0, |start| start.elapsed().as_secs_f64());
        Measured {
            times,
            seconds,
            bytes: self.0.bytes.get(),
        }
    }
}

/// Times of calls, shortest first.
pub struct Measured {
    times: Vec<Duration>,
    seconds: f64,
    bytes: usize,
}

impl Measured {
    /// Milliseconds that this share of the calls took at most.
    fn ms(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the length"
        )]
        let at = (self.times.len().saturating_sub(1) as f64 * share) as usize;
        self.times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            r#"{{"calls":{},"seconds":{:.3},"p50_ms":{:.3},"p99_ms":{:.3},"max_ms":{:.3},"bytes":{}}}"#,
            self.times.len(),
            self.seconds,
            self.ms(0.5),
            self.ms(0.99),
            self.ms(1.0),
            self.bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_calls_that_counted() {
        let load = Load::new(1, Duration::from_secs(1), None, None);
        for time in 1..=100 {
            load.took(Duration::from_millis(time), 7);
        }
        let measured = load.measured().to_string();
        assert!(measured.starts_with(r#"{"calls":100,"#), "{measured}");
        assert!(
            measured.contains(r#""p50_ms":50.000,"p99_ms":99.000,"max_ms":100.000,"bytes":7"#),
            "{measured}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_by_all_clients_together() {
        let load = Load::new(10, Duration::from_secs(2), Some(100.0), None);
        load.begin();
        let mut turn = 0;
        while load.next(3, turn).await {
            turn += 1;
        }
        assert_eq!(turn, 20, "a tenth of all");
    }

    #[tokio::test]
    async fn so_many_calls_and_no_more() {
        let load = Load::new(1, Duration::from_secs(9), None, Some(3));
        load.begin();
        let mut calls = 0;
        while load.next(0, calls).await {
            calls += 1;
        }
        assert_eq!(calls, 3);
    }
}
