//! Puts the scene together, and the sketch its parts are drawn on.

use super::controls::{self, Insight};
use super::font::{Fonts, Weight};
use super::layout::{Bar, Layout, Plan, whole};
use super::symbol::{Inks, Layer, Symbol};
use super::view::{Page, Target, Targets, View};
use super::{Align, Command, Path, People, Rgba, Scene, SceneContext, Stroke};
use super::{banner, pages, palette, stream, symbol};
use crate::geometry::{Point, Rect, ScreenPixels, Size};
use crate::message::{PermissionState, Snapshot};
use crate::units::{StreamId, ZoneKind};

/// A picture, and what of it can be pressed.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// What is drawn.
    pub scene: Scene,
    /// What can be pressed.
    pub targets: Targets,
}

/// The picture of `snapshot` at `size` pixels, as nobody operates it. Pure: the same input gives the
/// same scene.
#[must_use]
pub fn build(snapshot: &Snapshot, context: &SceneContext, size: Size) -> Scene {
    compose(snapshot, context, &View::still(size)).scene
}

/// The picture of `snapshot` as a view shows it. Pure.
#[must_use]
pub fn compose(snapshot: &Snapshot, context: &SceneContext, view: &View<'_>) -> Composed {
    let frames = StreamId::ALL.map(|id| {
        let view = snapshot.streams[id.index()].as_ref();
        view.map(|view| view.frame.size())
    });
    let layout = Layout::new(&Plan {
        size: view.size,
        factor: view.factor,
        shown: view.streams,
        frames,
        bar: view.kiosk.map_or(Bar::Absent, |_| Bar::Present),
    });
    let mut sketch = Sketch::new(layout.scale);
    match view.is_undecided() {
        true => banner::undecided(&mut sketch, layout.banner, view.age),
        false => banner::draw(&mut sketch, layout.banner, snapshot, context),
    }
    let mut targets = Targets::default();
    let page = view.kiosk.map_or(Page::Cameras, |kiosk| kiosk.page);
    match (page, view.kiosk) {
        (Page::Status(page), Some(kiosk)) => {
            pages::draw(&mut sketch, layout.body, page, (snapshot, context), kiosk);
        }
        (Page::Cameras | Page::Status(_), _) => {
            for id in StreamId::ALL {
                if let Some(panel) = layout.panels[id.index()] {
                    targets.frames[id.index()] =
                        stream::draw(&mut sketch, panel, id, (snapshot, view.age), context);
                    targets.places.push((panel.area, Target::Video(id)));
                }
            }
        }
    }
    let answer = view.kiosk.and_then(|kiosk| kiosk.answer.as_deref());
    footer(&mut sketch, layout.footer, context, answer);
    if let Some(kiosk) = view.kiosk {
        let insight = insight(view, &layout, context);
        let buttons = controls::draw(&mut sketch, &layout, snapshot, kiosk, insight);
        targets.places.splice(0..0, buttons);
        if let Some(color) = alarm_color(snapshot.permission, view) {
            frame(&mut sketch, view.size, color);
        }
        if let Some(tip) = kiosk.pointer {
            controls::pointer(&mut sketch, tip);
        }
    }
    Composed {
        scene: sketch.finish(view.size),
        targets,
    }
}

/// Whether whoever looks at the picture sees what a reset depends on.
fn insight(view: &View<'_>, layout: &Layout, context: &SceneContext) -> Insight {
    let on_cameras = view.kiosk.is_some_and(|kiosk| kiosk.page == Page::Cameras);
    let mut guarded = context.zones.iter().filter(|z| z.kind == ZoneKind::Stop);
    let sees_all = guarded.all(|zone| layout.panels[zone.camera.index()].is_some());
    if on_cameras && sees_all && !view.is_undecided() {
        Insight::Whole
    } else {
        Insight::Lacking
    }
}

fn alarm_color(permission: PermissionState, view: &View<'_>) -> Option<Rgba> {
    if view.is_undecided() {
        return Some(palette::FAULT);
    }
    match permission {
        PermissionState::Tripped(_) => Some(palette::STOP),
        PermissionState::LockedOut(_) => Some(palette::FAULT),
        PermissionState::SelfTest | PermissionState::Interlocked | PermissionState::On => None,
    }
}

