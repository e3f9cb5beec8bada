//! Changes that the program itself makes to a keepout file: comments, order and everything else
//! stay as they are.

use std::path::Path;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::error::Problems;
use super::source::Source;
use super::{ConfigError, keepout};
use crate::geometry::{Normalised, Point};

/// Why a keepout file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file, or what would become of it, is no valid keepout file.
    #[error("{0}")]
    Invalid(#[from] ConfigError),
    /// Valid as it is, but not written as `[[zone]]` tables.
    #[error("{path}: zones are not written as [[zone]] tables; change it with an editor")]
    Form {
        /// The file.
        path: String,
    },
}

/// What happened to the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneEdit {
    /// It was there and has other corners now; kind, anchor and camera stay.
    Replaced,
    /// It is new: a stop zone, the last of the file.
    Added,
}

/// The text of the keepout file at `path` with the corners of zone `name` replaced, or a new stop zone
/// of that name added. Old and new text are checked by the code that loads the file.
///
/// # Errors
///
/// The text is not valid, before or after.
pub fn set_zone(
    path: &Path,
    text: &str,
    name: &str,
    points: &[Point<Normalised>],
) -> Result<(String, ZoneEdit), EditError> {
    check(path, text)?;
    let form = || EditError::Form {
        path: path.display().to_string(),
    };
    let mut document: DocumentMut = text
        .parse()
        .map_err(|_valid: toml_edit::TomlError| form())?;
    let zones = document
        .entry("zone")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(form)?;
    let named = |zone: &Table| zone.get("name").and_then(Item::as_str) == Some(name);
    let position = zones.iter().position(named);
    let edit = match position.and_then(|position| zones.get_mut(position)) {
        Some(zone) => {
            let mut corners = corners(points);
            // A comment behind the list stays.
            if let Some(old) = zone.get("points").and_then(Item::as_value) {
                *corners.decor_mut() = old.decor().clone();
            }
            zone.insert("points", Item::Value(corners));
            ZoneEdit::Replaced
        }
        None => {
            let mut zone = Table::new();
            zone.insert("name", value(name));
            zone.insert("camera", value("worker_safety"));
            zone.insert("kind", value("stop"));
            zone.insert("anchor", value("bottom-edge"));
            zone.insert("points", Item::Value(corners(points)));
            zone.decor_mut().set_prefix("\n");
            zones.push(zone);
            ZoneEdit::Added
        }
    };
    let edited = document.to_string();
    check(path, &edited)?;
    Ok((edited, edit))
}

/// One corner a line.
fn corners(points: &[Point<Normalised>]) -> Value {
    let mut array = Array::new();
    for point in points {
        let mut pair = Array::new();
        pair.push(shortest(point.x));
        pair.push(shortest(point.y));
        let mut pair = Value::Array(pair);
        pair.decor_mut().set_prefix("\n    ");
        array.push_formatted(pair);
    }
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    Value::Array(array)
}

/// The 64-bit number with the fewest digits that is this one in 32 bits.
fn shortest(share: f32) -> f64 {
    format!("{share:?}").parse().unwrap_or(f64::from(share))
}

fn check(path: &Path, text: &str) -> Result<(), ConfigError> {
    let problems = Problems::default();
    let source = Source::new(path, text.to_owned());
    let read = source
        .parse(&problems)
        .map(|parsed| keepout::read(&source, &parsed, &problems));
    problems.into_result(read.map(|_zones| ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "keepout.toml";

    fn points(shift: f32) -> Vec<Point<Normalised>> {
        [(0.1, 0.2), (0.9, 0.2), (0.5, 0.7)]
            .map(|(x, y)| Point::new(x, y + shift))
            .to_vec()
    }

    fn set(text: &str, name: &str) -> Result<(String, ZoneEdit), EditError> {
        set_zone(Path::new(PATH), text, name, &points(0.0))
    }

    const FILE: &str = "\
# Hall 3

[[zone]] # the press
kind = \"warn\"   # for now
name = \"press\"
points = [[0.3, 0.3], [0.6, 0.3], [0.6, 0.6]] # measured in May

# the saw
[[zone]]
name = \"saw\"
points = [[0.7, 0.7], [0.8, 0.7], [0.8, 0.8]]
# the end
";

    #[test]
    fn a_zone_s_corners_are_replaced_and_nothing_else() {
        let (text, edit) = set(FILE, "press").expect("valid");
        let expected = FILE.replace(
            "[[0.3, 0.3], [0.6, 0.3], [0.6, 0.6]]",
            "[\n    [0.1, 0.2],\n    [0.9, 0.2],\n    [0.5, 0.7],\n]",
        );
        assert_eq!((text, edit), (expected, ZoneEdit::Replaced));
    }

    #[test]
    fn doing_it_twice_changes_nothing_more() {
        let (once, _) = set(FILE, "press").expect("valid");
        let (twice, _) = set(&once, "press").expect("valid");
        assert_eq!(once, twice);
    }

    #[test]
    fn a_new_zone_is_added_behind_the_others() {
        let (text, edit) = set(FILE, "robot \"7\"").expect("valid");
        assert_eq!(edit, ZoneEdit::Added);
        let start = FILE.trim_end_matches("# the end\n");
        let rest = text.strip_prefix(start).expect("the old zones come first");
        assert!(text.contains("# the end"), "{text}");
        for line in ["[[zone]]", "kind = \"stop\"", "    [0.5, 0.7],"] {
            assert!(rest.contains(line), "{line}: {rest}");
        }
    }

    #[test]
    fn the_shipped_file_keeps_all_its_lines() {
        let text = std::fs::read_to_string("config/keepout.toml").expect("shipped");
        let (edited, _) = set(&text, "another").expect("valid");
        assert!(edited.starts_with(&text), "{edited}");
    }

    #[test]
    fn what_is_not_valid_before_or_after_is_refused() {
        let before = FILE.replace("0.8, 0.8", "0.8, 8.0");
        let error = set(&before, "press").expect_err("invalid").to_string();
        assert!(error.contains("keepout.toml:11:"), "{error}");
        let line = vec![Point::new(0.1, 0.1), Point::new(0.2, 0.2)];
        let error = set_zone(Path::new(PATH), FILE, "press", &line);
        assert!(matches!(error, Err(EditError::Invalid(_))), "{error:?}");
        assert!(set(FILE, "").is_err());
    }

    #[test]
    fn zones_in_one_line_are_left_to_an_editor() {
        let text = "zone = [{ name = \"a\", points = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]] }]\n";
        let edited = set(text, "a");
        assert!(edited.is_err(), "{edited:?}");
    }
}
