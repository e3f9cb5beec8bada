//! The reset button on the screen. Pure.
//!
//! A picture is no push button: the thread that draws it may hang, die, or wake up after a minute and
//! hand on what a finger did then. What comes from there is therefore no level but a story of one
//! press, and every chapter of it has to be fresh. Only a complete story becomes the level that
//! [`reset`](super::reset) looks at, so that the rule for a press is the same as for a real button:
//!
//! ```text
//!   Up ──PressReset, fresh, number never seen──▶ Down ──ReleaseReset, fresh, same number──▶ Up
//!                                                 │      (30 ms to 3 s by the kernel's stamps)
//!                                                 │ abandoned, late, silent for SILENCE_MAX,
//!                                                 ▼ other number, sender gone
//!                                           Up, and the press is *void*
//! ```
//!
//! A void press never looks like one that was let go: whoever owns a [`ResetButton`] voids it
//! ([`ResetButton::void`]) before the level drops.

use std::time::Duration;

use super::reset::{PRESS_MAX, PRESS_MIN, ResetButton};
use crate::message::{InputState, OperatorCommand, OperatorOrder, PressId, ResetRefusal};
use crate::units::MonotonicTime;

/// An order that took longer than this from the finger to the decision says nothing about now. A
/// picture takes 17 ms at 60 Hz, and 50 to 100 ms on a slow board.
pub const LAG_MAX: Duration = Duration::from_millis(500);

/// While the button is down the screen says so ten times a second; silent for longer than this it
/// hangs, and nobody knows what the operator sees.
pub const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Whether an order stamped `at` says something about `now`. A stamp from the future is as little worth
/// as an old one.
#[must_use]
pub fn is_fresh(at: MonotonicTime, now: MonotonicTime) -> bool {
    now.checked_since(at).is_some_and(|lag| lag <= LAG_MAX)
}

/// Whether the screen may reset: only where no button is wired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScreenReset {
    /// Every press is refused.
    #[default]
    Refused,
    /// The configuration asks for it, and no button is wired.
    Permitted,
}

/// The button's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScreenButton {
    reset: ScreenReset,
    down: Option<Press>,
    /// The highest number seen: an older press is never taken again.
    newest: Option<PressId>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    id: PressId,
    /// When the finger came down, by the kernel's stamp.
    at: MonotonicTime,
    /// When the screen was heard last.
    heard: MonotonicTime,
}

/// What has become of a press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenSignal {
    /// Nothing; the level says it all.
    Quiet,
    /// It was never begun, for this reason.
    Refused(ResetRefusal),
    /// It was begun and means nothing, for a reason that is told where there is one.
    Void(Option<ResetRefusal>),
}

impl ScreenButton {
    /// Up.
    #[must_use]
    pub const fn new(reset: ScreenReset) -> Self {
        Self {
            reset,
            down: None,
            newest: None,
        }
    }

    /// Whether the button counts as pressed.
    #[must_use]
    pub const fn level(&self) -> InputState {
        match self.down {
            Some(_) => InputState::Active,
            None => InputState::Inactive,
        }
    }

    /// Takes what the operator did, which arrives at `now`.
    pub fn take(&mut self, command: OperatorCommand, now: MonotonicTime) -> ScreenSignal {
        let fresh = is_fresh(command.at, now);
        match command.order {
            OperatorOrder::PressReset(id) => self.press(id, command.at, fresh, now),
            OperatorOrder::HoldReset(id) => {
                if fresh && let Some(press) = self.down.as_mut().filter(|press| press.id == id) {
                    press.heard = now;
                }
                ScreenSignal::Quiet
            }
            OperatorOrder::ReleaseReset(id) => self.release(id, command.at, fresh),
            OperatorOrder::AbandonReset(id) => match self.down {
                Some(press) if press.id == id => self.void(None),
                Some(_) | None => ScreenSignal::Quiet,
            },
            OperatorOrder::Acknowledge => ScreenSignal::Quiet,
        }
    }

    /// Lets time pass: a screen that falls silent while the button is down hangs.
    pub fn pass_time(&mut self, now: MonotonicTime) -> ScreenSignal {
        match self.down {
            Some(press) if now.saturating_since(press.heard) > SILENCE_MAX => {
                self.void(Some(ResetRefusal::ScreenLate))
            }
            Some(_) | None => ScreenSignal::Quiet,
        }
    }

    /// Nobody will send anything any more.
    pub fn sender_gone(&mut self) -> ScreenSignal {
        match self.down {
            Some(_) => self.void(Some(ResetRefusal::ScreenLate)),
            None => ScreenSignal::Quiet,
        }
    }

