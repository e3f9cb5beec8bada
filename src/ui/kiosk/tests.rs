//! An operator's afternoon, event by event.

use super::*;
use crate::config::PageSet;
use crate::geometry::Rect;
use crate::message::{Fault, OperatorView, PartTally, ResetRefusal, TripCause};
use crate::ui::scene::EventEntry;
use crate::units::ZoneIndex;
use OperatorOrder::{AbandonReset, Acknowledge, HoldReset, PressReset, ReleaseReset};

const SIZE: Size = Size {
    width: 1000,
    height: 1000,
};
const ENGINE: Page = Page::Status(StatusPage::Engine);

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

/// Buttons as on a screen: reset right, acknowledge left of it, one page, a frame above.
fn targets(page: Page) -> Targets {
    let rect = |left, top, right, bottom| Rect::new(left, top, right, bottom).expect("a rectangle");
    let mut places = vec![
        (rect(0.0, 900.0, 100.0, 1000.0), Target::Page(Page::Cameras)),
        (rect(100.0, 900.0, 200.0, 1000.0), Target::Page(ENGINE)),
        (rect(500.0, 900.0, 700.0, 1000.0), Target::Acknowledge),
    ];
    let frame = rect(0.0, 200.0, 1000.0, 800.0);
    if page == Page::Cameras {
        places.push((rect(800.0, 900.0, 1000.0, 1000.0), Target::Reset));
        places.push((frame, Target::Video(StreamId::WorkerSafety)));
    }
    Targets {
        places,
        frames: [Some(frame), None],
    }
}

struct Story {
    kiosk: Kiosk,
    orders: Vec<(u64, OperatorOrder)>,
}

impl Story {
    fn new() -> Self {
        Self::with(KioskConfig::default(), true)
    }

    fn with(config: KioskConfig, may_reset: bool) -> Self {
        let mut kiosk = Kiosk::new(config, may_reset, SIZE);
        kiosk.shown(targets(Page::Cameras), at(0), at(0));
        Self {
            kiosk,
            orders: Vec::new(),
        }
    }

    fn act(&mut self, ms: u64, action: Action) -> &mut Self {
        self.act_at(DeviceId(0), ms, action)
    }

    fn act_at(&mut self, device: DeviceId, ms: u64, action: Action) -> &mut Self {
        let event = InputEvent {
            at: at(ms),
            device,
            action,
        };
        self.kiosk.take(&event);
        self.settle(ms)
    }

    fn pass(&mut self, ms: u64) -> &mut Self {
        self.kiosk.pass_time(at(ms));
        self.settle(ms)
    }

    /// What the ui thread does after everything while there is a picture.
    fn settle(&mut self, ms: u64) -> &mut Self {
        let page = self.kiosk.page();
        self.kiosk.shown(targets(page), at(ms), at(ms));
        self.collect()
    }

    fn collect(&mut self) -> &mut Self {
        while let Some(command) = self.kiosk.next_order() {
            let ms = command.at.since_epoch().as_millis();
            let ms = u64::try_from(ms).expect("a short story");
            self.orders.push((ms, command.order));
        }
        self
    }

    fn finger(&mut self, ms: u64, finger: u8, touch: Touch, x: f32, y: f32) -> &mut Self {
        let at = Point::new(x, y);
        self.act(ms, Action::Touch { finger, touch, at })
    }

    fn tap(&mut self, ms: u64, x: f32, y: f32) -> &mut Self {
        self.finger(ms, 0, Touch::Down, x, y);
        self.finger(ms + 100, 0, Touch::Up, x, y)
    }

    fn key(&mut self, ms: u64, key: Key, push: Push) -> &mut Self {
        self.act(ms, Action::Key(key, push))
    }

    fn observe(&mut self, ms: u64, permission: PermissionState) -> &mut Self {
        let snapshot = Snapshot {
            at: at(ms),
            permission,
            streams: [None, None],
            newest: StreamId::WorkerSafety,
            parts: PartTally::default(),
            operator: OperatorView::default(),
            engine: None,
        };
        self.kiosk.observe(&snapshot, at(ms));
        self.settle(ms)
    }
}

const RESET: (f32, f32) = (0.9, 0.95);
const ONE: PressId = PressId(1);

#[test]
fn reset_is_pressed_and_let_go_within_the_button() {
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, RESET.0, RESET.1);
    assert_eq!(
        story.kiosk.view(1.0).kiosk.map(|view| view.reset),
        Some(ResetControl::Down)
    );
    story.finger(1100, 0, Touch::Move, 0.85, 0.93);
    story.finger(1300, 0, Touch::Up, 0.85, 0.93);
    assert_eq!(
        story.orders,
        [(1000, PressReset(ONE)), (1300, ReleaseReset(ONE))]
    );
    assert_eq!(
        story.kiosk.view(1.0).kiosk.map(|view| view.reset),
        Some(ResetControl::Up)
    );
}

