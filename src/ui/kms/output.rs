//! One monitor driven by one CRTC: taking it, and giving it the next picture.

use std::io;

use drm::control::atomic::AtomicModeReq;
use drm::control::{
    AtomicCommitFlags, Device as _, Event, Mode, PageFlipFlags, PlaneType, RawResourceHandle,
    connector, crtc, framebuffer, plane, property,
};

use super::card::{Card, Modesetting};

/// `DRM_MODE_DPMS_ON`.
const DPMS_ON: u64 = 0;
/// `DRM_MODE_LINK_STATUS_GOOD`.
const LINK_GOOD: u64 = 0;

/// A connector with the CRTC that drives it.
#[derive(Debug)]
pub(super) struct Output {
    card: Card,
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    means: Means,
}

/// How the card is told.
#[derive(Debug)]
enum Means {
    Atomic(Box<Atomic>),
    /// Whether page flips work; without them every picture is a modeset, which may tear.
    Legacy {
        flips: bool,
    },
}

/// What atomic commits name.
#[derive(Debug)]
struct Atomic {
    plane: plane::Handle,
    /// Blob of the mode.
    mode: u64,
    crtc_active: property::Handle,
    crtc_mode: property::Handle,
    connector_crtc: property::Handle,
    connector_link: Option<property::Handle>,
    plane_framebuffer: property::Handle,
    plane_crtc: property::Handle,
    /// SRC_X, SRC_Y, SRC_W, SRC_H, CRTC_X, CRTC_Y, CRTC_W, CRTC_H.
    plane_places: [property::Handle; 8],
}

impl Output {
    /// Prepares to drive a connector; nothing is switched yet. `position` is the CRTC's place in the
    /// card's list.
    pub(super) fn new(
        card: &Card,
        how: Modesetting,
        connector: connector::Handle,
        (position, crtc): (usize, crtc::Handle),
        mode: Mode,
    ) -> io::Result<Self> {
        let means = match how {
            Modesetting::Atomic => {
                let found = Atomic::find(card, connector, (position, crtc), &mode)?;
                Means::Atomic(Box::new(found))
            }
            Modesetting::Legacy => Means::Legacy { flips: true },
        };
        Ok(Self {
            card: card.clone(),
            connector,
            crtc,
            mode,
            means,
        })
    }

    pub(super) const fn modesetting(&self) -> Modesetting {
        match self.means {
            Means::Atomic(_) => Modesetting::Atomic,
            Means::Legacy { .. } => Modesetting::Legacy,
        }
    }

    /// Sets the mode and shows the framebuffer, and nothing above it; waits for the card, a few hundred
    /// milliseconds where the monitor's link is trained.
    pub(super) fn light(&mut self, shown: framebuffer::Handle) -> io::Result<()> {
        self.set_mode(shown)?;
        if let Err(error) = self.uncover() {
            log::warn!(
                "{}: something may lie above the picture: {error}",
                self.card.path().display()
            );
        }
        Ok(())
    }

    /// Switches off what another program left on the CRTC: a mouse pointer, or a plane with a film or a
    /// splash, which would cover a part of the picture.
    fn uncover(&self) -> io::Result<()> {
        for handle in self.card.plane_handles()? {
            if self.card.get_plane(handle)?.crtc() != Some(self.crtc) {
                continue;
            }
            let kind = self.card.property(handle, "type")?.map(|(_, value)| value);
            if kind != Some(PlaneType::Primary as u64) {
                let nowhere = (0, 0, 0, 0);
                self.card
                    .set_plane(handle, self.crtc, None, 0, nowhere, (0, 0, 0, 0))?;
            }
        }
        Ok(())
    }

    fn set_mode(&mut self, shown: framebuffer::Handle) -> io::Result<()> {
        if let Means::Atomic(atomic) = &self.means {
            let request = atomic.lighting(self.connector, self.crtc, &self.mode, shown);
            let flags = AtomicCommitFlags::ALLOW_MODESET;
            match self.card.atomic_commit(flags, request) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    log::warn!(
                        "{}: atomic modesetting was refused ({error}), the legacy calls are used",
                        self.card.path().display()
                    );
                    self.means = Means::Legacy { flips: true };
                }
                Err(error) => return Err(error),
            }
        }
        let connectors = [self.connector];
        let mode = Some(self.mode);
        self.card
            .set_crtc(self.crtc, Some(shown), (0, 0), &connectors, mode)?;
        // The monitor may have been sent to sleep by whoever had it before.
        if let Ok(Some((dpms, value))) = self.card.property(self.connector, "DPMS")
            && value != DPMS_ON
        {
            let _ = self.card.set_property(self.connector, dpms, DPMS_ON);
        }
        Ok(())
    }

    /// Shows another framebuffer from the next vertical blank on; the card says when
    /// ([`Output::flipped`]). `false` where it is shown already, because the card cannot flip.
    pub(super) fn flip(&mut self, shown: framebuffer::Handle) -> io::Result<bool> {
        match &mut self.means {
            Means::Atomic(atomic) => {
                let mut request = AtomicModeReq::new();
                let plane: RawResourceHandle = atomic.plane.into();
                let value = u64::from(u32::from(shown));
                request.add_raw_property(plane, atomic.plane_framebuffer, value);
                let flags = AtomicCommitFlags::NONBLOCK | AtomicCommitFlags::PAGE_FLIP_EVENT;
                self.card.atomic_commit(flags, request)?;
                Ok(true)
            }
            Means::Legacy { flips } => {
                if *flips {
                    let flags = PageFlipFlags::EVENT;
                    match self.card.page_flip(self.crtc, shown, flags, None) {
                        Ok(()) => return Ok(true),
                        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                            *flips = false;
                            log::warn!(
                                "{}: the driver flips no pages ({error}): pictures may tear",
                                self.card.path().display()
                            );
                        }
                        Err(error) => return Err(error),
                    }
                }
                let connectors = [self.connector];
                let mode = Some(self.mode);
                self.card
                    .set_crtc(self.crtc, Some(shown), (0, 0), &connectors, mode)?;
                Ok(false)
            }
        }
    }

    /// Whether the card has said since the last call that it flipped. Does not wait.
    pub(super) fn flipped(&self) -> io::Result<bool> {
        let events = match self.card.receive_events() {
            Ok(events) => events,
            Err(error) => {
                let nothing = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
                return if nothing.contains(&error.kind()) {
                    Ok(false)
                } else {
                    Err(error)
                };
            }
        };
        let mut flipped = false;
        for event in events {
            match event {
                Event::PageFlip(event) => flipped |= event.crtc == self.crtc,
                Event::Vblank(_) | Event::Unknown(_) => {}
            }
        }
        Ok(flipped)
    }

    /// Whether the link to the monitor broke and has to be set up again (`link-status`), which the
    /// kernel leaves to us.
    pub(super) fn link_is_bad(&self) -> bool {
        matches!(
            self.card.property(self.connector, "link-status"),
            Ok(Some((_, value))) if value != LINK_GOOD
        )
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Means::Atomic(atomic) = &self.means {
            let _ = self.card.destroy_property_blob(atomic.mode);
        }
    }
}

