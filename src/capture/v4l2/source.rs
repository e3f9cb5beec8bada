//! A camera as a source of frames: live, or down and being looked for.
//!
//! ```text
//!                 opened, started
//!   Down ────────────────────────────────▶ Up
//!    ▲  ◀── refused: tried again later      │
//!    └──────────────────────────────────────┘
//!      unplugged, silent, broken, changed
//! ```
//!
//! Down, it hands on nothing: what it guards counts as occupied after `max_age_ms`, without anybody
//! being told. It is looked for by what it is ([`Identity`]), after waits that double from
//! [`RETRY_FIRST`] to [`RETRY_MAX`] until a picture has come; format and controls are agreed anew each time.
//!
//! Opening and closing a camera that hangs takes seconds. Each is a turn of its own, which
//! [`FrameSource::may_take_long`] announces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::controls;
use super::format::{Coding, SIZE_DEFAULT};
use super::identity::{self, Identity, Search};
use super::jpeg;
use super::kernel::{Cameras, Filled, Place, Stamp};
use super::negotiate;
use super::problem::CameraProblem;
use super::stream::{Step, Stream};
use super::v4l2_sys::Machine;
use crate::capture::{
    CaptureError, Captured, FrameSource, Losses, SourceInfo, SourceNews, Timekeeping,
};
use crate::config::CameraConfig;
use crate::frame::{DeviceBuffer, Frame, FrameMeta};
use crate::geometry::Size;
use crate::units::{MonotonicTime, StreamId};

/// First wait before a camera is looked for again.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// A camera that says that its picture changed is opened anew at once, but not more often than this.
const CHANGES_EVERY: Duration = Duration::from_secs(1);

/// Longest wait: what a replugged camera waits at most.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A camera from which nothing comes for this long, or for [`SILENT_INTERVALS`] of its own intervals
/// where that is longer, is opened anew. Its zone has counted as occupied long before.
const SILENT_AFTER: Duration = Duration::from_secs(2);
const SILENT_INTERVALS: f64 = 10.0;

/// Longest uninterrupted wait; whoever waits has to look at a stop flag.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Wait after a driver failed to fill a buffer, so that failures in a row take some time.
const FAILURE_WAIT: Duration = Duration::from_millis(5);

/// A picture that comes this late counts as an occupied zone with the default `max_age_ms`, so that the
/// reason has to be said.
const OLD_AFTER: Duration = Duration::from_millis(500);

/// A jump of the driver's counter beyond this is no gap: it began anew.
const GAP_MAX: u32 = 100_000;

/// A camera of the kernel's video interface.
#[derive(Debug)]
pub struct V4l2Source {
    cameras: Box<dyn Cameras>,
    stream: StreamId,
    configured: PathBuf,
    config: CameraConfig,
    /// What the configured path led to the first time, where it named a node by its number.
    identity: Option<Identity>,
    /// What is open now, or was last.
    present: Option<Identity>,
    /// Size of the first pictures of this run; zones lie in pictures of this shape.
    shape: Option<Size>,
    state: State,
    /// What the next turn does, which may take long.
    errand: Option<Errand>,
    /// Before the next try, should there have to be one.
    wait: Duration,
    /// When it last said that its picture has changed.
    changed_at: Option<MonotonicTime>,
    info: SourceInfo,
    clock: Clock,
    decoder: jpeg::Decoder,
    losses: Losses,
    news: Option<SourceNews>,
    said: Said,
    /// Buffers of streams that are gone, in which frames elsewhere still lie.
    orphans: Vec<DeviceBuffer>,
}

#[derive(Debug)]
enum State {
    Up {
        stream: Box<Stream>,
        /// When the last picture came, or it was opened.
        heard: MonotonicTime,
        silent_after: Duration,
        proof: Proof,
    },
    Down {
        retry_at: MonotonicTime,
        why: String,
    },
}

/// Whether a camera that was opened delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// No good picture has come yet. That it is up is told only then.
    Missing,
    /// No good picture has come yet, and that it is up need not be told: it was never down.
    Untold,
    /// One has come.
    Given,
}