#[test]
fn a_finger_that_slides_off_gives_up_and_does_not_come_back() {
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, RESET.0, RESET.1);
    story.finger(1100, 0, Touch::Move, 0.6, 0.95);
    story.finger(1200, 0, Touch::Move, RESET.0, RESET.1);
    story.finger(1300, 0, Touch::Up, RESET.0, RESET.1);
    assert_eq!(
        story.orders,
        [(1000, PressReset(ONE)), (1100, AbandonReset(ONE))]
    );
    // Nor does one that comes from elsewhere.
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, 0.75, 0.95);
    story.finger(1100, 0, Touch::Move, RESET.0, RESET.1);
    story.finger(1300, 0, Touch::Up, RESET.0, RESET.1);
    assert_eq!(story.orders, []);
}

#[test]
fn a_second_finger_gives_the_press_up_and_a_cloth_presses_nothing() {
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, RESET.0, RESET.1);
    story.finger(1050, 1, Touch::Down, 0.5, 0.5);
    story.finger(1100, 0, Touch::Up, RESET.0, RESET.1);
    story.finger(1200, 1, Touch::Up, 0.5, 0.5);
    assert_eq!(
        story.orders,
        [(1000, PressReset(ONE)), (1050, AbandonReset(ONE))]
    );
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, 0.5, 0.1);
    story.finger(1010, 1, Touch::Down, RESET.0, RESET.1);
    story.finger(1200, 1, Touch::Up, RESET.0, RESET.1);
    story.finger(1210, 0, Touch::Up, 0.5, 0.1);
    assert_eq!(story.orders, []);
    // With everything lifted it works again.
    story.tap(2000, RESET.0, RESET.1);
    assert_eq!(
        story.orders,
        [(2000, PressReset(ONE)), (2100, ReleaseReset(ONE))]
    );
}

#[test]
fn a_screen_that_is_unplugged_while_pressed_gives_up() {
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, RESET.0, RESET.1);
    story.act(1200, Action::Lost);
    story.finger(1300, 0, Touch::Up, RESET.0, RESET.1);
    assert_eq!(
        story.orders,
        [(1000, PressReset(ONE)), (1200, AbandonReset(ONE))]
    );
    // Another device's end is none of its business.
    story.finger(2000, 0, Touch::Down, RESET.0, RESET.1);
    story.act_at(DeviceId(7), 2050, Action::Lost);
    story.finger(2100, 0, Touch::Up, RESET.0, RESET.1);
    assert_eq!(story.orders.last(), Some(&(2100, ReleaseReset(PressId(2)))));
}

#[test]
fn while_reset_is_down_the_decision_hears_of_it() {
    let mut story = Story::new();
    story.finger(1000, 0, Touch::Down, RESET.0, RESET.1);
    for ms in (1010..1350).step_by(10) {
        story.pass(ms);
    }
    let held = [1100, 1200, 1300].map(|ms| (ms, HoldReset(ONE)));
    assert_eq!(story.orders[1..], held);
}

#[test]
fn where_a_button_is_wired_there_is_none_on_the_screen() {
    let mut story = Story::with(KioskConfig::default(), false);
    // Even where somebody still finds one in the picture.
    story.tap(1000, RESET.0, RESET.1);
    story.key(2000, Key::Reset, Push::Down);
    story.key(2100, Key::Reset, Push::Up);
    assert_eq!(story.orders, []);
    assert_eq!(
        story.kiosk.view(1.0).kiosk.map(|view| view.reset),
        Some(ResetControl::Absent)
    );
}

#[test]
fn f12_is_the_same_button_and_counts_alone() {
    let mut story = Story::new();
    story.key(1000, Key::Reset, Push::Down);
    story.key(1200, Key::Reset, Push::Up);
    assert_eq!(
        story.orders,
        [(1000, PressReset(ONE)), (1200, ReleaseReset(ONE))]
    );
    story.orders.clear();
    story.key(2000, Key::Reset, Push::Down);
    story.key(2050, Key::Other, Push::Down);
    story.key(2200, Key::Reset, Push::Up);
    story.key(2210, Key::Other, Push::Up);
    let two = PressId(2);
    assert_eq!(
        story.orders,
        [(2000, PressReset(two)), (2050, AbandonReset(two))]
    );
    story.orders.clear();
    story.key(3000, Key::Other, Push::Down);
    story.key(3050, Key::Reset, Push::Down);
    story.key(3200, Key::Reset, Push::Up);
    assert_eq!(story.orders, []);
}

