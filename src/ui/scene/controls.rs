//! The row of buttons: pages, acknowledging, reset. Where a finger can press, and how it looks.
//!
//! Page buttons are quiet; what asks for something has a colour: yellow where something wants to be
//! seen, blue where a reset would be accepted (as in `palette`).

use super::build::Sketch;
use super::font::Weight;
use super::layout::{Layout, whole};
use super::symbol::{self, Inks, Layer, Symbol};
use super::view::{KioskView, Page, ResetControl, Target};
use super::{Align, Path, Rgba, Stroke, palette};
use crate::config::{PageSet, StatusPage};
use crate::geometry::{Point, Rect, ScreenPixels};
use crate::message::{ResetPrompt, Snapshot};

/// Widths of buttons, in pixels of a 1280x720 picture.
const TAB: f32 = 140.0;
const TAB_MIN: f32 = 76.0;
const ACTION: f32 = 230.0;
const GAP: f32 = 8.0;

/// Room between a button's edge and what stands on it.
const PAD: f32 = 10.0;

/// What whoever looks at the picture sees of that which a reset depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insight {
    /// Every stream with a stop zone, and the newest decision.
    Whole,
    /// Not all of that: no reset is offered.
    Lacking,
}

/// A button.
struct Button {
    target: Target,
    rect: Rect<ScreenPixels>,
    text: String,
    symbol: Option<Symbol>,
    field: Rgba,
    ink: Rgba,
    outline: Option<Rgba>,
    /// A line along its lower edge: the page that is shown.
    underline: bool,
}

/// Draws the buttons; says where they are.
pub(super) fn draw(
    sketch: &mut Sketch,
    layout: &Layout,
    snapshot: &Snapshot,
    kiosk: &KioskView,
    insight: Insight,
) -> Vec<(Rect<ScreenPixels>, Target)> {
    let [upper, lower] = layout.bars;
    let stacked = upper != lower;
    let bars: &[_] = if stacked { &[upper, lower] } else { &[lower] };
    for bar in bars {
        sketch.block(*bar, palette::GROUND);
    }
    let actions = actions(upper, layout.scale, snapshot, (kiosk, insight));
    let room = if stacked {
        lower
    } else {
        // Room for every action, whether it is there or not: page buttons do not jump.
        let count = if kiosk.reset == ResetControl::Absent {
            1.0
        } else {
            2.0
        };
        let gap = GAP * layout.scale;
        let width = lower.width() - gap - count * (action_width(lower, layout.scale) + gap);
        whole(lower.left(), lower.top(), width, lower.height())
    };
    let tabs = tabs(room, layout.scale, kiosk);
    // The pages' names are all set alike, as small as the longest needs.
    let size = tabs
        .iter()
        .map(|tab| text_size(sketch, tab, layout.scale))
        .fold(f32::MAX, f32::min);
    for tab in &tabs {
        paint(sketch, tab, size, layout.scale);
    }
    for action in &actions {
        let size = text_size(sketch, action, layout.scale);
        paint(sketch, action, size, layout.scale);
    }
    let buttons = tabs.into_iter().chain(actions);
    buttons.map(|button| (button.rect, button.target)).collect()
}

const fn page_name(page: Page) -> &'static str {
    match page {
        Page::Cameras => "CAMERAS",
        Page::Status(StatusPage::Inputs) => "INPUTS",
        Page::Status(StatusPage::Engine) => "ENGINE",
        Page::Status(StatusPage::System) => "SYSTEM",
        Page::Status(StatusPage::Counters) => "COUNTERS",
        Page::Status(StatusPage::Events) => "EVENTS",
    }
}

/// A button for each page; where that would be too narrow for a finger, one for the cameras and one for
/// the next page.
fn tabs(room: Rect<ScreenPixels>, scale: f32, kiosk: &KioskView) -> Vec<Button> {
    let mut pages: Vec<Page> = Page::all(kiosk.pages.unwrap_or(PageSet::NONE)).collect();
    if pages.len() < 2 {
        return Vec::new();
    }
    let gap = GAP * scale;
    #[allow(clippy::cast_precision_loss, reason = "there are six pages")]
    let width = |count: usize| {
        let wide = (room.width() - gap) / count as f32 - gap;
        wide.min(TAB * scale).max(0.0)
    };
    if width(pages.len()) < TAB_MIN * scale {
        let at = pages.iter().position(|page| *page == kiosk.page);
        let next = at.map_or(1, |at| at + 1);
        let next = pages.get(next).or_else(|| pages.get(1)).copied();
        pages.truncate(1);
        pages.extend(next);
    }
    let wide = width(pages.len());
    let mut left = room.left() + gap;
    pages
        .into_iter()
        .map(|page| {
            let rect = whole(left, room.top() + gap, wide, room.height() - 2.0 * gap);
            left += wide + gap;
            let shown = page == kiosk.page;
            let held = kiosk.pressed == Some(page);
            Button {
                target: Target::Page(page),
                rect,
                text: page_name(page).to_owned(),
                symbol: None,
                field: if shown || held {
                    palette::SELF_TEST
                } else {
                    palette::PANEL
                },
                ink: palette::TEXT,
                outline: None,
                underline: shown,
            }
        })
        .collect()
}

