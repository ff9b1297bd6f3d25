//! A length of time as people write it: `500ms`, `5s`, `10m`, `6h`, `1d`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A length of time: a whole number and a unit, at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

impl Span {
    /// Makes one of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Makes one of seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// Returns it as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is no length of time such as 500ms, 5s, 10m, 6h or 1d");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| refuse())?;
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &text[digits..]).ok_or_else(refuse)?;
        match number.checked_mul(*unit) {
            Some(millis) if millis <= MAX => Ok(Self(millis)),
            _ => Err(format!("{text:?} is longer than 366 days")),
        }
    }
}

impl std::fmt::Display for Span {
    /// Writes it in the largest unit that it is a whole number of.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&("s", 1000));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// The units, shortest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// The longest, in milliseconds: 366 days. No timer below needs more, and none overflows.
const MAX: u64 = 366 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, millis) in [("500ms", 500), ("5s", 5000), ("10m", 600_000), ("6h", 21_600_000), ("1d", 86_400_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span, Span::millis(millis));
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "90s");
        assert_eq!("0ms".parse::<Span>().unwrap().to_string(), "0s");
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "1w", "99999999999999999999s", "367d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
