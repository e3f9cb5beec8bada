//! The Coral USB accelerator.
//!
//! ```text
//! Looking ─▶ (reset) ─▶ without firmware: Downloading ─reset─▶ Returning ─┐
//!    ▲           └────▶ with firmware ◀──────────────────────────────────┘
//!    │                        └─ claim, wake up ─▶ Working
//!    └─────────────────── any failure ──────────────┘
//! ```
//!
//! The accelerator changes its identity when it gets its firmware, so it is known by the socket it is
//! plugged into. Where that stays empty and another that nobody has is plugged in elsewhere, that one
//! is taken, which is said: a socket of USB 3 is on two buses, and people move plugs. Waits for it to come back are for the bus to say that something changed, never for
//! a time to pass.

mod csr;
mod dfu;
mod engine;
#[cfg(test)]
pub(crate) mod fake;
mod nusb_host;
#[cfg(feature = "tpu-sim")]
pub mod simulated;
mod stream;
pub mod transport;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use nusb_host::NusbHost;

use super::bringup::ClockRate;
use super::cache::LoaderId;
use super::device::{Backend, Measure, Notice, ProgramId, Progress, Ticket};
use super::error::TpuError;
use super::package::Package;
use super::regs::MilliCelsius;
use crate::units::MonotonicTime;
use dfu::Download;
use engine::Engine;
use stream::Program;
use transport::{APPLICATION_ID, Attached, DFU_ID, HostError, PortPath, Speed, UsbDevice, UsbHost};

/// Where distributions and our images put the firmware.
pub const FIRMWARE_PATH: &str = "/lib/firmware/google/apex_latest_single_ep.bin";

/// A firmware image is about 11 KB.
const FIRMWARE_BYTES_MAX: u64 = 1 << 20;

/// How long a device may take to come back after a reset; real ones take one to two seconds.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// How long a device that is there may refuse to be opened: udev sets its permissions some
/// milliseconds after it appears.
const OPEN_LIMIT: Duration = Duration::from_secs(3);

/// Downloads of firmware before giving up.
const DOWNLOADS_MAX: u32 = 2;

/// How often a device that runs is told to take firmware again before it is used as it is.
const DETACHES_MAX: u32 = 2;

/// How long its socket has to be empty before another accelerator is taken for it.
const ADOPT_AFTER: Duration = Duration::from_secs(2);

/// The sockets whose accelerators somebody in this program has.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<Vec<PortPath>>>);

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, Vec<PortPath>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, port: &PortPath) {
        self.lock().push(port.clone());
    }

    fn give_back(&self, port: &PortPath) {
        self.lock().retain(|taken| taken != port);
    }
}

/// What an accelerator is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbOptions {
    /// Its firmware.
    pub firmware: PathBuf,
    /// How fast it runs.
    pub clock: ClockRate,
}

impl Default for UsbOptions {
    fn default() -> Self {
        Self {
            firmware: FIRMWARE_PATH.into(),
            clock: ClockRate::default(),
        }
    }
}

/// What is known of a device that is not in service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing but where it is plugged in. It is reset first: whatever was left on it is gone then.
    Looking,
    /// It has been reset; with firmware it may be used.
    Clean { since: MonotonicTime },
    /// It was given firmware and reset, and comes back at another address.
    Returning { since: MonotonicTime, address: u8 },
    /// It is to be made to take firmware, though it runs.
    Detaching,
}

impl Stage {
    /// Since when it is awaited.
    const fn since(&self) -> Option<MonotonicTime> {
        match self {
            Self::Looking | Self::Detaching => None,
            Self::Clean { since } | Self::Returning { since, .. } => Some(*since),
        }
    }
}

/// A device that is being given its firmware.
#[derive(Debug)]
struct Fetching {
    open: Box<dyn UsbDevice>,
    address: u8,
    download: Download,
}

#[derive(Debug)]
enum State {
    Out(Stage),
    Downloading(Box<Fetching>),
    Working(Box<Engine>),
}

