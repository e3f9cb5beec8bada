//! External device monitoring (EDM): does the relay do what the run permission says? Pure.
//!
//! The feedback contact is a normally closed mirror contact of the relay (IEC 60947-4-1, annex F): it
//! is closed, and the input active, while the relay has dropped out; it is open, and the input
//! inactive, while the relay is energised. A broken wire looks like an energised relay, so that it can
//! never allow ON.
//!
//! ```text
//!   run permission  ____/▔▔▔▔▔▔▔▔▔▔▔▔▔\______________
//!   contact         ▔▔▔▔▔▔▔\____________________/▔▔▔▔
//!                       |..|           |........|   Pending; longer than `within`: Disagrees
//! ```
//!
//! [`Feedback::Pending`] keeps the interlock from switching ON, so that a relay whose contacts are
//! welded is found before it is energised again, however soon that would be. Short ON-times in which a
//! relay has no time to pull in prove nothing about it and are no mismatch.

use std::time::Duration;

use crate::message::{Feedback, InputState, OutputState};
use crate::units::MonotonicTime;

/// Compares a feedback contact with the run permission.
#[derive(Clone, Copy, Debug)]
pub struct Edm {
    within: Duration,
    ordered: Option<OutputState>,
    /// Since when the contact has not been where it should be, since the last order at most.
    apart_since: Option<MonotonicTime>,
}

impl Edm {
    /// The contact has `within` to follow.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self {
            within,
            ordered: None,
            apart_since: None,
        }
    }

    /// Takes the ordered run permission and the contact at `now`.
    ///
    /// The time starts with the first call that sees the order; called on every tick, a mismatch is
    /// found one tick after `within` at the latest. A clock that runs backwards lengthens nothing.
    pub fn observe(
        &mut self,
        ordered: OutputState,
        contact: InputState,
        now: MonotonicTime,
    ) -> Feedback {
        let dropped_out = match contact {
            InputState::Active => OutputState::Inactive,
            InputState::Inactive => OutputState::Active,
        };
        if self.ordered != Some(ordered) {
            self.ordered = Some(ordered);
            self.apart_since = None;
        }
        if dropped_out == ordered {
            self.apart_since = None;
            return Feedback::Agrees;
        }
        let since = *self.apart_since.get_or_insert(now);
        match now.checked_since(since) {
            Some(apart) if apart <= self.within => Feedback::Pending,
            Some(_) | None => Feedback::Disagrees,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Feedback::{Agrees, Disagrees, Pending};
    use InputState::{Active as DroppedOut, Inactive as Energised};
    use OutputState::{Active as On, Inactive as Off};
    use proptest::prelude::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn told(steps: &[(u64, OutputState, InputState)]) -> Vec<Feedback> {
        let mut edm = Edm::new(Duration::from_millis(100));
        steps
            .iter()
            .map(|(ms, ordered, contact)| edm.observe(*ordered, *contact, at(*ms)))
            .collect()
    }

    #[test]
    fn a_contact_that_follows_in_time_agrees() {
        let steps = [
            (0, Off, DroppedOut),
            (10, On, DroppedOut),
            (110, On, DroppedOut),
            (111, On, Energised),
            (500, On, Energised),
            (505, Off, Energised),
            (605, Off, Energised),
            (606, Off, DroppedOut),
        ];
        let expected = [
            Agrees, Pending, Pending, Agrees, Agrees, Pending, Pending, Agrees,
        ];
        assert_eq!(told(&steps), expected);
    }

    #[test]
    fn a_relay_that_does_not_drop_out_disagrees() {
        let steps = [
            (0, On, Energised),
            (10, Off, Energised),
            (110, Off, Energised),
            (111, Off, Energised),
            (9000, Off, Energised),
        ];
        assert_eq!(
            told(&steps),
            [Agrees, Pending, Pending, Disagrees, Disagrees]
        );
    }

    #[test]
    fn a_relay_that_does_not_pull_in_disagrees() {
        let steps = [
            (0, Off, DroppedOut),
            (10, On, DroppedOut),
            (111, On, DroppedOut),
        ];
        assert_eq!(told(&steps), [Agrees, Pending, Disagrees]);
    }

    #[test]
    fn a_relay_energised_at_the_start_is_pending_at_once_and_never_agrees() {
        let steps = [
            (0, Off, Energised),
            (100, Off, Energised),
            (101, Off, Energised),
        ];
        assert_eq!(told(&steps), [Pending, Pending, Disagrees]);
    }

    #[test]
    fn a_contact_that_leaves_later_has_the_same_time_to_come_back() {
        let steps = [
            (0, On, Energised),
            (1000, On, DroppedOut),
            (1100, On, DroppedOut),
            (1101, On, DroppedOut),
            (1102, On, Energised),
        ];
        assert_eq!(told(&steps), [Agrees, Pending, Pending, Disagrees, Agrees]);
    }

    #[test]
    fn a_clock_that_runs_backwards_is_no_time_to_follow() {
        let steps = [(500, Off, Energised), (400, Off, Energised)];
        assert_eq!(told(&steps), [Pending, Disagrees]);
    }

    proptest! {
        /// Against the whole history: agrees exactly when the contact is where it should be, and
        /// disagrees exactly when it was not for longer than allowed since the last order.
        #[test]
        fn whatever_happens_it_says_what_the_history_says(
            steps in prop::collection::vec((0_u64..60, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut edm = Edm::new(Duration::from_millis(100));
            let (mut ms, mut history) = (0, Vec::new());
            for (later, on, energised) in steps {
                ms += later;
                history.push((ms, on, energised));
                let ordered = if on { On } else { Off };
                let contact = if energised { Energised } else { DroppedOut };
                let feedback = edm.observe(ordered, contact, at(ms));
                let apart = history
                    .iter()
                    .rev()
                    .take_while(|(_, was_on, was_energised)| *was_on == on && was_on != was_energised)
                    .last();
                let expected = match apart {
                    None => Agrees,
                    Some((since, ..)) if ms - since <= 100 => Pending,
                    Some(_) => Disagrees,
                };
                prop_assert_eq!(feedback, expected);
            }
        }
    }
}
