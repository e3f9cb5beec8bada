//! Where things lie for the chip.
//!
//! The chip has 8192 page-table entries. The first 6144 map a page each, from address 0; the others
//! map a table of 512 pages each, from 2⁶³. Only the queue lies among the first, in memory that the
//! kernel places. Everything else is mapped once when the device comes into service and stays.

use super::surface::DeviceAddress;
use crate::tpu::error::TpuError;

/// Entries that map a page.
pub(super) const SIMPLE_ENTRIES: u64 = 6144;

/// Entries that map 512 pages.
const EXTENDED_ENTRIES: u64 = 2048;

/// Where those begin.
const EXTENDED_START: u64 = 1 << 63;

/// Where they end.
const EXTENDED_END: u64 = EXTENDED_START + EXTENDED_ENTRIES * 512 * 4096;

/// Gives addresses away; all are given back at once.
#[derive(Debug)]
pub(super) struct Addresses {
    next: u64,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            next: EXTENDED_START,
        }
    }
}

impl Addresses {
    /// A place for `bytes`, aligned to their length rounded up to a power of two, so that it crosses
    /// no larger boundary; one page behind it stays free.
    pub(super) fn place(&mut self, bytes: usize) -> Result<DeviceAddress, TpuError> {
        let full = || TpuError::Nonsense("no room for more models in its page table".to_owned());
        let bytes = (bytes as u64).next_multiple_of(4096).max(4096);
        let alignment = bytes.checked_next_power_of_two().ok_or_else(full)?;
        let at = self
            .next
            .checked_next_multiple_of(alignment)
            .ok_or_else(full)?;
        let end = at.checked_add(bytes).and_then(|end| end.checked_add(4096));
        match end {
            Some(end) if end <= EXTENDED_END => {
                self.next = end;
                Ok(DeviceAddress(at))
            }
            Some(_) | None => Err(full()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure is the message")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_apart_inside_and_aligned(sizes in prop::collection::vec(1_usize..9_000_000, 1..60)) {
            let mut addresses = Addresses::default();
            let mut end = EXTENDED_START;
            for bytes in sizes {
                let DeviceAddress(at) = addresses.place(bytes).unwrap();
                prop_assert!(at >= end);
                prop_assert_eq!(at % 4096, 0);
                let last = at + bytes as u64 - 1;
                let power = (bytes as u64).next_multiple_of(4096).next_power_of_two();
                prop_assert_eq!(at / power, last / power, "crosses no boundary");
                end = last + 1;
                prop_assert!(end <= EXTENDED_END);
            }
        }
    }

    #[test]
    fn the_table_is_full_at_four_gigabytes() {
        let mut addresses = Addresses::default();
        let placed = (0..100)
            .map_while(|_| addresses.place(64 << 20).ok())
            .count();
        assert!((30..64).contains(&placed), "{placed}");
    }
}