/// At most a good quarter of the row.
fn action_width(bar: Rect<ScreenPixels>, scale: f32) -> f32 {
    (ACTION * scale).min(0.29 * bar.width())
}

/// Reset outermost, so that it is always at the same place.
fn actions(
    bar: Rect<ScreenPixels>,
    scale: f32,
    snapshot: &Snapshot,
    (kiosk, insight): (&KioskView, Insight),
) -> Vec<Button> {
    let gap = GAP * scale;
    let wide = action_width(bar, scale);
    let mut right = bar.right() - gap;
    let mut place = || {
        let rect = whole(
            right - wide,
            bar.top() + gap,
            wide,
            bar.height() - 2.0 * gap,
        );
        right -= wide + gap;
        rect
    };
    let mut buttons = Vec::new();
    if kiosk.reset != ResetControl::Absent {
        let rect = place();
        // Whoever resets looks at every camera that guards.
        if insight == Insight::Whole {
            buttons.push(reset(rect, snapshot.operator.prompt, kiosk.reset));
        }
    }
    let waiting = kiosk.unacknowledged + usize::from(snapshot.operator.alarm.is_some());
    if kiosk.unacknowledged > 0 || snapshot.operator.alarm.is_some() {
        buttons.push(Button {
            target: Target::Acknowledge,
            rect: place(),
            text: format!("ACKNOWLEDGE ({waiting})"),
            symbol: Some(Symbol::Good),
            field: if kiosk.acknowledging {
                palette::TEXT
            } else {
                palette::CAUTION
            },
            ink: palette::DARK_TEXT,
            outline: None,
            underline: false,
        });
    }
    buttons
}

fn reset(rect: Rect<ScreenPixels>, prompt: ResetPrompt, control: ResetControl) -> Button {
    let (field, ink, outline, text) = match (control, prompt) {
        (ResetControl::Down, _) => (palette::TEXT, palette::DARK_TEXT, None, "LET GO"),
        (_, ResetPrompt::Invited) => (palette::RESET, palette::TEXT, Some(palette::TEXT), "RESET"),
        (_, ResetPrompt::Wait) => (
            palette::PANEL,
            palette::MUTED,
            Some(palette::SELF_TEST),
            "RESET",
        ),
    };
    Button {
        target: Target::Reset,
        rect,
        text: text.to_owned(),
        symbol: Some(Symbol::Reset),
        field,
        ink,
        outline,
        underline: false,
    }
}

/// Side of a button's symbol, and what it takes of the button's width; nothing where there is none.
fn symbol_room(button: &Button, scale: f32) -> (f32, f32) {
    let side = (0.5 * button.rect.height()).round();
    let room = button.symbol.map_or(0.0, |_| side + 1.5 * PAD * scale);
    (side, room)
}

/// How large a button's text can be.
fn text_size(sketch: &Sketch, button: &Button, scale: f32) -> f32 {
    let wanted = if button.symbol.is_some() { 22.0 } else { 18.0 };
    let (_, around) = symbol_room(button, scale);
    let room = (button.rect.width() - 2.0 * PAD * scale - around).max(1.0);
    let size = (wanted * scale).round();
    sketch.fonts.fit(&button.text, size, Weight::Bold, room)
}

fn paint(sketch: &mut Sketch, button: &Button, size: f32, scale: f32) {
    let rect = button.rect;
    sketch.plate(rect, button.field);
    if let Some(color) = button.outline {
        let width = 2.0 * scale;
        sketch.outline(rect, Stroke { width, color });
    }
    if button.underline {
        let tall = (4.0 * scale).round();
        let line = whole(rect.left(), rect.bottom() - tall, rect.width(), tall);
        sketch.plate(line, palette::TEXT);
    }
    let weight = Weight::Bold;
    let (side, around) = symbol_room(button, scale);
    let width = sketch.fonts.width(&button.text, size, weight) + around;
    let left = (rect.left() + (rect.width() - width) / 2.0).round();
    let middle = (rect.top() + rect.bottom()) / 2.0;
    if let Some(symbol) = button.symbol {
        let place = whole(left, middle - side / 2.0, side, side);
        let inks = Inks {
            body: button.ink,
            detail: button.field,
        };
        symbol::draw(sketch, Layer::Ink, symbol, place, inks);
    }
    let at = Point::new(left + around, (middle + 0.36 * size).round());
    sketch.text(
        at,
        button.text.clone(),
        size,
        weight,
        Align::Left,
        button.ink,
    );
}

/// An arrow whose tip is at the point.
pub(super) fn pointer(sketch: &mut Sketch, tip: Point<ScreenPixels>) {
    const ARROW: [(f32, f32); 7] = [
        (0.0, 0.0),
        (0.0, 17.0),
        (4.0, 13.5),
        (6.8, 19.8),
        (9.4, 18.6),
        (6.7, 12.5),
        (12.0, 12.0),
    ];
    let size = 1.4 * sketch.scale;
    let points = ARROW.map(|(x, y)| Point::new(tip.x + x * size, tip.y + y * size));
    let stroke = Stroke {
        width: 1.5 * sketch.scale,
        color: palette::DARK_TEXT,
    };
    sketch.polygon(
        points.to_vec(),
        Path::Closed,
        Some(palette::TEXT),
        Some(stroke),
    );
}
