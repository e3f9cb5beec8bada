//! `andon import-keepout`: from the original demo's CSV to a keepout TOML that is known to be valid.

use crate::config::{self, CsvError};
use crate::geometry::{Polygon, PolygonError, Size};

/// Why a CSV is no keepout zone.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line cannot be read, or a point lies outside the picture.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// The points are no usable polygon.
    #[error("the points are no zone: the polygon {0}")]
    Polygon(#[from] PolygonError),
}

/// Turns a CSV of pixels of a picture of `size` into the text of a keepout TOML with one stop zone.
///
/// # Errors
///
/// Says which line, or which rule of a polygon, is broken.
pub fn import(csv: &str, size: Size, name: &str) -> Result<String, ImportError> {
    let points = config::import_csv(csv, size)?;
    Polygon::new(points.clone())?;
    Ok(config::to_keepout_toml(name, &points))
}
