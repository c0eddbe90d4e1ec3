//! Whether a stream is quiet for longer than it ever was at this hour of this weekday.
//!
//! A silence is measured up to when the stream was last asked, so that it is none of the runs. It is compared with all silences
//! of the same hour of the same weekday, an hour to either side, since the hours of people move with summer time; and with those of
//! the same date in the years before. It is unusual when it is half as long again and an hour more than the longest of them: records
//! reach a service late, and what has happened a dozen times can last a little longer once.

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use serde::Serialize;

use crate::archive::Hours;

/// How many weeks have to be known, so that each hour has been there some times.
const FEWEST_WEEKS: i32 = 4;

/// How many weeks are looked at.
const MOST_WEEKS: i32 = 52;

/// Of how many years before the same date is looked at.
const YEARS: u32 = 2;

/// A silence of a stream, and how it compares with those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// How long it has lasted when the stream was last asked.
    pub(crate) lasts: TimeDelta,
    /// The longest one at this hour of this weekday.
    pub(crate) longest: TimeDelta,
    /// How many weeks are known.
    pub(crate) weeks: i32,
    /// When the stream was last asked.
    asked_at: DateTime<Utc>,
}

/// A silence as `--json` shows it; `docs/json.md` says what the fields are.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ShownSilence {
    seconds: i64,
    longest_seconds: i64,
    threshold_seconds: i64,
    weeks: i32,
    is_unusual: bool,
}

impl Silence {
    /// Returns that of a stream whose last record is of `last` and which was last asked at `asked_at`; `None` if too little is known.
    pub(crate) fn of(hours: &Hours, last: DateTime<Utc>, asked_at: DateTime<Utc>) -> Option<Self> {
        let first = hours.first()?;
        // The silence that goes on is none of those before.
        let past = first..=last;
        let week = |number: i32| asked_at - TimeDelta::weeks(number.into());
        let since = i32::try_from((asked_at - last).num_weeks()).ok()?.max(0) + 1;
        let weeks = (since..since + MOST_WEEKS).take_while(|number| week(*number) >= first);
        let weeks = i32::try_from(weeks.count()).ok()?;
        if weeks < FEWEST_WEEKS {
            return None;
        }
        let years = (1..=YEARS).filter_map(|year| asked_at.checked_sub_months(Months::new(12 * year)));
        let same_dates = years.filter(|time| past.contains(time));
        let moments = (since..since + weeks).map(week).chain(same_dates);
        let longest = moments.filter_map(|moment| longest_around(hours, moment)).max()?;
        Some(Self {
            lasts: (asked_at - last).max(TimeDelta::zero()),
            longest,
            weeks,
            asked_at,
        })
    }

    /// Returns how long it may last.
    pub(crate) fn threshold(&self) -> TimeDelta {
        self.longest + self.longest / 2 + TimeDelta::hours(1)
    }

    pub(crate) fn is_unusual(&self) -> bool {
        self.lasts > self.threshold()
    }

    /// Says that it is unusual, if it is.
    pub(crate) fn sentence(&self) -> Option<String> {
        let (lasts, longest, threshold) = (hours(self.lasts), hours(self.longest), hours(self.threshold()));
        let (weekday, hour, weeks) = (self.asked_at.weekday(), self.asked_at.format("%H:00"), self.weeks);
        let sentence = || {
            format!(
                "no record for {lasts} h: in {weeks} weeks, on a {weekday} around {hour} UTC, it was never quiet for more than \
                 {longest} h (this is told from {threshold} h on): either nothing happened, or the service has stopped recording"
            )
        };
        self.is_unusual().then(sentence)
    }

    pub(crate) fn shown(&self) -> ShownSilence {
        ShownSilence {
            seconds: self.lasts.num_seconds(),
            longest_seconds: self.longest.num_seconds(),
            threshold_seconds: self.threshold().num_seconds(),
            weeks: self.weeks,
            is_unusual: self.is_unusual(),
        }
    }
}

/// Returns the longest silence within an hour of this moment. It may be too long by two hours, and is never too short: only hours are
/// known, and the record of this one may have come after that moment.
fn longest_around(hours: &Hours, moment: DateTime<Utc>) -> Option<TimeDelta> {
    let around = (-1..=1).map(|hour| moment + TimeDelta::hours(hour));
    let silence = |time: DateTime<Utc>| Some(time - hours.last_before(time - TimeDelta::hours(1))?);
    around.filter_map(silence).max()
}

