//! What the stages tell each other. Plain data: no behaviour beyond small look-ups, no I/O.
//!
//! A frame's story: capture hands on a [`Frame`]; the inference stage answers with an [`Inferred`];
//! the decision stage turns that into a [`Decided`]; the picture and the report read a
//! [`Snapshot`] and [`Event`]s. Lists have a fixed capacity, so that a model that goes mad cannot
//! make the decision path allocate.

mod operator;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::frame::{Frame, FrameMeta};
use crate::geometry::{Normalised, Rect};
use crate::units::{LabelId, Metres, MonotonicTime, Score, StreamId, ZoneIndex, ZoneKind};

pub use operator::{OperatorCommand, OperatorOrder, OperatorView, PressId};

/// Most detections of one frame that are kept; Coral's detectors put out at most 100, ours 20.
pub const DETECTIONS_MAX: usize = 100;

/// Most parts graded per frame; the highest scores first.
pub const ITEMS_MAX: usize = 16;

/// One object the detector saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Class in the detector's label file.
    pub label: LabelId,
    /// The detector's confidence.
    pub score: Score,
    /// Where, clipped to the frame.
    pub bbox: Rect<Normalised>,
}

/// Detections of one frame, highest score first.
pub type Detections = ArrayVec<Detection, DETECTIONS_MAX>;

/// What the classifier says of one crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grade {
    /// Class in the classifier's label file.
    pub label: LabelId,
    /// The classifier's confidence.
    pub score: Score,
}

/// A part with its grade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradedItem {
    /// Where the detector saw it.
    pub detection: Detection,
    /// What the classifier said of the crop.
    pub grade: Grade,
}

/// Graded parts of one frame, highest detection score first.
pub type GradedItems = ArrayVec<GradedItem, ITEMS_MAX>;

/// Times of one frame's inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferenceTiming {
    /// From arrival to the start of its preprocessing: waiting in the mailbox.
    pub queued: Duration,
    /// Cropping, resizing, colour conversion of every tensor of the frame.
    pub preprocess: Duration,
    /// The engine's own time over every inference of the frame.
    pub inference: Duration,
    /// Number of inferences run (detector plus one per graded part).
    pub inferences: u32,
}

/// What inference found in a frame.
#[allow(
    clippy::large_enum_variant,
    reason = "boxing would allocate for every frame"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Findings {
    /// Worker-safety stream: people.
    Persons(Detections),
    /// Visual-inspection stream: parts with grades.
    Items(GradedItems),
    /// Inference on this frame failed; a guarding stream counts as occupied. The text is for the
    /// log and names the model and the operation.
    Failed(Arc<str>),
}

/// What is wrong with a picture itself, whatever is in it. Nobody seen in such a picture means
/// nothing: it counts as an occupied zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureDoubt {
    /// The same picture, or the same few, again and again.
    Frozen,
    /// It shows next to nothing.
    Covered,
    /// The contours of the reference are not where they belong.
    Moved,
}

impl PictureDoubt {
    /// Every doubt.
    pub const ALL: [Self; 3] = [Self::Frozen, Self::Covered, Self::Moved];

    /// The word in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Covered => "covered",
            Self::Moved => "moved",
        }
    }

    /// What it is once it lasts.
    #[must_use]
    pub const fn fault(self, stream: StreamId) -> Fault {
        match self {
            Self::Frozen => Fault::PictureFrozen(stream),
            Self::Covered => Fault::CameraCovered(stream),
            Self::Moved => Fault::CameraMoved(stream),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Frozen => "is frozen: the picture does not change",
            Self::Covered => "is covered: no texture",
            Self::Moved => "has moved: the reference contours are not in place",
        }
    }
}

/// One frame with what inference found in it.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The frame itself, for crop display and drawing.
    pub frame: Frame,
    /// What was found.
    pub findings: Findings,
    /// What is wrong with the picture itself, if anything.
    pub doubt: Option<PictureDoubt>,
    /// Where the time went.
    pub timing: InferenceTiming,
}

/// A set of zones, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneSet(u64);

impl ZoneSet {
    /// Adds a zone. Indices at or beyond [`crate::units::ZONES_MAX`] do not exist in a valid configuration.
    pub const fn insert(&mut self, zone: ZoneIndex) {
        self.0 |= 1_u64 << (zone.0 % 64);
    }

