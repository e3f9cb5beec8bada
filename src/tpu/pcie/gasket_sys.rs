//! The requests that the gasket/apex kernel module knows, as its user-space headers have them
//! (`gasket_ioctl.h`, `beagle_ioctl.h` in libedgetpu, Apache-2.0).

#![allow(unsafe_code, reason = "ioctl requests are raw system calls")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc::c_int;

/// `gasket_interrupt_eventfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct InterruptEventfd {
    interrupt: u64,
    event_fd: u64,
}

/// `gasket_page_table_ioctl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageTable {
    pub(super) index: u64,
    pub(super) size: u64,
    pub(super) host_address: u64,
    pub(super) device_address: u64,
}

/// `gasket_page_table_ioctl_flags`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct PageTableFlags {
    base: PageTable,
    flags: u32,
    padding: u32,
}

/// `gasket_coherent_alloc_config_ioctl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct CoherentConfig {
    page_table_index: u64,
    enable: u64,
    size: u64,
    dma_address: u64,
}

mod request {
    #![allow(missing_docs, reason = "the kernel's names")]
    use super::{CoherentConfig, InterruptEventfd, PageTable, PageTableFlags};

    nix::ioctl_none!(reset, 0xDC, 0);
    nix::ioctl_write_ptr!(set_eventfd, 0xDC, 1, InterruptEventfd);
    nix::ioctl_write_ptr!(partition, 0xDC, 7, PageTable);
    nix::ioctl_write_ptr!(unmap, 0xDC, 9, PageTable);
    nix::ioctl_readwrite!(coherent, 0xDC, 11, CoherentConfig);
    nix::ioctl_write_ptr!(map_flags, 0xDC, 12, PageTableFlags);
    nix::ioctl_write_ptr!(performance, 0x7F, 1, u32);
}

/// Resets the chip.
pub(super) fn reset(device: BorrowedFd<'_>) -> nix::Result<c_int> {
    // SAFETY: the request takes no argument.
    unsafe { request::reset(device.as_raw_fd()) }
}

/// Has an interrupt told through an eventfd.
pub(super) fn set_eventfd(
    device: BorrowedFd<'_>,
    interrupt: u64,
    eventfd: BorrowedFd<'_>,
) -> nix::Result<c_int> {
    let argument = InterruptEventfd {
        interrupt,
        event_fd: u64::from(eventfd.as_raw_fd().unsigned_abs()),
    };
    // SAFETY: the argument is a whole structure of the kernel's form that outlives the call.
    unsafe { request::set_eventfd(device.as_raw_fd(), &raw const argument) }
}

/// Splits page table 0.
pub(super) fn partition(device: BorrowedFd<'_>, simple_entries: u64) -> nix::Result<c_int> {
    let argument = PageTable {
        size: simple_entries,
        ..PageTable::default()
    };
    // SAFETY: as in `set_eventfd`.
    unsafe { request::partition(device.as_raw_fd(), &raw const argument) }
}

/// Maps pages of this process, which the kernel then holds in place; `direction` as in the kernel's
/// `enum dma_data_direction`. Whoever calls keeps the pages until they are unmapped or the device is
/// closed.
pub(super) fn map(device: BorrowedFd<'_>, base: PageTable, direction: u32) -> nix::Result<c_int> {
    let argument = PageTableFlags {
        base,
        flags: direction << 1,
        padding: 0,
    };
    // SAFETY: as in `set_eventfd`; the addresses in it are checked by the kernel.
    unsafe { request::map_flags(device.as_raw_fd(), &raw const argument) }
}

/// Takes a mapping away.
pub(super) fn unmap(device: BorrowedFd<'_>, base: PageTable) -> nix::Result<c_int> {
    // SAFETY: as in `map`.
    unsafe { request::unmap(device.as_raw_fd(), &raw const base) }
}

/// Allocates coherent memory; says at which offset of the device it can be mapped.
pub(super) fn coherent(device: BorrowedFd<'_>, bytes: u64) -> nix::Result<u64> {
    let mut argument = CoherentConfig {
        enable: 1,
        size: bytes,
        ..CoherentConfig::default()
    };
    // SAFETY: as in `set_eventfd`; the kernel writes into the same structure.
    unsafe { request::coherent(device.as_raw_fd(), &raw mut argument) }?;
    Ok(argument.dma_address)
}

/// Sets the chip's clock: 0 to 3 for 63, 125, 250 and 500 MHz.
pub(super) fn performance(device: BorrowedFd<'_>, level: u32) -> nix::Result<c_int> {
    // SAFETY: as in `set_eventfd`.
    unsafe { request::performance(device.as_raw_fd(), &raw const level) }
}
