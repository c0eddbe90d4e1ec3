//! The token that a service mints, until it expires.

use chrono::{DateTime, TimeDelta, Utc};

/// The minted token that is valid now, if any.
#[derive(Default)]
pub(super) struct MintedToken {
    count: usize,
    ends: Option<DateTime<Utc>>,
}

impl MintedToken {
    /// Mints a token, or returns the current one until it expires, and how long it is still valid.
    pub(super) fn mint(&mut self, now: DateTime<Utc>, life: TimeDelta) -> (String, TimeDelta) {
        let ends = match self.ends.filter(|&ends| ends > now) {
            Some(ends) => ends,
            None => {
                self.count += 1;
                now + life
            }
        };
        self.ends = Some(ends);
        (self.token(), ends - now)
    }

    /// Expires the token early.
    pub(super) fn end(&mut self) {
        self.ends = None;
    }

    /// Whether this is the valid token.
    pub(super) fn accepts(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.ends.is_some_and(|ends| ends > now) && token == self.token()
    }

    fn token(&self) -> String {
        format!("sandbox-minted-{}", self.count)
    }
}