    /// Whether the zone is in the set.
    #[must_use]
    pub const fn contains(self, zone: ZoneIndex) -> bool {
        self.0 & (1_u64 << (zone.0 % 64)) != 0
    }

    /// Whether no zone is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set of these bits, zone 0 in the lowest.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set as bits, zone 0 in the lowest.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The zones of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The zones of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The zones in order of their index.
    pub fn iter(self) -> impl Iterator<Item = ZoneIndex> {
        (0..64)
            .map(ZoneIndex)
            .filter(move |zone| self.contains(*zone))
    }
}

/// A person tested against the zones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PersonVerdict {
    /// Where and how sure.
    pub detection: Detection,
    /// Zones the person's anchor touches.
    pub zones: ZoneSet,
    /// The gravest kind among them; `None` outside every zone.
    pub kind: Option<ZoneKind>,
    /// From the person's feet to the nearest stop zone, on the floor; 0 in one. `None` where no
    /// floor was measured, or the feet are at the horizon or above it. To be shown: decides nothing.
    pub distance: Option<Metres>,
}

/// People of one frame with their zones.
pub type PersonVerdicts = ArrayVec<PersonVerdict, DETECTIONS_MAX>;

/// A safety frame's verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SafetyVerdict {
    /// Every person above the threshold.
    pub persons: PersonVerdicts,
    /// Zones with somebody in them.
    pub zones: ZoneSet,
    /// Whether a stop zone counts as occupied in this frame: somebody is in one, the frame could
    /// not be judged, or the picture is not to be believed.
    pub occupied: bool,
    /// Why the picture is not to be believed, where it is not.
    pub doubt: Option<PictureDoubt>,
    /// Why the frame could not be judged, where it could not.
    pub failure: Option<Arc<str>>,
    /// Zones that do not count at this hour; nobody can be in them.
    pub idle: ZoneSet,
}

/// What the configuration makes of a grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The part stays on the line.
    Good,
    /// The part is taken off.
    Reject,
    /// The classifier was not sure enough to say.
    Unsure,
}

impl Disposition {
    /// The word in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Reject => "reject",
            Self::Unsure => "unsure",
        }
    }
}

/// One part of an inspection frame with the decision on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ItemVerdict {
    /// Part and grade.
    pub item: GradedItem,
    /// What happens to it.
    pub disposition: Disposition,
}

/// An inspection frame's verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspectionVerdict {
    /// Every part above the threshold.
    pub items: ArrayVec<ItemVerdict, ITEMS_MAX>,
    /// Why the frame could not be judged, where it could not.
    pub failure: Option<Arc<str>>,
}

/// The verdict on one frame.
#[allow(
    clippy::large_enum_variant,
    reason = "boxing would allocate for every frame"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Of the worker-safety stream.
    Safety(SafetyVerdict),
    /// Of the visual-inspection stream.
    Inspection(InspectionVerdict),
}

impl Verdict {
    /// Why the frame could not be judged, where it could not.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Safety(verdict) => verdict.failure.as_deref(),
            Self::Inspection(verdict) => verdict.failure.as_deref(),
        }
    }
}

/// Why the run permission is OFF although nothing is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TripCause {
    /// Somebody is in a stop zone (the first of them by index).
    Zone(ZoneIndex),
    /// A guarding source or its inference is late.
    Stale(StreamId),
    /// Inference on a guarding frame failed.
    Unjudged(StreamId),
    /// A guarding picture is not to be believed.
    Picture(StreamId, PictureDoubt),
}

/// What locks the run permission out until the cause is gone and an operator resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No stop zone is configured: nothing guards, so nothing may run.
    Unguarded,
    /// An output could not be driven, or an input line could not be read.
    OutputLost,
    /// The feedback contact (EDM) does not follow the run permission.
    FeedbackMismatch,
    /// Timestamps of a guarding source, or the decision clock itself, ran backwards.
    ClockBackwards,
    /// A guarding source has ended.
    SourceEnded(StreamId),
    /// A guarding source or its inference delivered nothing for longer than `fault_after_ms`.
    SourceLost(StreamId),
    /// Inference on a guarding stream failed for longer than `fault_after_ms`.
    InferenceLost(StreamId),
    /// A guarding picture did not change for longer than `fault_after_ms`.
    PictureFrozen(StreamId),
    /// A guarding camera was covered for longer than `fault_after_ms`.
    CameraCovered(StreamId),
    /// A guarding camera was out of place for longer than `fault_after_ms`.
    CameraMoved(StreamId),
    /// The program failed to prove that it still works.
    SelfTestFailed(SelfTestFailure),
}

