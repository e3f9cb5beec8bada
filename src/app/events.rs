//! `andon events`: shows and filters the event log.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::health::{self, EventKind, EventLogError, ReadLine};

/// Which events are shown, and how.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only events at or after this time.
    pub since: Option<SystemTime>,
    /// Only these kinds; empty for all.
    pub kinds: Vec<EventKind>,
    /// How.
    pub form: EventForm,
}

/// How events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventForm {
    /// A line of words each.
    #[default]
    Words,
    /// The lines of the log as they are.
    Json,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTally {
    /// Events that were shown.
    pub shown: u64,
    /// Lines that are cut off or damaged.
    pub torn: u64,
    /// Events that the log itself says are missing.
    pub lost: u64,
}

/// Why a time or a kind cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Neither a time nor a span.
    #[error(
        "`{0}` is no time; write 2026-05-04T13:00:00Z, or a span before now: 90s, 15m, 2h or 3d"
    )]
    Since(String),
    /// No such kind of event.
    #[error("`{0}` is no kind of event; there are {known}", known = known_kinds())]
    Kind(String),
}

fn known_kinds() -> String {
    EventKind::ALL.map(EventKind::name).join(", ")
}

/// Reads a time (RFC 3339) or a span before `now`.
///
/// # Errors
///
/// The text is neither.
pub fn parse_since(text: &str, now: SystemTime) -> Result<SystemTime, QueryError> {
    let unreadable = || QueryError::Since(text.to_owned());
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.into());
    }
    let unit = text.chars().next_back().ok_or_else(unreadable)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(unreadable()),
    };
    let number = text
        .strip_suffix(unit)
        .filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|number| number.parse::<u64>().ok()?.checked_mul(seconds))
        .and_then(|seconds| now.checked_sub(Duration::from_secs(seconds)))
        .ok_or_else(unreadable)
}

/// Reads a list of kinds: `trip,fault`.
///
/// # Errors
///
/// Names the first that does not exist.
pub fn parse_kinds(text: &str) -> Result<Vec<EventKind>, QueryError> {
    let kind = |name: &str| {
        let found = EventKind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| QueryError::Kind(name.to_owned()))
    };
    text.split(',').map(|name| kind(name.trim())).collect()
}

/// Reads the log in `directory` in order and writes what is asked for to `out`.
///
/// # Errors
///
/// The log cannot be read, or `out` takes nothing.
pub fn show(
    directory: &Path,
    query: &EventQuery,
    out: &mut dyn io::Write,
) -> Result<EventTally, EventLogError> {
    let mut tally = EventTally::default();
    health::read(directory, |line| {
        let ReadLine::Whole(text) = line else {
            tally.torn += 1;
            return Ok(());
        };
        let Some(event) = Shown::parse(&text) else {
            tally.torn += 1;
            return Ok(());
        };
        if event.kind() == Some(EventKind::Lost) {
            tally.lost += event.value["count"].as_u64().unwrap_or(0);
        }
        if !query.wants(&event) {
            return Ok(());
        }
        tally.shown += 1;
        match query.form {
            EventForm::Json => writeln!(out, "{text}"),
            EventForm::Words => writeln!(out, "{}", event.words()),
        }
    })?;
    Ok(tally)
}

impl EventQuery {
    fn wants(&self, event: &Shown) -> bool {
        let kind = || event.kind().is_some_and(|kind| self.kinds.contains(&kind));
        self.since.is_none_or(|since| event.time >= since) && (self.kinds.is_empty() || kind())
    }
}

/// A line of the log.
struct Shown {
    value: Value,
    time: SystemTime,
}

impl Shown {
    /// `None` where it is no event with a time and a type.
    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let time = value["time"].as_str()?.parse::<jiff::Timestamp>().ok()?;
        value["type"].as_str()?;
        Some(Self {
            time: time.into(),
            value,
        })
    }

    /// `None` for a kind of a later version.
    fn kind(&self) -> Option<EventKind> {
        let name = self.value["type"].as_str()?;
        EventKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Time, kind and the members, in the order of the line; control characters are left out.
    fn words(&self) -> String {
        let text = |name: &str| self.value[name].as_str().unwrap_or("?");
        let mut words = format!("{}  {:<13}", text("time"), text("type"));
        for (name, value) in self.value.as_object().into_iter().flatten() {
            if ["time", "mono_ms", "boot", "type"].contains(&name.as_str()) {
                continue;
            }
            let _ = match value {
                Value::String(text) => write!(words, "  {name}: {text}"),
                Value::Object(members) if name == "old" || name == "new" || name == "files" => {
                    write!(words, "  {name}: {}", short_hashes(members))
                }
                Value::Array(list) => write!(words, "  {name}: {}", joined(list)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                    write!(words, "  {name}: {value}")
                }
            };
        }
        words.replace(char::is_control, " ").trim_end().to_owned()
    }
}