/// An accelerator in a USB socket.
#[derive(Debug)]
pub struct Usb {
    host: Box<dyn UsbHost>,
    port: PortPath,
    identity: String,
    options: UsbOptions,
    state: State,
    /// The models, while no engine has them.
    programs: Vec<Program>,
    next_ticket: Ticket,
    speed: Option<Speed>,
    /// Since when it refuses to be opened.
    refused: Option<MonotonicTime>,
    /// Whole downloads since its firmware last ran.
    downloads: u32,
    /// Downloads since firmware was last read back whole: what the device would run is not known.
    unread: u32,
    /// How often it was told to take firmware again since.
    detaches: u32,
    /// Since when its socket has been empty.
    empty: Option<MonotonicTime>,
    sockets: Sockets,
}

/// The accelerators that are plugged in, in the order of their sockets.
///
/// # Errors
///
/// The bus cannot be listed.
pub fn attached(host: &mut dyn UsbHost) -> Result<Vec<Attached>, TpuError> {
    let mut found = host.devices()?;
    found.retain(|device| device.id == DFU_ID || device.id == APPLICATION_ID);
    found.sort_by(|a, b| (&a.port, a.address).cmp(&(&b.port, b.address)));
    Ok(found)
}

impl Usb {
    /// The accelerator in a socket, whether or not it is there. Nothing is done yet.
    #[must_use]
    pub fn new(host: Box<dyn UsbHost>, port: PortPath, options: UsbOptions) -> Self {
        Self {
            identity: format!("usb {port}"),
            host,
            port,
            options,
            state: State::Out(Stage::Looking),
            programs: Vec::new(),
            next_ticket: Ticket(0),
            speed: None,
            refused: None,
            downloads: 0,
            unread: 0,
            detaches: 0,
            empty: None,
            sockets: Sockets::default(),
        }
    }

    /// Has it know which sockets are others', so that it may take one that is nobody's.
    #[must_use]
    pub fn among(mut self, sockets: &Sockets) -> Self {
        self.sockets = sockets.clone();
        self.sockets.take(&self.port);
        self
    }

    fn programs(&mut self) -> &mut Vec<Program> {
        match &mut self.state {
            State::Working(engine) => &mut engine.programs,
            State::Out(_) | State::Downloading(_) => &mut self.programs,
        }
    }

    fn engine(&mut self) -> Result<&mut Engine, TpuError> {
        match &mut self.state {
            State::Working(engine) => Ok(engine),
            State::Out(_) | State::Downloading(_) => {
                Err(TpuError::Absent(format!("in service at {}", self.identity)))
            }
        }
    }

    /// The device in the socket now, or one that is taken for it.
    fn find(&mut self, but_not: Option<u8>) -> Result<Option<Attached>, TpuError> {
        let found = attached(self.host.as_mut())?;
        let own = found
            .iter()
            .filter(|device| device.port == self.port)
            .rfind(|device| device.id == APPLICATION_ID || Some(device.address) != but_not);
        if let Some(own) = own {
            self.empty = None;
            return Ok(Some(own.clone()));
        }
        self.refused = None;
        let now = self.host.now();
        let since = *self.empty.get_or_insert(now);
        if now.saturating_since(since) < ADOPT_AFTER {
            return Ok(None);
        }
        Ok(self.adopt(found))
    }

    /// One that nobody has, here or in another program, is taken for this one.
    fn adopt(&mut self, found: Vec<Attached>) -> Option<Attached> {
        let mut taken = self.sockets.lock();
        // Without knowing of others there is none to be taken.
        if !taken.contains(&self.port) {
            return None;
        }
        let mut free = found.into_iter().filter(|d| !taken.contains(&d.port));
        let host = &mut self.host;
        let device = free.find(|device| {
            let open = host.open(device);
            open.is_ok_and(|mut open| open.claim(0).is_ok())
        })?;
        taken.retain(|port| *port != self.port);
        taken.push(device.port.clone());
        drop(taken);
        let identity = format!("usb {}", device.port);
        log::warn!(
            "Edge TPU {}: it is taken to be {identity} now",
            self.identity
        );
        self.port = device.port.clone();
        self.identity = identity;
        self.empty = None;
        Some(device)
    }

