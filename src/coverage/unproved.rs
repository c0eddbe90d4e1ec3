//! A span that was filed as the service gave it, although that cannot be proved to be everything.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Covered;
use super::asked::Asked;
use super::gap::USUAL_PAUSE;
use crate::window::Window;

/// After an hour it is asked for again, then after two, and so on, up to a day: most services are in trouble for a while only.
const FIRST_PAUSE: TimeDelta = TimeDelta::hours(1);
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(1);

/// A span that was filed as the service gave it, since its answers contradicted each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unproved {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
    /// What contradicts what.
    pub(crate) reason: String,
    /// When the run began that asked for it last.
    pub(crate) asked_at: DateTime<Utc>,
    /// How often it was asked for again.
    pub(crate) repeats: u32,
}

impl Unproved {
    /// Returns what of a span was filed as the service gave it, by a run that began at `at`.
    pub(super) fn of(asked: &Asked, at: DateTime<Utc>) -> Option<Self> {
        Some(Self {
            from: asked.as_given_from?,
            to: asked.to,
            reason: asked.error.clone().unwrap_or_default(),
            asked_at: at,
            repeats: 0,
        })
    }

    pub(super) fn span(&self) -> Window {
        Window {
            from: self.from,
            to: self.to,
        }
    }

    /// Joins it with one that it touches. It is to be asked for again when the first of both is, unless it is one, asked
    /// for again.
    pub(super) fn join(&mut self, other: &Self) {
        if self.span().holds(other.span()) {
            self.repeats = self.repeats.max(other.repeats.saturating_add(1));
        } else {
            self.asked_at = self.asked_at.min(other.asked_at);
            self.repeats = other.repeats;
        }
        (self.from, self.to) = (self.from.min(other.from), self.to.max(other.to));
    }

    pub(super) fn touches(&self, span: Window) -> bool {
        self.from <= span.to && span.from <= self.to
    }

    /// Cuts it down to what is not covered; returns whether that is anything: not what the service forgot between two runs.
    pub(super) fn is_left_by(&mut self, covered: &Covered, kept: DateTime<Utc>) -> bool {
        let mut rest = Covered::default();
        rest.add(self.span());
        covered.spans().iter().for_each(|span| rest.remove(*span));
        let (Some(first), Some(last)) = (rest.spans().first(), rest.spans().last()) else {
            return false;
        };
        (self.from, self.to) = (first.from, last.to);
        self.to > kept || self.to - self.from >= USUAL_PAUSE
    }

    /// Notes that a run that began at `at` has asked for it again in vain.
    pub(super) fn note_repeat(&mut self, at: DateTime<Utc>) {
        self.asked_at = at;
        self.repeats = self.repeats.saturating_add(1);
    }

    pub(super) fn was_asked_of_late(&self, now: DateTime<Utc>) -> bool {
        let pause = FIRST_PAUSE * (1 << self.repeats.min(5));
        (now - self.asked_at).abs() < pause.min(LONGEST_PAUSE)
    }
}
