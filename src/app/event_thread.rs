//! The event thread: owns the event log on the disk. It may stall for ever: events are handed to it
//! without waiting, and what finds no room is counted.
//!
//! A line that cannot be written (disk full, folder gone) is kept and tried again every
//! [`RETRY`], while those behind it wait in the queue; what the queue cannot take is counted, and the
//! count is written as an event of its own as soon as writing works again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::config::{EventSync, EventsConfig};
use crate::health::{self, EventKind, EventLine, EventLog, EventLogError, LastLine, Stamp};
use crate::message::{Event, PermissionState};
use crate::sys::{boot_id, monotonic_now};

/// Lines that wait for the disk at most; an hour's worth of a busy line.
const QUEUE_MAX: usize = 1024;

/// Time between two tries to write a line that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// Longest time until a line that need not be lasting at once is.
const BATCH: Duration = Duration::from_secs(5);

/// Where lines go. The disk; in tests something that stalls and fails to order.
pub(super) trait Journal: Send + 'static {
    /// Appends a line.
    fn append(&mut self, line: &str) -> Result<(), EventLogError>;
    /// Makes what was appended survive a power cut.
    fn sync(&mut self) -> Result<(), EventLogError>;
}

/// The log on the disk, opened when it is needed and again after an error.
#[derive(Debug)]
struct Disk {
    config: EventsConfig,
    directory: std::path::PathBuf,
    log: Option<EventLog>,
}

impl Disk {
    fn open(&mut self) -> Result<&mut EventLog, EventLogError> {
        let log = match self.log.take() {
            Some(log) => log,
            None => {
                let (log, last) = EventLog::open(&self.directory, &self.config)?;
                if last == LastLine::Torn {
                    log::warn!(
                        "event log: the last line of {} was cut off; the log goes on behind it",
                        log.path().display()
                    );
                }
                log
            }
        };
        Ok(self.log.insert(log))
    }
}

impl Journal for Disk {
    fn append(&mut self, line: &str) -> Result<(), EventLogError> {
        let result = self.open()?.append(line);
        if result.is_err() {
            self.log = None;
        }
        result
    }

    fn sync(&mut self) -> Result<(), EventLogError> {
        match &mut self.log {
            Some(log) => log.sync(),
            None => Ok(()),
        }
    }
}

/// What both sides know.
#[derive(Debug, Default)]
struct Shared {
    /// Events that are missing from the log and not told there yet.
    untold: AtomicU64,
    /// Events that are missing from the log.
    lost: AtomicU64,
    /// Whether the last try to write failed.
    failing: AtomicBool,
    /// Whether nothing more will come: what cannot be written now is lost.
    closing: AtomicBool,
}

impl Shared {
    fn lose(&self, count: u64) {
        self.untold.fetch_add(count, Ordering::Relaxed);
        self.lost.fetch_add(count, Ordering::Relaxed);
    }
}

/// What became of the events of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EventFigures {
    /// Events that are missing from the log.
    pub(super) lost: u64,
    /// The disk did not answer in time at the end; what was in the queue is among the lost.
    pub(super) stalled: bool,
}

/// The other threads' end: takes events and never waits.
#[derive(Debug)]
pub(super) struct EventSink {
    queue: SyncSender<EventLine>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Lines handed over, to know at the end how many never got out of the queue.
    handed: u64,
    written: Arc<AtomicU64>,
    boot: String,
    /// The run permission's state as it was recorded last.
    state: PermissionState,
}

impl EventSink {
    /// Starts the thread; `None` where the configuration keeps no log.
    pub(super) fn start(config: &EventsConfig) -> std::io::Result<Option<Self>> {
        let Some(directory) = config.directory.clone() else {
            return Ok(None);
        };
        let disk = Disk {
            config: config.clone(),
            directory,
            log: None,
        };
        Self::on(disk, config.sync, QUEUE_MAX).map(Some)
    }