/// What failed in a self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelfTestFailure {
    /// The detector does not find what is in the known picture.
    Detector,
    /// A zone does not hold a point that lies inside it, or holds one that lies outside.
    Geometry,
    /// No self-test has passed for too long.
    Overdue,
}

/// Outcome of a known-answer test of the detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorTest {
    /// It found what is in the known picture.
    Passed,
    /// It did not, or could not look.
    Failed,
}

/// What the self-test says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SelfTestLevel {
    /// None has been made yet.
    #[default]
    Pending,
    /// The last one passed, not too long ago.
    Passed,
    /// The last one failed, or is overdue.
    Failed(SelfTestFailure),
}

/// Why a reset did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetRefusal {
    /// The self-test has not passed, or a guarding stream not delivered its first judged frame, yet.
    SelfTest,
    /// A stop zone counts as occupied.
    Hazard(TripCause),
    /// The stop zones are clear, but not for `clear_after` frames yet.
    NotYetClear,
    /// The feedback contact (EDM) does not show yet that the relay has dropped out.
    FeedbackPending,
    /// The cause of the lock-out is still there.
    Fault(Fault),
    /// The button was held too long; a stuck button is no reset.
    Held,
    /// The screen was asked, and a button is wired or the configuration does not let the screen reset.
    ScreenMayNot,
    /// The press came late or was interrupted: the picture that the operator saw may be old.
    ScreenLate,
}

/// Whether a reset would be accepted now: what a reset lamp shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetPrompt {
    /// A reset would be refused, or is not needed.
    #[default]
    Wait,
    /// A reset would be accepted.
    Invited,
}

/// State of the run permission (DESIGN "States of the run permission"). ON only in `On`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermissionState {
    /// Before every guarding stream has delivered its first judged frame.
    SelfTest,
    /// OFF, all conditions may be true, waiting for a reset (or N clear frames where configured).
    Interlocked,
    /// The only state with the run permission ON.
    On,
    /// OFF because of something in the zone; goes on to `Interlocked` when clear.
    Tripped(TripCause),
    /// OFF because something is broken.
    LockedOut(Fault),
}

impl PermissionState {
    /// Whether the run permission is ON.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }

    /// The word in report and event log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelfTest => "self_test",
            Self::Interlocked => "interlocked",
            Self::On => "on",
            Self::Tripped(_) => "tripped",
            Self::LockedOut(_) => "locked_out",
        }
    }

    /// Why it is not ON, where something speaks against it.
    #[must_use]
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::SelfTest | Self::Interlocked | Self::On => None,
            Self::Tripped(cause) => Some(Cause::Trip(cause)),
            Self::LockedOut(fault) => Some(Cause::Fault(fault)),
        }
    }
}

/// One stream's newest decided frame, for the picture.
#[derive(Clone, Debug)]
pub struct StreamView {
    /// The very frame the verdict is about.
    pub frame: Frame,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Frames decided per second, over the last second or so.
    pub fps: f32,
    /// From arrival to decision of this frame.
    pub latency: Duration,
}

/// Everything the picture shows, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When, on the decision clock.
    pub at: MonotonicTime,
    /// State of the run permission.
    pub permission: PermissionState,
    /// Newest view per stream, by [`crate::units::StreamId::index`]; `None` before the first frame.
    pub streams: [Option<StreamView>; 2],
    /// Which stream's frame made this snapshot.
    pub newest: StreamId,
    /// Parts that have left so far.
    pub parts: PartTally,
    /// What the operator at the screen is told.
    pub operator: OperatorView,
    /// What runs the models, where that has changed since the start.
    pub engine: Option<Arc<str>>,
}

/// A frame's verdict with its timing, as the decision stage hands it to report and picture.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Which frame.
    pub meta: FrameMeta,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Where inference spent its time.
    pub timing: InferenceTiming,
    /// From arrival to decision.
    pub latency: Duration,
}

/// Which output line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputName {
    /// The relay in the line's stop circuit.
    RunPermission,
    /// Lamp or horn of the warn zones.
    Warning,
    /// Pulse that takes a bad part off the line.
    Reject,
    /// Lamp or contact that says that something is broken.
    Fault,
    /// Square wave that a pulse-monitoring relay watches: it stops when nothing proves any more
    /// that everything is fresh.
    Heartbeat,
}

