//! The ui thread: owns the screen with its EGL context, the film and the snapshots. When it blocks or
//! fails nothing else does. What an operator wants at the screen goes from here to the decide thread, which
//! believes none of it.

use std::path::PathBuf;
use std::sync::mpsc::{SendError, SyncSender};
use std::time::Duration;

use rtrb::{Consumer, Producer};

use super::capture_thread::CloseOnDrop;
use super::desk::Desk;
use super::live::UiUpdate;
use crate::config::{DisplayConfig, Pace};
use crate::frame::Frame;
use crate::geometry::Size;
use crate::health::Latencies;
use crate::message::{DisplayChange, Event, OperatorCommand, PermissionState, Snapshot};
use crate::sync::{Latest, Taken};
use crate::sys::monotonic_now;
use crate::ui::UiError;
use crate::ui::gles::FrameCopies;
use crate::ui::input::InputEvent;
use crate::ui::kms::DisplayNews;
use crate::ui::record::{RecordError, Recorder};
use crate::ui::scene::{
    self, Composed, Dimensions, MaskMemory, People, SceneContext, Splash, Status, View,
};
use crate::ui::screen::{Pixels, Screen};
use crate::ui::snapshot::{SnapshotError, write_png};
use crate::units::{MonotonicTime, StreamId};

/// Longest wait before updates are looked at again.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// The same where somebody can press something: a finger notices a twentieth of a second.
const OPERATED_WAIT: Duration = Duration::from_millis(20);

/// Time between two looks at a monitor while the program starts.
const START_LOOK: Duration = Duration::from_millis(50);

/// While the decision says nothing the picture that says so is drawn this often.
const SILENCE_SHOWN_EVERY: Duration = Duration::from_millis(500);

/// In real time a snapshot of a film tick that was drawn already waits this long for the next tick's,
/// unless it shows another state: then it is drawn at once.
const HELD_BACK_MAX: Duration = Duration::from_millis(40);

/// A picture to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Where.
    pub path: PathBuf,
    /// The worker-safety frame it shows, or the first one after it.
    pub frame: u64,
}

/// Why there is no picture, or one is missing.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It cannot be drawn.
    #[error(transparent)]
    Draw(#[from] UiError),
    /// The film cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A snapshot cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The run ended before its frame came.
    #[error("snapshot {} was not written: the run ended before frame {frame} of worker_safety", path.display())]
    NotReached {
        /// Which file.
        path: PathBuf,
        /// The frame that was asked for.
        frame: u64,
    },
    /// Nothing can be drawn yet, although it was waited for.
    #[error("the picture was not ready within {} s; does EGL work here? andon probe tells", within.as_secs())]
    NotReady {
        /// How long it was waited for.
        within: Duration,
    },
    /// The run ended without a picture on the monitor.
    #[error("no picture was shown at the end: {why}; andon probe tells what there is")]
    NotShown {
        /// Why.
        why: String,
    },
    /// A monitor of another size took the place of the one that the film began with.
    #[error(
        "the film ends where the monitor was swapped: its pictures are {film}, the monitor's {monitor}"
    )]
    OtherSize {
        /// Of the film.
        film: Size,
        /// Of the monitor.
        monitor: Size,
    },
}

/// What is drawn and kept.
#[derive(Debug)]
pub(super) struct UiPlan {
    pub(super) context: SceneContext,
    pub(super) display: DisplayConfig,
    pub(super) record: Option<PathBuf>,
    pub(super) snapshots: Vec<SnapshotRequest>,
    /// Every picture is drawn, even those nobody keeps (`--display headless` and `kms`).
    pub(super) draw_all: bool,
    /// In `asap` a film tick is drawn once all its frames are in, so that two runs give one film; in
    /// real time the newest is drawn at once.
    pub(super) pace: Pace,
    /// There is a reset button on the screen.
    pub(super) may_reset: bool,
}

/// What is known once cameras and models are open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) detector_labels: Vec<String>,
    pub(super) classifier_labels: Vec<String>,
    pub(super) engine: String,
    pub(super) sources: [String; 2],
    /// Pictures per second of the film.
    pub(super) frame_rate: f64,
}

/// How far the start has come.
#[derive(Debug)]
pub(super) enum StartNews {
    /// So far.
    Progress(Splash),
    /// Everything is open.
    Opened(Box<Opened>),
}

