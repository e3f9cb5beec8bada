//! The operator at the monitor: what touching, clicking and keys mean. Pure: no clock, no I/O.
//!
//! [`Kiosk`] is owned by the ui thread. It is fed input events, snapshots and time, and keeps which
//! page is shown, where the mouse is, and which button a finger is on. What a person wants of the
//! decision leaves as [`OperatorCommand`]s; nothing here decides anything, and nothing of it has to be
//! believed (`decision::screen` does not).
//!
//! The rules:
//!
//! - A button is pressed by touching it and letting go of it within it. Sliding off gives it up, and
//!   sliding back does not bring it back.
//! - One finger presses. A second one anywhere, as by a cloth or a sleeve, gives the press up.
//! - Reset is at the camera page only: whoever resets sees the cameras. F12 is the same button.
//! - A trip, a lock-out and a self-test give the press up: it began before. A trip and a lock-out bring the
//!   camera page back, and so does a while without anybody.
//! - What is not on the monitor cannot be pressed: [`Kiosk::shown`] says what is there and how old it is,
//!   [`Kiosk::blank`] that nothing is. For what the decision is told, a picture older than [`SEEN_MAX`] is
//!   as good as none; pages still turn by it, until it is older than [`HANGING`].
//! - What lies on a frame is the page's: [`Kiosk`] hands it a [`FramePress`]. So far a press on a frame
//!   enlarges it and another one puts it back; a page for editing zones would take these instead.

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::config::{KioskConfig, ShownStreams, StatusPage};
use crate::geometry::{Normalised, Point, ScreenPixels, Size};
use crate::message::{OperatorCommand, OperatorOrder, PermissionState, PressId, Snapshot};
use crate::ui::input::{Action, DeviceId, InputEvent, Key, Push, ScreenShare, Touch};
use crate::ui::scene::{
    Gravity, KioskView, Machine, Page, ResetControl, Status, Target, Targets, View,
};
use crate::units::{MonotonicTime, StreamId};

/// While reset is down the decision is told so this often; see `decision::screen::SILENCE_MAX`.
const HOLD: Duration = Duration::from_millis(100);

/// A picture on the monitor that is older than this shows nothing of now: the decision says something
/// five times a second, and a slow board takes 0.1 s to draw it.
pub const SEEN_MAX: Duration = Duration::from_millis(500);

/// A picture that is older than this hangs, and nothing of it can be pressed. Where a processor draws, a
/// busy one may take a second, and whoever leafs through pages waits for it.
pub const HANGING: Duration = Duration::from_secs(10);

/// A mouse that has not moved for this long is not drawn.
const POINTER_SHOWN: Duration = Duration::from_secs(5);

/// After this long without anybody the cameras are shown again.
const PAGE_SHOWN: Duration = Duration::from_secs(120);

/// An answer stands this long.
const ANSWER_SHOWN: Duration = Duration::from_secs(8);

/// Orders that wait for the decision to take them; a person gives two a second.
const ORDERS_MAX: usize = 16;

/// A press on a stream's frame, for the page that shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FramePress {
    /// Whose.
    pub stream: StreamId,
    /// Where in the frame; `None` beside it.
    pub at: Option<Point<Normalised>>,
}

/// What presses: a finger, the mouse's button, a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Finger(DeviceId, u8),
    Mouse(DeviceId),
    Key(DeviceId, Key),
}

impl Means {
    const fn device(self) -> DeviceId {
        match self {
            Self::Finger(device, _) | Self::Mouse(device) | Self::Key(device, _) => device,
        }
    }
}

/// A press that lasts.
#[derive(Clone, Copy, Debug)]
struct Press {
    means: Means,
    target: Target,
    /// Of a press of reset.
    id: Option<PressId>,
    told_at: MonotonicTime,
    /// Where it began.
    at: Point<ScreenPixels>,
}

