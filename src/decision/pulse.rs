//! The reject output's pulses: every order becomes exactly one pulse, however close together. Pure.
//!
//! A part leaves the picture and travels on to the pusher. Where the travel time is configured the
//! pulse begins that long after the last picture of the part; otherwise as soon as the part is
//! decided (about half a second after the last picture, see [`parts`](super::parts)).
//!
//! ```text
//!   last picture of part 1, 2 ─┬──┬
//!   decided                    ·  ·──┬──┬
//!   due                        └─ delay ─┬──┬
//!   line                    ─────────────┘▔▔▔▔▔▔└──────┘▔▔▔▔▔▔└────
//!                                        1 length  PAUSE 2
//! ```
//!
//! Pulses never overlap, so that a controller counts them: a pulse waits for the one before and for
//! the pause. What cannot be rejected in time is told, never swallowed: an order that finds no room,
//! and a pulse that begins when it should have been over. The delay holds for a belt that keeps its
//! speed; parts that stand still on a stopped belt arrive later than their pulse.

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::message::{Cause, OutputState};
use crate::units::MonotonicTime;

/// Shortest pause between two pulses, so that a controller counts two.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Orders that wait for their pulse: with the longest delay of a minute, more than four parts a
/// second, which is more than pulses of 150 ms could take off.
pub const WAITING_MAX: usize = 256;

/// How long a part travels and how long the pusher is told to push, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseTiming {
    /// From the last picture of a part until it is before the pusher; `None` is at once.
    pub delay: Option<Duration>,
    /// Length of a pulse.
    pub length: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Idle,
    Pulse { until: MonotonicTime },
    Pause { until: MonotonicTime },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    number: u64,
    due: MonotonicTime,
    /// A pulse that begins after this comes too late; `None` where nobody said when it is due.
    late_after: Option<MonotonicTime>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ordered {
    /// Its pulse will come.
    Accepted,
    /// There is no room: the part will not be rejected.
    NoRoom,
}

/// The line's edge at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseEdge {
    /// What the line is now.
    pub state: OutputState,
    /// Why.
    pub cause: Cause,
    /// The part whose pulse begins too late with this edge.
    pub late: Option<u64>,
}

/// Orders for pulses and the line they go out on.
#[derive(Clone, Debug)]
pub struct PulseTrain {
    timing: PulseTiming,
    line: Line,
    /// In the order in which they are due.
    waiting: ArrayVec<Order, WAITING_MAX>,
}

impl PulseTrain {
    /// Nothing ordered, line inactive.
    #[must_use]
    pub const fn new(timing: PulseTiming) -> Self {
        Self {
            timing,
            line: Line::Idle,
            waiting: ArrayVec::new_const(),
        }
    }

    /// Takes another timing for orders and pulses that come from now on; those waiting stay due when
    /// they are.
    pub const fn set_timing(&mut self, timing: PulseTiming) {
        self.timing = timing;
    }

    /// Orders a pulse for part `number`, last seen in a picture taken at `seen_at`.
    pub fn order(&mut self, number: u64, seen_at: MonotonicTime, now: MonotonicTime) -> Ordered {
        let (due, late_after) = match self.timing.delay {
            Some(delay) => {
                let due = seen_at + delay;
                (due, Some(due + self.timing.length))
            }
            None => (now, None),
        };
        let order = Order {
            number,
            due,
            late_after,
        };
        let before = self.waiting.iter().filter(|other| other.due <= due).count();
        match self.waiting.try_insert(before, order) {
            Ok(()) => Ordered::Accepted,
            Err(_) => Ordered::NoRoom,
        }
    }

    /// Orders whose pulse has not begun.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Ends every pulse, with the line inactive; gives how many orders never had theirs.
    pub fn forget(&mut self) -> u64 {
        let forgotten = self.waiting.len() as u64;
        self.waiting.clear();
        self.line = Line::Idle;
        forgotten
    }

    /// The line's state.
    #[must_use]
    pub const fn state(&self) -> OutputState {
        match self.line {
            Line::Pulse { .. } => OutputState::Active,
            Line::Idle | Line::Pause { .. } => OutputState::Inactive,
        }
    }