#[test]
fn whoever_resets_sees_the_cameras() {
    let mut story = Story::new();
    story.tap(1000, 0.15, 0.95);
    assert_eq!(story.kiosk.page(), ENGINE);
    story.tap(2000, RESET.0, RESET.1);
    story.key(3000, Key::Reset, Push::Down);
    story.key(3100, Key::Reset, Push::Up);
    assert_eq!(story.orders, []);
}

#[test]
fn pages_are_turned_by_their_buttons_and_by_keys() {
    let mut story = Story::new();
    story.tap(1000, 0.15, 0.95);
    assert_eq!(story.kiosk.page(), ENGINE);
    story.tap(2000, 0.05, 0.95);
    assert_eq!(story.kiosk.page(), Page::Cameras);
    let mut pages = Vec::new();
    for (number, key) in [Key::Previous, Key::Next, Key::Next, Key::Home]
        .into_iter()
        .enumerate()
    {
        let ms = 3000 + 100 * u64::try_from(number).expect("four");
        story.key(ms, key, Push::Down).key(ms + 50, key, Push::Up);
        pages.push(story.kiosk.page());
    }
    let inputs = Page::Status(StatusPage::Inputs);
    assert_eq!(pages, [Page::Cameras, inputs, ENGINE, Page::Cameras]);
}

#[test]
fn a_trip_and_a_lock_out_bring_the_cameras_back() {
    for alarm in [
        PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))),
        PermissionState::LockedOut(Fault::OutputLost),
    ] {
        let mut story = Story::new();
        story.observe(500, PermissionState::On);
        story.tap(1000, 0.15, 0.95);
        story.observe(1500, PermissionState::On);
        assert_eq!(story.kiosk.page(), ENGINE);
        story.observe(1600, alarm);
        assert_eq!(story.kiosk.page(), Page::Cameras);
        // It may be left again while the alarm lasts.
        story.tap(2000, 0.15, 0.95);
        story.observe(2200, alarm);
        assert_eq!(story.kiosk.page(), ENGINE);
    }
}

#[test]
fn a_press_that_lasts_while_the_permission_is_taken_away_is_given_up() {
    for alarm in [
        PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))),
        PermissionState::LockedOut(Fault::OutputLost),
        PermissionState::SelfTest,
    ] {
        let mut story = Story::new();
        story.observe(500, PermissionState::On);
        story.finger(1000, 0, Touch::Down, RESET.0, RESET.1);
        story.observe(1100, alarm);
        story.observe(1500, PermissionState::Interlocked);
        story.finger(1600, 0, Touch::Up, RESET.0, RESET.1);
        let ended = [(1000, PressReset(ONE)), (1000, AbandonReset(ONE))];
        assert_eq!(story.orders, ended, "{alarm:?}");
    }
}

#[test]
fn where_nothing_is_shown_nothing_can_be_pressed_and_a_press_is_given_up() {
    let press = |kiosk: &mut Kiosk, ms: u64, push| {
        kiosk.take(&InputEvent {
            at: at(ms),
            device: DeviceId(0),
            action: Action::Key(Key::Reset, push),
        });
    };
    let orders = |kiosk: &mut Kiosk| -> Vec<OperatorOrder> {
        std::iter::from_fn(|| kiosk.next_order().map(|command| command.order)).collect()
    };
    let mut kiosk = Kiosk::new(KioskConfig::default(), true, SIZE);
    kiosk.shown(targets(Page::Cameras), at(1000), at(1030));
    press(&mut kiosk, 1100, Push::Down);
    assert_eq!(orders(&mut kiosk), [PressReset(ONE)]);
    // The cable is pulled.
    kiosk.blank();
    assert_eq!(orders(&mut kiosk), [AbandonReset(ONE)]);
    press(&mut kiosk, 1200, Push::Up);
    press(&mut kiosk, 1300, Push::Down);
    press(&mut kiosk, 1400, Push::Up);
    press(&mut kiosk, 1500, Push::Down);
    assert_eq!(orders(&mut kiosk), []);
    // Whoever pressed before it is back pressed nothing.
    kiosk.shown(targets(Page::Cameras), at(1480), at(1510));
    press(&mut kiosk, 1600, Push::Up);
    let early = |ms, touch| InputEvent {
        at: at(ms),
        device: DeviceId(1),
        action: Action::Touch {
            finger: 0,
            touch,
            at: Point::new(RESET.0, RESET.1),
        },
    };
    kiosk.take(&early(1505, Touch::Down));
    kiosk.take(&early(1605, Touch::Up));
    assert_eq!(orders(&mut kiosk), []);
    press(&mut kiosk, 1700, Push::Down);
    press(&mut kiosk, 1800, Push::Up);
    let two = PressId(2);
    assert_eq!(orders(&mut kiosk), [PressReset(two), ReleaseReset(two)]);
}

