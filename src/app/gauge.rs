//! What a capture thread has counted so far, to be read by another thread at any time. Nobody waits:
//! each number is an atomic of its own, and a reader may see some of them one frame older.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::capture::Losses;

/// Frames that nobody looked at, because a newer one was there: the price of never lagging behind.
pub(super) const OVERTAKEN: &str = "overtaken by newer";

#[derive(Debug, Default)]
struct Numbers {
    frames: AtomicU64,
    dropped: AtomicU64,
    undecodable: AtomicU64,
    missed: AtomicU64,
    damaged: AtomicU64,
    out_of_order: AtomicU64,
    interruptions: AtomicU64,
}

/// The counters of one source. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct CaptureGauge(Arc<Numbers>);

impl CaptureGauge {
    /// Says how far it is: frames taken, those of them that were overwritten before anybody looked,
    /// and what was lost before.
    pub(super) fn set(&self, frames: u64, dropped: u64, losses: Losses) {
        let Losses {
            undecodable,
            missed,
            damaged,
            out_of_order,
            interruptions,
        } = losses;
        let Numbers {
            frames: to_frames,
            dropped: to_dropped,
            undecodable: to_undecodable,
            missed: to_missed,
            damaged: to_damaged,
            out_of_order: to_out_of_order,
            interruptions: to_interruptions,
        } = &*self.0;
        for (number, value) in [
            (to_frames, frames),
            (to_dropped, dropped),
            (to_undecodable, undecodable),
            (to_missed, missed),
            (to_damaged, damaged),
            (to_out_of_order, out_of_order),
            (to_interruptions, interruptions),
        ] {
            number.store(value, Ordering::Relaxed);
        }
    }

    /// Frames taken from the source.
    pub(super) fn frames(&self) -> u64 {
        self.0.frames.load(Ordering::Relaxed)
    }

    /// Every kind of loss in words, with its count.
    pub(super) fn losses(&self) -> [(&'static str, u64); 6] {
        let numbers = &*self.0;
        [
            (OVERTAKEN, &numbers.dropped),
            ("missed by the driver", &numbers.missed),
            ("damaged", &numbers.damaged),
            ("not decodable", &numbers.undecodable),
            ("out of order", &numbers.out_of_order),
            ("interruptions", &numbers.interruptions),
        ]
        .map(|(words, number)| (words, number.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_read_where_it_was_put() {
        let gauge = CaptureGauge::default();
        let losses = Losses {
            undecodable: 3,
            missed: 4,
            damaged: 5,
            out_of_order: 6,
            interruptions: 7,
        };
        gauge.clone().set(1, 2, losses);
        assert_eq!(gauge.frames(), 1);
        let counts = gauge.losses().map(|(_, count)| count);
        assert_eq!(counts, [2, 4, 5, 3, 6, 7]);
    }
}
