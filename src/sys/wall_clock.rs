//! Whether the wall clock can be believed.

#![allow(unsafe_code, reason = "adjtimex is a raw system call")]

use nix::libc;

/// Whether the kernel holds its wall clock for synchronised (adjtimex(2)): a time service disciplines
/// it. False also where the kernel cannot be asked.
#[must_use]
pub fn wall_clock_is_synchronised() -> bool {
    // SAFETY: timex is plain numbers, for which all zeros is a value; `modes` 0 only asks.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is a live timex for the whole call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    state >= 0 && state != libc::TIME_ERROR
}
