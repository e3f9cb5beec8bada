//! Keepout points as the original demo keeps them: one corner per line, `x,y` in pixels.

use crate::geometry::{FramePixels, Normalised, Point, Size};

/// Why a CSV is no list of points. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A line that is neither two numbers, nor empty, nor a comment, nor the heading.
    #[error("line {line} is not `x,y`, two numbers of pixels")]
    NotAPair {
        /// Number of the line.
        line: usize,
    },
    /// A point beyond the picture.
    #[error(
        "line {line} lies outside a picture of {size}; is that the size the points were drawn on?"
    )]
    Outside {
        /// Number of the line.
        line: usize,
        /// The picture.
        size: Size,
    },
    /// Nothing but comments.
    #[error("has no points; write one `x,y` in pixels per line")]
    Empty,
}

impl CsvError {
    /// The line that is wrong, where it is one.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::NotAPair { line } | Self::Outside { line, .. } => Some(*line),
            Self::Empty => None,
        }
    }
}

/// Reads one `x,y` in pixels of a picture of `size` per line and turns them into shares of it.
///
/// Empty lines, comments (`#`), one line of column names before the first point, blanks around
/// numbers, CRLF and a byte order mark are fine. A last point that repeats the first is left out:
/// zones close by themselves. Whether the points make a polygon is for
/// [`crate::geometry::Polygon::new`] to say.
///
/// # Errors
///
/// Names the first line that is not a point, or not inside the picture.
pub fn import_csv(text: &str, size: Size) -> Result<Vec<Point<Normalised>>, CsvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut points: Vec<Point<Normalised>> = Vec::new();
    let mut heading_allowed = true;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let fields: Vec<&str> = content.split(',').map(str::trim).collect();
        let heading = heading_allowed && fields.iter().all(|field| is_column_name(field));
        heading_allowed = false;
        if heading && fields.len() == 2 {
            continue;
        }
        let numbers: Vec<Option<f32>> = fields.iter().map(|field| field.parse().ok()).collect();
        let &[Some(x), Some(y)] = numbers.as_slice() else {
            return Err(CsvError::NotAPair { line });
        };
        if !x.is_finite() || !y.is_finite() {
            return Err(CsvError::NotAPair { line });
        }
        let point = Point::<FramePixels>::new(x, y).to_normalised(size);
        if !(0.0..=1.0).contains(&point.x) || !(0.0..=1.0).contains(&point.y) {
            return Err(CsvError::Outside { line, size });
        }
        points.push(point);
    }
    if points.len() > 3 && points.first() == points.last() {
        points.pop();
    }
    if points.is_empty() {
        return Err(CsvError::Empty);
    }
    Ok(points)
}

/// A word such as `x`, not a number; Rust reads `nan` and `inf` as numbers.
fn is_column_name(field: &str) -> bool {
    field.parse::<f32>().is_err() && field.starts_with(|c: char| c.is_alphabetic() || c == '"')
}

/// A keepout TOML with one stop zone of these points.
#[must_use]
pub fn to_keepout_toml(name: &str, points: &[Point<Normalised>]) -> String {
    let name = toml::Value::from(name);
    let mut text = format!(
        "# Corners are shares of the frame's width and height, 0 to 1, from the top left.\n\n\
         [[zone]]\nname = {name}\ncamera = \"worker_safety\"\nkind = \"stop\"\n\
         anchor = \"bottom-edge\"\npoints = [\n"
    );
    for point in points {
        // Debug writes the shortest digits that give the same number again, and a float as a float.
        text.push_str(&format!("    [{:?}, {:?}],\n", point.x, point.y));
    }
    text.push_str("]\n");
    text
}
