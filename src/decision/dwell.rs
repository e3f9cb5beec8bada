//! Dwell limits: who stays in a zone for too long is told, by the fault output. Never touches the run
//! permission: that is gone already where the zone is a stop zone. Pure.
//!
//! A break of up to [`BREAK_MAX`] does not end a stay, so that a person the detector loses for a
//! frame or two has not left.

use std::time::Duration;

use crate::config::Zone;
use crate::message::ZoneSet;
use crate::units::{MonotonicTime, ZONES_MAX, ZoneIndex};

/// Longest time without anybody that still belongs to a stay.
pub const BREAK_MAX: Duration = Duration::from_secs(1);

/// One zone's stay.
#[derive(Clone, Copy, Debug)]
struct Stay {
    since: MonotonicTime,
    seen: MonotonicTime,
}

/// The stays in all zones.
#[derive(Clone, Debug)]
pub struct Dwell {
    limits: [Option<Duration>; ZONES_MAX],
    stays: [Option<Stay>; ZONES_MAX],
}

impl Dwell {
    /// Nobody anywhere; limits as the zones have them.
    #[must_use]
    pub fn new(zones: &[Zone]) -> Self {
        let mut limits = [None; ZONES_MAX];
        for (limit, zone) in limits.iter_mut().zip(zones) {
            *limit = zone.dwell_limit;
        }
        Self {
            limits,
            stays: [None; ZONES_MAX],
        }
    }

    /// Takes the zones that a frame taken at `captured` found occupied.
    pub fn observe(&mut self, occupied: ZoneSet, captured: MonotonicTime) {
        for (zone, stay) in (0_u8..).zip(&mut self.stays) {
            if occupied.contains(ZoneIndex(zone)) {
                let since = stay.map_or(captured, |stay| stay.since);
                *stay = Some(Stay {
                    since,
                    seen: captured,
                });
            } else if stay.is_some_and(|stay| captured.saturating_since(stay.seen) > BREAK_MAX) {
                *stay = None;
            }
        }
    }

    /// The first zone in which somebody has stayed for longer than its limit.
    #[must_use]
    pub fn overstayed(&self) -> Option<ZoneIndex> {
        let mut zones = (0_u8..).zip(self.stays.iter().zip(&self.limits));
        let over = |stay: &Option<Stay>, limit: &Option<Duration>| match (stay, limit) {
            (Some(stay), Some(limit)) => stay.seen.saturating_since(stay.since) > *limit,
            (None, _) | (_, None) => false,
        };
        zones
            .find(|(_, (stay, limit))| over(stay, limit))
            .map(|(zone, _)| ZoneIndex(zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn dwell() -> Dwell {
        let mut dwell = Dwell::new(&[]);
        dwell.limits[3] = Some(Duration::from_secs(5));
        dwell
    }

    fn somebody() -> ZoneSet {
        let mut zones = ZoneSet::default();
        zones.insert(ZoneIndex(2));
        zones.insert(ZoneIndex(3));
        zones
    }

    #[test]
    fn a_stay_is_told_after_its_limit_and_until_it_ends() {
        let mut dwell = dwell();
        for ms in (0..=5000).step_by(100) {
            dwell.observe(somebody(), at(ms));
            assert_eq!(dwell.overstayed(), None, "{ms}");
        }
        dwell.observe(somebody(), at(5100));
        assert_eq!(
            dwell.overstayed(),
            Some(ZoneIndex(3)),
            "zone 2 has no limit"
        );
        dwell.observe(ZoneSet::default(), at(6000));
        assert_eq!(dwell.overstayed(), Some(ZoneIndex(3)), "a short break");
        dwell.observe(ZoneSet::default(), at(6200));
        assert_eq!(dwell.overstayed(), None);
    }

    #[test]
    fn a_break_ends_a_stay_and_the_next_one_begins_anew() {
        let mut dwell = dwell();
        dwell.observe(somebody(), at(0));
        dwell.observe(somebody(), at(4000));
        dwell.observe(ZoneSet::default(), at(5001));
        dwell.observe(somebody(), at(5100));
        dwell.observe(somebody(), at(9000));
        assert_eq!(dwell.overstayed(), None);
    }
}
