//! Every input device of the machine: found, opened, read, given up.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{Action, Device, DeviceId, InputError, InputEvent};
use crate::sys::monotonic_now;
use crate::units::MonotonicTime;

/// Time between two looks at the folder where nothing says that it changed.
const LOOK: Duration = Duration::from_secs(2);

/// Devices that are read at most; an appliance has three.
const DEVICES_MAX: usize = 32;

/// Why a file of the folder is not read.
#[derive(Debug)]
enum Passed {
    /// Nobody could operate the picture with it.
    Useless,
    /// It could not be opened; tried again at every look.
    Failing,
}

/// The devices of a folder.
#[derive(Debug)]
pub struct Inputs {
    folder: PathBuf,
    watch: Option<Inotify>,
    watching: bool,
    devices: Vec<(DeviceId, Device)>,
    passed: BTreeMap<PathBuf, Passed>,
    next: u32,
    looked_at: Option<MonotonicTime>,
}

impl Inputs {
    /// Follows the devices of `folder`, `/dev/input` mostly; it may come later.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        Self {
            folder: folder.to_owned(),
            // Without it devices are found at the next look.
            watch: Inotify::init(flags).ok(),
            watching: false,
            devices: Vec::new(),
            passed: BTreeMap::new(),
            next: 0,
            looked_at: None,
        }
    }

    /// The open devices: file, name, what it is.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().map(|(_, device)| device)
    }

    /// Waits at most `timeout` for something to happen, and hands on to `told` what did.
    pub fn wait(&mut self, timeout: Duration, told: &mut impl FnMut(InputEvent)) {
        let due = self
            .looked_at
            .is_none_or(|last| monotonic_now().saturating_since(last) >= LOOK);
        if due {
            self.look();
        }
        let ready = self.ready(timeout);
        if ready.folder && self.folder_changed() {
            self.look();
        }
        let mut gone = Vec::new();
        for index in ready.devices {
            let Some((id, device)) = self.devices.get_mut(index) else {
                continue;
            };
            if let Err(error) = device.read(told) {
                log::info!("{error}");
                gone.push(*id);
            }
        }
        for id in gone {
            self.devices.retain(|(other, _)| *other != id);
            told(InputEvent {
                at: monotonic_now(),
                device: id,
                action: Action::Lost,
            });
        }
    }

    fn ready(&self, timeout: Duration) -> Ready {
        let mut fds: Vec<PollFd<'_>> = self
            .devices
            .iter()
            .map(|(_, device)| PollFd::new(device.as_fd(), PollFlags::POLLIN))
            .collect();
        let devices = fds.len();
        if let Some(watch) = &self.watch {
            fds.push(PollFd::new(watch.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(count) if count > 0 => {}
            // Interrupted by a signal, or nothing: the caller comes again.
            Ok(_) | Err(_) => return Ready::default(),
        }
        // A device that hangs up is read, too: reading says so.
        let happened = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        Ready {
            folder: fds.get(devices).is_some_and(happened),
            devices: (0..devices)
                .filter(|index| fds.get(*index).is_some_and(happened))
                .collect(),
        }
    }

    /// Takes what inotify says; a file that was replaced is looked at anew.
    fn folder_changed(&mut self) -> bool {
        let Some(watch) = &self.watch else {
            return false;
        };
        let mut changed = false;
        while let Ok(events) = watch.read_events() {
            changed |= !events.is_empty();
            for event in &events {
                if let Some(name) = &event.name {
                    self.passed.remove(&self.folder.join(name));
                }
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    self.watching = false;
                }
            }
            if events.is_empty() {
                break;
            }
        }
        changed
    }

    /// Opens what is new in the folder.
    fn look(&mut self) {
        self.looked_at = Some(monotonic_now());
        self.watch_folder();
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_event_device(path))
            .collect();
        found.sort();
        self.passed.retain(|path, _| found.contains(path));
        for path in found {
            let open = self.devices().any(|device| device.path() == path);
            let passed = matches!(self.passed.get(&path), Some(Passed::Useless));
            if !open && !passed && self.devices.len() < DEVICES_MAX {
                self.open(&path);
            }
        }
    }

    fn open(&mut self, path: &Path) {
        let id = DeviceId(self.next);
        match Device::open(path, id) {
            Ok(Some(device)) => {
                self.next += 1;
                self.passed.remove(path);
                log::info!(
                    "input: {} {} ({})",
                    device.kind(),
                    device.name(),
                    path.display()
                );
                self.devices.push((id, device));
            }
            Ok(None) => {
                self.passed.insert(path.to_owned(), Passed::Useless);
            }
            Err(error) => {
                // udev hands a new device over a moment after it appears: only what lasts is said.
                let (again, said) = match (&error, self.passed.get(path)) {
                    (InputError::Open { .. }, None) => (Passed::Failing, log::Level::Debug),
                    (InputError::Open { .. }, Some(_)) => (Passed::Useless, log::Level::Warn),
                    (InputError::Ask { .. } | InputError::Read { .. }, _) => {
                        (Passed::Useless, log::Level::Debug)
                    }
                };
                log::log!(said, "{error}");
                self.passed.insert(path.to_owned(), again);
            }
        }
    }

    fn watch_folder(&mut self) {
        if self.watching {
            return;
        }
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        self.watching = self
            .watch
            .as_ref()
            .is_some_and(|watch| watch.add_watch(&self.folder, flags).is_ok());
    }
}

/// What a wait ended with.
#[derive(Debug, Default)]
struct Ready {
    folder: bool,
    devices: Vec<usize>,
}

/// `eventN`: every device has one, and other names (`mouse0`, `mice`, `js0`) are the same ones again.
fn is_event_device(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix("event"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn turn(inputs: &mut Inputs) -> Vec<InputEvent> {
        let mut told = Vec::new();
        inputs.wait(SHORT, &mut |event| told.push(event));
        told
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("input");
        let mut inputs = Inputs::new(&place);
        assert!(turn(&mut inputs).is_empty());
        std::fs::create_dir(&place).expect("made");
        inputs.looked_at = None;
        turn(&mut inputs);
        assert!(inputs.watching);
    }

    #[test]
    fn what_comes_into_the_folder_is_looked_at_at_once_and_what_is_no_device_is_passed_by() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut inputs = Inputs::new(folder.path());
        turn(&mut inputs);
        for name in ["event7", "mice", "eventful", "event"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        assert!(turn(&mut inputs).is_empty());
        let passed: Vec<_> = inputs.passed.keys().cloned().collect();
        assert_eq!(passed, [folder.path().join("event7")]);
        assert_eq!(inputs.devices().count(), 0);
        std::fs::remove_file(folder.path().join("event7")).expect("gone");
        turn(&mut inputs);
        assert!(inputs.passed.is_empty());
    }

    #[test]
    fn a_device_that_may_not_be_opened_is_tried_again_once_its_rights_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("event0");
        // A link to nowhere cannot be opened, whoever asks.
        std::os::unix::fs::symlink("nowhere", &path).expect("a link");
        let mut inputs = Inputs::new(folder.path());
        turn(&mut inputs);
        assert!(matches!(inputs.passed.get(&path), Some(Passed::Failing)));
        inputs.looked_at = None;
        turn(&mut inputs);
        assert!(matches!(inputs.passed.get(&path), Some(Passed::Useless)));
    }
}
