//! Which camera it is, whatever number the kernel gave it this time.
//!
//! `/dev/videoN` is handed out in the order in which drivers find their devices: after a replug, or
//! at the next boot, another camera may have it. What stays is in sysfs: the serial number of a USB
//! device, and for everything else the place where it is plugged in, with the driver's name for it and
//! the number of the node among those of its device (a webcam has one for pictures and one for
//! metadata).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::kernel::Place;

/// What a node is, as far as sysfs tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The driver's name for it: `HD Pro Webcam C920`, `vivid-000-vid-cap`.
    pub(super) name: String,
    /// The device in sysfs, links followed: where it is plugged in. Empty where sysfs does not tell.
    pub(super) device: PathBuf,
    /// Number among the nodes of the device.
    pub(super) index: u32,
    /// Vendor, product and serial number of a USB device that has one: `046d:082d 5A8C3EF0`.
    pub(super) serial: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.name)?;
        if let Some(serial) = &self.serial {
            write!(f, ", serial {serial}")?;
        }
        let device = self.device.strip_prefix("/sys/devices");
        let device = device.unwrap_or(&self.device);
        if !device.as_os_str().is_empty() {
            write!(f, ", at {}", device.display())?;
        }
        if self.index > 0 {
            write!(f, " (node {})", self.index)?;
        }
        Ok(())
    }
}

/// What became of a camera that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// It is here.
    Found(Place),
    /// It is not there.
    Gone,
    /// So many could be it: serial numbers that are none.
    Ambiguous(usize),
}

impl Identity {
    /// Looks for the camera among those that are there.
    ///
    /// A serial number finds it wherever it is plugged in now; where several have the same (cheap
    /// cameras do), it has to be in its old place. Without one the place and the name decide.
    pub(super) fn find(&self, places: &[Place]) -> Search {
        let in_place = |place: &&Place| place.identity == *self;
        if let Some(place) = places.iter().find(in_place) {
            return Search::Found(place.clone());
        }
        if self.serial.is_none() {
            return Search::Gone;
        }
        let same = |place: &&Place| {
            place.identity.serial == self.serial && place.identity.index == self.index
        };
        let mut same = places.iter().filter(same);
        match (same.next(), same.count()) {
            (None, _) => Search::Gone,
            (Some(place), 0) => Search::Found(place.clone()),
            (Some(_), others) => Search::Ambiguous(others + 1),
        }
    }
}

/// Every video node of the sysfs class folder `class`, with its device in the folder `dev`, in the
/// order of their numbers.
pub(super) fn places(class: &Path, dev: &Path) -> Vec<Place> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let mut found: Vec<(u32, Place)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            let number = name.strip_prefix("video")?.parse().ok()?;
            let place = Place {
                path: dev.join(name),
                identity: identity(&entry.path()),
            };
            Some((number, place))
        })
        .collect();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, place)| place).collect()
}

fn identity(node: &Path) -> Identity {
    let device = fs::canonicalize(node.join("device")).unwrap_or_default();
    Identity {
        name: line(&node.join("name")).unwrap_or_default(),
        index: line(&node.join("index"))
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        serial: device.ancestors().take(4).find_map(usb_serial),
        device,
    }
}

/// Vendor, product and serial number where `folder` is a USB device with one.
fn usb_serial(folder: &Path) -> Option<String> {
    let [vendor, product, serial] =
        ["idVendor", "idProduct", "serial"].map(|name| folder.join(name));
    Some(format!(
        "{}:{} {}",
        line(&vendor)?,
        line(&product)?,
        line(&serial)?
    ))
}

/// A file's only line, where there is something in it.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim().replace(char::is_control, " ");
    (!text.is_empty()).then_some(text)
}

/// Names of a node that udev makes and that outlive a replug: below `v4l/by-id` and `v4l/by-path` of
/// the folder `dev`.
pub(super) fn lasting_names(dev: &Path, node: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = ["v4l/by-id", "v4l/by-path"]
        .iter()
        .flat_map(|folder| fs::read_dir(dev.join(folder)))
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| fs::canonicalize(path).is_ok_and(|target| target == node))
        .collect();
    names.sort();
    names
}