#[test]
fn a_picture_that_hangs_cannot_be_pressed() {
    let mut story = Story::new();
    story.settle(1000);
    story.finger(1100, 0, Touch::Down, RESET.0, RESET.1);
    // From here on no picture is known to be on the monitor.
    for ms in (1200..3000).step_by(100) {
        story.kiosk.pass_time(at(ms));
        story.collect();
    }
    story.kiosk.take(&InputEvent {
        at: at(3000),
        device: DeviceId(0),
        action: Action::Lost,
    });
    story.collect();
    let told: Vec<OperatorOrder> = story.orders.iter().map(|(_, order)| *order).collect();
    assert_eq!(told.first(), Some(&PressReset(ONE)));
    assert_eq!(told.last(), Some(&AbandonReset(ONE)));
    let heard = told
        .iter()
        .filter(|order| **order == HoldReset(ONE))
        .count();
    assert!((1..=5).contains(&heard), "{told:?}");
    story.orders.clear();
    for (ms, push) in [(3100, Push::Down), (3200, Push::Up)] {
        story.kiosk.take(&InputEvent {
            at: at(ms),
            device: DeviceId(0),
            action: Action::Key(Key::Reset, push),
        });
    }
    story.collect();
    assert_eq!(story.orders, []);
}

#[test]
fn an_old_picture_turns_pages_and_neither_resets_nor_acknowledges() {
    let story_of = |age: u64, key: Key| {
        let mut story = Story::new();
        let (of, now) = (at(1000), at(1000 + age));
        story.kiosk.blank();
        story.kiosk.shown(targets(Page::Cameras), of, of);
        story.kiosk.pass_time(now);
        for (ms, push) in [(0, Push::Down), (50, Push::Up)] {
            story.kiosk.take(&InputEvent {
                at: at(1000 + age + ms),
                device: DeviceId(0),
                action: Action::Key(key, push),
            });
        }
        story.collect();
        story
    };
    let engine = Key::Page(3);
    let shown = |age, key| story_of(age, key).kiosk.page();
    let (seen, hanging) = (500, 10_000);
    assert_eq!(
        (SEEN_MAX, HANGING),
        (Duration::from_millis(seen), Duration::from_millis(hanging))
    );
    assert_eq!(shown(0, engine), ENGINE);
    assert_eq!(shown(hanging - 1, engine), ENGINE);
    assert_eq!(shown(hanging, engine), Page::Cameras);
    for key in [Key::Reset, Key::Acknowledge] {
        assert!(!story_of(seen - 1, key).orders.is_empty());
        assert_eq!(story_of(seen, key).orders, []);
    }
}

#[test]
fn a_press_of_reset_that_an_old_picture_interrupts_is_given_up() {
    let mut story = Story::new();
    story.settle(1000);
    story.finger(1100, 0, Touch::Down, RESET.0, RESET.1);
    // The card shows a new picture, but one that was long under way.
    story
        .kiosk
        .shown(targets(Page::Cameras), at(1050), at(1600));
    story.collect();
    assert_eq!(
        story.orders.last().map(|order| order.1),
        Some(AbandonReset(ONE))
    );
    // What is down stays down, and means nothing when the picture is new again.
    story
        .kiosk
        .shown(targets(Page::Cameras), at(1650), at(1660));
    story.finger(1700, 0, Touch::Up, RESET.0, RESET.1);
    assert_eq!(
        story.orders.last().map(|order| order.1),
        Some(AbandonReset(ONE))
    );
}

#[test]
fn a_page_that_nobody_looks_at_gives_way_to_the_cameras() {
    let mut story = Story::new();
    story.tap(1000, 0.15, 0.95);
    story.pass(121_000);
    assert_eq!(story.kiosk.page(), ENGINE);
    story.pass(121_200);
    assert_eq!(story.kiosk.page(), Page::Cameras);
}

