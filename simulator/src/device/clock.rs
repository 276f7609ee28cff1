//! Real time on the line of [`Timestamp`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use stowage_base::Timestamp;

/// UTC as it was at the start, and the monotonic clock since: never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// UTC at `start`, µs.
    utc: i64,
}

impl Clock {
    /// Starts at the system's time.
    pub fn start() -> Self {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), utc: i64::try_from(utc.as_micros()).unwrap_or(0) }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(
            self.utc.saturating_add(i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Waits until `deadline`; for ever if there is none.
    pub async fn sleep_until(&self, deadline: Option<Timestamp>) {
        match deadline {
            None => std::future::pending().await,
            Some(deadline) => tokio::time::sleep(deadline.since(self.now()).into()).await,
        }
    }
}
