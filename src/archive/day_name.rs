//! The names of day files, `<base>_<YYYY-MM-DD>.<ext>`.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate};

/// The years that a day file can be named after: four digits, and no service is older.
const YEARS: RangeInclusive<i32> = 2000..=9999;

/// Returns the name of the day file of `date`; `None` outside the years 2000 to 9999.
///
/// The date is formatted from a parsed value, so no text from a record ever reaches a file name.
pub(super) fn name(base: &str, date: NaiveDate, extension: &str) -> Option<String> {
    YEARS
        .contains(&date.year())
        .then(|| format!("{base}_{}.{extension}", date.format("%Y-%m-%d")))
}

/// Returns the day of the file `name`; `None` if it is not a day file of this base and extension.
///
/// Base and extension are taken literally, the whole name must match, and the date must exist.
pub(super) fn date(name: &str, base: &str, extension: &str) -> Option<NaiveDate> {
    let date = name.strip_prefix(base)?.strip_prefix('_')?;
    let date = date.strip_suffix(extension)?.strip_suffix('.')?;
    day_of(date.as_bytes())
}

/// Parses `2026-11-28`, if a day file can be named after it.
fn day_of(text: &[u8]) -> Option<NaiveDate> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    if !YEARS.contains(&year) {
        return None;
    }
    NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)
}

/// The names of the plain day files of a base name and an extension: a folder has thousands of them, which are known at once.
pub(super) struct PlainNames {
    /// What comes before the day, and behind it.
    before: String,
    behind: String,
}

impl PlainNames {
    pub(super) fn of(base: &str, extension: &str) -> Self {
        Self {
            before: format!("{base}_"),
            behind: format!(".{extension}"),
        }
    }

    /// Returns the day of the file `name`, as [`date`] does.
    pub(super) fn date(&self, name: &str) -> Option<NaiveDate> {
        let day = name
            .strip_prefix(self.before.as_str())?
            .strip_suffix(self.behind.as_str())?;
        day_of(day.as_bytes())
    }
}

/// Returns the day of the file `name`, if it is a day file of any base name and extension.
pub(crate) fn day_of_name(name: &str) -> Option<NaiveDate> {
    let (base, extension) = parts(name)?;
    date(name, base, extension)
}

/// Returns the base name and the extension of the file `name`, if it is a day file of any; the last date in it is its day.
pub(super) fn parts(name: &str) -> Option<(&str, &str)> {
    let mut ends = name.rmatch_indices('_').map(|(end, _)| end);
    ends.find_map(|end| {
        let (base, rest) = name.split_at(end);
        let extension = rest.get("_YYYY-MM-DD".len()..)?.strip_prefix('.')?;
        date(name, base, extension).map(|_| (base, extension))
    })
}