    fn press(
        &mut self,
        id: PressId,
        at: MonotonicTime,
        fresh: bool,
        now: MonotonicTime,
    ) -> ScreenSignal {
        if self.down.is_some() {
            // Two presses at once: neither is to be believed.
            return self.void(None);
        }
        if self.newest.is_some_and(|newest| id <= newest) {
            return ScreenSignal::Quiet;
        }
        self.newest = Some(id);
        match (self.reset, fresh) {
            (ScreenReset::Refused, _) => ScreenSignal::Refused(ResetRefusal::ScreenMayNot),
            (ScreenReset::Permitted, false) => ScreenSignal::Refused(ResetRefusal::ScreenLate),
            (ScreenReset::Permitted, true) => {
                self.down = Some(Press { id, at, heard: now });
                ScreenSignal::Quiet
            }
        }
    }

    fn release(&mut self, id: PressId, at: MonotonicTime, fresh: bool) -> ScreenSignal {
        let Some(press) = self.down else {
            return ScreenSignal::Quiet;
        };
        let held = at.checked_since(press.at);
        match held {
            Some(_) if !fresh => self.void(Some(ResetRefusal::ScreenLate)),
            Some(held) if press.id == id && held > PRESS_MAX => self.void(Some(ResetRefusal::Held)),
            Some(held) if press.id == id && held >= PRESS_MIN => {
                self.down = None;
                ScreenSignal::Quiet
            }
            // Shorter than a press, another press's end, or an end before the beginning.
            Some(_) | None => self.void(None),
        }
    }

    const fn void(&mut self, why: Option<ResetRefusal>) -> ScreenSignal {
        self.down = None;
        ScreenSignal::Void(why)
    }
}

