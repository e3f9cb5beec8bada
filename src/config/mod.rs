//! The configuration: what the TOML files say, once it is known to make sense.
//!
//! Files are read as `raw` tables (serde), then turned into the types here, or into a list of
//! `error::Problem`s that name file, line, column and the offending text. Whoever holds a
//! [`Config`] never checks again. Pure but for reading the files it is given.

use std::path::PathBuf;
use std::time::Duration;

use crate::geometry::{Polygon, Size};
use crate::units::{Score, StreamId, ZoneKind};

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSpec {
    /// A video file (mp4/H.264).
    Video(PathBuf),
    /// A folder of PNG/JPEG stills in the order of their names, or one still.
    Stills(PathBuf),
    /// A V4L2 capture device.
    Camera(PathBuf),
    /// A synthetic source for tests: `pattern:NAME`.
    Pattern(String),
}

/// How fast files are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// At their timestamps; late frames are dropped and counted.
    #[default]
    Realtime,
    /// Every frame, in order, with backpressure; deterministic.
    Asap,
}

/// Which engine runs the models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// An Edge TPU where there is one, else the CPU, said aloud.
    #[default]
    Auto,
    /// TFLite on the CPU.
    Cpu,
    /// An Edge TPU on any bus.
    EdgeTpu,
    /// An Edge TPU on USB.
    EdgeTpuUsb,
    /// An Edge TPU on PCIe.
    EdgeTpuPcie,
}

/// Where the picture goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisplayChoice {
    /// No picture is made unless something records it.
    #[default]
    None,
    /// Rendered off-screen.
    Headless,
    /// On a monitor by DRM/KMS.
    Kms,
}

/// Which part of a person's box is tested against a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// The box's bottom edge: feet, for cameras that look down at an angle.
    #[default]
    BottomEdge,
    /// The whole box, for overhead cameras.
    WholeBox,
}

/// One keepout zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Unique, shown on the picture and in the report.
    pub name: String,
    /// The camera it lies in; must be a guarding stream.
    pub camera: StreamId,
    /// What it does.
    pub kind: ZoneKind,
    /// Which part of a person counts.
    pub anchor: Anchor,
    /// Where, in the normalised frame.
    pub polygon: Polygon,
}

/// How the run permission returns after a trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// A reset by an operator.
    #[default]
    Manual,
    /// By itself, once the zone has been clear for `clear_after` frames.
    Automatic,
}

/// Timing and counting of the safety decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyConfig {
    /// Occupied frames in a row until the permission goes; 1 trips on the first.
    pub trip_after: u32,
    /// Clear frames in a row until a stop zone counts as clear again.
    pub clear_after: u32,
    /// A guarding frame or its result older than this counts as occupied.
    pub max_age: Duration,
    /// Older than this it is a fault.
    pub fault_after: Duration,
    /// Manual or automatic restart.
    pub restart: Restart,
}

/// The worker-safety stream.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSafetyConfig {
    /// Frames.
    pub input: InputSpec,
    /// Persons below this score are ignored.
    pub threshold: Score,
    /// The detector's label that is a person.
    pub person_label: String,
}

/// What happens to a part with a grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradeAction {
    /// Stays on the line.
    Good,
    /// Is taken off.
    Reject,
}

/// The visual-inspection stream.
#[derive(Clone, Debug, PartialEq)]
pub struct VisualInspectionConfig {
    /// Frames.
    pub input: InputSpec,
    /// Parts below this detector score are ignored.
    pub threshold: Score,
    /// The detector's labels that are a part.
    pub part_labels: Vec<String>,
    /// The crop handed to the classifier is the part's box grown by this share of its size on each side.
    pub crop_margin: f32,
    /// Grades below this score are shown as unsure and reject nothing.
    pub grade_threshold: Score,
    /// What each classifier label means, in the order of the file.
    pub grades: Vec<(String, GradeAction)>,
}

/// Which model files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelsConfig {
    /// Directory with `models.toml`.
    pub directory: PathBuf,
    /// Name of a model in `models.toml`, or a path to a `.tflite` file.
    pub detector: String,
    /// Name of a model in `models.toml`, or a path to a `.tflite` file.
    pub classifier: String,
}

/// Engine and its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Which engine.
    pub engine: EngineChoice,
    /// CPU threads per inference.
    pub threads: u8,
}

/// The outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputConfig {
    /// Nothing is wired: every edge is recorded in the report only.
    Simulated {
        /// A simulated operator presses reset this long after the zones became clear. For demo and
        /// tests; only this backend can have one.
        operator_reset_after: Option<Duration>,
    },
}

/// Where and how big the picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayConfig {
    /// Backend.
    pub display: DisplayChoice,
    /// Picture size in pixels.
    pub size: Size,
    /// Persons are masked.
    pub anonymize: bool,
}

/// A complete, valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The worker-safety stream.
    pub worker_safety: WorkerSafetyConfig,
    /// The visual-inspection stream.
    pub visual_inspection: VisualInspectionConfig,
    /// Keepout zones, at least one stop zone; at most [`crate::units::ZONES_MAX`].
    pub zones: Vec<Zone>,
    /// Timing and counting.
    pub safety: SafetyConfig,
    /// Model files.
    pub models: ModelsConfig,
    /// Engine.
    pub engine: EngineConfig,
    /// Outputs.
    pub output: OutputConfig,
    /// Picture.
    pub display: DisplayConfig,
}
