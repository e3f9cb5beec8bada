//! `andon import-keepout`: from the original demo's CSV to a keepout TOML that is known to be valid.

use std::path::{Path, PathBuf};

use crate::config::{self, CsvError, EditError, ZoneEdit, ZoneNameError};
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
    /// The name is not one that a keepout file may have.
    #[error("--name: {0}")]
    Name(#[from] ZoneNameError),
}

/// Turns a CSV of pixels of a picture of `size` into the text of a keepout TOML with one stop zone.
///
/// # Errors
///
/// Says which line, or which rule of a polygon or of a name, is broken.
pub fn import(csv: &str, size: Size, name: &str) -> Result<String, ImportError> {
    config::check_zone_name(name)?;
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
    config::check_zone_name(name).map_err(ImportError::from)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "585,390\n720,335\n420,205\n305,235\n";
    const SIZE: Size = Size {
        width: 960,
        height: 540,
    };

    /// Every name is either refused, or gives a file that is accepted.
    #[test]
    fn what_is_imported_is_a_keepout_file_that_is_accepted() {
        let long = "x".repeat(33);
        for (name, fits) in [
            ("press", true),
            ("a \"b\" \\ c", true),
            (&long[1..], true),
            ("", false),
            (" a", false),
            ("a ", false),
            ("a\nb", false),
            (&long, false),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("keepout.toml");
            let imported = import(CSV, SIZE, name);
            assert_eq!(imported.is_ok(), fits, "{name:?}: {imported:?}");
            let Ok(text) = imported else { continue };
            std::fs::write(&path, text).expect("written");
            let overrides = config::Overrides {
                keepout: Some(path),
                ..config::Overrides::default()
            };
            let loaded = config::load("config/andon.toml".as_ref(), &overrides);
            assert_eq!(loaded.expect("accepted").config.zones[0].name, name);
        }
    }
}