    /// Opens a device. `None` where it may still come to allow that.
    fn open(&mut self, device: &Attached) -> Result<Option<Box<dyn UsbDevice>>, TpuError> {
        let now = self.host.now();
        match self.host.open(device) {
            Ok(open) => {
                self.refused = None;
                Ok(Some(open))
            }
            Err(
                error @ (HostError::Gone { .. }
                | HostError::Permission { .. }
                | HostError::Busy { .. }),
            ) => {
                let since = *self.refused.get_or_insert(now);
                if now.saturating_since(since) < OPEN_LIMIT {
                    return Ok(None);
                }
                self.refused = None;
                Err(error.into())
            }
            Err(error @ HostError::Failed { .. }) => Err(error.into()),
        }
    }

    fn step(&mut self, stage: &Stage) -> Result<Progress, TpuError> {
        let now = self.host.now();
        let but_not = match stage {
            Stage::Returning { address, .. } => Some(*address),
            Stage::Looking | Stage::Clean { .. } | Stage::Detaching => None,
        };
        let before = self.identity.clone();
        let Some(device) = self.find(but_not)? else {
            return match stage.since() {
                Some(since) if now.saturating_since(since) >= RETURN_LIMIT => {
                    let found = attached(self.host.as_mut())?;
                    if found.iter().any(|device| device.port == self.port) {
                        return Err(TpuError::Dfu(
                            "the device was given its firmware and does not run it".to_owned(),
                        ));
                    }
                    Err(TpuError::Absent(format!(
                        "came back at {} within {RETURN_LIMIT:?} after its reset",
                        self.identity
                    )))
                }
                Some(_) => Ok(Progress::Underway(
                    "waiting for it to come back after a reset".to_owned(),
                )),
                None => Ok(Progress::Underway(format!(
                    "nothing is plugged in at {}",
                    self.identity
                ))),
            };
        };
        if before != self.identity {
            return Ok(Progress::Underway(format!(
                "nothing is plugged in at {before}; this one is taken for it"
            )));
        }
        let Some(mut open) = self.open(&device)? else {
            return Ok(Progress::Underway(
                "waiting for permission to open it".to_owned(),
            ));
        };
        match (stage, device.id == DFU_ID) {
            // A reset would start what has not been read back; it is sent anew, once.
            (Stage::Looking, true) if self.unread == 1 => self.download(open, &device),
            (Stage::Looking, _) => {
                reset(open.as_mut())?;
                self.state = State::Out(Stage::Clean { since: now });
                Ok(Progress::Underway("reset".to_owned()))
            }
            (Stage::Detaching, false) => self.detach(open.as_mut()),
            (Stage::Detaching | Stage::Clean { .. } | Stage::Returning { .. }, true) => {
                self.download(open, &device)
            }
            // Nor is it worked with, where the reset could not be helped.
            (Stage::Clean { .. } | Stage::Returning { .. }, false) if self.unread > 0 => {
                self.go_back(open.as_mut())
            }
            (Stage::Clean { .. } | Stage::Returning { .. }, false) => self.start(open),
        }
    }

    /// Has a device take its firmware again that runs one which was not read back. One that does not do
    /// that is worked with as it is: it took every block, it runs what it took, and has to pass the bring-up
    /// and the detector's self-test like any other.
    fn go_back(&mut self, open: &mut dyn UsbDevice) -> Result<Progress, TpuError> {
        if self.detaches < DETACHES_MAX {
            self.detaches += 1;
            match self.detach(open) {
                Err(TpuError::Transfer {
                    source: transport::TransferError::Stall,
                    ..
                }) => {}
                other => return other,
            }
        }
        self.detaches = 0;
        self.unread = 0;
        log::warn!(
            "Edge TPU {}: its firmware was not read back, and it does not take it again; it is used as it is",
            self.identity
        );
        Ok(Progress::Underway(
            "used with firmware that was not read back: it does not take it again".to_owned(),
        ))
    }

