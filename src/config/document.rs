//! TOML with positions: every look-up that fails is noted with the place and the text, and reading
//! goes on, so that one run of `andon check-config` shows everything.
//!
//! A [`Table`] learns its keys from the look-ups made on it; [`Table::finish`] then knows which keys
//! of the file nobody asked for, and which one was probably meant.

use std::fs::File;
use std::io::Read as _;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problems};
use crate::units::Score;

/// Most bytes of a configuration file. 64 zones of 256 points fit many times over.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most syntax errors noted per file: after a few, the rest are consequences.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Most characters of a value that a message repeats.
const VALUE_SHOWN: usize = 40;

/// A configuration file's text.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// Reads a file; whatever keeps it from being a short UTF-8 text is noted, with `help`.
    pub(super) fn read(path: &Path, help: &str, problems: &Problems) -> Option<Self> {
        let wrong = |message: String| {
            problems.add_with_help(Origin::File(path.to_owned()), message, help);
        };
        let bytes = match read_bytes(path) {
            Ok(bytes) => bytes,
            Err(message) => {
                wrong(message);
                return None;
            }
        };
        Self::from_bytes(path, bytes, problems)
    }

    /// Takes a file's content; anything but UTF-8 is noted.
    pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>, problems: &Problems) -> Option<Self> {
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self {
                path: path.to_owned(),
                text,
            }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let source = Self {
                    path: path.to_owned(),
                    text,
                };
                problems.add_with_help(
                    source.origin(valid..valid + 1),
                    format!("byte {valid} is not UTF-8 text"),
                    "save the file as UTF-8; is it a configuration at all?",
                );
                None
            }
        }
    }

    /// The table at the top, or nothing where the text is not TOML; that is noted.
    pub(super) fn parse(&self, problems: &Problems) -> Option<Spanned<DeTable<'_>>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let end = self.text.len();
            let origin = self.origin(error.span().unwrap_or(end..end));
            problems.add(origin, format!("not valid TOML: {}", error.message()));
        }
        errors.is_empty().then_some(table)
    }

    /// The place of a range of bytes.
    pub(super) fn origin(&self, span: Range<usize>) -> Origin {
        let start = self.text.floor_char_boundary(span.start);
        let (before, rest) = self.text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let (_, line_and_rest) = self.text.split_at(line_start);
        let text = line_and_rest.lines().next().unwrap_or_default();
        let marked = rest.get(..span.end.saturating_sub(start)).unwrap_or(rest);
        let marked = marked.lines().next().unwrap_or_default();
        Origin::Text {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            text: text.to_owned(),
            width: marked.trim_end().chars().count().max(1),
        }
    }

    /// The place of a whole line, from 1.
    pub(super) fn origin_of_line(&self, line: usize) -> Origin {
        let mut lines = self.text.split_inclusive('\n');
        let start: usize = lines.by_ref().take(line - 1).map(str::len).sum();
        let length = lines.next().map_or(0, |text| text.trim_end().len());
        self.origin(start..start + length)
    }

    /// A value as it is written, shortened.
    fn written(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let mut shown: String = line.chars().take(VALUE_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        shown.replace(char::is_control, " ")
    }
}

/// The content of a regular file, or why not.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if metadata.is_dir() {
        return Err("is a folder, not a file".to_owned());
    }
    // Opening a pipe or a device could wait for ever.
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(cannot)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > FILE_BYTES_MAX {
        return Err(format!(
            "is larger than {} KiB, the most a configuration may have",
            FILE_BYTES_MAX / 1024
        ));
    }
    Ok(bytes)
}

/// One table of a file, or the absence of one: then every key is absent.
#[derive(Debug)]
pub(super) struct Table<'d> {
    source: &'d Source,
    problems: &'d Problems,
    /// How messages call it: `worker_safety`, `zone 2`; empty for the top.
    name: String,
    span: Range<usize>,
    entries: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
}

impl<'d> Table<'d> {
    /// The table at the top of a file.
    pub(super) fn top(
        source: &'d Source,
        parsed: &'d Spanned<DeTable<'d>>,
        problems: &'d Problems,
    ) -> Self {
        Self {
            source,
            problems,
            name: String::new(),
            span: 0..0,
            entries: Some(parsed.get_ref()),
            known: Vec::new(),
        }
    }

    /// Where the table begins.
    pub(super) fn origin(&self) -> Origin {
        self.source.origin(self.span.clone())
    }