#[test]
fn a_press_on_a_frame_reaches_the_page_which_enlarges_it() {
    let mut story = Story::new();
    let streams = |story: &Story| story.kiosk.view(1.0).streams;
    assert_eq!(streams(&story), ShownStreams::Both);
    story.tap(1000, 0.5, 0.5);
    assert_eq!(streams(&story), ShownStreams::Only(StreamId::WorkerSafety));
    story.tap(2000, 0.5, 0.5);
    assert_eq!(streams(&story), ShownStreams::Both);
    story.tap(3000, 0.5, 0.5);
    story.observe(
        3500,
        PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))),
    );
    assert_eq!(streams(&story), ShownStreams::Both);
}

#[test]
fn what_was_seen_is_counted_no_more() {
    let mut story = Story::new();
    let event = |number, gravity| EventEntry {
        number,
        time: String::from("12:00:00"),
        text: String::from("something"),
        gravity,
    };
    let status = |events: Vec<EventEntry>| Status {
        events,
        ..Status::default()
    };
    let older = vec![event(2, Gravity::Fault), event(1, Gravity::Note)];
    story.kiosk.tell(status(older.clone()));
    let unseen = |story: &Story| story.kiosk.view(1.0).kiosk.map(|view| view.unacknowledged);
    assert_eq!(unseen(&story), Some(1));
    story.tap(1000, 0.6, 0.95);
    assert_eq!(story.orders, [(1100, Acknowledge)]);
    assert_eq!(unseen(&story), Some(0));
    let newer = [vec![event(3, Gravity::Caution)], older].concat();
    story.kiosk.tell(status(newer));
    assert_eq!(unseen(&story), Some(1));
}

#[test]
fn a_mouse_has_a_pointer_while_it_is_used_and_clicks_where_it_is() {
    let mut story = Story::new();
    let pointer = |story: &Story| story.kiosk.view(1.0).kiosk.and_then(|view| view.pointer);
    assert_eq!(pointer(&story), None);
    // Far out of the picture: it stops at the edge.
    story.act(1000, Action::MouseBy { dx: 5000, dy: 5000 });
    assert_eq!(pointer(&story), Some(Point::new(999.0, 999.0)));
    story.act(1100, Action::MouseTo(Point::new(0.9, 0.95)));
    story.act(1200, Action::Button(Push::Down));
    story.act(1400, Action::Button(Push::Up));
    assert_eq!(
        story.orders,
        [(1200, PressReset(ONE)), (1400, ReleaseReset(ONE))]
    );
    story.act(2000, Action::Button(Push::Down));
    story.act(2100, Action::MouseBy { dx: -300, dy: 0 });
    story.act(2200, Action::Button(Push::Up));
    let two = PressId(2);
    assert_eq!(
        story.orders[2..],
        [(2000, PressReset(two)), (2100, AbandonReset(two))]
    );
    story.pass(7300);
    assert_eq!(pointer(&story), None);
}

#[test]
fn a_refused_reset_is_answered_for_a_while() {
    let mut story = Story::new();
    let answer = |story: &Story| {
        let view = story.kiosk.view(1.0);
        view.kiosk.and_then(|view| view.answer.clone())
    };
    let snapshot = Snapshot {
        at: at(1000),
        permission: PermissionState::Interlocked,
        streams: [None, None],
        newest: StreamId::WorkerSafety,
        parts: PartTally::default(),
        operator: OperatorView {
            refused: Some((ResetRefusal::NotYetClear, at(990))),
            ..OperatorView::default()
        },
        engine: None,
    };
    story.kiosk.observe(&snapshot, at(1000));
    assert!(answer(&story).is_some_and(|text| text.contains("not clear for long enough")));
    story.pass(9000);
    // The same refusal is not told twice.
    story.kiosk.observe(&snapshot, at(9100));
    assert_eq!(answer(&story), None);
}

#[test]
fn a_page_that_is_configured_away_is_left() {
    let mut story = Story::new();
    story.tap(1000, 0.15, 0.95);
    story.kiosk.configure(KioskConfig {
        pages: PageSet::NONE.with(StatusPage::Events),
        ..KioskConfig::default()
    });
    assert_eq!(story.kiosk.page(), Page::Cameras);
}

#[test]
fn orders_that_nobody_takes_do_not_pile_up() {
    let mut kiosk = Kiosk::new(KioskConfig::default(), true, SIZE);
    kiosk.shown(targets(Page::Cameras), at(0), at(0));
    for number in 0..1000 {
        for touch in [Touch::Down, Touch::Up] {
            kiosk.take(&InputEvent {
                at: at(number),
                device: DeviceId(0),
                action: Action::Touch {
                    finger: 0,
                    touch,
                    at: Point::new(RESET.0, RESET.1),
                },
            });
        }
    }
    let orders = std::iter::from_fn(|| kiosk.next_order()).count();
    assert_eq!(orders, ORDERS_MAX);
}