    /// Has a device that runs take firmware again.
    fn detach(&mut self, open: &mut dyn UsbDevice) -> Result<Progress, TpuError> {
        dfu::detach(open)?;
        reset(open)?;
        self.state = State::Out(Stage::Clean {
            since: self.host.now(),
        });
        Ok(Progress::Underway("made to take firmware again".to_owned()))
    }

    /// Begins a download.
    fn download(
        &mut self,
        mut open: Box<dyn UsbDevice>,
        device: &Attached,
    ) -> Result<Progress, TpuError> {
        if self.downloads >= DOWNLOADS_MAX {
            let downloads = std::mem::take(&mut self.downloads);
            return Err(TpuError::Dfu(format!(
                "the device was given its firmware {downloads} times and does not run it"
            )));
        }
        let firmware = self.firmware()?;
        let download = Download::new(open.as_mut(), firmware)?;
        self.unread += 1;
        self.state = State::Downloading(Box::new(Fetching {
            open,
            address: device.address,
            download,
        }));
        self.go_on_downloading()
    }

    /// Goes on with a download; when it is over, has the device start what it was given.
    fn go_on_downloading(&mut self) -> Result<Progress, TpuError> {
        let State::Downloading(fetching) = &mut self.state else {
            return Err(TpuError::Unknown("download"));
        };
        let Fetching {
            open,
            address,
            download,
        } = fetching.as_mut();
        if !download.advance(open.as_mut())? {
            return Ok(Progress::Underway("downloading its firmware".to_owned()));
        }
        let (bytes, address) = (download.bytes(), *address);
        self.downloads += 1;
        self.unread = 0;
        self.detaches = 0;
        reset(open.as_mut())?;
        self.state = State::Out(Stage::Returning {
            since: self.host.now(),
            address,
        });
        Ok(Progress::Underway(format!(
            "{bytes} bytes of firmware downloaded"
        )))
    }

    fn firmware(&self) -> Result<Vec<u8>, TpuError> {
        let path = &self.options.firmware;
        let fail = |reason: String| TpuError::Firmware {
            path: path.clone(),
            reason,
        };
        let length = std::fs::metadata(path)
            .map_err(|error| fail(error.to_string()))?
            .len();
        if !(1..=FIRMWARE_BYTES_MAX).contains(&length) {
            return Err(fail(format!("{length} bytes are no firmware image")));
        }
        std::fs::read(path).map_err(|error| fail(error.to_string()))
    }

    fn start(&mut self, mut open: Box<dyn UsbDevice>) -> Result<Progress, TpuError> {
        let speed = open.speed();
        if speed == Speed::Full {
            return Err(TpuError::TooSlow {
                identity: self.identity.clone(),
                speed,
            });
        }
        open.claim(0)?;
        let programs = std::mem::take(&mut self.programs);
        match Engine::open(open, self.options.clock, programs, self.next_ticket) {
            Ok(engine) => {
                self.speed = Some(speed);
                self.downloads = 0;
                self.state = State::Working(Box::new(engine));
                Ok(Progress::Ready)
            }
            Err((error, programs)) => {
                self.programs = programs;
                Err(error)
            }
        }
    }

    /// Gives the open device up and begins anew from a stage.
    fn begin(&mut self, stage: Stage) {
        if let State::Working(engine) = std::mem::replace(&mut self.state, State::Out(stage)) {
            self.next_ticket = engine.next_ticket();
            self.programs = engine.abandon();
        }
    }
}

/// A device that comes back as another one is gone when its reset is over.
fn reset(device: &mut dyn UsbDevice) -> Result<(), TpuError> {
    match device.reset() {
        Ok(()) | Err(transport::TransferError::Disconnected) => Ok(()),
        Err(error) => Err(TpuError::transfer("reset the port")(error)),
    }
}

impl Backend for Usb {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn description(&self) -> String {
        let speed = self
            .speed
            .map_or_else(|| "USB".to_owned(), |speed| speed.to_string());
        let clock = match self.options.clock {
            ClockRate::Standard => "250 MHz",
            ClockRate::Maximum => "500 MHz",
        };
        format!("{speed} {}, {clock}", self.port)
    }