/// The first digits of each hash, as people compare them.
fn short_hashes(members: &serde_json::Map<String, Value>) -> String {
    let short = |value: &Value| {
        let text = value.as_str().unwrap_or("unreadable");
        text.chars().take(10).collect::<String>()
    };
    members.values().map(short).collect::<Vec<_>>().join("/")
}

fn joined(list: &[Value]) -> String {
    let text = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    list.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = concat!(
        r#"{"time":"2026-01-01T00:00:00.000Z","mono_ms":1.0,"boot":"b","type":"start","engine":"CPU","files":{"config_sha256":"0123456789abcdef","keepout_sha256":null}}"#,
        "\n",
        r#"{"time":"2026-01-01T01:00:00.000Z","mono_ms":2.0,"boot":"b","type":"trip","cause":"zone \u001b[31mpress"}"#,
        "\n{\"time\":\"2026-01-01T01:30\n",
        r#"{"time":"2026-01-01T02:00:00.000Z","mono_ms":3.0,"boot":"b","type":"lost","count":4}"#,
        "\n",
        r#"{"time":"2026-01-01T03:00:00.000Z","mono_ms":4.0,"boot":"b","type":"later","x":[1,"a"]}"#,
        "\n{\"type\":\"tr",
    );

    fn ask(query: &EventQuery) -> (Vec<String>, EventTally) {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) =
            LOG.split_at(LOG.find("\n{\"time\":\"2026-01-01T02").expect("there") + 1);
        std::fs::write(folder.path().join("events-00000010.jsonl"), second).expect("written");
        std::fs::write(folder.path().join("events-00000009.jsonl"), first).expect("written");
        let mut out = Vec::new();
        let tally = show(folder.path(), query, &mut out).expect("readable");
        let text = String::from_utf8(out).expect("text");
        (text.lines().map(str::to_owned).collect(), tally)
    }

    #[test]
    fn all_files_are_shown_in_order_and_what_is_torn_is_counted() {
        let (lines, tally) = ask(&EventQuery::default());
        let expected = [
            "2026-01-01T00:00:00.000Z  start          engine: CPU  files: 0123456789/unreadable",
            "2026-01-01T01:00:00.000Z  trip           cause: zone  [31mpress",
            "2026-01-01T02:00:00.000Z  lost           count: 4",
            "2026-01-01T03:00:00.000Z  later          x: 1, a",
        ];
        assert_eq!(lines, expected);
        let expected = EventTally {
            shown: 4,
            torn: 2,
            lost: 4,
        };
        assert_eq!(tally, expected);
    }

    #[test]
    fn kind_and_time_choose() {
        let query = EventQuery {
            since: Some(parse_since("2026-01-01T01:00:00Z", SystemTime::now()).expect("a time")),
            kinds: parse_kinds("trip, start").expect("kinds"),
            form: EventForm::Json,
        };
        let (lines, tally) = ask(&query);
        assert_eq!(lines, [LOG.lines().nth(1).expect("there")]);
        assert_eq!(tally.shown, 1);
    }

    #[test]
    fn times_are_points_or_spans_before_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (text, seconds) in [
            ("1970-01-02T00:00:00Z", 86_400),
            ("1970-01-02T01:00:00+01:00", 86_400),
            ("90s", 999_910),
            ("2m", 999_880),
            ("1h", 996_400),
            ("3d", 740_800),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse_since(text, now), Ok(expected), "{text}");
        }
        for text in [
            "",
            "d",
            "3",
            "-1h",
            "1.5h",
            "yesterday",
            "99999999999999999d",
            "1é",
        ] {
            let expected = QueryError::Since(text.to_owned());
            assert_eq!(parse_since(text, now), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_kind_is_answered_with_the_known_ones() {
        let error = parse_kinds("trip,tripp").expect_err("no kind").to_string();
        assert!(
            error.contains("`tripp`") && error.contains("fault-gone"),
            "{error}"
        );
    }
}
