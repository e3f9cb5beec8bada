//! The picture as a draw list: what is shown where, decided without touching a pixel.
//!
//! [`compose()`] turns a [`crate::message::Snapshot`] into a [`Scene`] and says what of it can be
//! pressed; [`build()`] is the same for a picture that nobody operates. It is pure, so that a test can
//! compare a whole picture as text. What the colours mean is in `palette`: the ground is dark and
//! neutral, and only a state has a saturated colour (ISA-101; colours as in IEC 60073). No state is
//! told by colour alone: each has its own symbol and word.

mod banner;
mod build;
mod controls;
mod dump;
mod font;
mod layout;
mod marks;
mod mask;
mod pages;
mod palette;
mod splash;
mod status;
mod stream;
mod symbol;
mod view;
mod zones;

use std::time::Duration;

use crate::config::Zone;
use crate::geometry::{Point, Rect, ScreenPixels, Size};
use crate::units::{LabelId, StreamId};

pub use build::{Composed, build, compose};
pub use font::{Weight, font_file};
pub use mask::MaskMemory;
pub use splash::{Splash, StartLine, Step, splash};
pub use status::{
    AcceleratorStatus, EventEntry, Gravity, InferenceStatus, InputStatus, Machine, Status,
};
pub use view::{Dimensions, KioskView, Page, ResetControl, Target, Targets, View};

/// A snapshot that is older than this when it is drawn tells nothing of the machine any more: in real
/// time the decision makes five a second.
pub const UNDECIDED_AFTER: Duration = Duration::from_secs(1);

/// What a picture shows beside the snapshot, and changes seldom.
#[derive(Clone, Debug)]
pub struct SceneContext {
    /// Every zone of the configuration, by [`crate::units::ZoneIndex`].
    pub zones: Vec<Zone>,
    /// Names by [`LabelId`] of the detector.
    pub detector_labels: Vec<String>,
    /// Names by [`LabelId`] of the classifier.
    pub classifier_labels: Vec<String>,
    /// What runs the models: `CPU (TFLite, 2 threads)`.
    pub engine: String,
    /// The program's version.
    pub version: String,
    /// Where each stream's frames come from, by [`StreamId::index`]; shown beside the title.
    pub sources: [String; 2],
    /// Whether persons are shown.
    pub people: People,
    /// A shown frame older than this is marked as old.
    pub old_after: Duration,
    /// One line the operator should read: a recording that stopped, a file that was not accepted.
    pub notice: Option<String>,
}

/// Whether persons are recognisable.
#[derive(Clone, Debug)]
pub enum People {
    /// As the camera sees them.
    Shown,
    /// Covered, where they are and where they just were. A frame that could not be judged is covered
    /// entirely, because nobody knows where people are in it.
    Masked(MaskMemory),
}

impl SceneContext {
    /// The detector's name of a label.
    fn detector_label(&self, label: LabelId) -> &str {
        self.detector_labels
            .get(usize::from(label.0))
            .map_or("?", String::as_str)
    }

    /// The classifier's name of a label, without underscores.
    fn classifier_label(&self, label: LabelId) -> String {
        self.classifier_labels
            .get(usize::from(label.0))
            .map_or_else(|| String::from("?"), |name| name.replace('_', " "))
    }
}

/// A colour with opacity, each 0..=255, not premultiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgba {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
    /// Opacity.
    pub a: u8,
}

impl Rgba {
    /// An opaque colour from `0xRRGGBB`.
    #[must_use]
    pub const fn rgb(hex: u32) -> Self {
        let [_, r, g, b] = hex.to_be_bytes();
        Self { r, g, b, a: 255 }
    }

    /// The same colour with another opacity.
    #[must_use]
    pub const fn with_alpha(self, a: u8) -> Self {
        Self { a, ..self }
    }
}

/// A line of a width in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Pixels.
    pub width: f32,
    /// Colour.
    pub color: Rgba,
}

/// Which point of a text is its origin, horizontally. Vertically it is the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// The text starts there.
    Left,
    /// The text ends there.
    Right,
    /// The text's middle is there.
    Center,
}

/// How a list of points is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The last point joins the first.
    Closed,
    /// A line with two ends.
    Open,
}

/// One step of drawing. Later steps cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A filled rectangle.
    Block {
        /// Where; on whole pixels where its edges shall be sharp.
        rect: Rect<ScreenPixels>,
        /// With what.
        color: Rgba,
    },
    /// The outline of a rectangle.
    Outline {
        /// The middle of the line.
        rect: Rect<ScreenPixels>,
        /// The line.
        stroke: Stroke,
    },
    /// A stream's frame, the whole of it.
    Video {
        /// Whose.
        stream: StreamId,
        /// Where, with the frame's own aspect ratio.
        rect: Rect<ScreenPixels>,
    },
    /// A part of the picture that nobody may see: replaced by one opaque colour, every pixel that the
    /// rectangle touches. Nothing of what was below can be recovered.
    Mask {
        /// Where.
        rect: Rect<ScreenPixels>,
        /// With what; opacity is ignored.
        color: Rgba,
    },
    /// A polygon or line.
    Polygon {
        /// Corners in order.
        points: Vec<Point<ScreenPixels>>,
        /// Whether it closes.
        path: Path,
        /// Inside.
        fill: Option<Rgba>,
        /// Outline.
        stroke: Option<Stroke>,
    },
    /// One line of text.
    Text {
        /// Origin on the baseline.
        at: Point<ScreenPixels>,
        /// What.
        text: String,
        /// Font size in pixels.
        size: f32,
        /// Thickness.
        weight: Weight,
        /// What the origin is.
        align: Align,
        /// With what.
        color: Rgba,
    },
}

/// A picture, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// In pixels.
    pub size: Size,
    /// What lies below everything.
    pub background: Rgba,
    /// In drawing order.
    pub commands: Vec<Command>,
}
