//! Debouncing: a level counts once it was stable for a while. Pure.
//!
//! Both edges are delayed alike, so that the length of a press stays what it was. What a press means
//! is not decided here.

use std::time::Duration;

use crate::message::InputState;
use crate::units::MonotonicTime;

/// One input's debounced level.
#[derive(Clone, Copy, Debug)]
pub struct Debounce {
    stable_for: Duration,
    settled: InputState,
    /// Newest raw level, and since when it has been so.
    newest: Option<(InputState, MonotonicTime)>,
}

impl Debounce {
    /// A level counts after `stable_for`. Until the first one does, the level is `unproven`: the
    /// caller chooses the level from which nothing can be concluded.
    #[must_use]
    pub const fn new(stable_for: Duration, unproven: InputState) -> Self {
        Self {
            stable_for,
            settled: unproven,
            newest: None,
        }
    }

    /// Takes the raw level at `now`; gives the debounced one. Called on every tick.
    pub fn observe(&mut self, raw: InputState, now: MonotonicTime) -> InputState {
        let since = match self.newest {
            Some((level, since)) if level == raw && since <= now => since,
            Some(_) | None => now,
        };
        self.newest = Some((raw, since));
        if now.saturating_since(since) >= self.stable_for {
            self.settled = raw;
        }
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InputState::{Active, Inactive};
    use proptest::prelude::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn levels(unproven: InputState, steps: &[(u64, InputState)]) -> Vec<InputState> {
        let mut debounce = Debounce::new(Duration::from_millis(20), unproven);
        steps
            .iter()
            .map(|(ms, raw)| debounce.observe(*raw, at(*ms)))
            .collect()
    }

    #[test]
    fn a_level_counts_once_it_was_stable() {
        let steps = [(0, Active), (19, Active), (20, Active)];
        assert_eq!(levels(Inactive, &steps), [Inactive, Inactive, Active]);
    }

    #[test]
    fn a_bouncing_contact_changes_nothing_until_it_is_still() {
        let steps = [
            (0, Inactive),
            (20, Inactive),
            (25, Active),
            (30, Inactive),
            (35, Active),
            (54, Active),
            (55, Active),
        ];
        let expected = [
            Inactive, Inactive, Inactive, Inactive, Inactive, Inactive, Active,
        ];
        assert_eq!(levels(Inactive, &steps), expected);
    }

    #[test]
    fn before_anything_was_stable_it_is_what_the_caller_chose() {
        let steps = [(0, Inactive), (19, Inactive), (20, Inactive)];
        assert_eq!(levels(Active, &steps), [Active, Active, Inactive]);
    }

    #[test]
    fn a_clock_that_runs_backwards_starts_anew() {
        let steps = [(100, Active), (90, Active), (109, Active), (110, Active)];
        assert_eq!(
            levels(Inactive, &steps),
            [Inactive, Inactive, Inactive, Active]
        );
    }

    #[test]
    fn without_a_time_every_level_counts_at_once() {
        let mut debounce = Debounce::new(Duration::ZERO, Inactive);
        let seen = [Active, Inactive, Active].map(|raw| debounce.observe(raw, at(0)));
        assert_eq!(seen, [Active, Inactive, Active]);
    }

    proptest! {
        #[test]
        fn the_level_is_the_last_that_was_stable_for_long_enough(
            steps in prop::collection::vec((0_u64..30, any::<bool>()), 1..60),
        ) {
            let mut debounce = Debounce::new(Duration::from_millis(20), Inactive);
            let (mut ms, mut history): (u64, Vec<(u64, bool)>) = (0, Vec::new());
            let mut expected = Inactive;
            for (later, active) in steps {
                ms += later;
                history.push((ms, active));
                let run = history.iter().rev().take_while(|(_, was)| *was == active).last();
                let since = run.expect("itself").0;
                let raw = if active { Active } else { Inactive };
                if ms - since >= 20 {
                    expected = raw;
                }
                prop_assert_eq!(debounce.observe(raw, at(ms)), expected);
            }
        }
    }
}
