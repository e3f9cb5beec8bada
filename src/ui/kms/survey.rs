//! What cards and monitors there are, for `andon probe`. Shows nothing.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use drm::control::{Device as _, PlaneType};
use gbm::AsRaw as _;

use super::card::{self, Card, Look, Modesetting};
use super::choice::{self, ConnectorInfo};
use crate::config::KmsConfig;
use crate::ui::gles::{Context, EGL_LIBRARY, ImportKind, Renderer};

/// A card, or why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardSurvey {
    /// Its device.
    pub path: PathBuf,
    /// What was found.
    pub found: Result<CardFound, String>,
}

/// What a card offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFound {
    /// Name of the kernel's driver.
    pub driver: String,
    /// How it is told what to show.
    pub modesetting: Modesetting,
    /// In its order.
    pub connectors: Vec<ConnectorInfo>,
    /// What would be taken, with remarks.
    pub choice: Result<(String, Vec<String>), String>,
    /// Pixel formats of each plane that lies above the picture, a mouse pointer's left out. They are not
    /// used: every camera is drawn.
    pub overlays: Vec<Vec<String>>,
    /// What draws on it.
    pub graphics: Result<Graphics, String>,
}

/// What draws on a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graphics {
    /// Device and version of OpenGL ES.
    pub device: String,
    /// Pixel formats (`drm_fourcc.h`) that are drawn from a camera's memory.
    pub imports: Vec<(String, ImportKind)>,
}

/// Looks at the configured card, or at every one.
///
/// # Errors
///
/// There are no cards.
pub fn survey(config: &KmsConfig) -> Result<Vec<CardSurvey>, String> {
    let paths = match &config.card {
        Some(path) => vec![path.clone()],
        None => card::paths().map_err(|error| format!("/dev/dri: {error}"))?,
    };
    if paths.is_empty() {
        return Err("no card in /dev/dri".to_owned());
    }
    let surveys = paths.into_iter().map(|path| CardSurvey {
        found: look(&path, config),
        path,
    });
    Ok(surveys.collect())
}

fn look(path: &Path, config: &KmsConfig) -> Result<CardFound, String> {
    let card = Card::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let modesetting = card.modesetting();
    let connectors: Vec<ConnectorInfo> = card
        .connectors(Look::Fresh)
        .map_err(|error| format!("no connectors: {error}"))?
        .into_iter()
        .map(|connector| connector.info)
        .collect();
    let choice = choice::choose(&connectors, config.connector.as_deref(), config.mode);
    let choice = choice.map_err(|error| error.to_string()).map(|chosen| {
        let taken = connectors.get(chosen.connector);
        let mode = taken.and_then(|taken| taken.modes.get(chosen.mode));
        let words = match (taken, mode) {
            (Some(taken), Some(mode)) => format!("{} in {mode}", taken.name),
            (Some(_), None) | (None, _) => String::new(),
        };
        (words, chosen.remarks)
    });
    Ok(CardFound {
        driver: card.driver(),
        modesetting,
        connectors,
        choice,
        overlays: overlays(&card).unwrap_or_default(),
        graphics: graphics(&card),
    })
}

/// Planes that could show a camera's picture without drawing it.
fn overlays(card: &Card) -> std::io::Result<Vec<Vec<String>>> {
    let mut overlays = Vec::new();
    for handle in card.plane_handles()? {
        let kind = card.property(handle, "type")?.map(|(_, value)| value);
        if kind == Some(PlaneType::Overlay as u64) {
            let plane = card.get_plane(handle)?;
            let formats = plane.formats().iter().map(|format| four(*format));
            overlays.push(formats.collect());
        }
    }
    Ok(overlays)
}

/// A pixel format's four characters.
fn four(format: u32) -> String {
    format.to_le_bytes().map(char::from).iter().collect()
}

fn graphics(card: &Card) -> Result<Graphics, String> {
    let gbm = gbm::Device::new(card.clone()).map_err(|error| format!("GBM: {error}"))?;
    let device = gbm.as_raw_mut().cast::<c_void>();
    // SAFETY: the device outlives the context, which is declared after it.
    let context = unsafe { Context::on_gbm(EGL_LIBRARY, device) };
    let context = context.map_err(|error| error.to_string())?;
    let mut renderer =
        Renderer::new(|name| context.function(name)).map_err(|error| error.to_string())?;
    renderer.import_frames(&context);
    Ok(Graphics {
        device: renderer.device().to_owned(),
        imports: renderer.import_formats(),
    })
}