    /// Where a key's value is; the table's beginning where there is none.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        let value = self.entries.and_then(|entries| entries.get(key));
        self.source
            .origin(value.map_or_else(|| self.span.clone(), Spanned::span))
    }

    /// Notes a problem with a value of this table.
    pub(super) fn wrong(&self, key: &str, message: &str) {
        let name = self.path_of(key);
        self.problems
            .add(self.origin_of(key), format!("{name} {message}"));
    }

    /// Notes a problem with the table at a place of its own.
    pub(super) fn wrong_at(&self, origin: Origin, message: &str, help: Option<&str>) {
        let message = format!("{}: {message}", self.name);
        match help {
            Some(help) => self.problems.add_with_help(origin, message, help),
            None => self.problems.add(origin, message),
        }
    }

    fn path_of(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name if name.contains(' ') => format!("{name}: {key}"),
            name => format!("{name}.{key}"),
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.entries?.get(key)
    }

    /// Notes that a value is not what it must be.
    fn unfit(&self, key: &str, span: Range<usize>, expected: &str) {
        let name = self.path_of(key);
        let written = self.source.written(span.clone());
        self.problems.add(
            self.source.origin(span),
            format!("{name} is {written}; it must be {expected}"),
        );
    }

    /// A text that is not empty, has at most `max` characters and no control character.
    pub(super) fn text(&mut self, key: &'static str, max: usize) -> Option<String> {
        let value = self.value(key)?;
        let text = value
            .get_ref()
            .as_str()
            .and_then(|text| fit_text(text, max));
        if text.is_none() {
            self.unfit(key, value.span(), &text_rule(max));
        }
        text
    }

    /// A list of at least one text, none twice.
    pub(super) fn texts(&mut self, key: &'static str, max: usize) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let Some(list) = value.get_ref().as_array().filter(|list| !list.is_empty()) else {
            self.unfit(key, value.span(), "a list of texts, such as [\"apple\"]");
            return None;
        };
        let mut texts: Vec<String> = Vec::new();
        for entry in list.iter() {
            let text = entry
                .get_ref()
                .as_str()
                .and_then(|text| fit_text(text, max));
            match text {
                Some(text) if texts.contains(&text) => {
                    self.unfit(key, entry.span(), "named once only");
                }
                Some(text) => texts.push(text),
                None => self.unfit(key, entry.span(), &text_rule(max)),
            }
        }
        Some(texts)
    }

    /// A whole number within `range`.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        unit: &str,
    ) -> Option<u32> {
        let value = self.value(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let expected = format!("a whole number from {least} to {most}{unit}");
            self.unfit(key, value.span(), &expected);
        }
        number
    }

    /// A number between 0 and 1.
    pub(super) fn share(&mut self, key: &'static str) -> Option<Score> {
        let value = self.value(key)?;
        let share = number(value.get_ref()).and_then(share);
        if share.is_none() {
            self.unfit(key, value.span(), "a number from 0 to 1");
        }
        share
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.unfit(key, value.span(), "true or false");
        }
        boolean
    }

    /// One of `choices`, by its name.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let value = self.value(key)?;
        self.choose(key, value, choices, name)
    }

    fn choose<T: Copy>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        choices: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = value.get_ref().as_str();
        let chosen = choices.iter().find(|choice| Some(name(**choice)) == text);
        if chosen.is_none() {
            let names: Vec<String> = choices
                .iter()
                .map(|c| format!("\"{}\"", name(*c)))
                .collect();
            self.unfit(key, value.span(), &names.join(" or "));
        }
        chosen.copied()
    }

    /// A table of free keys with a choice each, in the order of the file.
    pub(super) fn choices_by_text<T: Copy>(
        &mut self,
        key: &'static str,
        max: usize,
        choices: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<Vec<(String, T)>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table().filter(|table| !table.is_empty()) else {
            self.unfit(key, value.span(), "a table with at least one entry");
            return None;
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut found = Vec::new();
        for (label, value) in entries {
            let path = format!("{key}.{}", label.get_ref());
            match fit_text(label.get_ref(), max) {
                Some(label) => {
                    let choice = self.choose(&path, value, choices, &name);
                    found.extend(choice.map(|choice| (label, choice)));
                }
                None => self.problems.add(
                    self.source.origin(label.span()),
                    format!(
                        "{}: a key here must be {}",
                        self.path_of(key),
                        text_rule(max)
                    ),
                ),
            }
        }
        Some(found)
    }

    /// The table under `key`; without entries where there is none.
    pub(super) fn table(&mut self, key: &'static str) -> Self {
        let value = self.value(key);
        let entries = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, entries) {
            let message = format!("a table: write [{key}] and its keys below");
            self.unfit(key, value.span(), &message);
        }
        Self {
            source: self.source,
            problems: self.problems,
            name: self.path_of(key),
            span: value.map_or(0..0, Spanned::span),
            entries,
            known: Vec::new(),
        }
    }

    /// The tables written as `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(list) = value.get_ref().as_array() else {
            let message = format!("a list: write [[{key}]] with two brackets, once for each");
            self.unfit(key, value.span(), &message);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (number, entry) in (1..).zip(list.iter()) {
            if let Some(entries) = entry.get_ref().as_table() {
                tables.push(Self {
                    source: self.source,
                    problems: self.problems,
                    name: format!("{key} {number}"),
                    span: entry.span(),
                    entries: Some(entries),
                    known: Vec::new(),
                });
            } else {
                self.unfit(key, entry.span(), &format!("a table, written as [[{key}]]"));
            }
        }
        tables
    }

    /// Gives the table a name that says more in messages.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// A list of pairs of numbers, each with its place. What is not a pair is noted.
    pub(super) fn pairs(&mut self, key: &'static str) -> Option<Vec<(f64, f64, Origin)>> {
        let value = self.value(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.unfit(key, value.span(), "a list of points, [[x, y], [x, y], ...]");
            return None;
        };
        let mut pairs = Vec::new();
        let mut complete = true;
        for (index, entry) in (1..).zip(list.iter()) {
            let numbers: Vec<Option<f64>> =
                entry.get_ref().as_array().map_or_else(Vec::new, |pair| {
                    pair.iter().map(|value| number(value.get_ref())).collect()
                });
            if let [Some(x), Some(y)] = numbers.as_slice() {
                pairs.push((*x, *y, self.source.origin(entry.span())));
            } else {
                let name = format!("point {index}");
                self.unfit(&name, entry.span(), "[x, y], two numbers");
                complete = false;
            }
        }
        complete.then_some(pairs)
    }

    /// Notes a key that must be there and is not.
    pub(super) fn missing(&self, key: &str, help: &str) {
        let name = self.path_of(key);
        self.problems
            .add_with_help(self.origin(), format!("{name} is missing"), help);
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    /// Notes every key that no look-up asked for.
    pub(super) fn finish(self) {
        for key in self.entries.iter().flat_map(|entries| entries.keys()) {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let shown = self.source.written(key.span());
            let message = match self.name.as_str() {
                "" => format!("{shown} is not a known table or key"),
                table => format!("{table} has no key {shown}"),
            };
            let help = closest(name, &self.known).map_or_else(
                || format!("known are: {}", self.known.join(", ")),
                |meant| format!("did you mean {meant}?"),
            );
            self.problems
                .add_with_help(self.source.origin(key.span()), message, help);
        }
    }
}

