//! How long to wait between attempts, and when to give up.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// Doublings that lead from the shortest wait past the longest.
const LONGEST_AFTER: u32 = 7;

/// One outage: waits double from attempt to attempt, until it has lasted too long.
#[derive(Debug)]
pub(crate) struct Backoff {
    limit: Duration,
    attempts: u32,
    since: Option<Instant>,
}

impl Backoff {
    /// Gives up so long after the first failure.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, attempts: 0, since: None }
    }

    /// The outage is over.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.limit);
    }

    /// How long to wait before another attempt, after an error; none when there shall be no other.
    /// Only what is unavailable is tried again.
    pub(crate) fn next(&mut self, error: &Error) -> Option<Duration> {
        match error {
            Error::Unavailable(failure) => self.delay(failure.retry_delay.unwrap_or_default()),
            _ => None,
        }
    }

    /// How long to wait before another attempt, if there shall be one. It is a little longer than
    /// the server asks for, so that not all clients come back at once.
    pub(crate) fn delay(&mut self, asked_for: Duration) -> Option<Duration> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let doubled = SHORTEST * 2_u32.pow(self.attempts.min(LONGEST_AFTER));
        self.attempts += 1;
        let jittered = doubled.min(LONGEST).mul_f64(0.5 + random() / 2.0);
        let delay = asked_for.saturating_add(jittered);
        ((now - since).saturating_add(delay) <= self.limit).then_some(delay)
    }
}

/// A request id that nobody else uses.
pub(crate) fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A number from 0 to 1.
fn random() -> f64 {
    // The lowest bits of such an id are random, and there are enough of them to spread attempts.
    let bits = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    fn unavailable() -> Error {
        Status::unavailable("gone").into()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_ten_seconds() {
        let mut backoff = Backoff::new(Duration::MAX);
        for expected in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0] {
            let delay = backoff.next(&unavailable()).unwrap().as_secs_f64();
            assert!((expected / 2.0..=expected).contains(&delay), "{delay} for {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_over_after_its_limit() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let began = Instant::now();
        while let Some(delay) = backoff.next(&unavailable()) {
            tokio::time::sleep(delay).await;
            assert!(began.elapsed() <= Duration::from_secs(1) + Duration::from_millis(9));
        }
        assert!(began.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        while let Some(delay) = backoff.next(&unavailable()) {
            tokio::time::sleep(delay).await;
        }
        backoff.reset();
        assert!(backoff.next(&unavailable()).unwrap() <= SHORTEST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_more() {
        let delay = Backoff::new(Duration::MAX).delay(Duration::from_secs(3)).unwrap();
        assert!((3.05..=3.1).contains(&delay.as_secs_f64()));
        assert_eq!(Backoff::new(Duration::from_secs(1)).delay(Duration::from_secs(3)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_unavailable_is_tried_again() {
        let mut backoff = Backoff::new(Duration::MAX);
        assert_eq!(backoff.next(&Status::internal("broken").into()), None);
        assert_eq!(backoff.next(&Status::aborted("changed").into()), None);
    }
}
