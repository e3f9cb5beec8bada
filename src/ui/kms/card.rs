//! A card: the device node, what it is, and what hangs on it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drm::control::{Device as _, Mode, ModeFlags, ModeTypeFlags, connector, crtc, property};
use drm::{ClientCapability, Device as _, DriverCapability};
use nix::fcntl::OFlag;

use super::choice::{Connection, ConnectorInfo, ModeInfo};
use crate::geometry::Size;

/// Where the kernel puts the cards' device nodes.
const CARDS: &str = "/dev/dri";

/// An open card. Clones share the descriptor; the kernel removes what was made through it, pictures
/// included, when the last one goes.
#[derive(Clone)]
pub(super) struct Card {
    file: Arc<File>,
    path: Arc<Path>,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Card").field(&self.path).finish()
    }
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// A card's answer to how it takes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modesetting {
    /// Everything of a change together or not at all.
    Atomic,
    /// The older calls.
    Legacy,
}

impl Modesetting {
    /// The word in log and probe.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Legacy => "legacy",
        }
    }
}

/// A connector with what is needed to drive it.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) handle: connector::Handle,
    pub(super) info: ConnectorInfo,
    pub(super) modes: Vec<Mode>,
}

/// Whether asking for a connector makes the driver look at the wires, which may take a tenth of a
/// second for each (it reads the monitor's EDID), or only tells what it knew last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// At the wires.
    Fresh,
    /// At what is known.
    Known,
}

impl Card {
    /// Opens a device node; becomes DRM master where nobody else is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Without O_NONBLOCK reading an event that is not there would wait for ever.
        let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits())
            .open(path)?;
        Ok(Self {
            file: Arc::new(file),
            path: path.into(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the kernel's driver, `vc4`, `imx-drm`, `virtio_gpu`.
    pub(super) fn driver(&self) -> String {
        self.get_driver().map_or_else(
            |_| "unknown driver".to_owned(),
            |driver| driver.name().to_string_lossy().into_owned(),
        )
    }

    /// Asks for atomic modesetting, and says whether the card has it.
    pub(super) fn modesetting(&self) -> Modesetting {
        // Without universal planes the primary planes are hidden.
        let planes = self.set_client_capability(ClientCapability::UniversalPlanes, true);
        let atomic = self.set_client_capability(ClientCapability::Atomic, true);
        match (planes, atomic) {
            (Ok(()), Ok(())) => Modesetting::Atomic,
            (Err(_), _) | (_, Err(_)) => Modesetting::Legacy,
        }
    }

    /// Whether framebuffers take a modifier.
    pub(super) fn takes_modifiers(&self) -> bool {
        self.get_driver_capability(DriverCapability::AddFB2Modifiers)
            .is_ok_and(|value| value != 0)
    }

    /// The card's CRTCs, in its order.
    pub(super) fn crtcs(&self) -> io::Result<Vec<crtc::Handle>> {
        Ok(self.resource_handles()?.crtcs)
    }

    /// Every connector.
    pub(super) fn connectors(&self, look: Look) -> io::Result<Vec<Connector>> {
        let resources = self.resource_handles()?;
        let mut connectors = Vec::new();
        for handle in resources.connectors() {
            match self.get_connector(*handle, look == Look::Fresh) {
                Ok(info) => connectors.push(self.connector(&info, &resources)),
                // Those of a dock come and go.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(connectors)
    }

    fn connector(
        &self,
        info: &connector::Info,
        resources: &drm::control::ResourceHandles,
    ) -> Connector {
        let position = |wanted: crtc::Handle| resources.crtcs().iter().position(|c| *c == wanted);
        let current = info.current_encoder().and_then(|encoder| {
            let encoder = self.get_encoder(encoder).ok()?;
            encoder.crtc().and_then(position)
        });
        let mut crtcs = 0;
        for encoder in info.encoders() {
            let Ok(encoder) = self.get_encoder(*encoder) else {
                continue;
            };
            for possible in resources.filter_crtcs(encoder.possible_crtcs()) {
                if let Some(bit) = position(possible).filter(|bit| *bit < 32) {
                    crtcs |= 1 << bit;
                }
            }
        }
        Connector {
            handle: info.handle(),
            info: ConnectorInfo {
                name: info.to_string(),
                connection: match info.state() {
                    connector::State::Connected => Connection::Connected,
                    connector::State::Disconnected => Connection::Disconnected,
                    connector::State::Unknown => Connection::Unknown,
                },
                modes: info.modes().iter().map(mode_info).collect(),
                millimetres: info.size(),
                crtc: current,
                crtcs,
            },
            modes: info.modes().to_vec(),
        }
    }

    /// Value of an object's property; `None` where it has none of the name.
    pub(super) fn property<T: drm::control::ResourceHandle>(
        &self,
        object: T,
        name: &str,
    ) -> io::Result<Option<(property::Handle, u64)>> {
        let values = self.get_properties(object)?;
        for (handle, value) in values.iter() {
            if self.get_property(*handle)?.name().to_bytes() == name.as_bytes() {
                return Ok(Some((*handle, *value)));
            }
        }
        Ok(None)
    }
}

fn mode_info(mode: &Mode) -> ModeInfo {
    let (width, height) = mode.size();
    let (_, _, htotal) = mode.hsync();
    let (_, _, vtotal) = mode.vsync();
    let interlaced = mode.flags().contains(ModeFlags::INTERLACE);
    // The clock is in kilohertz; the kernel's own figure is rounded to whole pictures.
    let pixels = u64::from(htotal) * u64::from(vtotal);
    let exact = (u64::from(mode.clock()) * 1_000_000).checked_div(pixels);
    let refresh_mhz = exact
        .and_then(|rate| u32::try_from(rate).ok())
        .filter(|rate| *rate > 0)
        .unwrap_or_else(|| mode.vrefresh().saturating_mul(1000));
    ModeInfo {
        size: Size {
            width: u32::from(width),
            height: u32::from(height),
        },
        refresh_mhz,
        preferred: mode.mode_type().contains(ModeTypeFlags::PREFERRED),
        interlaced,
    }
}

/// Device nodes of the machine's cards, in their order.
///
/// # Errors
///
/// There is no folder of cards.
pub(super) fn paths() -> io::Result<Vec<PathBuf>> {
    let mut numbered: Vec<(u32, PathBuf)> = std::fs::read_dir(CARDS)?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix("card")?;
            Some((number.parse().ok()?, path))
        })
        .collect();
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}