/// A number of either kind; `None` for everything else.
fn number(value: &DeValue<'_>) -> Option<f64> {
    if let Some(float) = value.as_float() {
        return float.as_str().parse().ok();
    }
    let integer = value.as_integer()?;
    let integer = i32::from_str_radix(integer.as_str(), integer.radix()).ok();
    // An integer beyond 32 bits is far outside every range that is asked for.
    Some(integer.map_or(f64::INFINITY, f64::from))
}

/// A number between 0 and 1 as a score; `None` for NaN and everything outside.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding a number of 0..=1 to the nearest f32 stays inside"
)]
pub(super) fn share(value: f64) -> Option<Score> {
    (0.0..=1.0)
        .contains(&value)
        .then(|| Score::new(value as f32))?
}

/// The text where it is fit to be shown: not empty, not blank at an end, short, on one line.
pub(super) fn fit_text(text: &str, max: usize) -> Option<String> {
    let fits = !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= max
        && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

/// What [`fit_text`] asks for.
pub(super) fn text_rule(max: usize) -> String {
    format!(
        "a text of 1 to {max} characters in quotes, without control characters or blanks at its ends"
    )
}

/// The known key that was probably meant.
fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = name.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|key| (strsim::osa_distance(&plain, key), *key))
        .filter(|(distance, key)| *distance <= key.len().max(3) / 3)
        .min()
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probable_key_is_near() {
        let known = ["threshold", "input", "person_label"];
        assert_eq!(closest("treshold", &known), Some("threshold"));
        assert_eq!(closest("Person-Label", &known), Some("person_label"));
        assert_eq!(closest("inptu", &known), Some("input"));
        assert_eq!(closest("colour", &known), None);
    }

    #[test]
    fn places_are_counted_in_lines_and_characters_from_1() {
        let source = Source {
            path: "a.toml".into(),
            text: "a = 1\r\n\u{e4} = \"\u{20ac}\" # x\n".to_owned(),
        };
        let start = source.text.find('"').expect("there");
        let Origin::Text {
            line,
            column,
            text,
            width,
            ..
        } = source.origin(start..start + 5)
        else {
            panic!("a place in a text");
        };
        assert_eq!((line, column, width), (2, 5, 3));
        assert_eq!(text, "\u{e4} = \"\u{20ac}\" # x");
        // Beyond the end is the end.
        assert!(matches!(
            source.origin(1000..2000),
            Origin::Text {
                line: 3,
                column: 1,
                width: 1,
                ..
            }
        ));
    }
}
