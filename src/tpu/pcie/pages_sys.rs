//! Pages of memory that another device reads and writes: copied in and out, never borrowed.

#![allow(unsafe_code, reason = "memory that a device writes cannot be a slice")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use nix::libc::{c_void, off_t};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// Page-aligned memory with a fixed address. Clones are the same memory; it lives as long as one of
/// them. Whoever reads what a device writes has been told by an interrupt that it is written.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Mapped>);

#[derive(Debug)]
struct Mapped {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: the mapping belongs to no thread; all access copies through raw pointers.
unsafe impl Send for Mapped {}
// SAFETY: there are no references into the mapping. Copies that overlap in time may tear, which is
// what memory shared with a device does in any case; no value is ever interpreted in place.
unsafe impl Sync for Mapped {}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: `start` and `bytes` are those of a mapping made by `Pages`, which nobody uses any
        // more.
        let unmapped = unsafe { munmap(self.start, self.bytes) };
        if let Err(error) = unmapped {
            log::debug!("munmap: {error}");
        }
    }
}

impl Pages {
    /// Zeroed pages, at least `bytes` of them.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let length = rounded(bytes)?;
        // SAFETY: a fresh anonymous mapping replaces nothing.
        let start = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE,
            )
        }?;
        Ok(Self(Arc::new(Mapped {
            start,
            bytes: length.get(),
        })))
    }

    /// Pages of a device node.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(super) fn of_device(device: BorrowedFd<'_>, offset: u64, bytes: usize) -> io::Result<Self> {
        let length = rounded(bytes)?;
        let offset = off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice replaces nothing.
        let start = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                device,
                offset,
            )
        }?;
        Ok(Self(Arc::new(Mapped {
            start,
            bytes: length.get(),
        })))
    }

    /// Its length in bytes, whole pages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Where it lies for the host.
    #[must_use]
    pub fn host_address(&self) -> u64 {
        self.0.start.as_ptr().addr() as u64
    }

    /// Writes; what does not fit is left out, and false returned.
    pub fn copy_in(&self, at: usize, from: &[u8]) -> bool {
        let Some(to) = self.place(at, from.len()) else {
            return false;
        };
        // SAFETY: `place` checked that the range is inside the mapping, which is writable; `from` is
        // memory of Rust's and cannot overlap it.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        true
    }

    /// Reads; false, and nothing is written, where that is outside.
    pub fn copy_out(&self, at: usize, to: &mut [u8]) -> bool {
        let Some(from) = self.place(at, to.len()) else {
            return false;
        };
        // SAFETY: as in `copy_in`, the other way.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        true
    }

    /// A 64-bit register in mapped device memory.
    pub(super) fn read_register64(&self, at: usize) -> Option<u64> {
        let place = self.place(at, 8).filter(|_| at.is_multiple_of(8))?;
        // SAFETY: inside the mapping and aligned; volatile, as registers are.
        Some(unsafe { place.cast::<u64>().read_volatile() })
    }

    /// As [`Pages::read_register64`]; false outside.
    pub(super) fn write_register64(&self, at: usize, value: u64) -> bool {
        let Some(place) = self.place(at, 8).filter(|_| at.is_multiple_of(8)) else {
            return false;
        };
        // SAFETY: as in `read_register64`.
        unsafe { place.cast::<u64>().write_volatile(value) };
        true
    }

    /// As [`Pages::read_register64`].
    pub(super) fn read_register32(&self, at: usize) -> Option<u32> {
        let place = self.place(at, 4).filter(|_| at.is_multiple_of(4))?;
        // SAFETY: as in `read_register64`.
        Some(unsafe { place.cast::<u32>().read_volatile() })
    }

    /// As [`Pages::write_register64`].
    pub(super) fn write_register32(&self, at: usize, value: u32) -> bool {
        let Some(place) = self.place(at, 4).filter(|_| at.is_multiple_of(4)) else {
            return false;
        };
        // SAFETY: as in `read_register64`.
        unsafe { place.cast::<u32>().write_volatile(value) };
        true
    }

    fn place(&self, at: usize, length: usize) -> Option<*mut u8> {
        let end = at.checked_add(length)?;
        (end <= self.0.bytes).then(|| self.0.start.as_ptr().cast::<u8>().wrapping_add(at))
    }
}

/// Everything written to memory before this is seen by the chip before a register that is written
/// after it: the store barrier of the kernel's `writel`. The processor otherwise keeps no order between
/// memory and a device's registers.
pub(super) fn barrier_before_register() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier touches neither memory nor registers.
    unsafe {
        std::arch::asm!("dmb oshst", options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "aarch64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Nothing is read from memory after this that was there before what told of it, a register or an
/// interrupt, was seen: the load barrier of the kernel's `readl`.
pub(super) fn barrier_after_register() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as in `barrier_before_register`.
    unsafe {
        std::arch::asm!("dmb oshld", options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "aarch64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

fn rounded(bytes: usize) -> io::Result<NonZeroUsize> {
    let pages = bytes.max(1).checked_next_multiple_of(PAGE);
    pages
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
