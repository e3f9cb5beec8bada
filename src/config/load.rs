//! From two files and a command line to a configuration.

use std::path::{Path, PathBuf};

use super::error::{Origin, Problems};
use super::input::has_extension;
use super::keepout::Keepout;
use super::source::{Content, SeenFile, Source};
use super::{Anchor, Config, ConfigError, Overrides, keepout, kiosk, sections};
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
    attempt(path, overrides).result
}

/// What came of a try to load, and of which files.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The configuration, or everything that is wrong with it.
    pub result: Result<Loaded, ConfigError>,
    /// Every file that was looked at, with the very content that the result is about: `andon.toml`
    /// first, then the keepout file where its name could be found out.
    pub files: Vec<SeenFile>,
}

/// [`load`], which also says what it saw.
#[must_use]
pub fn attempt(path: &Path, overrides: &Overrides) -> Attempt {
    let problems = Problems::default();
    let mut files = Vec::with_capacity(2);
    let loaded = load_noting(path, overrides, &problems, &mut files);
    Attempt {
        result: problems.into_result(loaded),
        files,
    }
}

fn load_noting(
    path: &Path,
    overrides: &Overrides,
    problems: &Problems,
    seen: &mut Vec<SeenFile>,
) -> Option<Loaded> {
    let help = "name another file with --config";
    let source = Source::read(path, help, problems, seen);
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
    let keepout_source = Source::read(&keepout_path, help, problems, seen)?;
    let Keepout { zones, ground } = keepout(&keepout_source, overrides, problems)?;
    let settings = settings?;
    let kiosk = &settings.display.kiosk;
    kiosk::check_sight(&settings.screen_reset, kiosk, &zones, problems);
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
        events: settings.events,
        display: settings.display,
        watchdog: settings.watchdog,
    };
    let [main, keepout] = seen.as_slice() else {
        return None;
    };
    Some(Loaded {
        config,
        main: config_file(main)?,
        keepout: config_file(keepout)?,
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

fn config_file(seen: &SeenFile) -> Option<ConfigFile> {
    match &seen.content {
        Content::Sha256(sha256) => Some(ConfigFile {
            path: seen.path.clone(),
            sha256: sha256.clone(),
        }),
        Content::Unreadable(_) => None,
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
