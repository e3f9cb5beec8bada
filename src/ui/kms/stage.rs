//! A card made ready for drawing, and the monitor on it that is drawn to.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use drm::Device as _;
use gbm::{AsRaw as _, BufferObjectFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::card::{Card, Connector, Look, Modesetting};
use super::choice::{self, Chosen, Connection};
use super::framebuffer::{self, Buffer, Framebuffer};
use super::output::Output;
use super::screen::Keep;
use super::watch::Loss;
use crate::config::KmsConfig;
use crate::frame::Frame;
use crate::geometry::Size;
use crate::sys::monotonic_now;
use crate::ui::UiError;
use crate::ui::gles::{Context, EGL_LIBRARY, ReadBack, Renderer, Target};
use crate::ui::scene::Scene;
use crate::ui::screen::Seen;
use crate::units::MonotonicTime;

/// Longest time for a page flip to be confirmed. At 24 pictures per second one takes 42 ms; a virtual
/// machine's card on a busy host may take seconds.
const FLIP_MAX: Duration = Duration::from_secs(5);

/// Longest wait for the flip before while a new picture is due: after that the picture is left out.
const FLIP_WAIT: Duration = Duration::from_millis(100);

/// A monitor that pictures are shown on.
// Fields are dropped in this order; the surface goes after its buffers.
#[derive(Debug)]
struct Monitor {
    output: Output,
    /// On the monitor.
    front: Option<Buffer>,
    /// On the way there: the card flips to it at the next vertical blank.
    coming: Option<(Buffer, MonotonicTime)>,
    /// Whether the CRTC has to be set up by the next picture.
    unset: bool,
    /// Since when the kernel has been busy with a picture that nobody waits for any more.
    busy_since: Option<MonotonicTime>,
    surface: gbm::Surface<Framebuffer>,
    /// What the monitor was when it was taken.
    connector: Connector,
    size: Size,
    words: String,
}

/// A card with its graphics context.
// The context goes before the GBM device that it is on, the renderer before the context; the monitor
// is taken off the context first (see `Drop`).
#[derive(Debug)]
pub(super) struct Stage {
    monitor: Option<Monitor>,
    pixels: ReadBack,
    renderer: Renderer,
    context: Context,
    gbm: gbm::Device<Card>,
    card: Card,
    how: Modesetting,
}

/// What became of a picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It is on its way to the monitor.
    Yes,
    /// The one before is not shown yet: this one was left out.
    TooEarly,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.drop_monitor();
    }
}