    fn on(journal: impl Journal, sync: EventSync, queue_max: usize) -> std::io::Result<Self> {
        let (queue, inbox) = sync_channel(queue_max);
        let shared = Arc::new(Shared::default());
        let written = Arc::new(AtomicU64::new(0));
        let boot = boot_id();
        let mut writer = Writer {
            journal,
            sync,
            shared: Arc::clone(&shared),
            written: Arc::clone(&written),
            boot: boot.clone(),
            unsynced_since: None,
        };
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || writer.run(&inbox))?;
        Ok(Self {
            queue,
            shared,
            thread,
            handed: 0,
            written,
            boot,
            state: PermissionState::SelfTest,
        })
    }

    /// Hands the lines of an event over; counts what finds no room. Never waits.
    pub(super) fn record(&mut self, event: &Event, zone_names: &[String]) {
        let lines = health::lines(event, self.state, zone_names, &stamp(&self.boot));
        if let Event::State { state, .. } = event {
            self.state = *state;
        }
        for line in lines {
            match self.queue.try_send(line) {
                Ok(()) => self.handed += 1,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.shared.lose(1),
            }
        }
    }

    /// Whether the last try to write failed, or the thread died.
    pub(super) fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed) || self.thread.is_finished()
    }

    /// Lets the thread write what it has, for at most `patience`, and says what is missing. A thread
    /// that the disk does not let go is left behind; the process ends without it.
    pub(super) fn close(self, patience: Duration) -> EventFigures {
        let Self {
            queue,
            shared,
            thread,
            handed,
            written,
            boot: _,
            state: _,
        } = self;
        shared.closing.store(true, Ordering::Release);
        drop(queue);
        thread.thread().unpark();
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(5));
        }
        let stalled = !thread.is_finished();
        let panicked = !stalled && thread.join().is_err();
        let lost = shared.lost.load(Ordering::Relaxed);
        let stuck = if stalled || panicked {
            handed.saturating_sub(written.load(Ordering::Relaxed))
        } else {
            0
        };
        EventFigures {
            lost: lost + stuck,
            stalled,
        }
    }
}

fn stamp(boot: &str) -> Stamp {
    Stamp {
        wall: SystemTime::now(),
        monotonic: monotonic_now().since_epoch(),
        boot: boot.to_owned(),
    }
}

/// State of the running thread.
struct Writer<J> {
    journal: J,
    sync: EventSync,
    shared: Arc<Shared>,
    /// Lines from the queue that are in the log or counted as lost.
    written: Arc<AtomicU64>,
    boot: String,
    unsynced_since: Option<Instant>,
}

impl<J: Journal> Writer<J> {
    fn run(&mut self, inbox: &Receiver<EventLine>) {
        loop {
            match inbox.recv_timeout(BATCH) {
                Ok(line) => {
                    self.deliver(&line);
                    self.written.fetch_add(1, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => self.tell_lost(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self
                .unsynced_since
                .is_some_and(|since| since.elapsed() >= BATCH)
            {
                self.make_lasting();
            }
        }
        self.tell_lost();
        self.make_lasting();
    }

    /// Writes a line, however long that takes; gives up only when the program ends.
    fn deliver(&mut self, line: &EventLine) {
        while let Err(error) = self.journal.append(&line.text) {
            if !self.shared.failing.swap(true, Ordering::Relaxed) {
                log::error!("{error}; events wait in memory until writing works again");
            }
            if self.shared.closing.load(Ordering::Acquire) {
                self.shared.lose(1);
                return;
            }
            thread::park_timeout(RETRY);
        }
        if self.shared.failing.swap(false, Ordering::Relaxed) {
            log::info!("event log: writing works again");
        }
        self.written_one(line.kind);
        self.tell_lost();
    }

    fn written_one(&mut self, kind: EventKind) {
        self.unsynced_since.get_or_insert_with(Instant::now);
        let at_once = match self.sync {
            EventSync::Each => true,
            EventSync::Grave => kind.is_grave(),
            EventSync::Batch => false,
        };
        if at_once {
            self.make_lasting();
        }
    }

    /// Writes how many events are missing, where some are.
    fn tell_lost(&mut self) {
        let count = self.shared.untold.swap(0, Ordering::Relaxed);
        if count == 0 {
            return;
        }
        for line in health::lines(
            &Event::Lost(count),
            PermissionState::SelfTest,
            &[],
            &stamp(&self.boot),
        ) {
            if self.journal.append(&line.text).is_ok() {
                log::warn!("event log: {count} events are missing from it");
                self.written_one(line.kind);
            } else {
                self.shared.untold.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    fn make_lasting(&mut self) {
        match self.journal.sync() {
            Ok(()) => self.unsynced_since = None,
            Err(error) => {
                // Tried again with the next batch.
                self.unsynced_since = Some(Instant::now());
                log::error!("{error}; the last events may not survive a power cut");
            }
        }
    }
}

#[cfg(test)]
#[path = "event_thread_tests.rs"]
mod tests;