impl Atomic {
    fn find(
        card: &Card,
        connector: connector::Handle,
        (position, crtc): (usize, crtc::Handle),
        mode: &Mode,
    ) -> io::Result<Self> {
        let plane = primary_plane(card, position, crtc)?;
        let of_plane = |name| required(card, plane, name);
        Ok(Self {
            plane,
            crtc_active: required(card, crtc, "ACTIVE")?,
            crtc_mode: required(card, crtc, "MODE_ID")?,
            connector_crtc: required(card, connector, "CRTC_ID")?,
            connector_link: card.property(connector, "link-status")?.map(|(id, _)| id),
            plane_framebuffer: of_plane("FB_ID")?,
            plane_crtc: of_plane("CRTC_ID")?,
            plane_places: [
                of_plane("SRC_X")?,
                of_plane("SRC_Y")?,
                of_plane("SRC_W")?,
                of_plane("SRC_H")?,
                of_plane("CRTC_X")?,
                of_plane("CRTC_Y")?,
                of_plane("CRTC_W")?,
                of_plane("CRTC_H")?,
            ],
            // Last: nobody would take it back where one of those is missing.
            mode: card.create_property_blob(mode)?.into(),
        })
    }

    /// Everything from connector to framebuffer.
    fn lighting(
        &self,
        connector: connector::Handle,
        crtc: crtc::Handle,
        mode: &Mode,
        shown: framebuffer::Handle,
    ) -> AtomicModeReq {
        let mut request = AtomicModeReq::new();
        let crtc_id = u64::from(u32::from(crtc));
        let connector: RawResourceHandle = connector.into();
        request.add_raw_property(connector, self.connector_crtc, crtc_id);
        if let Some(link) = self.connector_link {
            request.add_raw_property(connector, link, LINK_GOOD);
        }
        let crtc: RawResourceHandle = crtc.into();
        request.add_raw_property(crtc, self.crtc_mode, self.mode);
        // Active is what DPMS was: the screen stays on.
        request.add_raw_property(crtc, self.crtc_active, 1);
        let plane: RawResourceHandle = self.plane.into();
        request.add_raw_property(plane, self.plane_framebuffer, u64::from(u32::from(shown)));
        request.add_raw_property(plane, self.plane_crtc, crtc_id);
        let (width, height) = mode.size();
        let (width, height) = (u64::from(width), u64::from(height));
        // The source is in 16.16 fixed point.
        let places = [0, 0, width << 16, height << 16, 0, 0, width, height];
        for (property, value) in self.plane_places.into_iter().zip(places) {
            request.add_raw_property(plane, property, value);
        }
        request
    }
}

/// The primary plane of a CRTC: the one it shows now, else the first that it can show.
fn primary_plane(card: &Card, position: usize, crtc: crtc::Handle) -> io::Result<plane::Handle> {
    let resources = card.resource_handles()?;
    let mut found = None;
    for handle in card.plane_handles()? {
        let kind = card.property(handle, "type")?.map(|(_, value)| value);
        if kind != Some(PlaneType::Primary as u64) {
            continue;
        }
        let info = card.get_plane(handle)?;
        if info.crtc() == Some(crtc) {
            return Ok(handle);
        }
        let possible = resources.filter_crtcs(info.possible_crtcs());
        if info.crtc().is_none() && possible.contains(&crtc) {
            found = found.or(Some(handle));
        }
    }
    found.ok_or_else(|| io::Error::other(format!("CRTC number {position} has no primary plane")))
}

fn required<T: drm::control::ResourceHandle>(
    card: &Card,
    object: T,
    name: &str,
) -> io::Result<property::Handle> {
    card.property(object, name)?
        .map(|(handle, _)| handle)
        .ok_or_else(|| io::Error::other(format!("the driver has no property {name}")))
}