/// What can be seen on the monitor.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// Since when there has been a picture without a break.
    since: MonotonicTime,
    /// Since when it has been younger than [`SEEN_MAX`] without a break; `None` where it is not.
    current_since: Option<MonotonicTime>,
    /// What the picture says is from then.
    of: MonotonicTime,
}

/// Whether the decision is told of a press on `target`.
const fn counts(target: Target) -> bool {
    match target {
        Target::Reset | Target::Acknowledge => true,
        Target::Page(_) | Target::Video(_) => false,
    }
}

/// Pages, presses, and what the operator wants.
#[derive(Debug)]
pub struct Kiosk {
    config: KioskConfig,
    may_reset: bool,
    size: Size,
    view: KioskView,
    focus: Option<StreamId>,
    targets: Targets,
    /// `None` while nothing can be seen.
    sight: Option<Sight>,
    mouse: Option<(Point<ScreenPixels>, MonotonicTime)>,
    press: Option<Press>,
    /// Everything that is down, whether it presses something or not.
    down: ArrayVec<Means, 16>,
    presses: u64,
    touched_at: MonotonicTime,
    permission: Option<PermissionState>,
    refused_at: Option<MonotonicTime>,
    answered_at: MonotonicTime,
    /// Events up to this number have been seen.
    seen: u64,
    orders: ArrayVec<OperatorCommand, ORDERS_MAX>,
}

impl Kiosk {
    /// The camera page, untouched. `may_reset` says whether there is a reset button on the screen.
    #[must_use]
    pub fn new(config: KioskConfig, may_reset: bool, size: Size) -> Self {
        let reset = if may_reset {
            ResetControl::Up
        } else {
            ResetControl::Absent
        };
        Self {
            config,
            may_reset,
            size,
            view: KioskView {
                pages: Some(config.pages),
                reset,
                ..KioskView::default()
            },
            focus: None,
            targets: Targets::default(),
            sight: None,
            mouse: None,
            press: None,
            down: ArrayVec::new(),
            presses: 0,
            touched_at: MonotonicTime::ZERO,
            permission: None,
            refused_at: None,
            answered_at: MonotonicTime::ZERO,
            seen: 0,
            orders: ArrayVec::new(),
        }
    }

    /// The next order for the decision, oldest first.
    pub fn next_order(&mut self) -> Option<OperatorCommand> {
        self.orders.pop_at(0)
    }