impl OutputName {
    /// Every output, the run permission first.
    pub const ALL: [Self; 5] = [
        Self::RunPermission,
        Self::Warning,
        Self::Reject,
        Self::Fault,
        Self::Heartbeat,
    ];

    /// Position in [`OutputName::ALL`], for arrays with one entry per output.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::RunPermission => 0,
            Self::Warning => 1,
            Self::Reject => 2,
            Self::Fault => 3,
            Self::Heartbeat => 4,
        }
    }

    /// The word in configuration and report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunPermission => "run_permission",
            Self::Warning => "warning",
            Self::Reject => "reject",
            Self::Fault => "fault",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// State of an output: active or inactive, never high or low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputState {
    /// ON-state.
    Active,
    /// OFF-state.
    Inactive,
}

/// Order to an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCommand {
    /// Which line.
    pub output: OutputName,
    /// What it shall be.
    pub state: OutputState,
}

/// An output's edge: what, when and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputChange {
    /// When, on the decision clock.
    pub at: MonotonicTime,
    /// Which and to what.
    pub command: OutputCommand,
    /// Why.
    pub cause: Cause,
}

/// Why an output changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The program started; every output starts inactive.
    Start,
    /// An operator reset.
    Reset,
    /// An operator has seen it, and said so at the screen.
    Acknowledged,
    /// Clear for long enough, with `restart = "automatic"`.
    AutomaticRestart,
    /// A zone counts as occupied.
    Trip(TripCause),
    /// Something is broken.
    Fault(Fault),
    /// The configuration changed in a way that matters to safety.
    ConfigurationChanged,
    /// Every zone that matters to the output is clear.
    Clear,
    /// This part, counted from 1, is taken off the line.
    PartRejected(u64),
    /// Somebody stays in this zone for longer than its dwell limit.
    Overstayed(ZoneIndex),
    /// The pulse is over.
    PulseOver,
    /// This part, counted from 1, should have been taken off and was not, or too late.
    RejectMissed(u64),
    /// Everything was just proved fresh: the heartbeat's cause.
    Proved,
    /// The program is ending.
    ShutDown,
}

impl Cause {
    /// The cause in words; zones by their names, in the configuration's order.
    #[must_use]
    pub const fn with_names(self, zone_names: &[String]) -> CauseText<'_> {
        CauseText {
            cause: self,
            zone_names,
        }
    }
}

/// A [`Cause`] that can be printed: `zone press`.
#[derive(Clone, Copy, Debug)]
pub struct CauseText<'a> {
    cause: Cause,
    zone_names: &'a [String],
}

impl fmt::Display for CauseText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Start => f.write_str("start"),
            Cause::Reset => f.write_str("reset"),
            Cause::Acknowledged => f.write_str("acknowledged at the screen"),
            Cause::AutomaticRestart => f.write_str("automatic restart"),
            Cause::Trip(TripCause::Zone(zone)) => match self.zone_names.get(usize::from(zone.0)) {
                Some(name) => write!(f, "zone {name}"),
                None => write!(f, "zone number {}", zone.0),
            },
            Cause::Trip(TripCause::Stale(stream)) => write!(f, "{stream} is late"),
            Cause::Trip(TripCause::Unjudged(stream)) => {
                write!(f, "{stream} could not be judged")
            }
            Cause::Trip(TripCause::Picture(stream, doubt)) => {
                write!(f, "{stream} {}", doubt.words())
            }
            Cause::Fault(fault) => write!(f, "fault: {fault}"),
            Cause::ConfigurationChanged => f.write_str("configuration changed"),
            Cause::Clear => f.write_str("clear"),
            Cause::PartRejected(number) => write!(f, "part {number} rejected"),
            Cause::Overstayed(zone) => match self.zone_names.get(usize::from(zone.0)) {
                Some(name) => write!(f, "somebody stays too long in zone {name}"),
                None => write!(f, "somebody stays too long in zone number {}", zone.0),
            },
            Cause::PulseOver => f.write_str("pulse over"),
            Cause::RejectMissed(number) => write!(f, "part {number} not rejected in time"),
            Cause::Proved => f.write_str("everything is fresh"),
            Cause::ShutDown => f.write_str("shut down"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unguarded => f.write_str("no stop zone guards anything"),
            Self::OutputLost => f.write_str("an output or input line is lost"),
            Self::FeedbackMismatch => f.write_str("the feedback contact does not follow"),
            Self::ClockBackwards => f.write_str("time ran backwards"),
            Self::SourceEnded(stream) => write!(f, "{stream} has ended"),
            Self::SourceLost(stream) => write!(f, "{stream} delivers nothing"),
            Self::InferenceLost(stream) => write!(f, "inference on {stream} keeps failing"),
            Self::PictureFrozen(stream) => write!(f, "{stream} {}", PictureDoubt::Frozen.words()),
            Self::CameraCovered(stream) => write!(f, "{stream} {}", PictureDoubt::Covered.words()),
            Self::CameraMoved(stream) => write!(f, "{stream} {}", PictureDoubt::Moved.words()),
            Self::SelfTestFailed(failure) => write!(f, "self-test: {failure}"),
        }
    }
}