/// Voids the press in each of these buttons.
pub fn void_all<const N: usize>(buttons: [&mut ResetButton; N]) {
    for button in buttons {
        *button = button.void();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::reset::ResetSignal;
    use OperatorOrder::{AbandonReset, HoldReset, PressReset, ReleaseReset};
    use proptest::prelude::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    /// What arrives when: (arrival, stamp, order).
    type Story = [(u64, u64, OperatorOrder)];

    /// The whole chain as the decision has it, ticked every 5 ms: resets and reasons of refusal.
    fn told(reset: ScreenReset, story: &Story, until: u64) -> (u32, Vec<ResetRefusal>) {
        let mut screen = ScreenButton::new(reset);
        let mut button = ResetButton::default();
        let (mut resets, mut refusals) = (0, Vec::new());
        for ms in (0..=until).step_by(5) {
            let arrived = story.iter().filter(|(arrival, ..)| *arrival == ms);
            let commands = arrived.map(|(_, stamp, order)| OperatorCommand {
                at: at(*stamp),
                order: *order,
            });
            let mut signals: Vec<_> = Vec::new();
            for command in commands {
                let signal = screen.take(command, at(ms));
                if matches!(signal, ScreenSignal::Void(_)) {
                    void_all([&mut button]);
                }
                let (next, signal_of_button) = button.observe(screen.level(), at(ms));
                button = next;
                resets += u32::from(signal_of_button == ResetSignal::Reset);
                signals.push(signal);
            }
            let signal = screen.pass_time(at(ms));
            if signal != ScreenSignal::Quiet {
                void_all([&mut button]);
            }
            signals.push(signal);
            let (next, signal_of_button) = button.observe(screen.level(), at(ms));
            button = next;
            resets += u32::from(signal_of_button == ResetSignal::Reset);
            for signal in signals {
                match signal {
                    ScreenSignal::Refused(why) | ScreenSignal::Void(Some(why)) => {
                        refusals.push(why)
                    }
                    ScreenSignal::Quiet | ScreenSignal::Void(None) => {}
                }
            }
        }
        (resets, refusals)
    }

    const ONE: PressId = PressId(1);
    const TWO: PressId = PressId(2);

    fn permitted(story: &Story) -> (u32, Vec<ResetRefusal>) {
        told(ScreenReset::Permitted, story, 10_000)
    }

    #[test]
    fn a_press_that_ends_in_the_button_is_a_reset() {
        let story = [
            (100, 95, PressReset(ONE)),
            (200, 200, HoldReset(ONE)),
            (300, 290, ReleaseReset(ONE)),
        ];
        assert_eq!(permitted(&story), (1, vec![]));
    }

    #[test]
    fn where_a_button_is_wired_the_screen_never_resets() {
        let story = [(100, 95, PressReset(ONE)), (300, 290, ReleaseReset(ONE))];
        let (resets, refusals) = told(ScreenReset::Refused, &story, 1000);
        assert_eq!((resets, refusals), (0, vec![ResetRefusal::ScreenMayNot]));
    }

    #[test]
    fn a_tap_shorter_than_a_bounce_is_none() {
        let story = [(100, 95, PressReset(ONE)), (130, 124, ReleaseReset(ONE))];
        assert_eq!(permitted(&story), (0, vec![]));
        // Stretched on its way through a slow picture it stays too short.
        let story = [(100, 95, PressReset(ONE)), (500, 124, ReleaseReset(ONE))];
        assert_eq!(permitted(&story).0, 0);
    }

    #[test]
    fn a_press_that_comes_with_its_end_in_one_tick_is_none() {
        let story = [(300, 100, PressReset(ONE)), (300, 290, ReleaseReset(ONE))];
        assert_eq!(permitted(&story), (0, vec![]));
    }

    #[test]
    fn a_finger_that_slides_off_or_is_joined_by_another_resets_nothing() {
        let story = [
            (100, 95, PressReset(ONE)),
            (300, 290, AbandonReset(ONE)),
            (305, 300, ReleaseReset(ONE)),
        ];
        assert_eq!(permitted(&story), (0, vec![]));
    }

    #[test]
    fn a_stuck_touch_is_none_and_is_told() {
        let mut story = vec![(100, 95, PressReset(ONE))];
        story.extend((2..60).map(|tenth| (tenth * 100, tenth * 100, HoldReset(ONE))));
        story.push((6000, 5990, ReleaseReset(ONE)));
        let (resets, refusals) = permitted(&story);
        assert_eq!(resets, 0);
        assert_eq!(refusals, [ResetRefusal::Held]);
    }

    #[test]
    fn a_screen_that_hangs_while_pressed_voids_the_press() {
        let story = [
            (100, 95, PressReset(ONE)),
            // The picture comes back after two seconds; the finger left only then.
            (2200, 2190, ReleaseReset(ONE)),
        ];
        assert_eq!(permitted(&story), (0, vec![ResetRefusal::ScreenLate]));
    }

    #[test]
    fn a_press_of_a_minute_ago_is_none() {
        let story = [(8000, 100, PressReset(ONE)), (8100, 300, ReleaseReset(ONE))];
        assert_eq!(permitted(&story), (0, vec![ResetRefusal::ScreenLate]));
        let late_end = [(100, 95, PressReset(ONE)), (900, 200, ReleaseReset(ONE))];
        assert_eq!(permitted(&late_end), (0, vec![ResetRefusal::ScreenLate]));
    }

    #[test]
    fn a_press_told_twice_counts_once() {
        let story = [
            (100, 95, PressReset(ONE)),
            (300, 290, ReleaseReset(ONE)),
            (400, 395, PressReset(ONE)),
            (600, 595, ReleaseReset(ONE)),
        ];
        assert_eq!(permitted(&story), (1, vec![]));
    }

    #[test]
    fn the_end_of_another_press_is_none_and_the_next_press_works() {
        let story = [
            (100, 95, PressReset(ONE)),
            (300, 290, ReleaseReset(TWO)),
            (400, 395, PressReset(PressId(3))),
            (600, 595, ReleaseReset(PressId(3))),
        ];
        assert_eq!(permitted(&story), (1, vec![]));
    }

    #[test]
    fn a_sender_that_dies_while_pressed_resets_nothing() {
        let mut screen = ScreenButton::new(ScreenReset::Permitted);
        let mut button = ResetButton::default();
        (button, _) = button.observe(screen.level(), at(0));
        let command = OperatorCommand {
            at: at(10),
            order: PressReset(ONE),
        };
        assert_eq!(screen.take(command, at(10)), ScreenSignal::Quiet);
        (button, _) = button.observe(screen.level(), at(10));
        let signal = screen.sender_gone();
        assert_eq!(signal, ScreenSignal::Void(Some(ResetRefusal::ScreenLate)));
        void_all([&mut button]);
        let (_, signal) = button.observe(screen.level(), at(500));
        assert_eq!(signal, ResetSignal::Quiet);
    }

    proptest! {
        /// Whatever arrives in whatever order: a reset needs a press and its own end, both fresh,
        /// 30 ms to 3 s apart, and no silence in between.
        #[test]
        fn a_reset_always_has_its_story(
            steps in prop::collection::vec((0_u64..40, 0_u64..700, 0_u8..4, 0_u64..4), 1..40),
        ) {
            let mut arrival = 0;
            let story: Vec<_> = steps
                .into_iter()
                .map(|(later, lag, kind, id)| {
                    arrival += later * 5;
                    let id = PressId(id);
                    let order = match kind {
                        0 => PressReset(id),
                        1 => HoldReset(id),
                        2 => ReleaseReset(id),
                        _ => AbandonReset(id),
                    };
                    (arrival, arrival.saturating_sub(lag), order)
                })
                .collect();
            let (resets, _) = told(ScreenReset::Permitted, &story, arrival + 20);
            let whole = story.iter().enumerate().filter(|(index, (arrival, stamp, order))| {
                let ReleaseReset(id) = order else { return false };
                story[..*index].iter().any(|(pressed, pressed_at, order)| {
                    *order == PressReset(*id)
                        && pressed - pressed_at <= 500
                        && arrival - stamp <= 500
                        && (30..=3000).contains(&(arrival - pressed))
                        && stamp.checked_sub(*pressed_at).is_some_and(|held| (30..=3000).contains(&held))
                })
            });
            prop_assert!(resets as usize <= whole.count(), "{story:?}");
        }
    }
}
