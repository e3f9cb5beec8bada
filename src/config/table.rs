//! TOML with positions: every look-up that fails is noted with the place and the text, and reading
//! goes on, so that one run of `andon check-config` shows everything.
//!
//! A [`Table`] learns its keys from the look-ups made on it; [`Table::finish`] then knows which keys
//! of the file nobody asked for, and which one was probably meant.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ControlValue;
use super::error::{Origin, Problems};
use super::source::Source;
use crate::units::Score;

/// Most entries of a list or table of names.
const ENTRIES_MAX: usize = 64;

/// A span of bytes in a file's text.
pub(super) type Span = Range<usize>;

/// One table of a file, or the absence of one: then every key is absent.
#[derive(Debug)]
pub(super) struct Table<'d> {
    source: &'d Source,
    problems: &'d Problems,
    /// How messages call it: `worker_safety`, `zone 2`; empty for the top.
    name: String,
    span: Span,
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

    /// Where a key's value is; the table's beginning where there is none.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.source.origin(self.span_of(key))
    }

    pub(super) fn span_of(&self, key: &str) -> Span {
        let value = self.entries.and_then(|entries| entries.get(key));
        value.map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Notes a problem with the value of `key`, of which `message` says the rest.
    pub(super) fn wrong(&self, key: &str, message: &str) {
        let name = self.path_of(key);
        self.note(self.span_of(key), || format!("{name} {message}"), None);
    }

    /// Notes a problem with the whole table, or with a part of it at `span`.
    pub(super) fn wrong_at(&self, span: Option<Span>, message: &str, help: Option<&str>) {
        let span = span.unwrap_or_else(|| self.span.clone());
        self.note(span, || format!("{}: {message}", self.name), help);
    }

    /// Every problem of a table passes here. Once there are very many they are only counted: what
    /// a place and a message cost is proportional to the length of the line.
    fn note(&self, span: Span, message: impl FnOnce() -> String, help: Option<&str>) {
        if self.problems.is_full() {
            self.problems.count_one();
            return;
        }
        let origin = self.source.origin(span);
        match help {
            Some(help) => self.problems.add_with_help(origin, message(), help),
            None => self.problems.add(origin, message()),
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
    fn unfit(&self, key: &str, span: Span, expected: &str) {
        let message = || {
            let (name, written) = (self.path_of(key), self.source.written(span.clone()));
            format!("{name} is {written}; it must be {expected}")
        };
        self.note(span.clone(), message, None);
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
        if list.len() > ENTRIES_MAX {
            self.unfit(key, value.span(), &entries_rule());
            return None;
        }
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

    /// A number within `range`.
    pub(super) fn decimal(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        unit: &str,
    ) -> Option<f64> {
        let value = self.value(key)?;
        let number = number(value.get_ref()).filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let expected = format!("a number from {least} to {most}{unit}");
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

    /// A number within `range`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "thresholds; the nearest f32 is near enough"
    )]
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        unit: &str,
    ) -> Option<f32> {
        let value = self.value(key)?;
        let number = number(value.get_ref()).filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.unfit(
                key,
                value.span(),
                &format!("a number from {least} to {most}{unit}"),
            );
        }
        number.map(|number| number as f32)
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

    /// A list of `choices`, by their names; an empty list is one.
    pub(super) fn choices<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let Some(entries) = value.get_ref().as_array() else {
            let names: Vec<String> = choices
                .iter()
                .map(|c| format!("\"{}\"", name(*c)))
                .collect();
            let expected = format!("a list of {}", names.join(", "));
            self.unfit(key, value.span(), &expected);
            return None;
        };
        if entries.len() > ENTRIES_MAX {
            self.unfit(key, value.span(), &entries_rule());
            return None;
        }
        let chosen = entries.iter();
        Some(
            chosen
                .filter_map(|entry| self.choose(key, entry, choices, &name))
                .collect(),
        )
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
        if table.len() > ENTRIES_MAX {
            self.unfit(key, value.span(), &entries_rule());
            return None;
        }
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
                None => {
                    let (table, rule) = (self.path_of(key), text_rule(max));
                    let message = || format!("{table}: a key here must be {rule}");
                    self.note(label.span(), message, None);
                }
            }
        }
        Some(found)
    }

    /// A table of free keys with a whole number, `true`, `false` or a text each, in the order of the
    /// file; empty where there is none.
    pub(super) fn values_by_text(
        &mut self,
        key: &'static str,
        max: usize,
    ) -> Vec<(String, ControlValue)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.unfit(key, value.span(), "a table, such as { brightness = 128 }");
            return Vec::new();
        };
        if table.len() > ENTRIES_MAX {
            self.unfit(key, value.span(), &entries_rule());
            return Vec::new();
        }
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut found = Vec::new();
        for (name, value) in entries {
            let path = format!("{key}.{}", name.get_ref());
            let Some(name) = fit_text(name.get_ref(), max) else {
                let (table, rule) = (self.path_of(key), text_rule(max));
                let message = || format!("{table}: a key here must be {rule}");
                self.note(name.span(), message, None);
                continue;
            };
            let read = match value.get_ref() {
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .map(ControlValue::Integer),
                DeValue::Boolean(on) => Some(ControlValue::Boolean(*on)),
                DeValue::String(text) => fit_text(text, max).map(ControlValue::Text),
                DeValue::Float(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => None,
            };
            match read {
                Some(read) => found.push((name, read)),
                None => {
                    let rule = "a whole number, true, false or the name of a menu's item";
                    self.unfit(&path, value.span(), rule);
                }
            }
        }
        found
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
            let path = self.path_of(key);
            let message = format!("a list: write [[{path}]] with two brackets, once for each");
            self.unfit(key, value.span(), &message);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (number, entry) in (1..).zip(list.iter()) {
            if self.problems.is_full() {
                break;
            }
            if let Some(entries) = entry.get_ref().as_table() {
                tables.push(Self {
                    source: self.source,
                    problems: self.problems,
                    name: format!("{} {number}", self.path_of(key)),
                    span: entry.span(),
                    entries: Some(entries),
                    known: Vec::new(),
                });
            } else {
                let path = self.path_of(key);
                self.unfit(
                    key,
                    entry.span(),
                    &format!("a table, written as [[{path}]]"),
                );
            }
        }
        tables
    }

    /// Gives the table a name that says more in messages.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// A list of at most `max` pairs of numbers, each with its place. What is not a pair is noted.
    pub(super) fn pairs(&mut self, key: &'static str, max: usize) -> Option<Vec<(f64, f64, Span)>> {
        let value = self.value(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.unfit(key, value.span(), "a list of points, [[x, y], [x, y], ...]");
            return None;
        };
        if list.len() > max {
            let message = format!("has {} {key}; the most is {max}", list.len());
            self.wrong_at(Some(value.span()), &message, None);
            return None;
        }
        let mut pairs = Vec::new();
        for (index, entry) in (1..).zip(list.iter()) {
            let pair = entry.get_ref().as_array().filter(|pair| pair.len() == 2);
            let mut numbers = pair.into_iter().flat_map(|pair| pair.iter());
            let mut next = || numbers.next().and_then(|value| number(value.get_ref()));
            if let (Some(x), Some(y)) = (next(), next()) {
                pairs.push((x, y, entry.span()));
            } else {
                let name = format!("point {index}");
                self.unfit(&name, entry.span(), "[x, y], two numbers");
            }
        }
        (pairs.len() == list.len()).then_some(pairs)
    }

    /// A pair of numbers.
    pub(super) fn pair(&mut self, key: &'static str) -> Option<(f64, f64)> {
        let value = self.value(key)?;
        let list = value.get_ref().as_array().filter(|list| list.len() == 2);
        let mut numbers = list.into_iter().flat_map(|list| list.iter());
        let mut next = || numbers.next().and_then(|value| number(value.get_ref()));
        let (Some(x), Some(y)) = (next(), next()) else {
            self.unfit(key, value.span(), "[x, y], two numbers");
            return None;
        };
        Some((x, y))
    }

    /// How many entries the list under `key` has; `None` where there is no list.
    pub(super) fn list_length(&self, key: &str) -> Option<usize> {
        let value = self.entries?.get(key)?;
        value.get_ref().as_array().map(|list| list.len())
    }

    /// Knows a key without looking it up.
    pub(super) fn ignore(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Where the table is.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes a key that must be there and is not.
    pub(super) fn missing(&self, key: &str, help: &str) {
        let name = self.path_of(key);
        let message = || format!("{name} is missing");
        self.note(self.span.clone(), message, Some(help));
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    /// Whether the file has `key`, and it is a text.
    pub(super) fn has_text(&self, key: &str) -> bool {
        self.entries
            .and_then(|entries| entries.get(key))
            .is_some_and(|value| value.get_ref().is_str())
    }

    /// Whether the file has `key` in the table under `parent`.
    pub(super) fn has_below(&self, parent: &str, key: &str) -> bool {
        self.entries
            .and_then(|entries| entries.get(parent)?.get_ref().as_table())
            .is_some_and(|table| table.contains_key(key))
    }

    /// What messages call the table.
    pub(super) fn path(&self) -> String {
        self.name.clone()
    }

    /// Notes every key that no look-up asked for.
    pub(super) fn finish(self) {
        for key in self.entries.iter().flat_map(|entries| entries.keys()) {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let message = || {
                let shown = self.source.written(key.span());
                match self.name.as_str() {
                    "" => format!("{shown} is not a known table or key"),
                    table => format!("{table} has no key {shown}"),
                }
            };
            let help = closest(name, &self.known).map_or_else(
                || format!("known are: {}", self.known.join(", ")),
                |meant| format!("did you mean {meant}?"),
            );
            self.note(key.span(), message, Some(&help));
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

fn entries_rule() -> String {
    format!("of at most {ENTRIES_MAX} entries")
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
}