/// Whether a path names a node by its number.
pub(super) fn is_numbered(path: &Path) -> bool {
    path.parent() == Some(Path::new("/dev"))
        && path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("video"))
            .is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A sysfs with these nodes: number, name, device, index, USB serial.
    fn sysfs(nodes: &[(u32, &str, &str, u32, Option<&str>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("class")).expect("made");
        for (number, name, device, index, serial) in nodes {
            let device = at(&format!("devices/{device}"));
            fs::create_dir_all(&device).expect("made");
            if let Some(serial) = serial {
                let usb = device.parent().expect("a parent");
                for (file, text) in [
                    ("idVendor", "046d"),
                    ("idProduct", "082d"),
                    ("serial", *serial),
                ] {
                    fs::write(usb.join(file), format!("{text}\n")).expect("written");
                }
            }
            let node = at(&format!("class/video{number}"));
            fs::create_dir_all(&node).expect("made");
            fs::write(node.join("name"), format!("{name}\n")).expect("written");
            fs::write(node.join("index"), format!("{index}\n")).expect("written");
            symlink(&device, node.join("device")).expect("linked");
        }
        root
    }

    fn places_of(root: &tempfile::TempDir) -> Vec<Place> {
        places(&root.path().join("class"), Path::new("/dev"))
    }

    fn path_of(search: Search) -> Option<PathBuf> {
        match search {
            Search::Found(place) => Some(place.path),
            Search::Gone | Search::Ambiguous(_) => None,
        }
    }

    #[test]
    fn nodes_are_listed_by_number_with_what_they_are() {
        let root = sysfs(&[
            (10, "late", "platform/late", 0, None),
            (2, "C920", "usb1/1-1/1-1:1.0", 1, Some("5A8C")),
        ]);
        let found = places_of(&root);
        let paths: Vec<_> = found.iter().map(|place| place.path.as_path()).collect();
        assert_eq!(paths, [Path::new("/dev/video2"), Path::new("/dev/video10")]);
        let text = found[0].identity.to_string();
        assert!(
            text.contains("\"C920\", serial 046d:082d 5A8C, at ") && text.ends_with(" (node 1)"),
            "{text}"
        );
        assert_eq!(found[1].identity.serial, None);
    }

    #[test]
    fn a_camera_is_found_again_under_another_number() {
        let before = sysfs(&[
            (0, "vivid-000", "vivid.0", 0, None),
            (1, "vivid-001", "vivid.0", 0, None),
        ]);
        let second = places_of(&before)[1].identity.clone();
        let mut after = places_of(&before);
        after[0].path = "/dev/video5".into();
        after[1].path = "/dev/video0".into();
        assert_eq!(path_of(second.find(&after)), Some("/dev/video0".into()));
        assert_eq!(second.find(&after[..1]), Search::Gone);
    }

    #[test]
    fn another_camera_in_the_same_place_is_not_it() {
        let before = sysfs(&[(0, "old", "usb1/1-1/1-1:1.0", 0, None)]);
        let old = places_of(&before)[0].identity.clone();
        let mut after = places_of(&before);
        after[0].identity.name = "new".to_owned();
        assert_eq!(old.find(&after), Search::Gone);
    }

    #[test]
    fn a_serial_number_is_followed_to_another_port_but_never_guessed() {
        let root = sysfs(&[
            (0, "C920", "usb1/1-1/1-1:1.0", 0, Some("5A8C")),
            (1, "C920", "usb1/1-1/1-1:1.0", 1, Some("5A8C")),
            (2, "C920", "usb1/1-2/1-2:1.0", 0, Some("0001")),
        ]);
        let all = places_of(&root);
        let mut wanted = all[0].identity.clone();
        wanted.device = "/sys/devices/usb9/9-9/9-9:1.0".into();
        assert_eq!(path_of(wanted.find(&all)), Some("/dev/video0".into()));
        let mut twins = all.clone();
        twins[2].identity.serial = all[0].identity.serial.clone();
        assert_eq!(wanted.find(&twins), Search::Ambiguous(2));
        // In its own place it is itself, however many have its number.
        assert_eq!(
            path_of(all[0].identity.find(&twins)),
            Some("/dev/video0".into())
        );
    }

    #[test]
    fn lasting_names_lead_to_the_node() {
        let root = tempfile::tempdir().expect("a folder");
        let dev = fs::canonicalize(root.path()).expect("there");
        fs::create_dir_all(dev.join("v4l/by-path")).expect("made");
        fs::write(dev.join("video3"), "").expect("made");
        fs::write(dev.join("video4"), "").expect("made");
        symlink("../../video3", dev.join("v4l/by-path/platform-x")).expect("linked");
        let names = lasting_names(&dev, &dev.join("video3"));
        assert_eq!(names, [dev.join("v4l/by-path/platform-x")]);
        assert!(lasting_names(&dev, &dev.join("video4")).is_empty());
    }

    #[test]
    fn only_numbers_are_numbered() {
        for (path, numbered) in [
            ("/dev/video0", true),
            ("/dev/video17", true),
            ("/dev/v4l/by-id/usb-0", false),
            ("/dev/video", false),
            ("/srv/video0", false),
        ] {
            assert_eq!(is_numbered(Path::new(path)), numbered, "{path}");
        }
    }
}
