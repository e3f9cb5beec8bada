//! `andon import-keepout`: from the original demo's CSV to a keepout TOML that is known to be valid.

use std::path::{Path, PathBuf};

use crate::config::{self, CsvError, EditError, ZoneEdit};
use crate::geometry::{Normalised, Point, Polygon, PolygonError, Size};
use crate::sys::replace_file;

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
    let points = points(csv, size)?;
    Ok(config::to_keepout_toml(name, &points))
}

/// Why a zone cannot be written into a keepout file.
#[derive(Debug, thiserror::Error)]
pub enum IntoError {
    /// The CSV is no zone.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The keepout file is not valid, or would not be.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The keepout file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Puts the zone of a CSV into the keepout file at `path`, under the name of one that is there or as a
/// new one. Comments, order and permissions stay; the file is replaced in one step once the new text
/// is known to be valid, so that a running program sees the old or the new one.
///
/// # Errors
///
/// Nothing was changed, and why.
pub fn import_into(csv: &str, size: Size, name: &str, path: &Path) -> Result<ZoneEdit, IntoError> {
    let points = points(csv, size)?;
    let failed = |source| IntoError::File {
        path: path.to_owned(),
        source,
    };
    let text = config::read_text(path).map_err(failed)?;
    let (edited, edit) = config::set_zone(path, &text, name, &points)?;
    replace_file(path, edited.as_bytes()).map_err(failed)?;
    Ok(edit)
}

fn points(csv: &str, size: Size) -> Result<Vec<Point<Normalised>>, ImportError> {
    let points = config::import_csv(csv, size)?;
    Polygon::new(points.clone())?;
    Ok(points)
}
