//! The accelerator through the gasket/apex kernel module: `/dev/apex_N`.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrayvec::ArrayVec;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::gasket_sys::{self, PageTable};
use super::pages_sys::{PAGE, Pages};
use super::surface::{
    AddressSpace, DeviceAddress, Direction, INTERRUPTS, Interrupts, Opener, Surface,
};
use crate::sys::monotonic_now;
use crate::tpu::bringup::ClockRate;
use crate::tpu::error::TpuError;
use crate::tpu::regs::{Csr, MilliCelsius, Register};
use crate::tpu::usb::transport::TransferError;
use crate::units::MonotonicTime;

/// The parts of the register space that the module lets be mapped.
const WINDOWS: [u32; 3] = [0x40000, 0x44000, 0x48000];

/// Coherent memory that is asked for, as libedgetpu does.
const COHERENT_BYTES: usize = 0x4000;

/// The node of an accelerator.
#[derive(Clone, Debug)]
pub struct Gasket {
    /// `/dev/apex_0`.
    pub node: PathBuf,
    /// Its place on the bus: `0000:01:00.0`.
    pub address: String,
}

/// The accelerators that the module has found, by their places on the bus.
#[must_use]
pub fn attached() -> Vec<Gasket> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("apex_") {
            let link = std::fs::read_link(format!("/sys/class/apex/{name}/device"));
            let address = link.ok().and_then(|link| {
                link.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            });
            found.push(Gasket {
                node: entry.path(),
                address: address.unwrap_or(name),
            });
        }
    }
    found.sort_by(|a, b| a.address.cmp(&b.address));
    found
}

impl Gasket {
    fn error(&self, operation: &'static str) -> impl Fn(&dyn std::fmt::Display) -> TpuError {
        let device = self.node.display().to_string();
        move |reason| TpuError::Gasket {
            device: device.clone(),
            operation,
            reason: reason.to_string(),
        }
    }
}

impl Opener for Gasket {
    fn now(&self) -> MonotonicTime {
        monotonic_now()
    }

    fn open(&mut self) -> Result<Option<Box<dyn Surface>>, TpuError> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.node) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("open it")(&error)),
        };
        let fail = self.error("map its registers");
        let window = |offset: u32| Pages::of_device(file.as_fd(), u64::from(offset), PAGE);
        let [a, b, c] = WINDOWS.map(window);
        let windows = [
            a.map_err(|error| fail(&error))?,
            b.map_err(|error| fail(&error))?,
            c.map_err(|error| fail(&error))?,
        ];
        Ok(Some(Box::new(OpenGasket {
            place: self.clone(),
            file,
            windows,
            eventfds: Vec::new(),
        })))
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) {
        // The node's coming back is not announced to us.
        let left = deadline.saturating_since(monotonic_now());
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
}

/// An open node.
#[derive(Debug)]
struct OpenGasket {
    place: Gasket,
    file: File,
    windows: [Pages; 3],
    eventfds: Vec<EventFd>,
}

impl OpenGasket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn done<T>(&self, operation: &'static str, result: nix::Result<T>) -> Result<T, TpuError> {
        result.map_err(|errno| self.place.error(operation)(&errno))
    }

    /// The window that a register lies in, and where in it.
    fn window(
        &self,
        register: Register,
        access: &'static str,
    ) -> Result<(&Pages, usize), TpuError> {
        let page = register.offset & !0xfff;
        let at = WINDOWS.iter().position(|window| *window == page);
        let window = at.and_then(|at| self.windows.get(at));
        let window = window.ok_or_else(|| TpuError::Register {
            access,
            register,
            source: TransferError::Other("the kernel's driver keeps it to itself".to_owned()),
        })?;
        Ok((window, (register.offset & 0xfff) as usize))
    }
}

fn outside(access: &'static str, register: Register) -> TpuError {
    TpuError::Register {
        access,
        register,
        source: TransferError::Other("it is not aligned".to_owned()),
    }
}

impl Csr for OpenGasket {
    fn read32(&mut self, register: Register) -> Result<u32, TpuError> {
        let (window, at) = self.window(register, "read")?;
        window
            .read_register32(at)
            .ok_or_else(|| outside("read", register))
    }

    fn write32(&mut self, register: Register, value: u32) -> Result<(), TpuError> {
        let (window, at) = self.window(register, "write")?;
        let written = window.write_register32(at, value);
        written
            .then_some(())
            .ok_or_else(|| outside("write", register))
    }

    fn read64(&mut self, register: Register) -> Result<u64, TpuError> {
        let (window, at) = self.window(register, "read")?;
        window
            .read_register64(at)
            .ok_or_else(|| outside("read", register))
    }

