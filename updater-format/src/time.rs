//! Instants as the metadata writes them. The clock itself belongs to the caller.

use crate::error::FormatError;

/// A moment in UTC with a resolution of one second, written `2026-11-20T08:30:00Z`.
///
/// ```
/// use updater_format::UtcTime;
///
/// let time = UtcTime::parse("2026-11-20T08:30:00Z").unwrap();
/// assert_eq!(UtcTime::from_unix(time.unix()).to_string(), "2026-11-20T08:30:00Z");
/// assert!(UtcTime::parse("2026-11-20 08:30").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(i64);

impl UtcTime {
    /// Makes an instant from seconds since 1970-01-01T00:00:00Z. Values outside the years 1970..=9999 are clamped.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(0, MAX_UNIX))
    }

    /// Returns the seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Returns this moment moved by a number of seconds.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// Returns this moment moved by a number of days of 86,400 seconds.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        self.plus_seconds(days.saturating_mul(86_400))
    }

    /// Parses `YYYY-MM-DDTHH:MM:SSZ`, the only form that TUF allows for `expires`.
    /// # Errors
    /// [`FormatError::Invalid`] for any other form, for days that do not exist and for years before 1970.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = || FormatError::invalid("time", text, "it must have the form 2026-11-20T08:30:00Z");
        let b = text.as_bytes();
        if b.len() != 20 || [b[4], b[7], b[10], b[13], b[16], b[19]] != *b"--T::Z" {
            return Err(refuse());
        }
        let number = |from: usize, to: usize| {
            b[from..to].iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
        };
        let part = |from, to| number(from, to).ok_or_else(refuse);
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        let days = days_from_civil(year, month, day);
        if year < 1970
            || !(1..=12).contains(&month)
            || civil_from_days(days) != (year, month, day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return Err(refuse());
        }
        Ok(Self(days * 86_400 + hour * 3600 + minute * 60 + second))
    }
}

impl std::fmt::Display for UtcTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400));
        let second = self.0.rem_euclid(86_400);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

impl std::str::FromStr for UtcTime {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text)
    }
}

impl serde::Serialize for UtcTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for UtcTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Returns the days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`] (same source, `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// 9999-12-31T23:59:59Z in seconds since 1970: the last moment with a four-digit year.
const MAX_UNIX: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-20T08:30:00Z", 1_795_163_400),
            ("9999-12-31T23:59:59Z", MAX_UNIX),
        ] {
            assert_eq!(UtcTime::parse(text).unwrap().unix(), unix, "{text}");
            assert_eq!(UtcTime::from_unix(unix).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for day in 0..146_097 {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), day);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00.0Z",
            "1969-12-31T23:59:59Z",
            "+026-01-01T00:00:00Z",
            "2026-1-01T00:00:00Z",
            "",
        ] {
            assert!(UtcTime::parse(bad).is_err(), "{bad:?}");
        }
    }
}
