//! The hours of the day in which a zone counts: `active = ["06:00-14:00", "22:00-02:00"]`.

use std::fmt;
use std::str::FromStr;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A minute of the day, local time: 0 is midnight, 1439 the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    /// The minute at `hour` (0..=23) and `minute` (0..=59); `None` for anything else.
    #[must_use]
    pub const fn new(hour: u16, minute: u16) -> Option<Self> {
        if hour < 24 && minute < 60 {
            Some(Self(hour * 60 + minute))
        } else {
            None
        }
    }

    /// Minutes since midnight, 0..=1439.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

/// A part of every day: from a minute on, up to but without another; past midnight where the second
/// is not later than the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: MinuteOfDay,
    to: MinuteOfDay,
}

impl Window {
    fn contains(self, minute: MinuteOfDay) -> bool {
        let length = (DAY + self.to.0 - self.from.0 - 1) % DAY + 1;
        (DAY + minute.0 - self.from.0) % DAY < length
    }
}

/// Why a text is no part of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no part of a day; write it as \"06:00-14:00\", from 00:00 to 23:59")]
pub struct ParseWindowError;

impl FromStr for Window {
    type Err = ParseWindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once('-').ok_or(ParseWindowError)?;
        Ok(Self {
            from: minute(from)?,
            to: minute(to)?,
        })
    }
}

fn minute(text: &str) -> Result<MinuteOfDay, ParseWindowError> {
    let (hour, minute) = text.trim().split_once(':').ok_or(ParseWindowError)?;
    let number = |digits: &str| match digits.len() {
        2 if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    };
    let parts = number(hour).zip(number(minute));
    parts
        .and_then(|(hour, minute)| MinuteOfDay::new(hour, minute))
        .ok_or(ParseWindowError)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from.0, self.to.0].map(|at| (at / 60, at % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, to.0, to.1)
    }
}

/// When a zone counts: in any of its windows; always where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(Vec<Window>);

impl Hours {
    /// Counts in these windows; always where there is none.
    #[must_use]
    pub const fn new(windows: Vec<Window>) -> Self {
        Self(windows)
    }

    /// The windows; none where the zone always counts.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.0
    }

    /// Whether the zone counts at `minute`; `None` is a clock that cannot be believed, and then every
    /// zone counts.
    #[must_use]
    pub fn count_at(&self, minute: Option<MinuteOfDay>) -> bool {
        let Some(minute) = minute else {
            return true;
        };
        self.0.is_empty() || self.0.iter().any(|window| window.contains(minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(windows: &[&str]) -> Hours {
        Hours::new(windows.iter().map(|w| w.parse().expect(w)).collect())
    }

    fn at(hour: u16, minute: u16) -> Option<MinuteOfDay> {
        Some(MinuteOfDay::new(hour, minute).expect("a time"))
    }

    #[test]
    fn a_window_begins_with_its_first_minute_and_ends_before_its_last() {
        let day = hours(&["06:00-14:30"]);
        for (time, counts) in [
            (at(5, 59), false),
            (at(6, 0), true),
            (at(14, 29), true),
            (at(14, 30), false),
            (at(0, 0), false),
        ] {
            assert_eq!(day.count_at(time), counts, "{time:?}");
        }
    }

    #[test]
    fn a_window_can_pass_midnight_and_be_the_whole_day() {
        let night = hours(&["22:00-02:00"]);
        assert!(night.count_at(at(23, 59)) && night.count_at(at(1, 59)));
        assert!(!night.count_at(at(2, 0)) && !night.count_at(at(21, 59)));
        let whole = hours(&["08:00-08:00"]);
        let every_minute = (0..DAY).map(|minute| Some(MinuteOfDay(minute)));
        assert!(
            every_minute
                .into_iter()
                .all(|minute| whole.count_at(minute))
        );
    }

    #[test]
    fn without_a_window_or_a_clock_to_believe_a_zone_always_counts() {
        assert!(Hours::default().count_at(at(3, 0)));
        assert!(hours(&["06:00-07:00"]).count_at(None));
        assert!(!hours(&["06:00-07:00", "09:00-10:00"]).count_at(at(8, 0)));
    }

    #[test]
    fn what_is_no_window_is_refused_and_what_is_one_is_written_as_read() {
        for wrong in [
            "",
            "06:00",
            "6:00-7:00",
            "24:00-01:00",
            "06:60-07:00",
            "06.00-07.00",
            "a-b",
        ] {
            assert_eq!(wrong.parse::<Window>(), Err(ParseWindowError), "{wrong}");
        }
        assert_eq!(
            "06:05-23:59"
                .parse::<Window>()
                .map(|w| w.to_string())
                .as_deref(),
            Ok("06:05-23:59")
        );
    }
}