/// Everything that comes to the ui thread and goes from it.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) inbox: Latest<Snapshot>,
    pub(super) updates: Latest<UiUpdate>,
    /// What the status pages show.
    pub(super) status: Latest<Status>,
    /// From the start until everything is open.
    pub(super) start: Latest<StartNews>,
    /// For the event log.
    pub(super) news: Producer<Event>,
    /// What somebody did at an input device; `None` where nobody can.
    pub(super) input: Option<Consumer<InputEvent>>,
    /// For the decide thread, which believes none of it.
    pub(super) desk: Producer<OperatorCommand>,
}

/// What the ui thread did.
#[derive(Debug, Default)]
pub(super) struct UiFigures {
    pub(super) render: Latencies,
    pub(super) encode: Latencies,
    pub(super) recorded: u64,
    /// Frames by how they came to the graphics device.
    pub(super) copies: FrameCopies,
    /// Times the monitor was lost.
    pub(super) display_losses: u64,
    pub(super) faults: Vec<PictureError>,
}

/// State of the running thread.
#[derive(Debug)]
struct Ui {
    plan: UiPlan,
    screen: Screen,
    recorder: Option<(Recorder, Size)>,
    /// Why nothing is shown.
    dark: Option<String>,
    mail: Mail,
    /// Where somebody can press something.
    desk: Option<Desk>,
    /// What was drawn last, and when: to be drawn anew when somebody touches something, and when nothing
    /// newer comes.
    last: Option<(Snapshot, MonotonicTime)>,
    /// Pictures per second of the film.
    frame_rate: f64,
    /// Instant of the first snapshot, where the film starts.
    origin: Option<MonotonicTime>,
    figures: UiFigures,
    /// What the operator should know of the configuration, and of the film.
    notices: [Option<String>; 2],
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    /// It was drawn, or nobody wants it, or nobody would see it.
    Done,
    /// The monitor still waits to show the one before.
    TooEarly,
}

/// Body of the thread: shows how far the start has come, says on `ready` whether it can draw once
/// everything is open, then draws until the mailbox closes.
pub(super) fn run(
    plan: UiPlan,
    mail: Mail,
    ready: &SyncSender<Result<(), PictureError>>,
) -> UiFigures {
    // Also when drawing panics: nobody may wait for a picture that will never be taken.
    let _inbox = CloseOnDrop(mail.inbox.clone());
    let (inbox, updates) = (mail.inbox.clone(), mail.updates.clone());
    let started = Ui::start(plan, mail).and_then(|mut ui| {
        let opened = ui.wait_for_start();
        if let Some(opened) = opened {
            ui.open(*opened)?;
        }
        Ok(ui)
    });
    let mut ui = match started {
        Ok(ui) => {
            let _ = ready.send(Ok(()));
            ui
        }
        Err(error) => {
            // Whoever has stopped waiting learns it from the log, and from the end of this thread.
            if let Err(SendError(Err(error))) = ready.send(Err(error)) {
                log::error!("{error}; the run goes on without a picture");
            }
            return UiFigures::default();
        }
    };
    match ui.plan.pace {
        Pace::Asap => ui.draw_by_tick(&inbox, &updates),
        Pace::Realtime => ui.draw_newest(&inbox, &updates),
    }
    ui.finish()
}

impl Ui {
    fn start(plan: UiPlan, mail: Mail) -> Result<Self, PictureError> {
        let screen = Screen::open(&plan.display)?;
        let desk = mail.input.is_some().then(|| {
            let size = screen.size();
            Desk::new(plan.display.kiosk, plan.may_reset, size)
        });
        let mut this = Self {
            plan,
            screen,
            recorder: None,
            dark: None,
            mail,
            desk,
            last: None,
            frame_rate: 1.0,
            origin: None,
            figures: UiFigures::default(),
            notices: [None, None],
        };
        this.tell_news();
        Ok(this)
    }

    /// Shows how far the start has come until everything is open; `None` where nothing will run.
    fn wait_for_start(&mut self) -> Option<Box<Opened>> {
        let watched = matches!(self.screen, Screen::Monitor(_));
        let mut shown = Splash::default();
        let mut due = false;
        loop {
            match self.mail.start.take_within(START_LOOK) {
                Taken::Value(StartNews::Progress(splash)) => (shown, due) = (splash, true),
                Taken::Value(StartNews::Opened(opened)) => return Some(opened),
                Taken::Empty => {}
                Taken::Closed => {
                    self.mail.inbox.close();
                    return None;
                }
            }
            self.attend();
            if watched {
                // A monitor that was plugged in meanwhile has shown nothing yet.
                due = !self.draw_splash(&shown) && due;
            }
        }
    }

    fn draw_splash(&mut self, splash: &Splash) -> bool {
        let view = View {
            factor: self.factor(),
            ..View::still(self.screen.size())
        };
        let scene = scene::splash(splash, &view);
        let drawn = self.screen.can_draw()
            && matches!(
                self.screen
                    .show(&scene, [None, None], Pixels::Unwanted, &mut |_| {}),
                Ok(true)
            );
        self.tell_news();
        drawn
    }