fn hours(time: TimeDelta) -> i64 {
    (time.num_minutes() + 30) / 60
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::record::time;

    /// The first of January 2024 is a Monday.
    const START: &str = "2024-01-01T00:00:00Z";

    /// What a stream does in an hour since [`START`].
    type Rhythm = fn(i64) -> bool;

    /// From nine to five on working days, in UTC, and an hour earlier in summer.
    fn office(hour: i64) -> bool {
        let (day, of_day) = (hour / 24, hour % 24);
        let summer = i64::from((90..300).contains(&(day % 365)));
        let is_holiday = matches!(day % 365, 0 | 120 | 358 | 359);
        day % 7 < 5 && !is_holiday && (9 - summer..17 - summer).contains(&of_day)
    }

    fn always(_: i64) -> bool {
        true
    }

    /// A backup at three on Sundays.
    fn weekly(hour: i64) -> bool {
        hour % (7 * 24) == 6 * 24 + 3
    }

    /// Now and then: one hour of thirty has a record, by chance.
    fn rare(hour: i64) -> bool {
        (hour as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 32
            < (1 << 32) / 30
    }

    fn hour(number: i64) -> DateTime<Utc> {
        time(START) + TimeDelta::hours(number)
    }

    /// At how many of these hours an alarm is given, and how many hours after the last record the first one is.
    fn alarms(rhythm: Rhythm, asked: std::ops::Range<i64>) -> (usize, Option<i64>) {
        let (mut hours, mut last, mut alarms, mut first) = (Hours::default(), None, 0, None);
        for number in 0..asked.end {
            if rhythm(number) {
                hours.add(hour(number));
                last = Some(number);
            }
            let asked_at = hour(number + 1);
            let silence = last.and_then(|last| Silence::of(&hours, hour(last), asked_at));
            if asked.contains(&number) && silence.is_some_and(|silence| silence.is_unusual()) {
                alarms += 1;
                first = first.or(last.map(|last| number - last));
            }
        }
        (alarms, first)
    }

    const DAY: i64 = 24;
    const YEAR: i64 = 365 * DAY;

    #[test]
    fn an_ordinary_stream_gives_no_alarm_for_two_years() {
        assert_eq!(alarms(always, 0..2 * YEAR).0, 0);
        assert_eq!(alarms(weekly, 0..2 * YEAR).0, 0);
        // In the first year each holiday is new; the second one has seen them all.
        assert_eq!(alarms(office, YEAR + DAY..2 * YEAR).0, 0);
        let hours = alarms(rare, 0..2 * YEAR).0;
        assert!(hours < 100, "{hours} of {} hours", 2 * YEAR);
    }

    #[test]
    fn a_stream_that_has_stopped_is_told_by_its_own_rhythm() {
        fn until_wednesday(rhythm: Rhythm, number: i64) -> bool {
            number < 60 * 7 * DAY + 2 * DAY + 10 && rhythm(number)
        }
        let since = 60 * 7 * DAY + 2 * DAY + 10;
        let stopped: [(Rhythm, std::ops::RangeInclusive<i64>); 3] = [
            (|number| until_wednesday(always, number), 2..=4),
            (|number| until_wednesday(office, number), 2..=30),
            (|number| until_wednesday(weekly, number), 8 * DAY..=18 * DAY),
        ];
        for (number, (rhythm, expected)) in stopped.into_iter().enumerate() {
            let (_, first) = alarms(rhythm, since..since + 30 * DAY);
            assert!(
                first.is_some_and(|first| expected.contains(&first)),
                "{number}: {first:?}"
            );
        }
    }

    #[test]
    fn an_alarm_goes_on_for_as_long_as_the_stream_is_quiet() {
        let mut hours = Hours::default();
        (0..30 * 7 * DAY)
            .filter(|number| office(*number))
            .for_each(|number| hours.add(hour(number)));
        let last = 30 * 7 * DAY - 2 * DAY - 8;
        for quiet in [4, 13, 20, 22, 60, 300, 500] {
            let silence = Silence::of(&hours, hour(last), hour(last + quiet * DAY)).unwrap();
            assert!(silence.is_unusual() && silence.weeks >= 28, "{quiet}: {silence:?}");
        }
    }

    #[test]
    fn what_is_known_for_less_than_four_weeks_says_nothing() {
        let mut hours = Hours::default();
        (0..27 * DAY).for_each(|number| hours.add(hour(number)));
        assert_eq!(Silence::of(&hours, hour(27 * DAY), hour(27 * DAY + 20)), None);
        let known = Silence::of(&hours, hour(27 * DAY), hour(29 * DAY)).unwrap();
        assert_eq!(
            (known.weeks, known.lasts, known.is_unusual()),
            (4, TimeDelta::days(2), true)
        );
        let sentence = known.sentence().unwrap();
        assert!(
            sentence.starts_with("no record for 48 h: in 4 weeks, on a Tue around 00:00 UTC"),
            "{sentence}"
        );
    }

    #[test]
    fn a_run_that_was_long_ago_is_no_silence_of_the_stream() {
        let mut hours = Hours::default();
        (0..60 * DAY).for_each(|number| hours.add(hour(number)));
        let silence = Silence::of(&hours, hour(60 * DAY), hour(60 * DAY)).unwrap();
        assert!(!silence.is_unusual());
        assert_eq!(silence.sentence(), None);
    }
}