impl fmt::Display for SelfTestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detector => "the detector does not see what is in the known picture",
            Self::Geometry => "the zones are not where they are configured",
            Self::Overdue => "none has passed for too long",
        })
    }
}

impl fmt::Display for ResetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfTest => f.write_str(
                "the self-test is not over, or not every guarding stream has delivered yet",
            ),
            Self::Hazard(_) => f.write_str("a stop zone counts as occupied"),
            Self::NotYetClear => f.write_str("the stop zones are not clear for long enough yet"),
            Self::FeedbackPending => {
                f.write_str("the feedback contact does not show the relay dropped out yet")
            }
            Self::Fault(fault) => write!(f, "the fault is still there: {fault}"),
            Self::Held => f.write_str("the button was held too long"),
            Self::ScreenMayNot => f.write_str("the screen may not reset here"),
            Self::ScreenLate => f.write_str("the screen did not answer in time; press again"),
        }
    }
}

/// State of an input line, polarity already applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InputState {
    /// Button pressed, contact made.
    Active,
    /// Button released, contact open, or nothing wired.
    #[default]
    Inactive,
}

/// Whether the feedback contact (EDM) agrees with the run permission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Feedback {
    /// It does, or none is wired.
    #[default]
    Agrees,
    /// It does not, but still has time to follow. The run permission cannot go ON.
    Pending,
    /// It did not follow in time.
    Disagrees,
}

/// The input lines at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldLevels {
    /// The reset button.
    pub reset: InputState,
    /// The muting sensor.
    pub mute: InputState,
    /// The feedback contact.
    pub feedback: Feedback,
}

/// Whether the lines can be driven and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LineHealth {
    /// They can.
    #[default]
    Healthy,
    /// One of them cannot; the run permission goes.
    Lost,
}

/// Parts that have left, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartTally {
    /// Stayed on the line.
    pub good: u64,
    /// Were taken off.
    pub reject: u64,
    /// Could not be graded surely enough; they stayed.
    pub unsure: u64,
    /// Of those in `reject`: their pulse was never given, or too late.
    pub missed: u64,
}

impl PartTally {
    /// Every part, and so the number of the newest one.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.good + self.reject + self.unsure
    }
}

/// Number of a configuration that was handed to the threads; the one of the start is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// SHA-256 of the configuration files, hexadecimal; `None` for a file that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHashes {
    /// Of `andon.toml`.
    pub main: Option<String>,
    /// Of the keepout file.
    pub keepout: Option<String>,
}

/// What became of configuration files that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigurationOutcome {
    /// They are in force, all of them.
    Applied,
    /// What can change while the program runs is in force, the rest comes at the next start.
    NeedsRestart,
    /// Something is wrong with them; what was in force stays in force.
    Refused,
    /// They say what is in force anyway: put right again, or changed in a comment.
    InForce,
}

impl ConfigurationOutcome {
    /// The word in log and report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NeedsRestart => "needs-restart",
            Self::Refused => "refused",
            Self::InForce => "in-force",
        }
    }
}

/// The configuration files changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationChange {
    /// What became of it.
    pub outcome: ConfigurationOutcome,
    /// The files that were in force.
    pub old: FileHashes,
    /// The files as they are now.
    pub new: FileHashes,
    /// Keys that are in force with their new values.
    pub changed: Vec<String>,
    /// Keys that wait for the next start.
    pub pending: Vec<String>,
    /// What is wrong, where they were refused.
    pub problems: Vec<String>,
}

