//! From two files and a command line to a configuration.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::{Origin, Problems};
use super::input::has_extension;
use super::keepout::Keepout;
use super::source::Source;
use super::{Anchor, Config, ConfigError, Overrides, keepout, sections};
use crate::geometry::Size;

/// A file that the configuration was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
}

/// A configuration and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What the files and the command line say together.
    pub config: Config,
    /// `andon.toml`.
    pub main: ConfigFile,
    /// `keepout.toml`, or a CSV of the original demo.
    pub keepout: ConfigFile,
}

/// Where `andon.toml` is looked for when nobody names one, in this order.
#[must_use]
pub fn default_paths() -> [PathBuf; 2] {
    ["config/andon.toml", "/etc/andon/andon.toml"].map(PathBuf::from)
}

/// Reads `andon.toml` at `path` and the keepout file that it or the command line names.
///
/// Both files are read to their end, so that one call finds everything that is wrong. Blocks for
/// as long as the file system takes; files above 1 MiB and anything but regular files are refused.
///
/// # Errors
///
/// Every problem of both files and the command line.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let problems = Problems::default();
    let loaded = load_noting(path, overrides, &problems);
    problems.into_result(loaded)
}

fn load_noting(path: &Path, overrides: &Overrides, problems: &Problems) -> Option<Loaded> {
    let help = "name another file with --config";
    let source = Source::read(path, help, problems);
    let settings = source.as_ref().and_then(|source| {
        let parsed = source.parse(problems)?;
        Some(sections::read(source, &parsed, overrides, problems))
    });
    // Where andon.toml cannot be read, a keepout file named on the command line still can.
    let keepout_path = match &settings {
        Some(settings) => settings.keepout.clone(),
        None => overrides.keepout.clone()?,
    };
    let help = "a line is not guarded without zones: write the file as config/keepout.toml shows, or name another with --keepout";
    let keepout_source = Source::read(&keepout_path, help, problems)?;
    let Keepout { zones, ground } = keepout(&keepout_source, overrides, problems)?;
    let settings = settings?;
    let config = Config {
        worker_safety: settings.worker_safety?,
        visual_inspection: settings.visual_inspection?,
        zones,
        ground,
        safety: settings.safety,
        camera_checks: settings.camera_checks,
        models: settings.models?,
        engine: settings.engine,
        output: settings.output,
        display: settings.display,
        watchdog: settings.watchdog,
    };
    Some(Loaded {
        config,
        main: config_file(&source?),
        keepout: config_file(&keepout_source),
    })
}

fn keepout(source: &Source, overrides: &Overrides, problems: &Problems) -> Option<Keepout> {
    let mut keepout = if has_extension(source.path(), &["csv"]) {
        let size = csv_size(source.path(), overrides, problems)?;
        Keepout {
            zones: keepout::read_csv(source, size, problems),
            ground: None,
        }
    } else {
        let parsed = source.parse(problems)?;
        keepout::read(source, &parsed, problems)
    };
    if overrides.safety_check_whole_box {
        for zone in &mut keepout.zones {
            zone.anchor = Anchor::WholeBox;
        }
    }
    Some(keepout)
}

/// The picture that a CSV's pixels belong to. Guessing would put the zone somewhere else.
fn csv_size(path: &Path, overrides: &Overrides, problems: &Problems) -> Option<Size> {
    let (Some(width), Some(height)) = (overrides.width, overrides.height) else {
        problems.add_with_help(
            Origin::File(path.to_owned()),
            "is a CSV of pixels, and nothing says of what size the picture was",
            "give --width and --height, or turn it into a TOML with `andon import-keepout`",
        );
        return None;
    };
    Some(Size { width, height })
}

fn config_file(source: &Source) -> ConfigFile {
    let digest = Sha256::digest(source.text().as_bytes());
    ConfigFile {
        path: source.path().to_owned(),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