    /// How the picture is to be composed now.
    #[must_use]
    pub fn view(&self, factor: f32) -> View<'_> {
        View {
            size: self.size,
            factor,
            streams: self.focus.map_or(self.config.streams, ShownStreams::Only),
            kiosk: Some(&self.view),
            age: Duration::ZERO,
        }
    }

    /// The page that is shown.
    #[must_use]
    pub const fn page(&self) -> Page {
        self.view.page
    }

    /// What can be pressed in the picture that is known at `now` to be on the monitor; `of` is the
    /// instant that it tells of.
    pub fn shown(&mut self, targets: Targets, of: MonotonicTime, now: MonotonicTime) {
        self.targets = targets;
        let before = self.sight;
        let current = now.saturating_since(of) < SEEN_MAX;
        self.sight = Some(Sight {
            since: before.map_or(now, |sight| sight.since),
            current_since: current
                .then(|| before.and_then(|sight| sight.current_since).unwrap_or(now)),
            of,
        });
        if !current {
            self.give_up_what_counts();
        }
    }

    /// Nothing can be seen: nothing can be pressed, and a press that lasts is given up.
    pub fn blank(&mut self) {
        self.targets = Targets::default();
        self.sight = None;
        self.give_up(None);
    }

    /// The monitor has another size.
    pub fn resize(&mut self, size: Size) {
        if size != self.size {
            self.size = size;
            self.mouse = None;
            self.blank();
        }
    }

    /// The configuration changed while the program runs.
    pub fn configure(&mut self, config: KioskConfig) {
        // Whether there is a reset button takes a restart.
        self.config = config;
        self.view.pages = Some(config.pages);
        if let Page::Status(page) = self.view.page
            && !config.pages.contains(page)
        {
            self.show(Page::Cameras);
        }
    }

    /// What the program knows of itself now.
    pub fn tell(&mut self, status: Status) {
        self.view.status = status;
        self.count_unseen();
    }

    /// What it knows of the machine.
    pub fn tell_machine(&mut self, machine: Machine) {
        self.view.machine = machine;
    }

    /// Whether the page that is shown has figures of the machine.
    #[must_use]
    pub fn wants_machine(&self) -> bool {
        self.view.page == Page::Status(StatusPage::System)
    }

    /// Looks at what the decision says, also where it is not drawn.
    pub fn observe(&mut self, snapshot: &Snapshot, now: MonotonicTime) {
        let before = self.permission.replace(snapshot.permission);
        if before.is_none_or(|before| before != snapshot.permission) {
            match snapshot.permission {
                PermissionState::Tripped(_) | PermissionState::LockedOut(_) => {
                    self.show(Page::Cameras);
                    self.focus = None;
                    self.give_up(None);
                }
                PermissionState::SelfTest => self.give_up(None),
                PermissionState::Interlocked | PermissionState::On => {}
            }
        }
        if let Some((why, at)) = snapshot.operator.refused
            && self.refused_at.is_none_or(|last| last < at)
        {
            self.refused_at = Some(at);
            self.view.answer = Some(format!("RESET REFUSED – {why}"));
            self.answered_at = now;
        }
    }

    /// Lets time pass.
    pub fn pass_time(&mut self, now: MonotonicTime) {
        let over = |since: MonotonicTime, span| now.saturating_since(since) >= span;
        if let Some(sight) = &mut self.sight {
            if over(sight.of, HANGING) {
                self.blank();
            } else if over(sight.of, SEEN_MAX) {
                sight.current_since = None;
                self.give_up_what_counts();
            }
        }
        if let Some(press) = &mut self.press
            && let Some(id) = press.id
            && over(press.told_at, HOLD)
        {
            press.told_at = now;
            self.order(now, OperatorOrder::HoldReset(id));
        }
        if self
            .mouse
            .is_some_and(|(_, moved)| over(moved, POINTER_SHOWN))
        {
            self.view.pointer = None;
        }
        if self.view.answer.is_some() && over(self.answered_at, ANSWER_SHOWN) {
            self.view.answer = None;
        }
        let away = self.view.page != Page::Cameras || self.focus.is_some();
        if away && self.down.is_empty() && over(self.touched_at, PAGE_SHOWN) {
            self.show(Page::Cameras);
            self.focus = None;
        }
    }

    /// Takes what somebody did.
    pub fn take(&mut self, event: &InputEvent) {
        let InputEvent { at, device, action } = *event;
        self.touched_at = self.touched_at.max(at);
        match action {
            Action::Touch {
                finger,
                touch,
                at: place,
            } => {
                let means = Means::Finger(device, finger);
                let place = self.pixels(place);
                match touch {
                    Touch::Down => self.begin(means, Some(place), at),
                    Touch::Move => self.slide(means, place, at),
                    Touch::Up => self.end(means, Some(place), at),
                }
            }
            Action::MouseBy { dx, dy } => self.move_mouse(device, (dx, dy), at),
            Action::MouseTo(place) => {
                let place = self.pixels(place);
                self.put_mouse(place, at);
                self.slide(Means::Mouse(device), place, at);
            }
            Action::Button(push) => {
                let place = self.mouse_place();
                self.put_mouse(place, at);
                match push {
                    Push::Down => self.begin(Means::Mouse(device), Some(place), at),
                    Push::Up => self.end(Means::Mouse(device), Some(place), at),
                }
            }
            Action::Key(key, Push::Down) => self.key_down(Means::Key(device, key), key, at),
            Action::Key(key, Push::Up) => self.end(Means::Key(device, key), None, at),
            Action::Lost => {
                self.down.retain(|means| means.device() != device);
                if self
                    .press
                    .is_some_and(|press| press.means.device() == device)
                {
                    self.give_up(Some(at));
                }
            }
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    fn pixels(&self, share: Point<ScreenShare>) -> Point<ScreenPixels> {
        let (width, height) = (self.size.width as f32, self.size.height as f32);
        Point::new(share.x * width, share.y * height)
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    fn mouse_place(&self) -> Point<ScreenPixels> {
        let middle = Point::new(self.size.width as f32 / 2.0, self.size.height as f32 / 2.0);
        self.mouse.map_or(middle, |(place, _)| place)
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "counts of one movement and picture sizes are far below 2^24"
    )]
    fn move_mouse(&mut self, device: DeviceId, (dx, dy): (i32, i32), at: MonotonicTime) {
        // A hand's width of mousing crosses the picture, whatever its size.
        let step = (self.size.width.max(self.size.height) as f32 / 1280.0).max(0.5);
        let from = self.mouse_place();
        let place = Point::new(
            (from.x + dx as f32 * step).clamp(0.0, self.size.width as f32 - 1.0),
            (from.y + dy as f32 * step).clamp(0.0, self.size.height as f32 - 1.0),
        );
        self.put_mouse(place, at);
        self.slide(Means::Mouse(device), place, at);
    }

    fn put_mouse(&mut self, place: Point<ScreenPixels>, at: MonotonicTime) {
        self.mouse = Some((place, at));
        self.view.pointer = Some(place);
    }

    fn key_down(&mut self, means: Means, key: Key, at: MonotonicTime) {
        // A key counts alone: what a bar-code reader types, and a sleeve on a keyboard, does not.
        let alone = self.down.is_empty();
        self.begin(means, None, at);
        if !alone {
            return;
        }
        match key {
            Key::Reset => self.press_key(means, Target::Reset, at),
            Key::Acknowledge => self.press_key(means, Target::Acknowledge, at),
            Key::Page(number) => {
                let pages = Page::all(self.config.pages);
                if let Some(page) = pages.into_iter().nth(usize::from(number.saturating_sub(1))) {
                    self.press_key(means, Target::Page(page), at);
                }
            }
            Key::Next => self.turn(1),
            Key::Previous => self.turn(-1),
            Key::Home => {
                self.show(Page::Cameras);
                self.focus = None;
            }
            Key::Other => {}
        }
    }

    /// Whether somebody who did something at `at` could see well enough what is on the monitor now to
    /// mean `target`.
    fn could_see(&self, target: Target, at: MonotonicTime) -> bool {
        self.sight.is_some_and(|sight| {
            let since = if counts(target) {
                sight.current_since
            } else {
                Some(sight.since)
            };
            since.is_some_and(|since| since <= at)
        })
    }

    /// A key is a button that is there only while it is drawn.
    fn press_key(&mut self, means: Means, target: Target, at: MonotonicTime) {
        if let Some(rect) = self.targets.place_of(target) {
            let middle = Point::new(
                (rect.left() + rect.right()) / 2.0,
                (rect.top() + rect.bottom()) / 2.0,
            );
            self.press(means, target, middle, at);
        }
    }

    fn turn(&mut self, by: isize) {
        let pages: Vec<Page> = Page::all(self.config.pages).collect();
        let at = pages.iter().position(|page| *page == self.view.page);
        let next = at
            .unwrap_or(0)
            .checked_add_signed(by)
            .and_then(|next| pages.get(next));
        if let Some(page) = next {
            self.show(*page);
        }
    }

    fn begin(&mut self, means: Means, place: Option<Point<ScreenPixels>>, at: MonotonicTime) {
        let first = self.down.is_empty();
        if !self.down.contains(&means) && self.down.try_push(means).is_err() {
            self.give_up(Some(at));
            return;
        }
        if !first {
            self.give_up(Some(at));
            return;
        }
        if let Some(place) = place
            && let Some(target) = self.targets.at(place)
        {
            self.press(means, target, place, at);
        }
    }

    fn press(
        &mut self,
        means: Means,
        target: Target,
        place: Point<ScreenPixels>,
        at: MonotonicTime,
    ) {
        if !self.could_see(target, at) {
            return;
        }
        let mut id = None;
        match target {
            Target::Reset => {
                if !self.may_reset {
                    return;
                }
                self.presses += 1;
                let press = PressId(self.presses);
                self.order(at, OperatorOrder::PressReset(press));
                self.view.reset = ResetControl::Down;
                id = Some(press);
            }
            Target::Acknowledge => self.view.acknowledging = true,
            Target::Page(page) => self.view.pressed = Some(page),
            Target::Video(_) => {}
        }
        self.press = Some(Press {
            means,
            target,
            id,
            told_at: at,
            at: place,
        });
    }

    fn slide(&mut self, means: Means, place: Point<ScreenPixels>, at: MonotonicTime) {
        let off =
            |press: &Press| press.means == means && self.targets.at(place) != Some(press.target);
        if self.press.as_ref().is_some_and(off) {
            self.give_up(Some(at));
        }
    }

    fn end(&mut self, means: Means, place: Option<Point<ScreenPixels>>, at: MonotonicTime) {
        if let Some(place) = place {
            self.slide(means, place, at);
        }
        self.down.retain(|down| *down != means);
        let Some(press) = self.press.filter(|press| press.means == means) else {
            return;
        };
        self.let_go();
        match press.target {
            Target::Reset => {
                if let Some(id) = press.id {
                    self.order(at, OperatorOrder::ReleaseReset(id));
                }
            }
            Target::Acknowledge => {
                let newest = self.view.status.events.first();
                self.seen = newest.map_or(self.seen, |event| event.number);
                self.count_unseen();
                self.order(at, OperatorOrder::Acknowledge);
            }
            Target::Page(page) => self.show(page),
            Target::Video(stream) => self.on_frame(FramePress {
                stream,
                at: self.targets.in_frame(stream, press.at),
            }),
        }
    }

    /// What the camera page makes of a press on a frame.
    fn on_frame(&mut self, press: FramePress) {
        if self.config.streams == ShownStreams::Both {
            self.focus = match self.focus {
                None => Some(press.stream),
                Some(_) => None,
            };
        }
    }

    /// The press means nothing any more.
    fn give_up(&mut self, at: Option<MonotonicTime>) {
        if let Some(id) = self.press.and_then(|press| press.id) {
            let at = at.unwrap_or(self.touched_at);
            self.order(at, OperatorOrder::AbandonReset(id));
        }
        self.let_go();
    }

    /// A press of which the decision would be told means nothing any more.
    fn give_up_what_counts(&mut self) {
        if self.press.is_some_and(|press| counts(press.target)) {
            self.give_up(None);
        }
    }

    fn let_go(&mut self) {
        self.press = None;
        self.view.pressed = None;
        self.view.acknowledging = false;
        if self.view.reset == ResetControl::Down {
            self.view.reset = ResetControl::Up;
        }
    }

    fn show(&mut self, page: Page) {
        if page != self.view.page {
            self.view.page = page;
            // What was under the finger is there no more.
            self.give_up(None);
        }
    }

    fn count_unseen(&mut self) {
        let events = self.view.status.events.iter();
        self.view.unacknowledged = events
            .filter(|event| event.number > self.seen && event.gravity != Gravity::Note)
            .count();
    }

    /// An order that finds no room is none; a press whose end is lost ends nowhere.
    fn order(&mut self, at: MonotonicTime, order: OperatorOrder) {
        let _ = self.orders.try_push(OperatorCommand { at, order });
    }
}

#[cfg(test)]
mod tests;