/// A thick line around the whole picture while something is wrong: seen on every page, from the corner
/// of the eye.
#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
fn frame(sketch: &mut Sketch, size: Size, color: Rgba) {
    let width = (8.0 * sketch.scale).round();
    let half = width / 2.0;
    let (wide, tall) = (size.width as f32, size.height as f32);
    if let Some(rect) = Rect::new(half, half, wide - half, tall - half) {
        sketch.outline(rect, Stroke { width, color });
    }
}

impl SceneContext {
    /// Remembers where people are, where the picture is anonymised. Call it for every snapshot, also
    /// for one that is not drawn: a cover that starts late shows a face.
    pub fn observe(&mut self, snapshot: &Snapshot) {
        if let Some(engine) = &snapshot.engine
            && **engine != *self.engine
        {
            self.engine = engine.to_string();
        }
        let People::Masked(memory) = &mut self.people else {
            return;
        };
        for view in snapshot.streams.iter().flatten() {
            memory.observe(view);
        }
    }
}

fn footer(
    sketch: &mut Sketch,
    within: Rect<ScreenPixels>,
    context: &SceneContext,
    answer: Option<&str>,
) {
    let size = 15.0 * sketch.scale;
    let gap = 12.0 * sketch.scale;
    let baseline = ((within.top() + within.bottom()) / 2.0 + 0.36 * size).round();
    let version = format!("   ·   andon {}", context.version);
    let noticed = answer.or(context.notice.as_deref()).is_some();
    let masked = matches!(context.people, People::Masked(_));
    let share = if noticed || masked { 0.6 } else { 1.0 };
    let room =
        within.width() * share - 2.0 * gap - sketch.fonts.width(&version, size, Weight::Regular);
    let engine = sketch
        .fonts
        .shorten(&context.engine, size, Weight::Regular, room);
    let about = engine + &version;
    let right = Point::new(within.right() - gap, baseline);
    let about_width = sketch.fonts.width(&about, size, Weight::Regular);
    sketch.text(
        right,
        about,
        size,
        Weight::Regular,
        Align::Right,
        palette::MUTED,
    );

    let mut left = within.left() + gap;
    if matches!(context.people, People::Masked(_)) {
        let words = String::from("Persons masked on worker safety");
        left += sketch.fonts.width(&words, size, Weight::Regular) + 2.0 * gap;
        let at = Point::new(within.left() + gap, baseline);
        sketch.text(
            at,
            words,
            size,
            Weight::Regular,
            Align::Left,
            palette::MUTED,
        );
    }
    // What the operator just did comes before what has been there for a while.
    if let Some(notice) = answer.or(context.notice.as_deref()) {
        let room = within.right() - about_width - 3.0 * gap - left;
        let tag = Tag {
            symbol: Some(Symbol::Attention),
            text: notice,
            size,
            ground: palette::CAUTION,
            ink: palette::DARK_TEXT,
        };
        let tall = tag.height();
        sketch.tag(
            &tag,
            left,
            within.top() + (within.height() - tall) / 2.0,
            room,
        );
    }
}

/// A small filled label with a symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    pub(super) symbol: Option<Symbol>,
    pub(super) text: &'a str,
    pub(super) size: f32,
    pub(super) ground: Rgba,
    pub(super) ink: Rgba,
}

impl Tag<'_> {
    /// How tall it is.
    pub(super) fn height(&self) -> f32 {
        (self.size * 1.5).round()
    }

    fn pad(&self) -> f32 {
        self.size * 0.45
    }

    fn symbol_room(&self) -> f32 {
        if self.symbol.is_some() {
            self.size * 0.95 + self.pad() * 0.8
        } else {
            0.0
        }
    }

    /// How wide it is where it is not shortened.
    pub(super) fn width(&self, fonts: &Fonts) -> f32 {
        let text = fonts.width(self.text, self.size, Weight::Bold);
        (text + 2.0 * self.pad() + self.symbol_room()).ceil()
    }
}