/// The monitor came or went. The run permission does not depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisplayChange {
    /// Pictures are shown again, or for the first time after it was told that there are none.
    Back {
        /// What shows them.
        on: String,
        /// How long there were none.
        after: Duration,
    },
    /// No pictures are shown any more.
    Lost {
        /// Why.
        why: String,
    },
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Version of the program.
    pub version: &'static str,
    /// What runs the models, in words.
    pub engine: String,
    /// `asap` or `realtime`.
    pub pace: &'static str,
    /// The configuration in force.
    pub files: FileHashes,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT or SIGTERM.
    Signal,
    /// Every input ended, or as many frames as were asked for were taken.
    InputsEnded,
    /// Something broke.
    Failed(String),
}

/// What became of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraChange {
    /// When, on the monotonic clock.
    pub at: MonotonicTime,
    /// The stream that it delivers.
    pub stream: StreamId,
    /// As configured.
    pub source: String,
    /// What it does now.
    pub state: CameraState,
}

/// Whether a camera delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraState {
    /// It delivers nothing, and is looked for.
    Lost {
        /// Why, for people.
        why: String,
    },
    /// It delivers again.
    Back {
        /// What it delivers.
        description: String,
    },
}

/// Something worth a line in the report or in the event log.
#[allow(
    clippy::large_enum_variant,
    reason = "boxing would allocate for every frame"
)]
#[derive(Clone, Debug)]
pub enum Event {
    /// A frame was decided.
    Decided(Decided),
    /// An output changed.
    Output(OutputChange),
    /// The run permission is in another state.
    State {
        /// When, on the decision clock.
        at: MonotonicTime,
        /// The state it is in now.
        state: PermissionState,
    },
    /// The detector was shown a picture whose content is known.
    SelfTest {
        /// When, on the decision clock.
        at: MonotonicTime,
        /// What came out.
        outcome: DetectorTest,
    },
    /// An output could not be driven, or an input line could not be read.
    LineLost {
        /// When, on the decision clock.
        at: MonotonicTime,
        /// Which line, and what the system said.
        message: String,
    },
    /// Something happened to an accelerator: it failed, a measure was taken, it is back.
    Accelerator {
        /// When, on the decision clock.
        at: MonotonicTime,
        /// Which one, and what.
        message: String,
        /// What runs the models after it.
        engine: String,
    },
    /// An operator pressed reset in vain.
    ResetRefused {
        /// When, on the decision clock.
        at: MonotonicTime,
        /// Why.
        why: ResetRefusal,
    },
    /// An operator at the screen has seen what it tells.
    Acknowledged {
        /// When, on the decision clock.
        at: MonotonicTime,
    },
    /// The decision took over another configuration.
    Configured {
        /// When, on the decision clock.
        at: MonotonicTime,
        /// Which.
        generation: Generation,
    },
    /// A camera was lost, or is back.
    Camera(CameraChange),
    /// The monitor came or went.
    Display(DisplayChange),
    /// The configuration files changed.
    Configuration(Box<ConfigurationChange>),
    /// The program runs.
    Started(Box<Started>),
    /// The program ends.
    Stopped(StopReason),
    /// So many events could not be written to the event log, or be handed on in time.
    Lost(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_in_words_with_the_zones_name() {
        let names = ["press".to_owned()];
        let stream = StreamId::WorkerSafety;
        let told = |cause: Cause| cause.with_names(&names).to_string();
        let zone = |index| told(Cause::Trip(TripCause::Zone(ZoneIndex(index))));
        assert_eq!(zone(0), "zone press");
        assert_eq!(zone(1), "zone number 1");
        assert_eq!(
            told(Cause::Trip(TripCause::Stale(stream))),
            "worker_safety is late"
        );
        assert_eq!(
            told(Cause::Fault(Fault::SourceEnded(stream))),
            "fault: worker_safety has ended"
        );
        assert_eq!(told(Cause::PartRejected(7)), "part 7 rejected");
        let covered = TripCause::Picture(stream, PictureDoubt::Covered);
        assert_eq!(
            told(Cause::Trip(covered)),
            "worker_safety is covered: no texture"
        );
        assert_eq!(
            told(Cause::Fault(PictureDoubt::Moved.fault(stream))),
            "fault: worker_safety has moved: the reference contours are not in place"
        );
    }
}
