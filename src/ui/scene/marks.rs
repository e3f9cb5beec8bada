//! Boxes around people and parts, with their labels.

use super::build::{Sketch, Tag};
use super::layout::whole;
use super::symbol::Symbol;
use super::{Rgba, SceneContext, Stroke, palette};
use crate::geometry::{Normalised, Point, Rect, ScreenPixels};
use crate::message::{Disposition, InspectionVerdict, ItemVerdict, PersonVerdict, SafetyVerdict};
use crate::units::ZoneKind;

/// How an object looks: the graver, the thicker.
struct Look {
    color: Rgba,
    ground: Rgba,
    ink: Rgba,
    width: f32,
    fill: Option<Rgba>,
    symbol: Option<Symbol>,
}

impl Look {
    const fn person(kind: Option<ZoneKind>) -> Self {
        match kind {
            Some(ZoneKind::Stop) => Self::danger(Symbol::Stop),
            Some(ZoneKind::Warn) => Self::caution(Symbol::Attention),
            None => Self::clear(None),
        }
    }

    const fn item(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Good => Self::clear(Some(Symbol::Good)),
            Disposition::Reject => Self::danger(Symbol::Reject),
            Disposition::Unsure => Self::caution(Symbol::Unsure),
        }
    }

    const fn clear(symbol: Option<Symbol>) -> Self {
        Self {
            color: palette::CLEAR,
            ground: palette::CLEAR,
            ink: palette::DARK_TEXT,
            width: 2.0,
            fill: None,
            symbol,
        }
    }

    const fn caution(symbol: Symbol) -> Self {
        Self {
            color: palette::CAUTION,
            ground: palette::CAUTION,
            ink: palette::DARK_TEXT,
            width: 3.0,
            fill: None,
            symbol: Some(symbol),
        }
    }

    const fn danger(symbol: Symbol) -> Self {
        Self {
            color: palette::DANGER,
            ground: palette::STOP,
            ink: palette::TEXT,
            width: 4.0,
            fill: Some(palette::DANGER.with_alpha(40)),
            symbol: Some(symbol),
        }
    }
}

/// A box with its label.
struct Mark {
    look: Look,
    bbox: Rect<Normalised>,
    text: String,
}

/// Marks the people of a frame.
pub(super) fn people(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    verdict: &SafetyVerdict,
    context: &SceneContext,
    labels: &mut Labels,
) {
    let mut persons: Vec<&PersonVerdict> = verdict.persons.iter().collect();
    persons.sort_by_key(|person| person.kind);
    let mark = |person: &&PersonVerdict| {
        let name = context.detector_label(person.detection.label);
        Mark {
            look: Look::person(person.kind),
            bbox: person.detection.bbox,
            text: match person.distance {
                Some(distance) => format!("{name} {}  {distance}", person.detection.score),
                None => format!("{name} {}", person.detection.score),
            },
        }
    };
    let marks: Vec<Mark> = persons.iter().map(mark).collect();
    draw(sketch, video, &marks, labels);
}

/// Marks the parts of a frame with their grades.
pub(super) fn items(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    verdict: &InspectionVerdict,
    context: &SceneContext,
    labels: &mut Labels,
) {
    let gravity = |item: &&ItemVerdict| match item.disposition {
        Disposition::Good => 0,
        Disposition::Unsure => 1,
        Disposition::Reject => 2,
    };
    let mut items: Vec<&ItemVerdict> = verdict.items.iter().collect();
    items.sort_by_key(gravity);
    let mark = |item: &&ItemVerdict| {
        let grade = item.item.grade;
        let name = context.classifier_label(grade.label);
        let score = grade.score;
        Mark {
            look: Look::item(item.disposition),
            bbox: item.item.detection.bbox,
            text: match item.disposition {
                Disposition::Good | Disposition::Reject => format!("{name} {score}"),
                Disposition::Unsure => format!("unsure: {name} {score}"),
            },
        }
    };
    let marks: Vec<Mark> = items.iter().map(mark).collect();
    draw(sketch, video, &marks, labels);
}

/// Draws marks given from the least grave to the gravest: the gravest box lies on top, and the
/// gravest label gets the best place. A label without a free place is left out; its box says enough.
fn draw(sketch: &mut Sketch, video: Rect<ScreenPixels>, marks: &[Mark], labels: &mut Labels) {
    for mark in marks {
        frame(sketch, mark.bbox.to_screen(video), &mark.look);
    }
    for mark in marks.iter().rev() {
        let tag = Tag {
            symbol: mark.look.symbol,
            text: &mark.text,
            size: (15.0 * sketch.scale).round(),
            ground: mark.look.ground,
            ink: mark.look.ink,
        };
        let (width, height) = (tag.width(&sketch.fonts).min(video.width()), tag.height());
        let bbox = mark.bbox.to_screen(video);
        let lefts = [bbox.left(), bbox.right() - width];
        let tops = [
            bbox.top() - height,
            bbox.bottom(),
            bbox.top(),
            bbox.bottom() - height,
        ];
        let places = tops
            .into_iter()
            .flat_map(|top| lefts.map(|left| (left, top)));
        if let Some(at) = labels.place(places, width, height) {
            sketch.tag(&tag, at.x, at.y, width);
        }
    }
}

/// A line in the object's colour between two dark ones, so that it shows on any picture.
fn frame(sketch: &mut Sketch, bbox: Rect<ScreenPixels>, look: &Look) {
    let rect = whole(bbox.left(), bbox.top(), bbox.width(), bbox.height());
    if let Some(fill) = look.fill {
        sketch.plate(rect, fill);
    }
    let width = (look.width * sketch.scale).round().max(1.0);
    let halo = Stroke {
        width: width + 2.0 * sketch.scale.round().max(1.0),
        color: palette::HALO,
    };
    let line = Stroke {
        width,
        color: look.color,
    };
    sketch.outline(rect, halo);
    sketch.outline(rect, line);
}

/// Finds room for labels on a video, so that no label covers another.
pub(super) struct Labels {
    video: Rect<ScreenPixels>,
    taken: Vec<Rect<ScreenPixels>>,
}

impl Labels {
    pub(super) const fn new(video: Rect<ScreenPixels>) -> Self {
        Self {
            video,
            taken: Vec::new(),
        }
    }

    /// Keeps a place free of labels.
    pub(super) fn take(&mut self, place: Rect<ScreenPixels>) {
        self.taken.push(place);
    }

    /// The first of the places (left, top) where a label of this size is free and inside the video,
    /// moved sideways into the video where need be.
    pub(super) fn place(
        &mut self,
        places: impl Iterator<Item = (f32, f32)>,
        width: f32,
        height: f32,
    ) -> Option<Point<ScreenPixels>> {
        let rightmost = (self.video.right() - width).max(self.video.left());
        for (left, top) in places {
            let place = whole(left.clamp(self.video.left(), rightmost), top, width, height);
            let inside = place.top() >= self.video.top() && place.bottom() <= self.video.bottom();
            if inside && !self.taken.iter().any(|taken| overlap(place, *taken)) {
                self.taken.push(place);
                return Some(Point::new(place.left(), place.top()));
            }
        }
        None
    }
}

fn overlap(a: Rect<ScreenPixels>, b: Rect<ScreenPixels>) -> bool {
    a.left() < b.right() && b.left() < a.right() && a.top() < b.bottom() && b.top() < a.bottom()
}