/// Something at the device that may take seconds.
#[derive(Debug)]
enum Errand {
    /// Open it.
    Open,
    /// Close it, for this reason.
    Close(CameraProblem),
}

/// What is said once only.
#[derive(Debug, Default)]
struct Said {
    copy: bool,
    clock: bool,
    future: bool,
    old: bool,
    starved: bool,
    undecodable: bool,
}

/// Numbers and times of frames, over interruptions.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// Of the next frame that is handed on, if nothing was lost.
    sequence: u64,
    /// The driver's number of the frame before; `None` after an interruption.
    driver: Option<u32>,
    first: Option<MonotonicTime>,
    last: Option<MonotonicTime>,
}

impl Clock {
    /// Takes the driver's number of a frame; gives how many are missing before it.
    fn count(&mut self, driver: u32) -> u64 {
        let missing = self.driver.map_or(0, |before| {
            match driver.wrapping_sub(before) {
                // A driver that does not count.
                0 => 0,
                steps if steps <= GAP_MAX => u64::from(steps - 1),
                _ => 0,
            }
        });
        self.driver = Some(driver);
        self.sequence += missing;
        missing
    }
}

impl V4l2Source {
    /// Opens the camera that a path leads to. One that is not there yet, or in use, is a source that is
    /// down and goes on looking for it.
    ///
    /// # Errors
    ///
    /// What waiting does not mend: it is no camera, may not be opened, or does not take what is
    /// configured.
    pub fn open(
        path: &Path,
        config: &CameraConfig,
        stream: StreamId,
    ) -> Result<Self, CaptureError> {
        Self::open_among(Box::new(Machine), path, config, stream)
    }

