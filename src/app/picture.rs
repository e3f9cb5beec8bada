//! What a run's picture shows, and the start of the thread that draws it.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rtrb::{Consumer, RingBuffer};

use super::live::UiUpdate;
use super::pipeline::spawn;
use super::run::{RunError, RunOptions};
use super::ui_thread::{self, PictureError, UiFigures, UiPlan};
use crate::capture::FrameSource;
use crate::config::{Config, DisplayChoice};
use crate::inference::Inferencer;
use crate::message::{Event, Snapshot};
use crate::sync::{Latest, Signal};
use crate::ui::scene::{MaskMemory, People, SceneContext};

/// Pictures per second of a film, at most.
const FILM_RATE_MAX: f64 = 30.0;

/// Where no source knows its own rate.
const FILM_RATE_DEFAULT: f64 = 25.0;

/// Longest time for EGL to come up; llvmpipe takes about a second on a slow machine.
const UI_START_MAX: Duration = Duration::from_secs(30);

/// What is to be drawn; `None` where nobody looks.
pub(super) fn ui_plan(
    config: &Config,
    options: &RunOptions,
    sources: &[Box<dyn FrameSource>; 2],
    inferencer: &Inferencer,
) -> Result<Option<UiPlan>, RunError> {
    let draw_all = match config.display.display {
        DisplayChoice::None => false,
        DisplayChoice::Headless | DisplayChoice::Kms => true,
    };
    if !draw_all && options.record.is_none() && options.snapshots.is_empty() {
        return Ok(None);
    }
    let rates = sources.iter().filter_map(|source| source.info().frame_rate);
    let fastest = rates.fold(0.0, f64::max);
    Ok(Some(UiPlan {
        context: scene_context(config, sources, inferencer),
        display: config.display.clone(),
        record: options.record.clone(),
        snapshots: options.snapshots.clone(),
        frame_rate: if fastest > 0.0 {
            fastest.min(FILM_RATE_MAX)
        } else {
            FILM_RATE_DEFAULT
        },
        draw_all,
        pace: options.pace,
    }))
}

/// Events of the ui thread on their way to the event log: a monitor that comes and goes all the time.
const NEWS_MAX: usize = 64;

/// The running ui thread.
#[derive(Debug)]
pub(super) struct UiThread {
    pub(super) thread: JoinHandle<UiFigures>,
    pub(super) inbox: Latest<Snapshot>,
    pub(super) news: Consumer<Event>,
}

/// Starts the ui thread and waits until it says that it can draw.
pub(super) fn start_ui(plan: UiPlan, updates: &Latest<UiUpdate>) -> Result<UiThread, RunError> {
    let (told, news) = RingBuffer::new(NEWS_MAX);
    let mailbox = Latest::new(&Signal::new());
    let inbox = mailbox.clone();
    let (ready, started) = sync_channel(1);
    let updates = updates.clone();
    let thread = spawn("ui", move || {
        ui_thread::run(plan, &inbox, &updates, told, &ready)
    })?;
    match started.recv_timeout(UI_START_MAX) {
        Ok(Ok(())) => Ok(UiThread {
            thread,
            inbox: mailbox,
            news,
        }),
        Ok(Err(error)) => Err(error.into()),
        Err(RecvTimeoutError::Timeout) => Err(PictureError::NotReady {
            within: UI_START_MAX,
        }
        .into()),
        Err(RecvTimeoutError::Disconnected) => Err(RunError::Thread {
            name: "ui",
            reason: "died before it could draw".to_owned(),
        }),
    }
}

fn scene_context(
    config: &Config,
    sources: &[Box<dyn FrameSource>; 2],
    inferencer: &Inferencer,
) -> SceneContext {
    SceneContext {
        zones: config.zones.clone(),
        detector_labels: inferencer.detector_labels().to_vec(),
        classifier_labels: inferencer.classifier_labels().to_vec(),
        engine: inferencer.engine_description().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sources: [0, 1].map(|index: usize| short_name(&sources[index].info().name)),
        people: if config.display.anonymize {
            People::Masked(MaskMemory::default())
        } else {
            People::Shown
        },
        old_after: config.safety.max_age,
        notice: None,
    }
}

/// The last part of a path: what fits beside a title.
fn short_name(source: &str) -> String {
    source
        .rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(source)
        .to_owned()
}