/// Parses ASCII digits; `None` if another byte is among them.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn day(text: &str) -> Option<NaiveDate> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_day_file_is_known_by_its_exact_name() {
        let table: &[(&str, Option<NaiveDate>)] = &[
            ("mail_audit_2025-06-09.log", day("2025-06-09")),
            ("mail_audit_2024-02-29.log", day("2024-02-29")),
            ("mail_audit_2000-01-01.log", day("2000-01-01")),
            ("mail_audit_9999-12-31.log", day("9999-12-31")),
            ("mail_audit_2025-02-29.log", None),
            ("mail_audit_2025-02-30.log", None),
            ("mail_audit_2025-13-01.log", None),
            ("mail_audit_2025-00-10.log", None),
            ("mail_audit_2025-06-00.log", None),
            ("mail_audit_1999-12-31.log", None),
            ("mail_audit_0000-01-01.log", None),
            ("mail_audit_2025-6-9.log", None),
            ("mail_audit_02025-06-09.log", None),
            ("mail_audit_+025-06-09.log", None),
            ("mail_audit_2025-06-09.log.gz", None),
            ("mail_audit_2025-06-09.log.bak", None),
            ("mail_audit_2025-06-09.log~", None),
            ("mail_audit_2025-06-09.log ", None),
            ("mail_audit_2025-06-09.log\n", None),
            (" mail_audit_2025-06-09.log", None),
            ("mail_audit_2025-06-09xlog", None),
            ("mail_audit_2025-06-09.LOG", None),
            ("mail_audit_2025-06-09.json", None),
            ("mail_audit_2025-06-09", None),
            ("mail_audit_2025-06-09.", None),
            ("mail_audit2025-06-09.log", None),
            ("mail_audit_2025_06_09.log", None),
            ("mail_audit_2025-06-09-1.log", None),
            ("mail_audit_2025-06-09.1.log", None),
            ("mail_audit_x_2025-06-09.log", None),
            ("mail_2025-06-09.log", None),
            ("disk_audit_2025-06-09.log", None),
            ("mail_audit_２０２５-06-09.log", None),
            ("mail_audit_٢٠٢٥-06-09.log", None),
            ("mail_audit_.log", None),
            ("_2025-06-09.log", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(date(name, "mail_audit", "log"), *expected, "{name:?}");
        }
    }

    #[test]
    fn base_and_extension_are_taken_literally() {
        assert_eq!(date("m.ail_2025-06-09.log", "m.ail", "log"), day("2025-06-09"));
        assert_eq!(date("mxail_2025-06-09.log", "m.ail", "log"), None);
        assert_eq!(
            date("a[b]* (c)_2025-06-09.json.log", "a[b]* (c)", "json.log"),
            day("2025-06-09")
        );
        assert_eq!(date("почта_2025-06-09.лог", "почта", "лог"), day("2025-06-09"));
        assert_eq!(
            date("a_2025-01-01_2025-06-09.log", "a_2025-01-01", "log"),
            day("2025-06-09")
        );
        assert_eq!(date("a_2025-01-01_2025-06-09.log", "a", "log"), None);
        assert_eq!(date("a_2025-06-09.log.log", "a", "log"), None);
    }

    #[test]
    fn the_parts_of_a_name_are_those_it_was_made_from() {
        for (name, expected) in [
            ("mail_2025-06-09.log", Some(("mail", "log"))),
            ("a_2025-01-01_2025-06-09.json.log", Some(("a_2025-01-01", "json.log"))),
            ("mail_audit_2025-06-09.a_b", Some(("mail_audit", "a_b"))),
            ("почта_2025-06-09.лог", Some(("почта", "лог"))),
            ("mail_2025-06-09", None),
            ("mail_2025-02-30.log", None),
            ("m_é2025-06-0.log", None),
            ("get_audit_logs.log", None),
        ] {
            assert_eq!(parts(name), expected, "{name}");
        }
    }

    #[test]
    fn years_without_four_digits_have_no_file() {
        for (year, expected) in [
            (1999, None),
            (2000, Some("m_2000-03-04.log")),
            (9999, Some("m_9999-03-04.log")),
        ] {
            let date = NaiveDate::from_ymd_opt(year, 3, 4).unwrap();
            assert_eq!(name("m", date, "log").as_deref(), expected);
        }
        assert_eq!(name("m", NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap(), "log"), None);
        assert_eq!(name("m", NaiveDate::MIN, "log"), None);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn every_name_that_is_made_is_read_back(base in "\\PC{0,12}", extension in "\\PC{0,6}", days in 730_120..=3_652_059) {
            let day = NaiveDate::from_num_days_from_ce_opt(days).unwrap();
            let name = name(&base, day, &extension).unwrap();
            prop_assert_eq!(date(&name, &base, &extension), Some(day));
        }

        #[test]
        fn every_name_that_is_read_is_the_one_that_is_made(text in "(mail_)?[0-9]{4}-[0-3][0-9]-[0-4][0-9](\\.log)?|\\PC{0,20}") {
            if let Some(day) = date(&text, "mail", "log") {
                prop_assert_eq!(name("mail", day, "log"), Some(text));
            }
        }
    }
}
