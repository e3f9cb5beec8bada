//! Configuration while the program runs: what the main thread makes of changed files.
//!
//! [`plan`] is pure: it says what of the new files can be in force at once, what waits for a restart,
//! and whether a stop depends on the difference. [`Live`] carries it out. Whatever a stop depends on
//! goes to the decide thread first, which switches OFF at once; then to the infer thread, which hands
//! it on to the decide thread again behind the last frame that it judged the old way, so that no
//! such frame counts as seen with the new configuration. Commands are mailboxes of one; the main
//! thread keeps a command that finds its mailbox full and offers it again, and takes no further news
//! until it is gone. Nobody waits.

use std::collections::VecDeque;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use rtrb::Consumer;

use super::infer_thread::allowances;
use crate::config::{
    self, Attempt, Config, ConfigError, Impact, KioskConfig, Loaded, Origin, Overrides, Problem,
    SeenFile, Zone,
};
use crate::decision::Rules;
use crate::inference::{InferenceError, LabelSet, Selection};
use crate::message::{
    CameraChange, CameraState, ConfigurationChange, ConfigurationOutcome, FileHashes, Generation,
};
use crate::sync::{Latest, Taken};
use crate::sys::StopFlag;

/// Most characters of a notice on the picture.
const NOTICE_CHARS_MAX: usize = 120;

/// A configuration on its way to the decide thread, and what was in force on its way back.
#[derive(Clone, Debug)]
pub(super) struct Configure {
    pub(super) generation: Generation,
    pub(super) impact: Impact,
    pub(super) rules: Rules,
}

/// For the infer thread.
#[derive(Debug)]
pub(super) struct InferCommand {
    pub(super) selection: Selection,
    pub(super) allowances: [Duration; 2],
    /// Handed on to the decide thread once the selection is in use.
    pub(super) configure: Box<Configure>,
}

/// What the picture shows of the configuration.
#[derive(Clone, Debug)]
pub(super) struct UiUpdate {
    pub(super) zones: Vec<Zone>,
    pub(super) anonymize: bool,
    pub(super) old_after: Duration,
    pub(super) kiosk: KioskConfig,
    /// For the operator.
    pub(super) notice: Option<String>,
}

/// The mailboxes of the threads that take a configuration.
#[derive(Debug)]
pub(super) struct Controls {
    pub(super) decide: Latest<Box<Configure>>,
    /// What the decide thread has done with; freed here.
    pub(super) spent: Consumer<Box<Configure>>,
    pub(super) infer: Latest<InferCommand>,
    pub(super) ui: Option<Latest<UiUpdate>>,
}

/// What a good pair of files means for the running configuration.
#[derive(Debug)]
struct Plan {
    /// What is in force from now on.
    config: Config,
    selection: Selection,
    /// Keys that change now; nothing to do where there are none.
    changed: Vec<String>,
    impact: Option<Impact>,
    /// Keys that wait for a restart.
    pending: Vec<String>,
}

fn plan(running: &Config, new: &Config, labels: &LabelSet) -> Result<Plan, InferenceError> {
    let config = config::live(running, new);
    if new.models == running.models {
        // Labels wait for a restart; wrong ones are told now.
        labels.select(&new.worker_safety, &new.visual_inspection)?;
    }
    let selection = labels.select(&config.worker_safety, &config.visual_inspection)?;
    let changes = config::diff(running, &config);
    let pending = config::diff(&config, new);
    let keys = |changes: &[config::Change]| changes.iter().map(|c| c.key.clone()).collect();
    Ok(Plan {
        selection,
        impact: changes.iter().map(|change| change.impact).max(),
        changed: keys(&changes),
        pending: keys(&pending),
        config,
    })
}

/// The configuration of a running program.
#[derive(Debug)]
pub(super) struct Live {
    config: Config,
    /// Of the files that were accepted last.
    files: FileHashes,
    labels: LabelSet,
    news: Latest<Attempt>,
    thread: JoinHandle<()>,
    controls: Controls,
    generation: Generation,
    /// Commands that found their mailbox full.
    undelivered: (Option<Box<Configure>>, Option<InferCommand>),
    /// What is told once the decide thread has it.
    untold: VecDeque<(Generation, Applied)>,
    file_notice: Option<String>,
    log_notice: Option<String>,
    /// By [`crate::units::StreamId::index`].
    camera_notices: [Option<String>; 2],
    blind: bool,
}

/// A configuration that the decide thread has taken over.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) change: ConfigurationChange,
    pub(super) config: Config,
}