    /// Takes what is known now that everything is open.
    fn open(&mut self, opened: Opened) -> Result<(), PictureError> {
        let Opened {
            detector_labels,
            classifier_labels,
            engine,
            sources,
            frame_rate,
        } = opened;
        let context = &mut self.plan.context;
        context.detector_labels = detector_labels;
        context.classifier_labels = classifier_labels;
        context.engine = engine;
        context.sources = sources;
        self.frame_rate = frame_rate;
        if self.screen.can_draw() {
            self.begin_film()?;
        }
        Ok(())
    }

    /// How much larger text and buttons are than the number of pixels says.
    fn factor(&self) -> f32 {
        let dimensions = Dimensions {
            size: self.screen.size(),
            millimetres: self.screen.millimetres(),
        };
        dimensions.factor(self.plan.display.kiosk.scale)
    }

    /// Takes what the operator did and what there is to tell. Whether the picture is another now.
    fn operate(&mut self) -> bool {
        let Some(desk) = &mut self.desk else {
            return false;
        };
        desk.operate(&mut self.mail)
    }

    /// Once the size of the pictures is known.
    fn begin_film(&mut self) -> Result<(), PictureError> {
        if let Some(path) = self.plan.record.take() {
            let size = self.screen.size();
            let recorder = Recorder::create(&path, size, self.frame_rate)?;
            self.recorder = Some((recorder, size));
        }
        Ok(())
    }

    /// Looks after the screen, and tells what happened to it.
    fn attend(&mut self) {
        self.screen.attend();
        self.tell_news();
        if let Some(desk) = &mut self.desk {
            desk.look(self.screen.seen(), monotonic_now());
        }
    }

    /// How old a snapshot is. A decision clock of media time tells nothing of it.
    fn age(&self, snapshot: &Snapshot) -> Duration {
        match self.plan.pace {
            Pace::Realtime => monotonic_now().saturating_since(snapshot.at),
            Pace::Asap => Duration::ZERO,
        }
    }

    /// Whether the monitor has to say that the decision has fallen silent, or for how much longer.
    fn is_silent(&self) -> bool {
        let watched = matches!(self.screen, Screen::Monitor(_));
        watched
            && self.last.as_ref().is_some_and(|(last, drawn_at)| {
                let drawn_for = monotonic_now().saturating_since(*drawn_at);
                self.age(last) > scene::UNDECIDED_AFTER && drawn_for >= SILENCE_SHOWN_EVERY
            })
    }

    fn tell_news(&mut self) {
        while let Some(news) = self.screen.take_news() {
            let change = match news {
                DisplayNews::Shown { on, after } => {
                    log::info!("picture on {on}");
                    self.dark = None;
                    let Some(after) = after else { continue };
                    DisplayChange::Back { on, after }
                }
                DisplayNews::Lost(loss) => {
                    let why = loss.to_string();
                    log::error!("no picture: {why}; the run goes on, and so does the search");
                    self.figures.display_losses += 1;
                    self.dark = Some(why.clone());
                    DisplayChange::Lost { why }
                }
            };
            // Nobody waits for the log: what finds no room is in the program's own log.
            let _ = self.mail.news.push(Event::Display(change));
        }
    }

    /// Draws a film tick once all its frames are in: when the first snapshot of a later tick comes.
    fn draw_by_tick(&mut self, inbox: &Latest<Snapshot>, updates: &Latest<UiUpdate>) {
        let mut pending: Option<(u64, Snapshot)> = None;
        loop {
            if let Taken::Value(update) = updates.take() {
                self.update(update);
            }
            self.attend();
            self.operate();
            match inbox.take_within(WAIT_MAX) {
                Taken::Value(snapshot) => {
                    self.observe(&snapshot);
                    let tick = self.tick_of(snapshot.at);
                    match pending.take() {
                        Some((last, ready)) if last != tick => {
                            self.show(self.time_of(last), &ready);
                        }
                        Some(_) | None => {}
                    }
                    pending = Some((tick, snapshot));
                }
                Taken::Empty => {}
                Taken::Closed => break,
            }
        }
        if let Some((tick, last)) = pending {
            self.show(self.time_of(tick), &last);
        }
    }