    /// As [`V4l2Source::open`], among these cameras.
    pub(super) fn open_among(
        cameras: Box<dyn Cameras>,
        path: &Path,
        config: &CameraConfig,
        stream: StreamId,
    ) -> Result<Self, CaptureError> {
        let now = cameras.now();
        let mut source = Self {
            cameras,
            stream,
            configured: path.to_owned(),
            config: config.clone(),
            identity: None,
            present: None,
            shape: None,
            state: State::Down {
                retry_at: now,
                why: String::new(),
            },
            errand: None,
            wait: RETRY_FIRST,
            changed_at: None,
            info: SourceInfo {
                name: path.display().to_string(),
                description: "not there".to_owned(),
                size: config.size.unwrap_or(SIZE_DEFAULT),
                frame_rate: config.frame_rate.map(f64::from),
                frames: None,
            },
            clock: Clock::default(),
            decoder: jpeg::Decoder::default(),
            losses: Losses::default(),
            news: None,
            said: Said::default(),
            orphans: Vec::new(),
        };
        match source.connect() {
            Ok(stream) => {
                source.start(stream, Proof::Untold);
                Ok(source)
            }
            Err(problem) if problem.may_pass() => {
                source.go_down(&problem);
                Ok(source)
            }
            Err(problem) => Err(CaptureError::Camera {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// Where the camera is now.
    fn locate(&mut self) -> Result<Place, CameraProblem> {
        let places = self.cameras.places();
        if let Some(identity) = &self.identity {
            return match identity.find(&places) {
                Search::Found(place) => Ok(place),
                Search::Gone => Err(CameraProblem::Gone {
                    identity: identity.to_string(),
                }),
                Search::Ambiguous(count) => Err(CameraProblem::Ambiguous {
                    identity: identity.to_string(),
                    count,
                }),
            };
        }
        let path = self
            .cameras
            .resolve(&self.configured)
            .map_err(CameraProblem::of("open"))?;
        let known = places.into_iter().find(|place| place.path == path);
        // A node that sysfs does not list: it will tell itself what it is.
        Ok(known.unwrap_or(Place {
            path,
            identity: Identity {
                name: String::new(),
                device: PathBuf::new(),
                index: 0,
                serial: None,
            },
        }))
    }

    fn connect(&mut self) -> Result<Stream, CameraProblem> {
        let mut place = self.locate()?;
        let node = self.cameras.open(&place.path).map_err(refused_open)?;
        let capabilities = node.capabilities();
        let it = format!("\"{}\" at {}", capabilities.card, place.path.display());
        if capabilities.capture.is_none() {
            let what = format!("{it} delivers no pictures");
            return Err(CameraProblem::NotACamera { what });
        }
        if !capabilities.streaming {
            let what = format!("{it} has no buffers that can be shared (V4L2_CAP_STREAMING)");
            return Err(CameraProblem::NotACamera { what });
        }
        if place.identity.name.is_empty() {
            place.identity.name = capabilities.card.clone();
            place.identity.device = PathBuf::from(&capabilities.bus);
        }
        let agreement = negotiate::negotiate(node.as_ref(), &self.config)?;
        let now = agreement.format.size;
        if let Some(before) = self.shape.filter(|before| !is_same_shape(*before, now)) {
            return Err(CameraProblem::OtherShape { before, now });
        }
        for remark in controls::apply(node.as_ref(), &self.config)? {
            log::warn!("{}: {remark}", self.stream);
        }
        for remark in &agreement.remarks {
            log::warn!("{}: {remark}", self.stream);
        }
        // Few drivers have it; without it a change shows itself as a failure.
        if let Err(error) = node.subscribe_source_change() {
            log::debug!("{}: no events of a changed source: {error}", self.stream);
        }
        let stream = Stream::start(node, agreement)?;
        self.recognise(place);
        Ok(stream)
    }

    /// Remembers what the configured path led to.
    fn recognise(&mut self, place: Place) {
        let Place { path, identity } = place;
        if let Some(before) = self.present.take().filter(|before| *before != identity) {
            log::warn!(
                "{}: {} leads to another camera now: {identity}, before {before}",
                self.stream,
                self.configured.display()
            );
        }
        if identity::is_numbered(&self.configured) && self.identity.is_none() {
            let names = identity::lasting_names(Path::new("/dev"), &path);
            let advice = names.first().map_or_else(String::new, |name| {
                format!("; its lasting name is {}", name.display())
            });
            log::info!(
                "{}: {} is {identity}, and will be looked for as that{advice}",
                self.stream,
                self.configured.display()
            );
            self.identity = Some(identity.clone());
        }
        self.present = Some(identity);
    }

    fn start(&mut self, stream: Stream, proof: Proof) {
        let agreement = stream.agreement();
        let rate = agreement.rate;
        let words = negotiate::words(agreement);
        let sharing = match (agreement.coding, stream.not_exported()) {
            (Coding::Jpeg, _) => String::new(),
            (Coding::Raw(..), None) => ", dmabuf".to_owned(),
            (Coding::Raw(..), Some(why)) => {
                if !self.said.copy {
                    self.said.copy = true;
                    log::warn!(
                        "{}: the driver does not export its buffers ({why}): pictures are shown by copying them",
                        self.stream
                    );
                }
                ", copied".to_owned()
            }
        };
        let camera = self
            .present
            .as_ref()
            .map_or("", |identity| identity.name.as_str());
        self.info.description = format!("{words}{sharing}, {camera}");
        self.info.size = agreement.format.size;
        self.shape.get_or_insert(agreement.format.size);
        self.info.frame_rate = rate;
        log::info!(
            "{}: {}: {} ({} buffers)",
            self.stream,
            self.configured.display(),
            self.info.description,
            stream.buffers()
        );
        let intervals = rate.map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64(SILENT_INTERVALS / rate).unwrap_or(SILENT_AFTER)
        });
        self.clock.driver = None;
        self.state = State::Up {
            stream: Box::new(stream),
            heard: self.cameras.now(),
            silent_after: SILENT_AFTER.max(intervals),
            proof,
        };
    }

    /// Gives the camera up for a while: longer each time until a good picture has come.
    fn go_down(&mut self, problem: &CameraProblem) {
        let now = self.cameras.now();
        // A change is followed at once.
        let wait = if matches!(problem, CameraProblem::Changed) && self.may_change(now) {
            Duration::ZERO
        } else {
            let wait = self.wait;
            self.wait = wait.saturating_mul(2).min(RETRY_MAX);
            wait
        };
        let why = problem.to_string();
        let was = match &mut self.state {
            State::Up { stream, .. } => {
                self.losses.interruptions += 1;
                self.orphans.extend(stream.take_held());
                None
            }
            State::Down { why, .. } => Some(&*why),
        };
        if was != Some(&why) {
            log::error!(
                "{}: camera {}: {why}",
                self.stream,
                self.configured.display()
            );
            self.news = Some(SourceNews::Down {
                source: self.info.name.clone(),
                why: why.clone(),
            });
        }
        self.state = State::Down {
            retry_at: now + wait,
            why,
        };
    }

    /// Whether a change that is said at `now` is one, or one too many.
    fn may_change(&mut self, now: MonotonicTime) -> bool {
        let before = self.changed_at.replace(now);
        before.is_none_or(|before| now.saturating_since(before) >= CHANGES_EVERY)
    }

    /// What may take seconds, in a turn of its own.
    fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Close(problem) => self.go_down(&problem),
            Errand::Open => match self.connect() {
                Ok(stream) => self.start(stream, Proof::Missing),
                Err(problem) => self.go_down(&problem),
            },
        }
    }