impl Live {
    /// Follows the files of `loaded`; `thread` is what puts changes into `news`.
    pub(super) fn new(
        loaded: &Loaded,
        labels: LabelSet,
        controls: Controls,
        news: Latest<Attempt>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            config: loaded.config.clone(),
            files: hashes_of(loaded),
            labels,
            news,
            thread,
            controls,
            generation: Generation::default(),
            undelivered: (None, None),
            untold: VecDeque::new(),
            file_notice: None,
            log_notice: None,
            camera_notices: [None, None],
            blind: false,
        }
    }

    /// Delivers what is waiting, or takes the next change of the files. Gives back what can be told at
    /// once; what has to be applied first comes with [`Live::applied`].
    pub(super) fn poll(&mut self) -> Option<ConfigurationChange> {
        while self.controls.spent.pop().is_ok() {}
        if !self.deliver() {
            return None;
        }
        match self.news.take() {
            Taken::Value(attempt) => self.take(attempt),
            Taken::Empty => None,
            Taken::Closed => {
                if !self.blind {
                    self.blind = true;
                    log::error!(
                        "the configuration files are no longer watched; restart to apply changes"
                    );
                    self.file_notice = Some("CONFIGURATION NOT WATCHED".to_owned());
                    self.show();
                }
                None
            }
        }
    }

    /// The decide thread has taken over this configuration. An earlier one is among the answer where
    /// its own event was lost on the way.
    pub(super) fn applied(&mut self, generation: Generation) -> Vec<Applied> {
        let told = |(number, _): &(Generation, Applied)| *number <= generation;
        let count = self.untold.iter().take_while(|entry| told(entry)).count();
        self.untold
            .drain(..count)
            .map(|(_, applied)| applied)
            .collect()
    }

    /// Shows on the picture whether the event log is written.
    pub(super) fn show_log(&mut self, failing: bool) {
        let notice = failing.then(|| "EVENT LOG NOT WRITTEN".to_owned());
        if notice != self.log_notice {
            self.log_notice = notice;
            self.show();
        }
    }

    /// Shows on the picture that a camera is missing, as long as it is.
    pub(super) fn show_camera(&mut self, change: &CameraChange) {
        let notice = match &change.state {
            CameraState::Lost { why } => {
                Some(shortened(&format!("{} CAMERA: {why}", change.stream)))
            }
            CameraState::Back { .. } => None,
        };
        self.camera_notices[change.stream.index()] = notice;
        self.show();
    }

    /// The thread that watches the files; it ends when the stop flag is raised.
    pub(super) fn into_thread(self) -> JoinHandle<()> {
        self.thread
    }

    fn take(&mut self, attempt: Attempt) -> Option<ConfigurationChange> {
        let new = hashes(&attempt.files);
        let planned = match attempt.result {
            Ok(loaded) => plan(&self.config, &loaded.config, &self.labels).map_err(|error| {
                let text = format!("{}: {error}", loaded.main.path.display());
                (format!("configuration refused: {error}"), vec![text])
            }),
            Err(error) => Err((notice_of(&error), problems_of(&error))),
        };
        match planned {
            Ok(plan) => self.apply(plan, new),
            Err((notice, problems)) => {
                self.file_notice = Some(shortened(&notice));
                self.show();
                Some(ConfigurationChange {
                    outcome: ConfigurationOutcome::Refused,
                    old: self.files.clone(),
                    new,
                    changed: Vec::new(),
                    pending: Vec::new(),
                    problems,
                })
            }
        }
    }

    fn apply(&mut self, plan: Plan, new: FileHashes) -> Option<ConfigurationChange> {
        let change = ConfigurationChange {
            outcome: match (plan.changed.is_empty(), plan.pending.is_empty()) {
                (_, false) => ConfigurationOutcome::NeedsRestart,
                (false, true) => ConfigurationOutcome::Applied,
                (true, true) => ConfigurationOutcome::InForce,
            },
            old: std::mem::replace(&mut self.files, new.clone()),
            new,
            changed: plan.changed,
            pending: plan.pending,
            problems: Vec::new(),
        };
        let waiting = change.pending.join(", ");
        self.file_notice =
            (!waiting.is_empty()).then(|| shortened(&format!("restart to apply: {waiting}")));
        self.config = plan.config;
        self.show();
        let Some(impact) = plan.impact else {
            return Some(change);
        };
        self.generation = Generation(self.generation.0 + 1);
        let configure = Box::new(Configure {
            generation: self.generation,
            impact,
            rules: Rules::new(&self.config, self.labels.classifier()),
        });
        let infer = InferCommand {
            selection: plan.selection,
            allowances: allowances(&self.config),
            configure: configure.clone(),
        };
        self.undelivered = (Some(configure), Some(infer));
        let applied = Applied {
            change,
            config: self.config.clone(),
        };
        self.untold.push_back((self.generation, applied));
        self.deliver();
        None
    }

    /// Offers what could not be delivered, to the decide thread first; whether nothing is left.
    fn deliver(&mut self) -> bool {
        let (decide, infer) = &mut self.undelivered;
        if let Some(configure) = decide.take() {
            *decide = unsent(&self.controls.decide, configure);
        }
        if decide.is_none()
            && let Some(command) = infer.take()
        {
            *infer = unsent(&self.controls.infer, command);
        }
        decide.is_none() && infer.is_none()
    }

    fn show(&self) {
        let Some(ui) = &self.controls.ui else {
            return;
        };
        let [safety, inspection] = &self.camera_notices;
        let notices = [safety, inspection, &self.file_notice, &self.log_notice];
        let notices: Vec<&str> = notices.into_iter().flatten().map(String::as_str).collect();
        ui.put(UiUpdate {
            zones: self.config.zones.clone(),
            anonymize: self.config.display.anonymize,
            old_after: self.config.safety.max_age,
            kiosk: self.config.display.kiosk,
            notice: (!notices.is_empty()).then(|| notices.join(" · ")),
        });
    }
}