    /// Draws the newest snapshot: at once where it belongs to another film tick or shows another
    /// state than the one drawn last, otherwise as soon as nothing newer comes.
    fn draw_newest(&mut self, inbox: &Latest<Snapshot>, updates: &Latest<UiUpdate>) {
        let mut drawn: Option<(u64, PermissionState)> = None;
        let mut pending: Option<Snapshot> = None;
        loop {
            if let Taken::Value(update) = updates.take() {
                self.update(update);
            }
            self.attend();
            let idle = self.desk.as_ref().map_or(WAIT_MAX, |_| OPERATED_WAIT);
            let touched = self.operate();
            if (touched || self.is_silent()) && pending.is_none() {
                // What somebody touches answers at once, also where no frame comes.
                pending = self.last.as_ref().map(|(last, _)| last.clone());
                drawn = None;
            }
            let wait = pending.as_ref().map_or(idle, |_| HELD_BACK_MAX.min(idle));
            let (snapshot, at_once) = match inbox.take_within(wait) {
                Taken::Value(snapshot) => {
                    self.observe(&snapshot);
                    let now = (self.tick_of(snapshot.at), snapshot.permission);
                    (Some(snapshot), drawn != Some(now))
                }
                Taken::Empty => (pending.take(), true),
                Taken::Closed => break,
            };
            pending = match snapshot {
                Some(newest) if at_once => {
                    let this = (self.tick_of(newest.at), newest.permission);
                    match self.show(self.since_start(newest.at), &newest) {
                        Drawn::Done => {
                            drawn = Some(this);
                            None
                        }
                        Drawn::TooEarly => Some(newest),
                    }
                }
                Some(_) | None => snapshot,
            };
        }
        if let Some(last) = pending {
            self.show(self.since_start(last.at), &last);
        }
    }

    fn observe(&mut self, snapshot: &Snapshot) {
        self.plan.context.observe(snapshot);
        if let Some(desk) = &mut self.desk {
            desk.kiosk.observe(snapshot, monotonic_now());
        }
    }

    fn update(&mut self, update: UiUpdate) {
        let UiUpdate {
            zones,
            anonymize,
            old_after,
            kiosk,
            notice,
        } = update;
        self.plan.display.kiosk = kiosk;
        if let Some(desk) = &mut self.desk {
            desk.kiosk.configure(kiosk);
        }
        let context = &mut self.plan.context;
        context.zones = zones;
        context.old_after = old_after;
        match (&context.people, anonymize) {
            (People::Shown, true) => context.people = People::Masked(MaskMemory::default()),
            (People::Masked(_), false) => context.people = People::Shown,
            (People::Shown, false) | (People::Masked(_), true) => {}
        }
        self.notices[0] = notice;
        self.show_notices();
    }

