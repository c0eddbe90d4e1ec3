//! A token that a service mints for a while.

use chrono::{DateTime, TimeDelta, Utc};

/// The minted token that is good now, if any.
#[derive(Default)]
pub(super) struct Minted {
    count: usize,
    ends: Option<DateTime<Utc>>,
}

impl Minted {
    /// Mints a token, or gives the same one again until it ends, and says for how long it is good.
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

    /// Ends the token before its time.
    pub(super) fn end(&mut self) {
        self.ends = None;
    }

    /// Whether this is the token that is good now.
    pub(super) fn accepts(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.ends.is_some_and(|ends| ends > now) && token == self.token()
    }

    fn token(&self) -> String {
        format!("sandbox-minted-{}", self.count)
    }
}