/// What a scene is drawn on while it is put together, in layers from below to above. A renderer
/// changes its means between layers only.
pub(super) struct Sketch {
    pub(super) scale: f32,
    pub(super) fonts: Fonts,
    /// Blocks, videos, masks.
    ground: Vec<Command>,
    /// Zones and other shapes on a video.
    shapes: Vec<Command>,
    /// Boxes around objects, and what is behind text.
    plates: Vec<Command>,
    /// Text and symbols.
    ink: Vec<Command>,
}

impl Sketch {
    pub(super) fn new(scale: f32) -> Self {
        Self {
            scale,
            fonts: Fonts::new(),
            ground: Vec::new(),
            shapes: Vec::new(),
            plates: Vec::new(),
            ink: Vec::new(),
        }
    }

    pub(super) fn finish(self, size: Size) -> Scene {
        let layers = [self.ground, self.shapes, self.plates, self.ink];
        Scene {
            size,
            background: palette::GROUND,
            commands: layers.into_iter().flatten().collect(),
        }
    }

    pub(super) fn block(&mut self, rect: Rect<ScreenPixels>, color: Rgba) {
        if rect.width() > 0.0 && rect.height() > 0.0 {
            self.ground.push(Command::Block { rect, color });
        }
    }

    pub(super) fn video(&mut self, stream: StreamId, rect: Rect<ScreenPixels>) {
        self.ground.push(Command::Video { stream, rect });
    }

    pub(super) fn mask(&mut self, rect: Rect<ScreenPixels>) {
        let color = palette::COVER;
        self.ground.push(Command::Mask { rect, color });
    }

    pub(super) fn shape(
        &mut self,
        points: Vec<Point<ScreenPixels>>,
        path: Path,
        fill: Option<Rgba>,
        stroke: Option<Stroke>,
    ) {
        self.shapes.push(Command::Polygon {
            points,
            path,
            fill,
            stroke,
        });
    }

    pub(super) fn plate(&mut self, rect: Rect<ScreenPixels>, color: Rgba) {
        self.plates.push(Command::Block { rect, color });
    }

    pub(super) fn outline(&mut self, rect: Rect<ScreenPixels>, stroke: Stroke) {
        self.plates.push(Command::Outline { rect, stroke });
    }

    pub(super) fn polygon(
        &mut self,
        points: Vec<Point<ScreenPixels>>,
        path: Path,
        fill: Option<Rgba>,
        stroke: Option<Stroke>,
    ) {
        self.ink.push(Command::Polygon {
            points,
            path,
            fill,
            stroke,
        });
    }

    pub(super) fn text(
        &mut self,
        at: Point<ScreenPixels>,
        text: String,
        size: f32,
        weight: Weight,
        align: Align,
        color: Rgba,
    ) {
        self.ink.push(Command::Text {
            at,
            text,
            size,
            weight,
            align,
            color,
        });
    }

    /// Draws a tag with its top left corner there, at most `room` wide, and says where it lies.
    pub(super) fn tag(
        &mut self,
        tag: &Tag<'_>,
        left: f32,
        top: f32,
        room: f32,
    ) -> Rect<ScreenPixels> {
        let around = 2.0 * tag.pad() + tag.symbol_room();
        let text = self
            .fonts
            .shorten(tag.text, tag.size, Weight::Bold, room - around);
        let width = self.fonts.width(&text, tag.size, Weight::Bold) + around;
        let rect = whole(left, top, width.ceil(), tag.height());
        self.plate(rect, tag.ground);
        if let Some(symbol) = tag.symbol {
            let side = tag.size * 0.95;
            let place = whole(
                rect.left() + tag.pad(),
                rect.top() + (rect.height() - side) / 2.0,
                side,
                side,
            );
            let inks = Inks {
                body: tag.ink,
                detail: tag.ground,
            };
            symbol::draw(self, Layer::Ink, symbol, place, inks);
        }
        let at = Point::new(
            rect.left() + tag.pad() + tag.symbol_room(),
            (rect.top() + rect.height() / 2.0 + 0.36 * tag.size).round(),
        );
        self.text(at, text, tag.size, Weight::Bold, Align::Left, tag.ink);
        rect
    }
}
