//! Where pictures go: into memory, or on a monitor.

use crate::config::{DisplayChoice, DisplayConfig};
use crate::frame::Frame;
use crate::geometry::Size;
use crate::ui::UiError;
use crate::ui::gles::FrameCopies;
use crate::ui::headless::HeadlessRenderer;
use crate::ui::kms::{DisplayNews, KmsScreen};
use crate::ui::scene::Scene;

/// Draws scenes. Belongs to the thread that made it.
#[derive(Debug)]
pub enum Screen {
    /// Into memory, for films and snapshots.
    Memory(Box<HeadlessRenderer>),
    /// On a monitor.
    Monitor(Box<KmsScreen>),
}

/// Whether a picture's pixels are wanted, beside being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// They are; reading them back costs some milliseconds.
    Wanted,
    /// They are not.
    Unwanted,
}

/// What can be seen of the pictures that were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: there is no monitor, or another program has it.
    Nothing,
    /// An earlier picture than the newest: that one is on its way.
    Earlier,
    /// The newest.
    Newest,
}

impl Screen {
    /// Opens what the configuration names; a few hundred milliseconds.
    ///
    /// # Errors
    ///
    /// Names what is missing for drawing into memory, or a terminal that cannot be used. A monitor
    /// that is not there yet is no error, but news.
    pub fn open(config: &DisplayConfig) -> Result<Self, UiError> {
        Ok(match config.display {
            DisplayChoice::None | DisplayChoice::Headless => {
                Self::Memory(Box::new(HeadlessRenderer::new(config.size)?))
            }
            DisplayChoice::Kms => {
                Self::Monitor(Box::new(KmsScreen::new(&config.kms, config.size)?))
            }
        })
    }

    /// Size of the pictures that [`Screen::show`] takes. A monitor's may change when it is swapped.
    #[must_use]
    pub const fn size(&self) -> Size {
        match self {
            Self::Memory(memory) => memory.size(),
            Self::Monitor(monitor) => monitor.size(),
        }
    }

    /// Width and height of the visible area in millimetres, where a monitor says so.
    #[must_use]
    pub fn millimetres(&self) -> Option<(u32, u32)> {
        match self {
            Self::Memory(_) => None,
            Self::Monitor(monitor) => monitor.millimetres(),
        }
    }

    /// Whether a picture would be drawn now; without a monitor it would not.
    #[must_use]
    pub const fn can_draw(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Monitor(monitor) => monitor.can_draw(),
        }
    }

    /// Draws a scene with the streams' frames, by [`crate::units::StreamId::index`]. `keep` is given
    /// the pixels where they are wanted: `[height, width, 4]` R, G, B, A, top row first. Says whether
    /// it was drawn: on a monitor a picture is left out while the one before waits for the vertical
    /// blank, or while there is no monitor.
    ///
    /// # Errors
    ///
    /// The driver reports an error while drawing into memory. On a monitor that is news.
    pub fn show(
        &mut self,
        scene: &Scene,
        frames: [Option<&Frame>; 2],
        pixels: Pixels,
        keep: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, UiError> {
        match self {
            Self::Memory(memory) => {
                keep(memory.render(scene, frames)?);
                Ok(true)
            }
            Self::Monitor(monitor) => Ok(match pixels {
                Pixels::Wanted => monitor.show(scene, frames, Some(keep)),
                Pixels::Unwanted => monitor.show(scene, frames, None),
            }),
        }
    }

    /// What can be seen, as of the last [`Screen::attend`].
    #[must_use]
    pub fn seen(&self) -> Seen {
        match self {
            Self::Memory(_) => Seen::Newest,
            Self::Monitor(monitor) => monitor.seen(),
        }
    }

    /// To be called several times a second, also where nothing is drawn: looks after the monitor.
    pub fn attend(&mut self) {
        match self {
            Self::Memory(_) => {}
            Self::Monitor(monitor) => monitor.attend(),
        }
    }

    /// The oldest news of the monitor.
    pub fn take_news(&mut self) -> Option<DisplayNews> {
        match self {
            Self::Memory(_) => None,
            Self::Monitor(monitor) => monitor.take_news(),
        }
    }

    /// Frames by how they came to the graphics device.
    #[must_use]
    pub fn copies(&self) -> FrameCopies {
        match self {
            Self::Memory(memory) => memory.copies(),
            Self::Monitor(monitor) => monitor.copies(),
        }
    }
}