    fn show_notices(&mut self) {
        let notices: Vec<&str> = self.notices.iter().flatten().map(String::as_str).collect();
        self.plan.context.notice = (!notices.is_empty()).then(|| notices.join(" · "));
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a run times a frame rate stay far below 2^53"
    )]
    fn tick_of(&mut self, at: MonotonicTime) -> u64 {
        let origin = *self.origin.get_or_insert(at);
        let seconds = at.saturating_since(origin).as_secs_f64();
        // The half microsecond keeps a frame whose time was rounded down in its own tick.
        ((seconds + 5e-7) * self.frame_rate) as u64
    }

    /// When a film tick begins.
    fn time_of(&self, tick: u64) -> Duration {
        Duration::from_secs_f64(tick_seconds(tick, self.frame_rate))
    }

    fn since_start(&self, at: MonotonicTime) -> Duration {
        self.origin
            .map_or(Duration::ZERO, |origin| at.saturating_since(origin))
    }

    /// Draws the snapshot where somebody wants it, and keeps it where it is to be kept; it comes
    /// `media_time` after the start of the film.
    fn show(&mut self, media_time: Duration, snapshot: &Snapshot) -> Drawn {
        if !self.screen.can_draw() {
            return Drawn::Done;
        }
        if let Err(error) = self.begin_film() {
            self.film_failed(error);
        }
        let safety = snapshot.streams[StreamId::WorkerSafety.index()].as_ref();
        let sequence = safety.map(|view| view.frame.meta.sequence);
        let is_due = |request: &SnapshotRequest| sequence.is_some_and(|now| now >= request.frame);
        let due: Vec<SnapshotRequest> = self.plan.snapshots.extract_if(.., |r| is_due(r)).collect();
        let kept = self.recorder.is_some() || !due.is_empty();
        if !self.plan.draw_all && !kept {
            return Drawn::Done;
        }
        let started = monotonic_now();
        let size = self.screen.size();
        let factor = self.factor();
        let age = self.age(snapshot);
        let view = match &mut self.desk {
            Some(desk) => {
                desk.kiosk.resize(size);
                desk.kiosk.view(factor)
            }
            None => View {
                factor,
                streams: self.plan.display.kiosk.streams,
                ..View::still(size)
            },
        };
        let view = View { age, ..view };
        let Composed { scene, targets } = scene::compose(snapshot, &self.plan.context, &view);
        let frames: [Option<&Frame>; 2] =
            [0, 1].map(|index: usize| snapshot.streams[index].as_ref().map(|view| &view.frame));
        let mut film_error = None;
        let mut keep = |rgba: &[u8]| {
            self.figures
                .render
                .record(monotonic_now().saturating_since(started));
            keep_snapshots(&due, size, rgba, &mut self.figures);
            if let Some(film) = &mut self.recorder {
                let pushed = push(film, size, rgba, media_time, &mut self.figures);
                film_error = pushed.err();
            }
        };
        let pixels = if kept {
            Pixels::Wanted
        } else {
            Pixels::Unwanted
        };
        let shown = self.screen.show(&scene, frames, pixels, &mut keep);
        if let Some(error) = film_error {
            self.film_failed(error);
        }
        self.tell_news();
        match shown {
            Ok(true) => {
                if let Some(desk) = &mut self.desk {
                    desk.drawn(targets, started - age);
                }
                if self.desk.is_some() || matches!(self.screen, Screen::Monitor(_)) {
                    self.last = Some((snapshot.clone(), monotonic_now()));
                }
                if !kept && matches!(self.screen, Screen::Monitor(_)) {
                    let took = monotonic_now().saturating_since(started);
                    self.figures.render.record(took);
                }
                Drawn::Done
            }
            Ok(false) => {
                self.plan.snapshots.extend(due);
                Drawn::TooEarly
            }
            Err(error) => {
                log::error!("{error}; no more pictures are drawn");
                self.figures.faults.push(error.into());
                self.plan.draw_all = false;
                self.plan.snapshots.clear();
                self.close_film();
                Drawn::Done
            }
        }
    }

    /// The run goes on without a film.
    fn film_failed(&mut self, error: PictureError) {
        log::error!("{error}; the run goes on without a film");
        self.notices[1] = Some("RECORDING STOPPED".to_owned());
        self.show_notices();
        match &error {
            // The file is good as far as it goes.
            PictureError::OtherSize { .. } => self.close_film(),
            PictureError::Record(
                RecordError::Write { frames, .. } | RecordError::Encode { frames, .. },
            ) => {
                // What was still in memory is lost; the file holds fewer than were pushed.
                self.figures.recorded = *frames;
            }
            PictureError::Record(_)
            | PictureError::Draw(_)
            | PictureError::Snapshot(_)
            | PictureError::NotReached { .. }
            | PictureError::NotReady { .. }
            | PictureError::NotShown { .. } => {}
        }
        self.figures.faults.push(error);
        self.recorder = None;
    }

    fn close_film(&mut self) {
        let film = self.recorder.take();
        if let Some(Err(error)) = film.map(|(recorder, _)| recorder.finish()) {
            log::error!("{error}");
            self.figures.faults.push(error.into());
        }
    }

    fn finish(mut self) -> UiFigures {
        self.close_film();
        for SnapshotRequest { path, frame } in self.plan.snapshots {
            let error = PictureError::NotReached { path, frame };
            self.figures.faults.push(error);
        }
        if let Some(why) = self.dark {
            self.figures.faults.push(PictureError::NotShown { why });
        }
        self.figures.copies = self.screen.copies();
        self.figures
    }
}

fn keep_snapshots(due: &[SnapshotRequest], size: Size, rgba: &[u8], figures: &mut UiFigures) {
    for request in due {
        if let Err(error) = write_png(&request.path, size, rgba) {
            log::error!("{error}");
            figures.faults.push(error.into());
        }
    }
}

/// Puts a picture into the film.
fn push(
    (recorder, film): &mut (Recorder, Size),
    size: Size,
    rgba: &[u8],
    media_time: Duration,
    figures: &mut UiFigures,
) -> Result<(), PictureError> {
    if *film != size {
        return Err(PictureError::OtherSize {
            film: *film,
            monitor: size,
        });
    }
    let encoding = monotonic_now();
    recorder.push(rgba, media_time)?;
    figures.recorded += 1;
    figures
        .encode
        .record(monotonic_now().saturating_since(encoding));
    Ok(())
}

#[allow(
    clippy::cast_precision_loss,
    reason = "ticks of a run stay far below 2^53"
)]
fn tick_seconds(tick: u64, frame_rate: f64) -> f64 {
    tick as f64 / frame_rate
}

#[cfg(test)]
#[path = "ui_thread_tests.rs"]
mod tests;