    fn write64(&mut self, register: Register, value: u64) -> Result<(), TpuError> {
        let (window, at) = self.window(register, "write")?;
        let written = window.write_register64(at, value);
        written
            .then_some(())
            .ok_or_else(|| outside("write", register))
    }

    fn now(&self) -> MonotonicTime {
        monotonic_now()
    }
}

impl AddressSpace for OpenGasket {
    fn partition(&mut self, simple_entries: u64) -> Result<(), TpuError> {
        let result = gasket_sys::partition(self.fd(), simple_entries);
        self.done("split its page table", result).map(|_| ())
    }

    fn map(
        &mut self,
        pages: &Pages,
        at: DeviceAddress,
        direction: Direction,
    ) -> Result<(), TpuError> {
        let direction = match direction {
            Direction::ToDevice => 1,
            Direction::FromDevice => 2,
        };
        let result = gasket_sys::map(self.fd(), mapping(pages, at), direction);
        self.done("map memory", result).map(|_| ())
    }

    fn unmap(&mut self, pages: &Pages, at: DeviceAddress) -> Result<(), TpuError> {
        let result = gasket_sys::unmap(self.fd(), mapping(pages, at));
        self.done("unmap memory", result).map(|_| ())
    }

    fn coherent(&mut self, bytes: usize) -> Result<(Pages, DeviceAddress), TpuError> {
        const OPERATION: &str = "get coherent memory";
        let bytes = bytes.max(COHERENT_BYTES);
        let offset = self.done(OPERATION, gasket_sys::coherent(self.fd(), bytes as u64))?;
        let pages = Pages::of_device(self.fd(), offset, bytes);
        let pages = pages.map_err(|error| self.place.error(OPERATION)(&error))?;
        // Among the entries that map a page each; nothing else lies there.
        let at = DeviceAddress(0);
        let result = gasket_sys::map(self.fd(), mapping(&pages, at), 0);
        self.done(OPERATION, result)?;
        Ok((pages, at))
    }
}

fn mapping(pages: &Pages, at: DeviceAddress) -> PageTable {
    PageTable {
        index: 0,
        size: pages.bytes() as u64,
        host_address: pages.host_address(),
        device_address: at.0,
    }
}

impl Interrupts for OpenGasket {
    fn enable(&mut self) -> Result<(), TpuError> {
        const OPERATION: &str = "be told of its interrupts";
        self.eventfds.clear();
        for interrupt in 0..INTERRUPTS {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let eventfd = self.done(OPERATION, EventFd::from_value_and_flags(0, flags))?;
            let set = gasket_sys::set_eventfd(self.fd(), interrupt as u64, eventfd.as_fd());
            self.done(OPERATION, set)?;
            self.eventfds.push(eventfd);
        }
        Ok(())
    }

    fn wait(&mut self, deadline: MonotonicTime) -> Result<[bool; INTERRUPTS], TpuError> {
        const OPERATION: &str = "wait for its interrupts";
        let mut raised = [false; INTERRUPTS];
        loop {
            for (raised, eventfd) in raised.iter_mut().zip(&self.eventfds) {
                *raised = eventfd.read().is_ok();
            }
            let left = deadline.saturating_since(monotonic_now());
            if raised.contains(&true) || left.is_zero() {
                return Ok(raised);
            }
            let fds = self.eventfds.iter();
            let mut fds: ArrayVec<PollFd<'_>, INTERRUPTS> = fds
                .map(|eventfd| PollFd::new(eventfd.as_fd(), PollFlags::POLLIN))
                .take(INTERRUPTS)
                .collect();
            // Milliseconds, rounded up, so that the wait does not end in a busy loop.
            let milliseconds = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
            match poll(&mut fds, PollTimeout::from(milliseconds)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.place.error(OPERATION)(&errno)),
            }
        }
    }
}

impl Surface for OpenGasket {
    fn set_clock(&mut self, clock: ClockRate) -> Result<(), TpuError> {
        let level = match clock {
            ClockRate::Standard => 2,
            ClockRate::Maximum => 3,
        };
        let result = gasket_sys::performance(self.fd(), level);
        self.done("set its clock", result).map(|_| ())
    }

    fn reset(&mut self) -> Result<(), TpuError> {
        self.done("reset it", gasket_sys::reset(self.fd()))
            .map(|_| ())
    }

    fn temperature(&mut self) -> Option<MilliCelsius> {
        let name = self.place.node.file_name()?;
        let path = Path::new("/sys/class/apex").join(name).join("temp");
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().parse().ok().map(MilliCelsius)
    }
}