    /// A good picture has come.
    fn prove(&mut self) {
        let State::Up { proof, .. } = &mut self.state else {
            return;
        };
        let before = std::mem::replace(proof, Proof::Given);
        if before != Proof::Given {
            self.wait = RETRY_FIRST;
        }
        if before == Proof::Missing {
            self.news = Some(SourceNews::Up {
                source: self.info.name.clone(),
                description: self.info.description.clone(),
            });
        }
    }

    /// One look at a running camera.
    fn look(&mut self) -> Result<Option<Frame>, CameraProblem> {
        let State::Up {
            stream,
            heard,
            silent_after,
            ..
        } = &mut self.state
        else {
            return Ok(None);
        };
        let step = stream.step(self.cameras.as_ref())?;
        let now = self.cameras.now();
        match step {
            Step::Filled(filled) => {
                *heard = now;
                self.said.starved = false;
                return Ok(self.take(&filled, now));
            }
            Step::Nothing => {}
            Step::Starved => {
                // Not the camera's fault.
                *heard = now;
                if !self.said.starved {
                    self.said.starved = true;
                    log::warn!(
                        "{}: all buffers of the camera are held elsewhere",
                        self.stream
                    );
                }
            }
            Step::Failed => {
                self.losses.damaged += 1;
                self.cameras.sleep(FAILURE_WAIT);
            }
        }
        if now.saturating_since(*heard) > *silent_after {
            return Err(CameraProblem::Silent {
                after: *silent_after,
            });
        }
        Ok(None)
    }

    /// Makes a frame of a filled buffer, unless it is not to be believed.
    fn take(&mut self, filled: &Filled, now: MonotonicTime) -> Option<Frame> {
        self.losses.missed += self.clock.count(filled.sequence);
        let sequence = self.clock.sequence;
        self.clock.sequence += 1;
        if filled.error {
            self.losses.damaged += 1;
            return None;
        }
        let timestamp = self.timestamp(filled, now)?;
        let first = *self.clock.first.get_or_insert(timestamp);
        let meta = FrameMeta {
            stream: self.stream,
            sequence,
            media_time: timestamp.saturating_since(first),
            timestamp,
            arrived: now,
        };
        let frame = self.picture(filled, meta)?;
        self.clock.last = Some(timestamp);
        Some(frame)
    }

    fn picture(&mut self, filled: &Filled, meta: FrameMeta) -> Option<Frame> {
        let State::Up { stream, .. } = &self.state else {
            return None;
        };
        match stream.agreement().coding {
            Coding::Raw(..) => {
                let frame = stream.frame(filled, meta);
                if frame.is_none() {
                    self.losses.damaged += 1;
                }
                frame
            }
            Coding::Jpeg => {
                let size = stream.agreement().format.size;
                match self.decoder.decode(stream.bytes(filled), size, meta) {
                    Ok(frame) => Some(frame),
                    Err(why) => {
                        self.losses.undecodable += 1;
                        if !self.said.undecodable {
                            self.said.undecodable = true;
                            log::warn!("{}: a JPEG picture is left out: {why}", self.stream);
                        }
                        None
                    }
                }
            }
        }
    }