    /// Lets time pass; gives the line's edge at `now`, if there is one.
    pub fn tick(&mut self, now: MonotonicTime) -> Option<PulseEdge> {
        match self.line {
            Line::Pulse { until } if now < until => None,
            Line::Pulse { .. } => {
                self.line = Line::Pause { until: now + PAUSE };
                Some(PulseEdge {
                    state: OutputState::Inactive,
                    cause: Cause::PulseOver,
                    late: None,
                })
            }
            Line::Pause { until } if now < until => None,
            Line::Pause { .. } | Line::Idle => {
                self.line = Line::Idle;
                self.begin(now)
            }
        }
    }

    fn begin(&mut self, now: MonotonicTime) -> Option<PulseEdge> {
        if self.waiting.first()?.due > now {
            return None;
        }
        let Order {
            number, late_after, ..
        } = self.waiting.pop_at(0)?;
        self.line = Line::Pulse {
            until: now + self.timing.length,
        };
        Some(PulseEdge {
            state: OutputState::Active,
            cause: Cause::PartRejected(number),
            late: late_after
                .is_some_and(|latest| now > latest)
                .then_some(number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT_ONCE: PulseTiming = PulseTiming {
        delay: None,
        length: Duration::from_millis(200),
    };

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn delayed(delay_ms: u64) -> PulseTiming {
        PulseTiming {
            delay: Some(Duration::from_millis(delay_ms)),
            ..AT_ONCE
        }
    }

    fn begins(number: u64) -> Option<PulseEdge> {
        Some(PulseEdge {
            state: OutputState::Active,
            cause: Cause::PartRejected(number),
            late: None,
        })
    }

    const ENDS: Option<PulseEdge> = Some(PulseEdge {
        state: OutputState::Inactive,
        cause: Cause::PulseOver,
        late: None,
    });

    fn accepted(train: &mut PulseTrain, number: u64, seen_ms: u64, now_ms: u64) {
        let ordered = train.order(number, at(seen_ms), at(now_ms));
        assert_eq!(ordered, Ordered::Accepted);
    }

    /// When edges come, ticked every millisecond.
    fn edges(train: &mut PulseTrain, from: u64, until: u64) -> Vec<u64> {
        (from..until)
            .filter(|ms| train.tick(at(*ms)).is_some())
            .collect()
    }

    #[test]
    fn an_order_becomes_one_pulse_of_its_length() {
        let mut train = PulseTrain::new(AT_ONCE);
        assert_eq!(train.tick(at(0)), None);
        accepted(&mut train, 1, 0, 0);
        assert_eq!(train.state(), OutputState::Inactive);
        assert_eq!(train.tick(at(5)), begins(1));
        assert_eq!(train.state(), OutputState::Active);
        assert_eq!(train.tick(at(204)), None);
        assert_eq!(train.tick(at(205)), ENDS);
        assert_eq!(train.state(), OutputState::Inactive);
        for ms in [210, 304, 305, 400, 1000] {
            assert_eq!(train.tick(at(ms)), None);
        }
    }

    #[test]
    fn pulses_that_follow_each_other_have_a_pause_between() {
        let mut train = PulseTrain::new(AT_ONCE);
        accepted(&mut train, 1, 0, 0);
        accepted(&mut train, 2, 0, 0);
        assert_eq!(edges(&mut train, 0, 1000), [0, 200, 300, 500]);
    }

    #[test]
    fn an_order_after_the_pause_needs_no_second_pause() {
        let mut train = PulseTrain::new(AT_ONCE);
        accepted(&mut train, 1, 0, 0);
        train.tick(at(0));
        train.tick(at(200));
        train.tick(at(300));
        accepted(&mut train, 2, 300, 300);
        assert_eq!(train.tick(at(301)), begins(2));
    }

    #[test]
    fn a_part_is_pushed_when_it_has_travelled_to_the_pusher() {
        let mut train = PulseTrain::new(delayed(900));
        accepted(&mut train, 1, 100, 640);
        accepted(&mut train, 2, 600, 1140);
        assert_eq!(edges(&mut train, 640, 3000), [1000, 1200, 1500, 1700]);
    }

    #[test]
    fn parts_are_pushed_in_the_order_in_which_they_arrive() {
        let mut train = PulseTrain::new(delayed(900));
        accepted(&mut train, 1, 500, 600);
        accepted(&mut train, 2, 100, 600);
        accepted(&mut train, 3, 500, 600);
        let pushed: Vec<_> = (600..3000)
            .filter_map(|ms| train.tick(at(ms)))
            .filter(|edge| edge.state == OutputState::Active)
            .map(|edge| edge.cause)
            .collect();
        assert_eq!(pushed, [2, 1, 3].map(Cause::PartRejected));
    }

    #[test]
    fn a_pulse_that_begins_when_it_should_be_over_is_given_and_told() {
        let mut train = PulseTrain::new(delayed(300));
        accepted(&mut train, 1, 100, 600);
        assert_eq!(train.tick(at(600)), begins(1), "the last moment");
        let mut train = PulseTrain::new(delayed(300));
        accepted(&mut train, 1, 100, 601);
        let late = PulseEdge {
            late: Some(1),
            ..begins(1).unwrap()
        };
        assert_eq!(train.tick(at(601)), Some(late));
    }

    #[test]
    fn an_order_that_finds_no_room_is_told() {
        let mut train = PulseTrain::new(delayed(900));
        for number in 0..WAITING_MAX as u64 {
            accepted(&mut train, number, 0, 0);
        }
        assert_eq!(train.order(999, at(0), at(0)), Ordered::NoRoom);
        assert_eq!(train.waiting(), WAITING_MAX);
    }

    #[test]
    fn another_timing_does_not_touch_what_is_waiting() {
        let mut train = PulseTrain::new(delayed(900));
        accepted(&mut train, 1, 0, 0);
        train.set_timing(PulseTiming {
            delay: Some(Duration::from_millis(2000)),
            length: Duration::from_millis(50),
        });
        accepted(&mut train, 2, 0, 0);
        assert_eq!(edges(&mut train, 0, 3000), [900, 950, 2000, 2050]);
    }

    proptest! {
        #[test]
        fn every_order_becomes_exactly_one_pulse_in_order_and_not_before_it_is_due(
            gaps in prop::collection::vec(0_u64..500, 0..20),
            delay in prop::option::of(1_u64..2000),
            decided_after in 0_u64..600,
            period in 1_u64..120,
        ) {
            let timing = PulseTiming { delay: delay.map(Duration::from_millis), ..AT_ONCE };
            let mut train = PulseTrain::new(timing);
            let seen: Vec<u64> = gaps
                .iter()
                .scan(0, |time, gap| { *time += gap; Some(*time) })
                .collect();
            let mut orders = seen.iter().copied().peekable();
            let (mut started, mut ended, mut number) = (Vec::new(), Vec::new(), 0);
            for tick in 0..30_000 / period {
                let now = tick * period;
                while let Some(seen) = orders.next_if(|seen| seen + decided_after <= now) {
                    number += 1;
                    accepted(&mut train, number, seen, now);
                }
                match train.tick(at(now)) {
                    Some(PulseEdge { cause: Cause::PartRejected(part), late, .. }) => {
                        let index = usize::try_from(part - 1).unwrap();
                        let due = delay.map(|delay| seen[index] + delay);
                        prop_assert!(due.is_none_or(|due| now >= due));
                        prop_assert_eq!(late.is_some(), due.is_some_and(|due| now > due + 200));
                        started.push((part, now));
                    }
                    Some(PulseEdge { cause: Cause::PulseOver, .. }) => ended.push(now),
                    Some(other) => prop_assert!(false, "{:?}", other),
                    None => {}
                }
            }
            let parts: Vec<u64> = started.iter().map(|(part, _)| *part).collect();
            prop_assert_eq!(parts, (1..=seen.len() as u64).collect::<Vec<_>>());
            prop_assert_eq!(ended.len(), started.len());
            for (n, ((_, start), end)) in started.iter().zip(&ended).enumerate() {
                prop_assert!(*end >= start + 200 && *end < start + 200 + period);
                prop_assert!(n == 0 || *start >= ended[n - 1] + 100);
            }
        }
    }
}
