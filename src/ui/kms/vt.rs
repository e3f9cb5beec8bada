//! The virtual terminal below the picture.
//!
//! In text mode the kernel may draw its console, and whoever types on the box types into the shell or
//! login that reads the terminal. Graphics mode ends both. A terminal left behind in it shows nothing
//! and takes no key: it is put back when the guard goes (also by a panic), at the end of the program
//! ([`restore`]), and by the signals that kill a program from within its own code. Against SIGKILL
//! nothing helps but the next start, which puts it back at its end, or systemd's `TTYReset=yes`.
//!
//! Whoever brings another terminal to the front (`chvt`, another display server) asks first: the
//! kernel sends SIGUSR1, waits until the display was given away, and sends SIGUSR2 when it is back.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::config::VtWish;

/// `linux/kd.h`.
const KDSETMODE: u64 = 0x4B3A;
const KDGETMODE: u64 = 0x4B3B;
const KDGKBMODE: u64 = 0x4B44;
const KDSKBMODE: u64 = 0x4B45;
const KD_TEXT: i32 = 0;
const KD_GRAPHICS: i32 = 1;
const K_UNICODE: i32 = 3;
const K_OFF: i32 = 4;

/// `linux/vt.h`.
const VT_SETMODE: u64 = 0x5602;
const VT_GETSTATE: u64 = 0x5603;
const VT_RELDISP: u64 = 0x5605;
const VT_ACTIVATE: u64 = 0x5606;
const VT_AUTO: i8 = 0;
const VT_PROCESS: i8 = 1;
const VT_AGREED: i32 = 1;
const VT_ACKACQ: i32 = 2;

/// `struct vt_mode`.
#[repr(C)]
struct VtMode {
    mode: i8,
    waitv: i8,
    relsig: i16,
    acqsig: i16,
    frsig: i16,
}

/// `struct vt_stat`.
#[repr(C)]
#[derive(Default)]
struct VtStat {
    active: u16,
    signal: u16,
    state: u16,
}

nix::ioctl_write_ptr_bad!(vt_set_mode, VT_SETMODE, VtMode);
nix::ioctl_read_bad!(vt_get_state, VT_GETSTATE, VtStat);
nix::ioctl_write_int_bad!(vt_release, VT_RELDISP);
nix::ioctl_write_int_bad!(vt_activate, VT_ACTIVATE);
nix::ioctl_write_int_bad!(kd_set_mode, KDSETMODE);
nix::ioctl_read_bad!(kd_get_mode, KDGETMODE, i32);
nix::ioctl_read_bad!(kd_get_keyboard_mode, KDGKBMODE, i32);
nix::ioctl_write_int_bad!(kd_set_keyboard_mode, KDSKBMODE);

/// The descriptor of the terminal that is in graphics mode, else -1. A static, because a signal
/// handler has nothing else.
static HELD: AtomicI32 = AtomicI32::new(-1);

/// The keyboard mode to put back.
static KEYBOARD: AtomicI32 = AtomicI32::new(K_UNICODE);

/// Signals that end the program from within its own code, a driver's say. Those that ask it to end
/// (SIGTERM and so on) end the run in order, and the guard with it.
const FATAL: [Signal; 6] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGABRT,
    Signal::SIGSYS,
];

/// Why a virtual terminal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum VtError {
    /// It cannot be opened or switched.
    #[error(
        "cannot switch {path} to graphics: {source}; check display.vt, and that the program may open it (group tty, or root)",
        path = .path.display()
    )]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What the kernel asks for when another terminal comes to the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VtSwitch {
    /// The display is to be given away; then [`VtGuard::agree`].
    Away,
    /// It is ours again; [`VtGuard::acknowledge`].
    Back,
}

/// A virtual terminal in graphics mode, put back when this goes.
#[derive(Debug)]
pub(super) struct VtGuard {
    path: PathBuf,
    /// Raised by SIGUSR1 and SIGUSR2.
    signals: Option<[Arc<AtomicBool>; 2]>,
    away: Cell<bool>,
}

