//! Resets from the screen, in the very thread that runs in the product.

use super::*;
use crate::config::{DisplayChoice, OutputConfig};
use crate::message::PressId;
use OperatorOrder::{AbandonReset, Acknowledge, HoldReset, PressReset, ReleaseReset};

/// A rig with nobody at a button and a screen that may reset, waiting for a reset.
fn waiting() -> Rig {
    let mut rig = Rig::with(4096, None, |config| {
        config.output = OutputConfig::simulated(None);
        config.display.display = DisplayChoice::Kms;
        config.display.kiosk.reset = true;
        config.safety.max_age = Duration::from_secs(5);
        config.safety.fault_after = Duration::from_secs(10);
    });
    rig.levers.no_button.store(true, Ordering::Release);
    for _ in 0..20 {
        rig.clear_frame();
        std::thread::sleep(PERIOD);
    }
    rig.wait_until("interlocked", |rig| rig.is_waiting_for_reset());
    rig
}

impl Rig {
    fn is_waiting_for_reset(&mut self) -> bool {
        self.told().iter().any(|event| {
            matches!(
                event,
                Event::State {
                    state: PermissionState::Interlocked,
                    ..
                }
            )
        })
    }

    /// As the ui thread hands an order on, stamped now.
    fn order(&mut self, order: OperatorOrder) {
        self.order_of(order, monotonic_now());
    }

    fn order_of(&mut self, order: OperatorOrder, at: MonotonicTime) {
        let desk = self.desk.as_mut().expect("the screen is there");
        assert!(desk.push(OperatorCommand { at, order }).is_ok(), "full");
    }

    fn is_refused_for(&mut self, reason: ResetRefusal) -> bool {
        let told = self.told().iter();
        told.filter(|event| matches!(event, Event::ResetRefused { why, .. } if *why == reason))
            .count()
            > 0
    }
}

const ONE: PressId = PressId(1);
const TWO: PressId = PressId(2);
const A_PRESS: Duration = Duration::from_millis(100);

#[test]
fn a_whole_press_at_the_screen_resets() {
    let mut rig = waiting();
    rig.order(PressReset(ONE));
    std::thread::sleep(A_PRESS);
    assert!(!rig.is_on(), "pressing alone is no reset");
    rig.order(ReleaseReset(ONE));
    rig.feed_until("ON", |rig| rig.is_on());
    assert_eq!(
        rig.permission_edges().last().map(|edge| edge.cause),
        Some(Cause::Reset)
    );
}

#[test]
fn a_screen_that_hangs_or_dies_while_pressed_never_resets() {
    for dies in [false, true] {
        let mut rig = waiting();
        rig.order(PressReset(ONE));
        std::thread::sleep(A_PRESS);
        if dies {
            rig.desk = None;
        }
        rig.feed_until("refused", |rig| {
            rig.is_refused_for(ResetRefusal::ScreenLate)
        });
        // Longer than a press may last.
        for _ in 0..20 {
            rig.clear_frame();
            std::thread::sleep(PERIOD);
        }
        assert!(!rig.is_on());
    }
}

#[test]
fn orders_of_a_screen_that_woke_up_again_are_too_old() {
    let mut rig = waiting();
    let then = monotonic_now() - Duration::from_secs(2);
    rig.order_of(PressReset(ONE), then);
    rig.order_of(ReleaseReset(ONE), then + A_PRESS);
    rig.feed_until("refused", |rig| {
        rig.is_refused_for(ResetRefusal::ScreenLate)
    });
    assert!(!rig.is_on());
    // And it works again.
    rig.order(PressReset(TWO));
    std::thread::sleep(A_PRESS);
    rig.order(ReleaseReset(TWO));
    rig.feed_until("ON", |rig| rig.is_on());
}

#[test]
fn an_abandoned_press_and_a_screen_gone_mad_do_nothing() {
    let mut rig = waiting();
    rig.order(PressReset(ONE));
    std::thread::sleep(A_PRESS);
    rig.order(HoldReset(ONE));
    rig.order(AbandonReset(ONE));
    rig.order(ReleaseReset(ONE));
    // Faster than any finger, and more than fits.
    let desk = rig.desk.as_mut().expect("the screen is there");
    for number in 2..2000 {
        let at = monotonic_now();
        for order in [PressReset(PressId(number)), ReleaseReset(PressId(number))] {
            let _ = desk.push(OperatorCommand { at, order });
        }
    }
    for _ in 0..20 {
        rig.clear_frame();
        std::thread::sleep(PERIOD);
    }
    assert!(!rig.is_on());
}

#[test]
fn where_a_button_is_wired_the_screen_may_acknowledge_but_not_reset() {
    // As shipped: an operator is simulated, the screen has no reset.
    let mut rig = Rig::new(4096, None);
    rig.levers.no_button.store(true, Ordering::Release);
    for _ in 0..20 {
        rig.clear_frame();
        std::thread::sleep(PERIOD);
    }
    rig.order(PressReset(ONE));
    std::thread::sleep(A_PRESS);
    rig.order(ReleaseReset(ONE));
    rig.feed_until("refused", |rig| {
        rig.is_refused_for(ResetRefusal::ScreenMayNot)
    });
    rig.order(Acknowledge);
    rig.feed_until("acknowledged", |rig| {
        let mut told = rig.told().iter();
        told.any(|event| matches!(event, Event::Acknowledged { .. }))
    });
    assert!(!rig.is_on());
}
