//! The configuration: what the TOML files say, once it is known to make sense.
//!
//! [`load()`] reads `andon.toml` and the keepout file it names, lays the command line's [`Overrides`]
//! over them and answers with a [`Config`], or with every [`Problem`] of both files at once: file,
//! line, column, the offending text and what to do. Whoever holds a [`Config`] never checks again.
//!
//! `source` and `table` know TOML and positions; `sections` and `keepout` know the keys of the two
//! files and turn them into the types here, `ground` those of zones drawn on the floor; `input` and `csv` read their small languages; [`diff()`]
//! says what a change of configuration means for a running line.
//!
//! Reads the files it is given and nothing else; no threads, and a clock only in [`Watcher`], which
//! notices when the files change. Called by the command line at start and later by the thread that
//! watches the files.

mod camera;
mod camera_checks;
mod csv;
mod diff;
mod edit;
mod error;
mod ground;
mod hours;
mod input;
mod keepout;
mod kiosk;
mod kms;
mod load;
mod output;
mod overrides;
mod sections;
mod source;
mod table;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use camera::{CAMERA_FORMATS, CameraConfig, ControlValue, PowerLine, control_key};
pub use camera_checks::{
    CameraChecksConfig, CoveredCheckConfig, FrozenCheckConfig, MovedCheckConfig,
};
pub use csv::{CsvError, import_csv, to_keepout_toml};
pub use diff::{Change, Impact, diff, live};
pub use edit::{EditError, ZoneEdit, set_zone};
pub use error::{ConfigError, Excerpt, Origin, Problem};
pub use ground::{Approach, FloorZone, Ground, Growth};
pub use hours::{Hours, MinuteOfDay, ParseWindowError, Window};
pub use input::InputError;
pub use keepout::{ZoneNameError, check_zone_name};
pub use kiosk::{KioskConfig, PageSet, ShownStreams, StatusPage, TextScale};
pub use kms::{KmsConfig, ModeWish, ParseModeError, VtWish};
pub use load::{Attempt, ConfigFile, Loaded, attempt, default_paths, load};
pub use output::{ChipSpec, GpioConfig, LineName, LineSpec, OutputBackend, OutputConfig, Polarity};
pub use overrides::Overrides;
pub use source::{Content, SeenFile, read_text};
pub use watch::{Timing, Watcher};

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

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(path) | Self::Stills(path) | Self::Camera(path) => {
                write!(f, "{}", path.display())
            }
            Self::Pattern(spec) => write!(f, "pattern:{spec}"),
        }
    }
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
    /// A simulated Edge TPU, in test builds; no configuration file can name it.
    #[cfg(feature = "tpu-sim")]
    EdgeTpuSimulated,
}

impl EngineChoice {
    /// Every choice that a configuration file may name.
    pub const ALL: [Self; 5] = [
        Self::Auto,
        Self::Cpu,
        Self::EdgeTpu,
        Self::EdgeTpuUsb,
        Self::EdgeTpuPcie,
    ];

    /// The word in configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::EdgeTpu => "edgetpu",
            Self::EdgeTpuUsb => "edgetpu:usb",
            Self::EdgeTpuPcie => "edgetpu:pcie",
            #[cfg(feature = "tpu-sim")]
            Self::EdgeTpuSimulated => "edgetpu:sim",
        }
    }
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

impl DisplayChoice {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::None, Self::Headless, Self::Kms];

    /// The word in configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Headless => "headless",
            Self::Kms => "kms",
        }
    }
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

impl Anchor {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::BottomEdge, Self::WholeBox];

    /// The word in configuration and report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BottomEdge => "bottom-edge",
            Self::WholeBox => "whole-box",
        }
    }
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
    /// When it counts.
    pub hours: Hours,
    /// Longest stay that is not told; `None` where any is fine.
    pub dwell_limit: Option<Duration>,
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

impl Restart {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Manual, Self::Automatic];

    /// The word in configuration and report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
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

impl Default for SafetyConfig {
    fn default() -> Self {
        Self {
            trip_after: 1,
            clear_after: 10,
            max_age: Duration::from_millis(500),
            fault_after: Duration::from_millis(2000),
            restart: Restart::Manual,
        }
    }
}

/// The worker-safety stream.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSafetyConfig {
    /// What is asked of the camera, where the input is one.
    pub camera: CameraConfig,
    /// Frames.
    pub input: InputSpec,
    /// Persons below this score are ignored.
    pub threshold: Score,
    /// The detector's label that is a person.
    pub person_label: String,
}

impl WorkerSafetyConfig {
    /// Threshold where the file says nothing.
    pub const THRESHOLD_DEFAULT: Score = Score::percent(40);
}

/// What happens to a part with a grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradeAction {
    /// Stays on the line.
    Good,
    /// Is taken off.
    Reject,
}

impl GradeAction {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Good, Self::Reject];

    /// The word in configuration and report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Reject => "reject",
        }
    }
}

/// The visual-inspection stream.
#[derive(Clone, Debug, PartialEq)]
pub struct VisualInspectionConfig {
    /// What is asked of the camera, where the input is one.
    pub camera: CameraConfig,
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
    /// From the last picture of a part until it is before the pusher; `None` rejects at once.
    pub reject_delay: Option<Duration>,
    /// Length of the reject output's pulse.
    pub reject_pulse: Duration,
}