/// Puts a command into its mailbox; gives it back where the one before is still there. A mailbox that
/// nobody reads any more takes everything: that thread's end is another story, told elsewhere.
fn unsent<T>(mailbox: &Latest<T>, command: T) -> Option<T> {
    let unsent = mailbox.put_when_empty(command, Duration::ZERO).err();
    unsent.filter(|_| !mailbox.is_closed())
}

pub(super) fn hashes_of(loaded: &Loaded) -> FileHashes {
    FileHashes {
        main: Some(loaded.main.sha256.clone()),
        keepout: Some(loaded.keepout.sha256.clone()),
    }
}

fn hashes(files: &[SeenFile]) -> FileHashes {
    let hash = |index: usize| {
        let content = &files.get(index)?.content;
        content.sha256().map(str::to_owned)
    };
    FileHashes {
        main: hash(0),
        keepout: hash(1),
    }
}

fn problems_of(error: &ConfigError) -> Vec<String> {
    error.problems().iter().map(one_line).collect()
}

/// `keepout.toml:12:3: zone 1 …`, without the excerpt.
fn one_line(problem: &Problem) -> String {
    let name = |path: &Path| path.display().to_string();
    let place = match &problem.origin {
        Origin::Text {
            path, line, column, ..
        } => format!("{}:{line}:{column}", name(path)),
        Origin::File(path) => name(path),
        Origin::Flag(flag) => (*flag).to_owned(),
    };
    format!("{place}: {}", problem.message)
}

/// The first problem, with the file's bare name, and how many there are.
fn notice_of(error: &ConfigError) -> String {
    let Some(first) = error.problems().first() else {
        return "configuration refused".to_owned();
    };
    let folder = match &first.origin {
        Origin::Text { path, .. } | Origin::File(path) => path.parent(),
        Origin::Flag(_) => None,
    };
    let text = one_line(first);
    let text = folder
        .map(|folder| format!("{}/", folder.display()))
        .and_then(|folder| text.strip_prefix(folder.as_str()).map(str::to_owned))
        .unwrap_or(text);
    match error.problems().len() {
        1 => format!("configuration refused: {text}"),
        count => format!("configuration refused, {count} problems: {text}"),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(NOTICE_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace(char::is_control, " ")
}

/// Starts the thread that watches the files of `loaded`.
pub(super) fn watch(
    loaded: &Loaded,
    overrides: &Overrides,
    stop: &StopFlag,
) -> std::io::Result<(Latest<Attempt>, JoinHandle<()>)> {
    let news = Latest::new(&crate::sync::Signal::new());
    let out = news.clone();
    let (loaded, overrides, stop) = (loaded.clone(), overrides.clone(), stop.clone());
    let thread = std::thread::Builder::new()
        .name("config-watch".to_owned())
        .spawn(move || super::config_thread::run(&loaded, &overrides, &out, &stop))?;
    Ok((news, thread))
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