    /// When a picture was taken: the driver's time where it is of the clock that decides, else the time
    /// at which it came. A time in the future is now. One that is not after that of the frame before
    /// tells nothing new: such a frame is left out and counted.
    fn timestamp(&mut self, filled: &Filled, now: MonotonicTime) -> Option<MonotonicTime> {
        let timestamp = match filled.stamp {
            Stamp::Monotonic(at) if at <= now => {
                let age = now.saturating_since(at);
                if age > OLD_AFTER && !self.said.old {
                    self.said.old = true;
                    log::warn!(
                        "{}: a picture of the camera is {} ms old when it comes",
                        self.stream,
                        age.as_millis()
                    );
                }
                at
            }
            Stamp::Monotonic(_) => {
                if !self.said.future {
                    self.said.future = true;
                    log::warn!(
                        "{}: the camera's times are in the future; the time of arrival is taken then",
                        self.stream
                    );
                }
                now
            }
            Stamp::Other => {
                if !self.said.clock {
                    self.said.clock = true;
                    log::warn!(
                        "{}: the camera's times are not of the monotonic clock; the time of arrival is taken",
                        self.stream
                    );
                }
                now
            }
        };
        if self.clock.last.is_some_and(|last| timestamp <= last) {
            self.losses.out_of_order += 1;
            return None;
        }
        Some(timestamp)
    }
}

/// Whether pictures of both sizes have the same ratio of width to height, to one part in a hundred: 1366
/// by 768 pixels are meant as 16 to 9.
fn is_same_shape(one: Size, other: Size) -> bool {
    let (a, b) = (
        u64::from(one.width) * u64::from(other.height),
        u64::from(other.width) * u64::from(one.height),
    );
    a.abs_diff(b) * 100 <= a.max(b)
}

/// What a refused opening means.
fn refused_open(error: std::io::Error) -> CameraProblem {
    use nix::errno::Errno;
    match super::problem::errno(&error) {
        Some(Errno::EACCES | Errno::EPERM) => CameraProblem::NotPermitted,
        Some(Errno::ENOTTY | Errno::EINVAL) => CameraProblem::NotACamera {
            what: "it is not a video device".to_owned(),
        },
        _ => CameraProblem::of("open")(error),
    }
}

impl FrameSource for V4l2Source {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Captured, CaptureError> {
        self.orphans.retain_mut(|buffer| !buffer.is_free());
        if let Some(errand) = self.errand.take() {
            self.run(errand);
            return Ok(Captured::Nothing);
        }
        if let State::Down { retry_at, .. } = self.state {
            let left = retry_at.saturating_since(self.cameras.now());
            if left.is_zero() {
                self.errand = Some(Errand::Open);
            } else {
                self.cameras.sleep(left.min(WAIT_MAX));
            }
            return Ok(Captured::Nothing);
        }
        match self.look() {
            Ok(Some(frame)) => {
                self.prove();
                Ok(Captured::Frame(frame))
            }
            Ok(None) => Ok(Captured::Nothing),
            Err(problem) => {
                self.errand = Some(Errand::Close(problem));
                Ok(Captured::Nothing)
            }
        }
    }

    fn may_take_long(&self) -> bool {
        self.errand.is_some()
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        Ok(())
    }

    fn losses(&self) -> Losses {
        self.losses
    }

    fn timekeeping(&self) -> Timekeeping {
        Timekeeping::Live
    }

    fn identity(&self) -> Option<String> {
        self.present.as_ref().map(ToString::to_string)
    }

    fn down(&self) -> Option<&str> {
        match &self.state {
            State::Up { .. } => None,
            State::Down { why, .. } => Some(why),
        }
    }

    fn take_news(&mut self) -> Option<SourceNews> {
        self.news.take()
    }
}
