//! Large pages for what every inference reads.

#![allow(unsafe_code, reason = "madvise(2) is a raw system call")]

use std::fmt;
use std::ops::Range;

use nix::libc;

/// What the kernel maps at once: 2 MiB with pages of 4 KiB, on x86-64 and ARM64 alike. Where a kernel
/// has other pages, its larger unit is a multiple of this, and it leaves what is too small as it is.
const HUGE: usize = 2 << 20;

/// What [`use_huge_pages`] reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePages {
    /// Bytes that lie in large pages now, or were going to.
    pub collapsed: usize,
    /// Bytes that the kernel was asked for.
    pub asked: usize,
}

impl fmt::Display for HugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: usize| bytes >> 20;
        let (collapsed, asked) = (mebibytes(self.collapsed), mebibytes(self.asked));
        write!(f, "{collapsed} of {asked} MiB in huge pages")
    }
}

/// Puts the private memory that this process uses now into huge pages, as far as the kernel likes.
///
/// An inference reads some ten megabytes of weights and tensors from the first to the last byte. In
/// pages of 4 KiB the processor looks up thousands of times where each of them is; in huge ones, a few
/// times. For when models are loaded and have run once: it copies what it moves, and takes some
/// milliseconds.
///
/// Nothing depends on it: a kernel that has no huge pages, or none left, changes nothing.
pub fn use_huge_pages() -> HugePages {
    let mut reached = HugePages::default();
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else {
        return reached;
    };
    for range in used_ranges(&smaps) {
        let (start, length) = (range.start as *mut libc::c_void, range.len());
        // SAFETY: both advices leave contents and mapping as they are, whatever is mapped there by now;
        // of a range that is gone the kernel says so.
        let collapsed = unsafe {
            libc::madvise(start, length, libc::MADV_HUGEPAGE) == 0
                && libc::madvise(start, length, libc::MADV_COLLAPSE) == 0
        };
        reached.asked += length;
        reached.collapsed += if collapsed { length } else { 0 };
    }
    reached
}

/// The whole huge pages in private, writable memory without a file behind it, of which at least half has
/// been touched: what was only reserved, such as threads' stacks, would become memory that is never used.
fn used_ranges(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(range) = private_memory(line) {
            current = range;
        } else if let Some(resident) = line.strip_prefix("Rss:")
            && let Some(range) = current.take()
            && let Some(kibibytes) = resident.split_whitespace().next()
            && let Ok(kibibytes) = kibibytes.parse::<usize>()
        {
            let inner = range.start.next_multiple_of(HUGE)..range.end / HUGE * HUGE;
            if !inner.is_empty() && 2 * (kibibytes << 10) >= range.len() {
                found.push(inner);
            }
        }
    }
    found
}

/// Of the first line of a mapping: where it is if it is private memory, `Some(None)` if it is another
/// kind; `None` for every other line.
fn private_memory(line: &str) -> Option<Option<Range<usize>>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let private = words.next() == Some("rw-p");
    // Offset, device, inode, name.
    let name = words.nth(3);
    Some((private && matches!(name, None | Some("[heap]"))).then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00c00000 r-xp 00000000 08:01 42                                 /usr/bin/andon
Rss:                8192 kB
01000000-02100000 rw-p 00000000 00:00 0                                  [heap]
Size:              17408 kB
Rss:               17000 kB
7f0000001000-7f0000801000 rw-p 00000000 00:00 0 \n\
Rss:                4096 kB
7f0001000000-7f0001800000 rw-p 00000000 00:00 0 \n\
Rss:                  12 kB
7f0002000000-7f0002100000 rw-p 00000000 00:00 0 \n\
Rss:                1024 kB
7f0003000000-7f0003800000 rw-s 00000000 00:00 7                          /dev/dri/card0
Rss:                8192 kB
VmFlags: rd wr mr mw me ac
";

    #[test]
    fn memory_that_is_used_is_taken_in_whole_huge_pages() {
        assert_eq!(
            used_ranges(SMAPS),
            [0x0100_0000..0x0200_0000, 0x7f00_0020_0000..0x7f00_0080_0000,]
        );
        assert_eq!(used_ranges("nonsense\nRss: 7 kB\n1-2-3 x"), []);
    }

    #[test]
    fn contents_stay_and_what_was_reached_is_said() {
        let memory: Vec<u32> = (0..4 << 20).collect();
        let reached = use_huge_pages();
        assert!(memory.iter().copied().eq(0..4 << 20));
        assert!(reached.collapsed <= reached.asked, "{reached}");
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        if used_ranges(&smaps).is_empty() {
            eprintln!("skipped: this system does not say what of the memory is used");
        } else {
            assert!(reached.asked >= 14 << 20, "{reached}");
        }
    }
}