impl VtGuard {
    /// Switches the wished terminal; `None` where none is wished or, with `auto`, the program was
    /// not started on one.
    ///
    /// # Errors
    ///
    /// A configured terminal cannot be used.
    pub(super) fn take(wish: &VtWish) -> Result<Option<Self>, VtError> {
        let found = match wish {
            VtWish::Off => None,
            VtWish::Device(path) => {
                let file = open(path).map_err(|source| VtError::Unusable {
                    path: path.clone(),
                    source,
                })?;
                Some((file, path.clone()))
            }
            // A service gets its terminal as standard input (`StandardInput=tty`), a shell's child as
            // the controlling one.
            VtWish::Auto => ["/proc/self/fd/0", "/dev/tty"]
                .into_iter()
                .find_map(|path| Some((open(Path::new(path)).ok()?, PathBuf::from(path)))),
        };
        let Some((file, path)) = found else {
            return Ok(None);
        };
        let number = number(&file);
        if let Err(source) = switch(file) {
            let error = VtError::Unusable {
                path,
                source: source.into(),
            };
            if *wish == VtWish::Auto {
                // Nobody asked for it. The picture is shown all the same.
                log::warn!("{error}; the console stays in text mode, and reads the keyboard");
                return Ok(None);
            }
            return Err(error);
        }
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        Ok(Some(Self {
            path,
            signals: be_asked(number),
            away: Cell::new(false),
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody asked for the display, or gave it back, since the last call.
    pub(super) fn asked(&self) -> Option<VtSwitch> {
        let [away, back] = self.signals.as_ref()?;
        if away.swap(false, Ordering::SeqCst) {
            self.away.set(true);
            return Some(VtSwitch::Away);
        }
        if back.swap(false, Ordering::SeqCst) {
            self.away.set(false);
            return Some(VtSwitch::Back);
        }
        None
    }

    /// Whether another terminal is in front.
    pub(super) const fn is_away(&self) -> bool {
        self.away.get()
    }

    /// The display was given away.
    pub(super) fn agree(&self) {
        answer(VT_AGREED);
    }

    /// The display was taken again.
    pub(super) fn acknowledge(&self) {
        answer(VT_ACKACQ);
    }
}

fn answer(word: i32) {
    // SAFETY: the descriptor is open while it is held; the call takes a number.
    if let Err(error) = unsafe { vt_release(HELD.load(Ordering::SeqCst), word) } {
        log::debug!("VT_RELDISP {word}: {error}");
    }
}

/// The terminal's number, from its device node.
fn number(file: &File) -> Option<i32> {
    let device = file.metadata().ok()?.rdev();
    i32::try_from(nix::sys::stat::minor(device)).ok()
}

/// Has the kernel ask before another terminal comes to the front, and brings this one there.
fn be_asked(number: Option<i32>) -> Option<[Arc<AtomicBool>; 2]> {
    let fd = HELD.load(Ordering::SeqCst);
    let flags = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let signals = [signal_hook::consts::SIGUSR1, signal_hook::consts::SIGUSR2];
    for (signal, flag) in signals.into_iter().zip(&flags) {
        signal_hook::flag::register(signal, Arc::clone(flag)).ok()?;
    }
    let [relsig, acqsig] = signals.map(|signal| i16::try_from(signal).unwrap_or(0));
    let mode = VtMode {
        mode: VT_PROCESS,
        waitv: 0,
        relsig,
        acqsig,
        frsig: 0,
    };
    // SAFETY: the descriptor is open; the kernel reads the struct, which lives here.
    if let Err(error) = unsafe { vt_set_mode(fd, &raw const mode) } {
        log::info!("other terminals cannot come to the front: {error}");
        return None;
    }
    let mut state = VtStat::default();
    // SAFETY: the descriptor is open; the kernel writes the struct, which lives here.
    let known = unsafe { vt_get_state(fd, &raw mut state) }.is_ok();
    if let Some(number) = number
        && known
        && i32::from(state.active) != number
    {
        // SAFETY: the descriptor is open; the call takes a number.
        let _ = unsafe { vt_activate(fd, number) };
    }
    Some(flags)
}

impl Drop for VtGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Opens a terminal that is a virtual one.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let mut mode = 0;
    // SAFETY: the descriptor is open; the kernel writes one int, which lives here.
    unsafe { kd_get_mode(file.as_raw_fd(), &raw mut mode) }?;
    Ok(file)
}

fn switch(file: File) -> Result<(), Errno> {
    let fd = file.as_raw_fd();
    let mut keyboard = K_UNICODE;
    // SAFETY: the descriptor is open; the kernel writes one int, which lives here.
    if unsafe { kd_get_keyboard_mode(fd, &raw mut keyboard) }.is_ok() {
        // Off is what a program that was killed left behind.
        let usual = if keyboard == K_OFF {
            K_UNICODE
        } else {
            keyboard
        };
        KEYBOARD.store(usual, Ordering::Relaxed);
    }
    // SAFETY: the descriptor is open and a virtual terminal; the call takes a number.
    unsafe { kd_set_mode(fd, KD_GRAPHICS) }?;
    // From here on it has to be put back. The descriptor stays open for that.
    let fd = file.into_raw_fd();
    HELD.store(fd, Ordering::SeqCst);
    // SAFETY: as above. A console without a keyboard refuses, which is as good.
    let _ = unsafe { kd_set_keyboard_mode(fd, K_OFF) };
    restore_on_fatal_signals();
    Ok(())
}

/// Puts the terminal back where it is in graphics mode. May be called at any time and from any
/// thread, signal handlers included: ioctls and no lock.
pub fn restore() {
    let fd: RawFd = HELD.swap(-1, Ordering::SeqCst);
    if fd < 0 {
        return;
    }
    let mode = VtMode {
        mode: VT_AUTO,
        waitv: 0,
        relsig: 0,
        acqsig: 0,
        frsig: 0,
    };
    // SAFETY: as below; the kernel reads the struct, which lives here.
    let _ = unsafe { vt_set_mode(fd, &raw const mode) };
    // SAFETY: the descriptor was left open by `switch` and only this call, once, gives it up.
    let _ = unsafe { kd_set_keyboard_mode(fd, KEYBOARD.load(Ordering::Relaxed)) };
    // SAFETY: as above.
    let _ = unsafe { kd_set_mode(fd, KD_TEXT) };
    // SAFETY: as above; it is not used after this.
    unsafe { nix::libc::close(fd) };
}

extern "C" fn restore_and_die(_signal: nix::libc::c_int) {
    restore();
    // The action was reset when this was called: returning runs into the fault again, or back into
    // abort(), and the program dies of it as it would have.
}

fn restore_on_fatal_signals() {
    let flags = SaFlags::SA_RESETHAND | SaFlags::SA_ONSTACK | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::Handler(restore_and_die), flags, SigSet::empty());
    for signal in FATAL {
        // SAFETY: the handler makes system calls only, all of them safe in a signal handler. Rust's
        // own handler of SIGSEGV, which words a stack overflow, is replaced: the signal is the same.
        if let Err(error) = unsafe { sigaction(signal, &action) } {
            log::debug!("no handler for {signal}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_virtual_terminal_is_refused_and_named() {
        let wish = VtWish::Device(PathBuf::from("/dev/null"));
        let error = VtGuard::take(&wish).expect_err("no terminal");
        let said = error.to_string();
        assert!(
            said.starts_with("cannot switch /dev/null to graphics: "),
            "{said}"
        );
        let wish = VtWish::Device(PathBuf::from("/dev/tty999"));
        assert!(VtGuard::take(&wish).is_err());
    }

    #[test]
    fn without_a_terminal_nothing_is_switched_and_restoring_is_harmless() {
        assert!(VtGuard::take(&VtWish::Off).is_ok_and(|guard| guard.is_none()));
        restore();
        restore();
        assert_eq!(HELD.load(Ordering::SeqCst), -1);
    }
}
