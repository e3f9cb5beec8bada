//! Keepout points as the original demo keeps them: one corner per line, `x,y` in pixels.

use crate::geometry::{FramePixels, Normalised, Point, Size};

/// Most characters of a line that a message repeats.
const LINE_SHOWN: usize = 40;

/// Why a CSV is no list of points. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A line that is neither two numbers, nor empty, nor a comment, nor the heading.
    #[error("line {line} is `{text}`; it must be `x,y`, two numbers of pixels")]
    NotAPair {
        /// Number of the line.
        line: usize,
        /// The beginning of the line, without control characters.
        text: String,
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
            Self::NotAPair { line, .. } | Self::Outside { line, .. } => Some(*line),
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
        let finite = |number: &f32| number.is_finite();
        let number = |field: &&str| field.parse::<f32>().ok().filter(finite);
        let numbers: Vec<Option<f32>> = fields.iter().map(number).collect();
        let &[Some(x), Some(y)] = numbers.as_slice() else {
            let text = content.chars().take(LINE_SHOWN);
            let text = text.map(|c| if c.is_control() { ' ' } else { c }).collect();
            return Err(CsvError::NotAPair { line, text });
        };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::Polygon;

    const SIZE: Size = Size {
        width: 960,
        height: 540,
    };

    fn point(x: f32, y: f32) -> Point<Normalised> {
        Point::new(x, y)
    }

    #[test]
    fn points_are_read_in_every_usual_form() {
        let expected = vec![point(0.0, 0.0), point(0.5, 0.5), point(1.0, 1.0)];
        for text in [
            "0,0\n480,270\n960,540\n",
            "0,0\n480,270\n960,540",
            "x,y\n0,0\n480,270\n960,540\n",
            "\"x\",\"y\"\n0,0\n480,270\n960,540\n",
            "# zone\n\n 0 , 0 \r\n480.0,\t270 # middle\r\n\r\n960,540\r\n",
            "\u{feff}X, Y\n0,0\n480,270\n960,540\n",
        ] {
            assert_eq!(import_csv(text, SIZE), Ok(expected.clone()), "{text:?}");
        }
    }

    #[test]
    fn a_closing_point_is_left_out() {
        let read = import_csv("0,0\n960,0\n960,540\n0,0\n", SIZE);
        assert_eq!(read.map(|points| points.len()), Ok(3));
    }

    #[test]
    fn the_line_that_is_no_point_is_named() {
        let not_a_pair = |line, text: &str| CsvError::NotAPair {
            line,
            text: text.to_owned(),
        };
        for (text, error) in [
            ("", CsvError::Empty),
            ("# nothing\nx,y\n", CsvError::Empty),
            ("0,0\n\n5\n", not_a_pair(3, "5")),
            ("0,0\n1,2,3\n", not_a_pair(2, "1,2,3")),
            ("0,0\nx,y\n", not_a_pair(2, "x,y")),
            ("x,y\nx,y\n", not_a_pair(2, "x,y")),
            ("x,y,z\n", not_a_pair(1, "x,y,z")),
            ("nan,nan\n", not_a_pair(1, "nan,nan")),
            ("0,inf\n", not_a_pair(1, "0,inf")),
            ("0;0\n", not_a_pair(1, "0;0")),
            (
                "0,0\n961,1\n",
                CsvError::Outside {
                    line: 2,
                    size: SIZE,
                },
            ),
            (
                "-1,0\n",
                CsvError::Outside {
                    line: 1,
                    size: SIZE,
                },
            ),
        ] {
            assert_eq!(import_csv(text, SIZE), Err(error), "{text:?}");
        }
        let text = CsvError::Outside {
            line: 2,
            size: SIZE,
        }
        .to_string();
        let expected =
            "line 2 lies outside a picture of 960x540; is that the size the points were drawn on?";
        assert_eq!(text, expected);
    }

    proptest! {
        /// What is imported and written is what is read again, to the last bit.
        #[test]
        fn written_zones_are_read_again(
            name in "[a-z\"\\\\#\u{e4}][ -~]{0,20}[a-z\"']",
            corners in (0_u32..480, 0_u32..270, 481_u32..=960, 271_u32..=540),
        ) {
            let (l, t, r, b) = corners;
            let csv = format!("{l},{t}\n{r},{t}\n{r},{b}\n");
            let points = import_csv(&csv, SIZE).expect("a triangle");
            let text = to_keepout_toml(&name, &points);
            let problems = crate::config::error::Problems::default();
            let source = crate::config::source::Source::new("k.toml".as_ref(), text);
            let parsed = source.parse(&problems).expect("valid TOML");
            let zones = crate::config::keepout::read(&source, &parsed, &problems);
            let zones = problems.into_result(Some(zones)).expect("valid zones").zones;
            prop_assert_eq!(&zones[0].name, &name);
            prop_assert_eq!(&zones[0].polygon, &Polygon::new(points).expect("a triangle"));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), width in any::<u32>(), height in any::<u32>()) {
            let _ = import_csv(&text, Size { width, height });
        }
    }
}