    fn now(&self) -> MonotonicTime {
        self.host.now()
    }

    fn load(&mut self, package: &Arc<Package>) -> Result<ProgramId, TpuError> {
        let programs = self.programs();
        let known = programs
            .iter()
            .position(|p| Arc::ptr_eq(&p.package, package));
        if let Some(known) = known {
            return Ok(ProgramId(known));
        }
        let id = ProgramId(programs.len());
        let loader = u32::try_from(id.0).map_err(|_many| TpuError::Unknown("many models"))?;
        programs.push(Program::new(Arc::clone(package), LoaderId(loader))?);
        Ok(id)
    }

    fn advance(&mut self) -> Result<Progress, TpuError> {
        let result = match &self.state {
            State::Working(_) => return Ok(Progress::Ready),
            State::Downloading(_) => self.go_on_downloading(),
            State::Out(stage) => {
                let stage = stage.clone();
                self.step(&stage)
            }
        };
        if result.is_err() {
            self.begin(Stage::Looking);
        }
        result
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) {
        if let State::Downloading(fetching) = &mut self.state {
            // Nothing is pending: this lets the time pass for which the device is busy.
            if let Some(due) = fetching.download.due() {
                let _nothing = fetching.open.wait(due.min(deadline));
            }
            return;
        }
        if let Err(error) = self.host.wait_for_change(deadline) {
            log::debug!("{}: {error}", self.identity);
        }
    }

    fn submit(&mut self, program: ProgramId, inputs: &[&[u8]]) -> Result<Ticket, TpuError> {
        self.engine()?.submit(program, inputs)
    }

    fn finish(
        &mut self,
        ticket: Ticket,
        deadline: MonotonicTime,
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError> {
        self.engine()?.finish(ticket, deadline, outputs)
    }

    fn recover(&mut self, measure: Measure) -> Result<Progress, TpuError> {
        let clock = self.options.clock;
        let State::Working(engine) = &mut self.state else {
            let stage = match measure {
                Measure::Firmware => Stage::Detaching,
                Measure::Retry | Measure::HaltAndClear | Measure::Reset => Stage::Looking,
            };
            self.state = State::Out(stage);
            return Ok(Progress::Underway("looking for it".to_owned()));
        };
        let drained = engine.abort();
        match measure {
            Measure::Retry if drained && !engine.is_mid_stream() => {
                engine.resume()?;
                Ok(Progress::Ready)
            }
            Measure::Retry => Err(TpuError::Nonsense(
                "part of a stream that it cannot be sent again".to_owned(),
            )),
            Measure::HaltAndClear if drained => {
                engine.restart(clock)?;
                Ok(Progress::Ready)
            }
            Measure::HaltAndClear => Err(TpuError::Nonsense(
                "no answer to withdrawn transfers".to_owned(),
            )),
            Measure::Reset => {
                self.begin(Stage::Looking);
                Ok(Progress::Underway("reset of its port".to_owned()))
            }
            Measure::Firmware => {
                self.begin(Stage::Detaching);
                Ok(Progress::Underway("firmware again".to_owned()))
            }
        }
    }

    fn temperature(&mut self) -> Result<Option<MilliCelsius>, TpuError> {
        self.engine()?.temperature()
    }

    fn take_notice(&mut self) -> Option<Notice> {
        match &mut self.state {
            State::Working(engine) => engine.take_notice(),
            State::Out(_) | State::Downloading(_) => None,
        }
    }

    fn close(&mut self) -> Result<(), TpuError> {
        match std::mem::replace(&mut self.state, State::Out(Stage::Looking)) {
            State::Working(engine) => {
                self.next_ticket = engine.next_ticket();
                let (closed, programs) = engine.close();
                self.programs = programs;
                closed
            }
            State::Out(_) | State::Downloading(_) => Ok(()),
        }
    }
}

impl Drop for Usb {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::debug!("{}: not put to rest: {error}", self.identity);
        }
        self.sockets.give_back(&self.port);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trace_tests;