impl VisualInspectionConfig {
    /// Threshold where the file says nothing.
    pub const THRESHOLD_DEFAULT: Score = Score::percent(40);
    /// Grade threshold where the file says nothing.
    pub const GRADE_THRESHOLD_DEFAULT: Score = Score::percent(60);
    /// Reject pulse where the file says nothing: pneumatic rejectors open within 10 to 50 ms.
    pub const REJECT_PULSE_DEFAULT: Duration = Duration::from_millis(200);
    /// Crop margin where the file says nothing.
    pub const CROP_MARGIN_DEFAULT: f32 = 0.0;
}

/// A model by name or by file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRef {
    /// A name in `models.toml`.
    Named(String),
    /// A `.tflite` file, relative to the current directory or absolute.
    File(PathBuf),
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Which model files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelsConfig {
    /// Directory with `models.toml`.
    pub directory: PathBuf,
    /// Finds persons and parts.
    pub detector: ModelRef,
    /// Grades parts.
    pub classifier: ModelRef,
}

/// What happens when no Edge TPU is in service any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTpuLoss {
    /// Every frame is a fault until one is back.
    #[default]
    Stop,
    /// The models they were compiled from run on the CPU until one is back.
    Cpu,
}

impl OnTpuLoss {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Stop, Self::Cpu];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Cpu => "cpu",
        }
    }
}

/// How fast an Edge TPU on USB runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TpuClock {
    /// 250 MHz.
    Standard,
    /// 500 MHz.
    #[default]
    Maximum,
}

impl TpuClock {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Maximum];

    /// The word in configuration, as Coral calls its two libraries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "std",
            Self::Maximum => "max",
        }
    }
}

/// What makes the detector's input of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreprocessChoice {
    /// The CPU.
    #[default]
    Cpu,
    /// The graphics device, until it fails; then the CPU.
    Gpu,
}

impl PreprocessChoice {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Gpu];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }
}

/// Engine, its threads, what makes its input, and how Edge TPUs are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// Which engine.
    pub engine: EngineChoice,
    /// CPU threads per inference.
    pub threads: u8,
    /// What makes the detector's input.
    pub preprocess: PreprocessChoice,
    /// What happens when no Edge TPU is in service any more.
    pub on_tpu_loss: OnTpuLoss,
    /// How fast Edge TPUs run.
    pub tpu_clock: TpuClock,
    /// Firmware of Edge TPUs on USB; `None` for where distributions have it.
    pub tpu_firmware: Option<PathBuf>,
}

/// The hardware watchdog that the pipeline feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// Its device, such as `/dev/watchdog`.
    pub device: PathBuf,
    /// Time without signs of life after which the machine restarts; whole seconds.
    pub timeout: Duration,
}

impl WatchdogConfig {
    /// Timeout where the file says nothing.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
}

/// When a written event is made to survive a power cut (fsync).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventSync {
    /// Trips, faults, changes of the configuration, start and stop at once; the rest within seconds.
    #[default]
    Grave,
    /// Each at once.
    Each,
    /// All within seconds: less wear of a flash memory.
    Batch,
}

impl EventSync {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Grave, Self::Each, Self::Batch];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grave => "grave",
            Self::Each => "each",
            Self::Batch => "batch",
        }
    }
}

/// The event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// Where its files are; `None` keeps no log.
    pub directory: Option<PathBuf>,
    /// Size at which the next file is begun, bytes.
    pub file_bytes_max: u32,
    /// Files that are kept, the one being written included.
    pub files_max: u32,
    /// What survives a power cut.
    pub sync: EventSync,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            directory: None,
            file_bytes_max: 1 << 20,
            files_max: 16,
            sync: EventSync::Grave,
        }
    }
}

/// Where and how big the picture is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayConfig {
    /// Backend.
    pub display: DisplayChoice,
    /// Size of the whole picture, both streams and the banner, in pixels; both even.
    pub size: Size,
    /// Persons are masked.
    pub anonymize: bool,
    /// What an operator can do at the monitor.
    pub kiosk: KioskConfig,
    /// Which monitor, and how; its mode is then the size of the picture.
    pub kms: KmsConfig,
}

impl DisplayConfig {
    /// Size where the file says nothing.
    pub const SIZE_DEFAULT: Size = Size {
        width: 1280,
        height: 720,
    };
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
    /// The floor of the worker-safety picture, where it was measured.
    pub ground: Option<Ground>,
    /// Timing and counting.
    pub safety: SafetyConfig,
    /// What a guarding picture has to pass.
    pub camera_checks: CameraChecksConfig,
    /// Model files.
    pub models: ModelsConfig,
    /// Engine.
    pub engine: EngineConfig,
    /// Outputs.
    pub output: OutputConfig,
    /// Event log.
    pub events: EventsConfig,
    /// Picture.
    pub display: DisplayConfig,
    /// Hardware watchdog; `None` where none is used.
    pub watchdog: Option<WatchdogConfig>,
}

impl Config {
    /// Where a stream's frames come from, and what is asked of the camera where it is one.
    #[must_use]
    pub const fn input(&self, stream: StreamId) -> (&InputSpec, &CameraConfig) {
        match stream {
            StreamId::WorkerSafety => (&self.worker_safety.input, &self.worker_safety.camera),
            StreamId::VisualInspection => (
                &self.visual_inspection.input,
                &self.visual_inspection.camera,
            ),
        }
    }
}
