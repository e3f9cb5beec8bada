//! Counts what each thread asks of the allocator, but for what it asks on the simulator's behalf.
//!
//! A test or bench whose binary installs [`Counting`] can tell what the driver allocates, though the
//! device that it drives is on the same thread.

#![allow(unsafe_code, reason = "a counting allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static ASIDE: Cell<u32> = const { Cell::new(0) };
}

/// The system's allocator, counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

// SAFETY: every call is handed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ASIDE.with(Cell::get) == 0 {
            COUNT.with(|count| count.set(count.get() + 1));
        }
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` comes from `alloc` above, that is from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Allocations of this thread so far; always 0 where [`Counting`] is not installed.
#[must_use]
pub fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Whether this binary counts.
#[must_use]
pub fn counts() -> bool {
    let before = count();
    drop(std::hint::black_box(Box::new(0_u8)));
    count() != before
}

/// While it lives, what this thread allocates is not counted.
#[derive(Debug)]
pub struct Aside(());

/// From here on the thread works for the simulator.
#[must_use]
pub fn aside() -> Aside {
    ASIDE.with(|depth| depth.set(depth.get() + 1));
    Aside(())
}

impl Drop for Aside {
    fn drop(&mut self) {
        ASIDE.with(|depth| depth.set(depth.get() - 1));
    }
}