impl Stage {
    /// Makes a card ready: becomes its master and starts the graphics driver on it, once there is a
    /// monitor to draw for. Without one that would be done every second, for nothing.
    pub(super) fn open(card: Card, config: &KmsConfig) -> Result<Self, Loss> {
        let path = card.path().display().to_string();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Loss::Card(format!("{path}: {what}: {error}"))
        };
        card.acquire_master_lock().map_err(|error| {
            Loss::Master(format!(
                "{path}: another program has the display ({error}): stop it, or run as root"
            ))
        })?;
        let how = card.modesetting();
        choose(&card, config, Look::Fresh)?;
        let gbm = gbm::Device::new(card.clone())
            .map_err(|error| failed("cannot allocate buffers (GBM)", &error))?;
        let device = gbm.as_raw_mut().cast::<c_void>();
        // SAFETY: the device lives as long as the context: both are fields of one value, the context
        // before the device.
        let context = unsafe { Context::on_gbm(EGL_LIBRARY, device) };
        let context = context.map_err(|error| failed("cannot draw", &error))?;
        let mut renderer = Renderer::new(|name| context.function(name))
            .map_err(|error| failed("cannot draw", &error))?;
        if config.import {
            renderer.import_frames(&context);
        }
        Ok(Self {
            monitor: None,
            pixels: ReadBack::new(renderer.gl()),
            renderer,
            context,
            gbm,
            card,
            how,
        })
    }

    pub(super) const fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// Size of the monitor's pictures.
    pub(super) fn size(&self) -> Option<Size> {
        self.monitor.as_ref().map(|monitor| monitor.size)
    }

    /// Width and height of the monitor in millimetres, where it says so.
    pub(super) fn millimetres(&self) -> Option<(u32, u32)> {
        self.monitor.as_ref()?.connector.info.millimetres
    }

    /// What the card has said that it shows.
    pub(super) fn seen(&self) -> Seen {
        let monitor = self.monitor.as_ref();
        match monitor.map(|monitor| (&monitor.coming, &monitor.front)) {
            None | Some((None, None)) => Seen::Nothing,
            Some((Some(_), _)) => Seen::Earlier,
            Some((None, Some(_))) => Seen::Newest,
        }
    }

    /// What shows the pictures, in words.
    pub(super) fn words(&self) -> String {
        let monitor = self.monitor.as_ref();
        let monitor = monitor.map_or("no monitor", |monitor| monitor.words.as_str());
        format!(
            "{monitor} of {} ({}), drawn by {}",
            self.card.path().display(),
            self.card.driver(),
            self.renderer.device()
        )
    }

    /// Chooses a monitor and makes buffers of its size; the first picture lights it. With
    /// [`Look::Known`] the wires are looked at only where the kernel knows of a monitor.
    pub(super) fn take_monitor(&mut self, config: &KmsConfig, look: Look) -> Result<(), Loss> {
        self.drop_monitor();
        let path = self.card.path().display().to_string();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Loss::Card(format!("{path}: {what}: {error}"))
        };
        if look == Look::Known {
            choose(&self.card, config, look)?;
        }
        let (connectors, chosen) = choose(&self.card, config, Look::Fresh)?;
        let Chosen {
            connector,
            mode,
            crtcs,
            remarks,
        } = chosen;
        let Some(connector) = connectors.into_iter().nth(connector) else {
            return Err(Loss::Monitor(path));
        };
        let (Some(mode_info), Some(mode)) = (
            connector.info.modes.get(mode).copied(),
            connector.modes.get(mode).copied(),
        ) else {
            return Err(Loss::Monitor(path));
        };
        let output = self
            .output(&connector, &crtcs, mode)
            .map_err(|error| failed("cannot drive the monitor", &error))?;
        let surface = self
            .surface(mode_info.size)
            .map_err(|error| failed("cannot allocate pictures", &error))?;
        let words = format!("{} in {mode_info}", connector.info.name);
        for remark in remarks {
            log::warn!("{path}: {remark}");
        }
        self.monitor = Some(Monitor {
            output,
            front: None,
            coming: None,
            unset: true,
            busy_since: None,
            surface,
            connector,
            size: mode_info.size,
            words,
        });
        self.attach().map_err(|error| failed("cannot draw", &error))
    }

    /// The first CRTC that the driver lets drive the connector.
    fn output(
        &self,
        connector: &Connector,
        crtcs: &[usize],
        mode: drm::control::Mode,
    ) -> io::Result<Output> {
        let all = self.card.crtcs()?;
        let mut last = io::Error::other("it has no CRTC");
        for position in crtcs {
            let Some(crtc) = all.get(*position) else {
                continue;
            };
            let crtc = (*position, *crtc);
            match Output::new(&self.card, self.how, connector.handle, crtc, mode) {
                Ok(output) => return Ok(output),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn surface(&self, size: Size) -> io::Result<gbm::Surface<Framebuffer>> {
        let format = self.context.window_format();
        let format = format.and_then(|format| gbm::Format::try_from(format).ok());
        let format = format.unwrap_or(gbm::Format::Xrgb8888);
        let usage = BufferObjectFlags::SCANOUT | BufferObjectFlags::RENDERING;
        self.gbm
            .create_surface(size.width, size.height, format, usage)
    }

    fn attach(&mut self) -> Result<(), UiError> {
        let Some(monitor) = &self.monitor else {
            return Ok(());
        };
        let surface = monitor.surface.as_raw_mut().cast::<c_void>();
        // SAFETY: the surface is of the context's device and format, and `drop_monitor` takes it off
        // the context before it goes.
        unsafe { self.context.attach_window(surface) }
    }

    /// Lets go of the monitor; card and context stay.
    pub(super) fn drop_monitor(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            // A word of a picture on its way that is still unread would be taken for one of a later.
            let _ = monitor.output.flipped();
            // EGL frees the buffers with its end of the surface: they must be given back before.
            monitor.front = None;
            monitor.coming = None;
        }
        self.context.detach_window();
        self.monitor = None;
    }

    /// Takes the display again after another program had it.
    pub(super) fn take_again(&mut self) -> Result<(), Loss> {
        self.card.acquire_master_lock().map_err(|error| {
            let path = self.card.path().display();
            Loss::Master(format!("{path}: another program has the display ({error})"))
        })?;
        if let Some(monitor) = &mut self.monitor {
            monitor.unset = true;
            // What was on its way is shown or not; a word of it that is still unread is about nothing
            // that comes.
            let _ = monitor.output.flipped();
            monitor.coming = None;
        }
        Ok(())
    }

    /// Hands the display to whoever wants it.
    pub(super) fn give_away(&mut self) {
        if let Err(error) = self.card.release_master_lock() {
            log::debug!("{}: {error}", self.card.path().display());
        }
    }

    /// Whether the monitor is still there, and the same.
    pub(super) fn look(&mut self, look: Look) -> Result<(), Loss> {
        let path = self.card.path().display();
        let Some(monitor) = &mut self.monitor else {
            return Err(Loss::Monitor(format!("{path}: no monitor was taken")));
        };
        let connectors = self
            .card
            .connectors(look)
            .map_err(|error| Loss::Card(format!("{path}: {error}")))?;
        let Connector { handle, info, .. } = &monitor.connector;
        let now = connectors.iter().find(|other| other.handle == *handle);
        let name = &info.name;
        match now {
            Some(now) if now.info.connection != Connection::Disconnected => {
                if look == Look::Fresh && now.info.modes != info.modes {
                    return Err(Loss::Monitor(format!(
                        "{path}: the monitor on {name} is another one"
                    )));
                }
                if monitor.output.link_is_bad() {
                    log::warn!("{path}: the link to the monitor on {name} is set up again");
                    monitor.unset = true;
                }
                Ok(())
            }
            Some(_) | None => Err(Loss::Monitor(format!(
                "{path}: the monitor on {name} is gone"
            ))),
        }
    }

    /// Draws a picture and puts it on its way to the monitor. `keep` is given the pixels.
    pub(super) fn show(
        &mut self,
        scene: &Scene,
        frames: [Option<&Frame>; 2],
        keep: Option<Keep<'_>>,
    ) -> Result<Shown, Loss> {
        if !self.wait_for_flip(FLIP_WAIT)? {
            return Ok(Shown::TooEarly);
        }
        let path = self.card.path().display().to_string();
        let drawing = |error: UiError| Loss::Drawing(format!("{path}: {error}"));
        let Some(monitor) = &mut self.monitor else {
            return Err(Loss::Monitor(format!("{path}: no monitor was taken")));
        };
        let target = Target {
            framebuffer: None,
            size: monitor.size,
        };
        self.renderer
            .render(scene, frames, target)
            .map_err(drawing)?;
        if let Some(keep) = keep {
            let gl = self.renderer.gl();
            let pixels = self.pixels.read(gl, None, monitor.size);
            keep(pixels.map_err(drawing)?);
        }
        self.context.swap().map_err(drawing)?;
        // SAFETY: the buffers were swapped just now, once, and the surface is the swapped one.
        let locked = unsafe { monitor.surface.lock_front_buffer() };
        let locked = locked.map_err(|_ignored| Loss::Drawing(format!("{path}: no front buffer")));
        let mut buffer = locked?;
        let shown = framebuffer::of(&mut buffer, &self.card)
            .map_err(|error| Loss::Card(format!("{path}: no framebuffer: {error}")))?;
        monitor.present(buffer, shown, &path)
    }

    /// Waits for the picture before to be on the monitor; `false` where it is not in time.
    pub(super) fn wait_for_flip(&mut self, longest: Duration) -> Result<bool, Loss> {
        let Some(monitor) = &mut self.monitor else {
            return Ok(true);
        };
        let deadline = monotonic_now() + longest;
        loop {
            let path = self.card.path().display();
            let flipped = monitor.output.flipped();
            let flipped = flipped.map_err(|error| Loss::Card(format!("{path}: {error}")))?;
            // A word about a picture that nobody waits for any more leaves alone what is shown.
            if flipped && let Some((buffer, _)) = monitor.coming.take() {
                monitor.front = Some(buffer);
            }
            let Some((_, since)) = &monitor.coming else {
                return Ok(true);
            };
            let now = monotonic_now();
            if now.saturating_since(*since) > FLIP_MAX {
                return Err(Loss::Flip(path.to_string()));
            }
            let left = deadline.saturating_since(now);
            if left.is_zero() {
                return Ok(false);
            }
            let timeout = PollTimeout::try_from(left.max(Duration::from_millis(1)));
            let mut ready = [PollFd::new(self.card.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, timeout.unwrap_or(PollTimeout::ZERO)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(Loss::Card(format!("{path}: {error}"))),
            }
            let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
            if let [ready] = &ready
                && ready
                    .revents()
                    .is_some_and(|events| events.intersects(gone))
            {
                return Err(Loss::Card(format!("{path}: the card is gone")));
            }
        }
    }

    /// Frames that the graphics device has done with are let go.
    pub(super) fn release_frames(&mut self) {
        self.renderer.release_frames();
    }
}

impl Monitor {
    /// Puts a drawn buffer on its way; the one that it replaces is kept until the card says that it
    /// has flipped.
    fn present(
        &mut self,
        buffer: Buffer,
        shown: drm::control::framebuffer::Handle,
        path: &str,
    ) -> Result<Shown, Loss> {
        if self.unset {
            self.output
                .light(shown)
                .map_err(|error| told(&error, path, "cannot set the mode"))?;
            self.unset = false;
            self.busy_since = None;
            self.words = format!(
                "{}, {} modesetting",
                self.words.split(',').next().unwrap_or_default(),
                self.output.modesetting().name()
            );
            self.front = Some(buffer);
            return Ok(Shown::Yes);
        }
        let now = monotonic_now();
        match self.output.flip(shown) {
            Ok(true) => self.coming = Some((buffer, now)),
            Ok(false) => self.front = Some(buffer),
            // The kernel is still busy with the one before, whatever it said.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let since = *self.busy_since.get_or_insert(now);
                if now.saturating_since(since) > FLIP_MAX {
                    return Err(Loss::Flip(path.to_owned()));
                }
                return Ok(Shown::TooEarly);
            }
            Err(error) => return Err(told(&error, path, "cannot show the picture")),
        }
        self.busy_since = None;
        Ok(Shown::Yes)
    }
}

/// The card's connectors, and the monitor among them that is wanted.
fn choose(card: &Card, config: &KmsConfig, look: Look) -> Result<(Vec<Connector>, Chosen), Loss> {
    let path = card.path().display();
    let connectors = card
        .connectors(look)
        .map_err(|error| Loss::Card(format!("{path}: cannot list connectors: {error}")))?;
    let infos: Vec<_> = connectors.iter().map(|c| c.info.clone()).collect();
    let chosen = choice::choose(&infos, config.connector.as_deref(), config.mode)
        .map_err(|error| Loss::Monitor(format!("{path}: {error}")))?;
    Ok((connectors, chosen))
}

fn told(error: &io::Error, path: &str, what: &str) -> Loss {
    if error.kind() == io::ErrorKind::PermissionDenied {
        Loss::Master(format!("{path}: another program has the display ({error})"))
    } else {
        Loss::Card(format!("{path}: {what}: {error}"))
    }
}
