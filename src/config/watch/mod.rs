//! Notices when the configuration files change and loads them again.
//!
//! A [`Watcher`] belongs to the thread that asks it, in turns of a bounded length. It looks at
//! folders, not at files, because editors write a new file and rename it over the old one, and at
//! every folder in which a symbolic link on the way could be swapped. Where the kernel reports
//! nothing (no inotify left, a network file system) a look at the files every
//! [`Timing::look_every`] finds the change all the same.
//!
//! What counts is content: a file that was touched, or rewritten with the same bytes, has not
//! changed. Files are read once they have been left alone for [`Timing::settle`], because a file
//! that is half written can be valid and mean something else; who never leaves them alone is read
//! every [`Timing::at_most`]. Saving by rename is better still.
//!
//! Loading is [`mod@super::load`]'s own code: what is accepted here is what `andon check-config` accepts.

mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::load::{Attempt, attempt};
use super::source::{Content, SeenFile};
use super::{ConfigFile, Loaded, Overrides};

/// How patient a [`Watcher`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The files must have been left alone for this long before they are read.
    pub settle: Duration,
    /// They are read this long after the first change, even if they still change.
    pub at_most: Duration,
    /// Time between two looks at the files without being told of a change.
    pub look_every: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(200),
            at_most: Duration::from_secs(2),
            look_every: Duration::from_secs(2),
        }
    }
}

/// Watches `andon.toml` and its keepout file.
#[derive(Debug)]
pub struct Watcher {
    main: PathBuf,
    /// The keepout file that the last readable `andon.toml` named.
    keepout: PathBuf,
    overrides: Overrides,
    timing: Timing,
    /// What the last attempt that was told saw.
    known: Vec<SeenFile>,
    notices: Notices,
    stamps: [Option<Stamp>; 2],
    looked: Instant,
    changing: Option<Changing>,
}

/// Since when the files are changing.
#[derive(Clone, Copy, Debug)]
struct Changing {
    first: Instant,
    last: Instant,
}

impl Watcher {
    /// Watches the files that `loaded` was read from, with the same command line laid over them. What
    /// has changed since then is noticed as well.
    #[must_use]
    pub fn new(loaded: &Loaded, overrides: &Overrides, timing: Timing) -> Self {
        let seen = |file: &ConfigFile| SeenFile {
            path: file.path.clone(),
            content: Content::Sha256(file.sha256.clone()),
        };
        let now = Instant::now();
        let mut watcher = Self {
            main: loaded.main.path.clone(),
            keepout: loaded.keepout.path.clone(),
            overrides: overrides.clone(),
            timing,
            known: vec![seen(&loaded.main), seen(&loaded.keepout)],
            notices: Notices::new(),
            stamps: [None; 2],
            looked: now,
            changing: Some(Changing {
                first: now,
                last: now,
            }),
        };
        watcher.look(now);
        watcher
    }

    /// Why changes are noticed late, where they are: the kernel reports nothing, or not everything.
    #[must_use]
    pub fn limitation(&self) -> Option<&str> {
        self.notices.limitation.as_deref()
    }

    /// Waits until the content of the files is another than the last one told, and loads it; `None`
    /// when `timeout` has passed. Blocks beyond it only where reading a file does.
    pub fn next(&mut self, timeout: Duration) -> Option<Attempt> {
        let deadline = Instant::now() + timeout;
        loop {
            let now = Instant::now();
            if now.saturating_duration_since(self.looked) >= self.timing.look_every {
                self.look(now);
            }
            if self.changing.is_some_and(|since| self.due(since) <= now) {
                self.changing = None;
                if let Some(attempt) = self.read() {
                    return Some(attempt);
                }
            }
            if now >= deadline {
                return None;
            }
            let wake = [
                Some(self.looked + self.timing.look_every),
                self.changing.map(|since| self.due(since)),
            ];
            let wake = wake.into_iter().flatten().fold(deadline, Instant::min);
            let wait = wake.saturating_duration_since(Instant::now());
            if self.notices.wait(wait) {
                self.note(Instant::now());
                self.watch();
            }
        }
    }

    fn due(&self, since: Changing) -> Instant {
        (since.last + self.timing.settle).min(since.first + self.timing.at_most)
    }

    fn note(&mut self, now: Instant) {
        let first = self.changing.map_or(now, |since| since.first);
        self.changing = Some(Changing { first, last: now });
    }

    /// Looks whether the files are still the same files, and whether the folders are.
    fn look(&mut self, now: Instant) {
        self.looked = now;
        self.watch();
        let stamps = [&self.main, &self.keepout].map(|path| Stamp::of(path));
        if stamps != self.stamps {
            self.stamps = stamps;
            self.note(now);
        }
    }

    fn watch(&mut self) {
        self.notices.watch(&[&self.main, &self.keepout]);
    }

    /// Loads the files; `None` where they say what they said before.
    fn read(&mut self) -> Option<Attempt> {
        let attempt = attempt(&self.main, &self.overrides);
        if let Some(keepout) = attempt.files.get(1) {
            self.keepout.clone_from(&keepout.path);
            self.watch();
        }
        if attempt.files == self.known {
            return None;
        }
        self.known.clone_from(&attempt.files);
        Some(attempt)
    }
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The kernel's notices about names in folders.
#[derive(Debug)]
struct Notices {
    inotify: Option<Inotify>,
    /// Names that matter, by their folder's watch.
    names: BTreeMap<WatchDescriptor, BTreeSet<OsString>>,
    limitation: Option<String>,
}

impl Notices {
    fn new() -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let (inotify, limitation) = match Inotify::init(flags) {
            Ok(inotify) => (Some(inotify), None),
            Err(errno) => (None, Some(format!("inotify cannot be used: {errno}"))),
        };
        Self {
            inotify,
            names: BTreeMap::new(),
            limitation,
        }
    }

    /// Watches every folder on the way to `paths`, and no other.
    fn watch(&mut self, paths: &[&Path]) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        let mut names: BTreeMap<WatchDescriptor, BTreeSet<OsString>> = BTreeMap::new();
        self.limitation = None;
        for link in paths.iter().flat_map(|path| links::links(path)) {
            match inotify.add_watch(&link.folder, flags) {
                Ok(watch) => {
                    names.entry(watch).or_default().insert(link.name);
                }
                // What does not exist is noticed in the folder above.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => {
                    let folder = link.folder.display();
                    self.limitation = Some(format!("folder {folder} cannot be watched: {errno}"));
                }
            }
        }
        for gone in self.names.keys().filter(|watch| !names.contains_key(watch)) {
            // Fails where the folder has gone, and its watch with it.
            let _ = inotify.rm_watch(*gone);
        }
        self.names = names;
    }

    /// Waits for at most `timeout`; whether a name that matters was touched.
    fn wait(&self, timeout: Duration) -> bool {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(timeout);
            return false;
        };
        let timeout_left = timeout;
        // Rounded up, so that the last millisecond is not spent in a busy loop.
        let timeout = timeout + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(0) | Err(Errno::EINTR) => return false,
            Ok(_) => {}
            Err(_) => {
                std::thread::sleep(timeout_left);
                return false;
            }
        }
        let mut matters = false;
        while let Ok(events) = inotify.read_events() {
            if events.is_empty() {
                break;
            }
            matters |= events.iter().any(|event| self.matters(event));
        }
        matters
    }

    /// A notice without a known folder tells that some were lost, or a folder went away.
    fn matters(&self, event: &InotifyEvent) -> bool {
        let names = self.names.get(&event.wd);
        match (names, &event.name) {
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => true,
            (None, _) => event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW),
        }
    }
}

#[cfg(test)]
mod tests;
