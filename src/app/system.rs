//! Which system the program runs in: the image's version and, where there are two systems to choose from, the slot.

use std::path::Path;

/// The image and slot of the appliance; both are missing on an ordinary computer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// `IMAGE_VERSION` of os-release (`os-release(5)`).
    pub image: Option<String>,
    /// The slot that the boot loader took, such as `A`.
    pub slot: Option<String>,
}

/// What this machine says of itself.
#[must_use]
pub fn system() -> System {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    // The service does not see the kernel's command line; andon-slot.service writes down what it needs of it.
    let slot = word(&read("/run/andon-system/slot")).or_else(|| slot_of(&read("/proc/cmdline")));
    System {
        image: image_version(&read("/etc/os-release")),
        slot,
    }
}

impl System {
    /// The program's version and what is known of the system, for people: `0.1.0, image 0.1.0, slot A`.
    #[must_use]
    pub fn with_version(&self) -> String {
        let mut text = env!("CARGO_PKG_VERSION").to_owned();
        for (what, value) in [("image", &self.image), ("slot", &self.slot)] {
            if let Some(value) = value {
                text = format!("{text}, {what} {value}");
            }
        }
        text
    }
}

/// One short word of letters, digits, dots and the like: this is shown on the picture.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+~".contains(&byte);
    let is_word = !text.is_empty() && text.len() <= 40 && text.bytes().all(good);
    is_word.then(|| text.to_owned())
}

fn image_version(os_release: &str) -> Option<String> {
    let mut lines = os_release.lines();
    let value = lines.find_map(|line| line.trim().strip_prefix("IMAGE_VERSION="))?;
    word(value.trim_matches(['"', '\'']))
}

fn slot_of(cmdline: &str) -> Option<String> {
    let mut words = cmdline.split_ascii_whitespace();
    word(words.find_map(|word| word.strip_prefix("rauc.slot="))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_and_slot_are_read() {
        let os_release = "ID=nodistro\nVERSION_ID=\"0.1\"\nIMAGE_VERSION=\"0.1.0\"\n";
        assert_eq!(image_version(os_release).as_deref(), Some("0.1.0"));
        assert_eq!(
            image_version("IMAGE_VERSION=1.2.3~rc1\n").as_deref(),
            Some("1.2.3~rc1")
        );
        let cmdline = "console=tty1 root=/dev/mmcblk0p6 rauc.slot=B quiet\n";
        assert_eq!(slot_of(cmdline).as_deref(), Some("B"));
    }

    #[test]
    fn what_is_missing_or_no_word_is_not_shown() {
        assert_eq!(image_version("ID=debian\nVERSION_ID=\"12\"\n"), None);
        assert_eq!(image_version("IMAGE_VERSION=\"two words\"\n"), None);
        assert_eq!(slot_of("root=/dev/vda1 ro\n"), None);
        assert_eq!(slot_of("rauc.slot=\n"), None);
        assert_eq!(word(&"x".repeat(41)), None);
    }

    #[test]
    fn people_read_version_image_and_slot() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(System::default().with_version(), version);
        let both = System {
            image: Some("2.0".to_owned()),
            slot: Some("A".to_owned()),
        };
        assert_eq!(both.with_version(), format!("{version}, image 2.0, slot A"));
    }
}
