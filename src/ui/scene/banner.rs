//! The state of the run permission, to be read across a hall.
//!
//! RUN is quiet: a green symbol on the dark ground. Everything else floods the whole banner, so that
//! the change jumps out even at the edge of one's view. Colour, symbol and word say the same thing.

use std::time::Duration;

use super::build::{Sketch, Tag};
use super::font::Weight;
use super::layout::whole;
use super::symbol::{Inks, Layer, Symbol};
use super::{Align, Rgba, SceneContext, palette, symbol};
use crate::geometry::{Point, Rect, ScreenPixels};
use crate::message::{
    Fault, PermissionState, PictureDoubt, SelfTestFailure, Snapshot, TripCause, Verdict, ZoneSet,
};
use crate::units::{StreamId, ZoneIndex, ZoneKind};

struct Look {
    symbol: Symbol,
    inks: Inks,
    /// Behind the symbol.
    field: Rgba,
    /// Behind the words.
    ground: Rgba,
    text: Rgba,
    /// The state, and why.
    headline: String,
    /// What it means or asks for.
    advice: String,
}

/// Draws the banner into `within`.
pub(super) fn draw(
    sketch: &mut Sketch,
    within: Rect<ScreenPixels>,
    snapshot: &Snapshot,
    context: &SceneContext,
) {
    // While the permission is OFF its cause has the whole banner.
    let warned = snapshot
        .permission
        .is_on()
        .then(|| warned_zones(snapshot, context))
        .flatten();
    paint(sketch, within, look(snapshot, context), warned);
}

/// Draws the banner of a picture whose decision is of `age` and says nothing of now.
pub(super) fn undecided(sketch: &mut Sketch, within: Rect<ScreenPixels>, age: Duration) {
    let look = Look {
        advice: String::from("Nobody knows whether the machine may run. All that is shown is old."),
        ..flooded(
            Symbol::Attention,
            palette::FAULT,
            palette::DARK_TEXT,
            format!("NO DECISION – for {} s", age.as_secs()),
            "",
        )
    };
    paint(sketch, within, look, None);
}

fn paint(sketch: &mut Sketch, within: Rect<ScreenPixels>, look: Look, warned: Option<String>) {
    let tall = within.height();
    let field = whole(within.left(), within.top(), tall, tall);
    let words = whole(
        field.right(),
        within.top(),
        within.right() - field.right(),
        tall,
    );
    sketch.block(field, look.field);
    sketch.block(words, look.ground);
    let margin = (0.17 * tall).round();
    let place = whole(
        field.left() + margin,
        field.top() + margin,
        tall - 2.0 * margin,
        tall - 2.0 * margin,
    );
    symbol::draw(sketch, Layer::Ink, look.symbol, place, look.inks);

    let left = field.right() + 0.16 * tall;
    let right = within.right() - 0.16 * tall;
    let warned_width = warned.map_or(0.0, |text| warning(sketch, within, right, &text));
    let room = (right - left - warned_width).max(1.0);
    let size = sketch
        .fonts
        .fit(&look.headline, (0.54 * tall).round(), Weight::Bold, room);
    let at = Point::new(left, (within.top() + 0.38 * tall + 0.36 * size).round());
    sketch.text(
        at,
        look.headline,
        size,
        Weight::Bold,
        Align::Left,
        look.text,
    );
    // On a small monitor text is larger against the picture; the headline leaves a fifth to it.
    let advice = (0.155 * tall).max((15.0 * sketch.scale).min(0.21 * tall));
    let size = sketch
        .fonts
        .fit(&look.advice, advice.round(), Weight::Regular, room);
    let at = Point::new(left, (within.top() + 0.89 * tall).round());
    sketch.text(
        at,
        look.advice,
        size,
        Weight::Regular,
        Align::Left,
        look.text,
    );
}

fn look(snapshot: &Snapshot, context: &SceneContext) -> Look {
    match snapshot.permission {
        PermissionState::SelfTest => Look {
            symbol: Symbol::Wait,
            field: palette::SELF_TEST,
            ..quiet(
                "SELF TEST",
                "Run permission OFF. Waiting for the first judged picture.",
            )
        },
        PermissionState::On => Look {
            symbol: Symbol::Run,
            field: palette::RUN,
            ..quiet("RUN", "Run permission ON. Stop zones clear.")
        },
        PermissionState::Interlocked => flooded(
            Symbol::Reset,
            palette::RESET,
            palette::TEXT,
            String::from("WAITING FOR RESET"),
            if any_stop_zone_occupied(snapshot) {
                "Somebody is in a stop zone."
            } else {
                "Check the line, then press reset."
            },
        ),
        PermissionState::Tripped(cause) => {
            let (why, advice) = trip(cause, context);
            let headline = format!("STOP – {why}");
            flooded(
                Symbol::Stop,
                palette::STOP,
                palette::TEXT,
                headline,
                &advice,
            )
        }
        PermissionState::LockedOut(fault) => {
            let (why, advice) = fault_words(fault);
            let headline = format!("FAULT – {why}");
            flooded(
                Symbol::Attention,
                palette::FAULT,
                palette::DARK_TEXT,
                headline,
                &advice,
            )
        }
    }
}

fn quiet(headline: &str, advice: &str) -> Look {
    Look {
        symbol: Symbol::Wait,
        inks: Inks {
            body: palette::TEXT,
            detail: palette::GROUND,
        },
        field: palette::GROUND,
        ground: palette::GROUND,
        text: palette::TEXT,
        headline: headline.to_owned(),
        advice: advice.to_owned(),
    }
}

fn flooded(symbol: Symbol, ground: Rgba, text: Rgba, headline: String, advice: &str) -> Look {
    Look {
        symbol,
        inks: Inks {
            body: text,
            detail: ground,
        },
        field: ground,
        ground,
        text,
        headline,
        advice: format!("Run permission OFF. {advice}"),
    }
}

fn trip(cause: TripCause, context: &SceneContext) -> (String, String) {
    match cause {
        TripCause::Zone(zone) => (
            format!("zone “{}”", zone_name(zone, context)),
            String::from("Person in the zone: leave it."),
        ),
        TripCause::Stale(stream) => (
            String::from("picture late"),
            format!(
                "No fresh picture of {}: counts as occupied.",
                stream_words(stream)
            ),
        ),
        TripCause::Unjudged(stream) => (
            String::from("picture not judged"),
            format!(
                "Detection failed on {}: counts as occupied.",
                stream_words(stream)
            ),
        ),
        TripCause::Picture(stream, doubt) => {
            let (why, look_at) = doubt_words(doubt, stream);
            (String::from(why), format!("{look_at}. Counts as occupied."))
        }
    }
}

/// What is broken, and what to look at.
fn fault_words(fault: Fault) -> (&'static str, String) {
    let (why, look_at) = match fault {
        Fault::Unguarded => ("no stop zone", String::from("Configure a stop zone")),
        Fault::OutputLost => ("output lost", String::from("Check the relay lines")),
        Fault::FeedbackMismatch => (
            "relay feedback",
            String::from("Check the relay and its feedback contact"),
        ),
        Fault::ClockBackwards => ("clock", String::from("Check the camera and its clock")),
        Fault::SourceEnded(stream) => (
            "picture ended",
            format!("Start the input of {} again", stream_words(stream)),
        ),
        Fault::SourceLost(stream) => (
            "picture lost",
            format!("Check the camera of {}", stream_words(stream)),
        ),
        Fault::InferenceLost(stream) => (
            "detection lost",
            format!("Check what runs the models of {}", stream_words(stream)),
        ),
        Fault::PictureFrozen(stream) => doubt_words(PictureDoubt::Frozen, stream),
        Fault::CameraCovered(stream) => doubt_words(PictureDoubt::Covered, stream),
        Fault::CameraMoved(stream) => doubt_words(PictureDoubt::Moved, stream),
        Fault::SelfTestFailed(failure) => (
            "self-test failed",
            match failure {
                SelfTestFailure::Detector => String::from("The detector is blind: call service"),
                SelfTestFailure::Geometry => String::from("The zones are wrong: call service"),
                SelfTestFailure::Overdue => String::from("The detector does not answer"),
            },
        ),
    };
    (why, format!("{look_at}, then press reset."))
}

/// What is wrong with a picture, and what to look at.
fn doubt_words(doubt: PictureDoubt, stream: StreamId) -> (&'static str, String) {
    let stream = stream_words(stream);
    match doubt {
        PictureDoubt::Frozen => ("picture frozen", format!("Check the camera of {stream}")),
        PictureDoubt::Covered => (
            "camera covered",
            format!("Clear the lens and the light of {stream}"),
        ),
        PictureDoubt::Moved => (
            "camera moved",
            format!("Put the camera of {stream} back, clear its view"),
        ),
    }
}

const fn stream_words(stream: StreamId) -> &'static str {
    match stream {
        StreamId::WorkerSafety => "worker safety",
        StreamId::VisualInspection => "visual inspection",
    }
}

pub(super) fn zone_name(zone: ZoneIndex, context: &SceneContext) -> &str {
    context
        .zones
        .get(usize::from(zone.0))
        .map_or("?", |zone| zone.name.as_str())
}

fn occupied_zones(snapshot: &Snapshot) -> ZoneSet {
    snapshot
        .streams
        .iter()
        .flatten()
        .fold(ZoneSet::default(), |zones, view| match &view.verdict {
            Verdict::Safety(verdict) => zones.union(verdict.zones),
            Verdict::Inspection(_) => zones,
        })
}

fn any_stop_zone_occupied(snapshot: &Snapshot) -> bool {
    snapshot
        .streams
        .iter()
        .flatten()
        .any(|view| match &view.verdict {
            Verdict::Safety(verdict) => verdict.occupied,
            Verdict::Inspection(_) => false,
        })
}

/// Names of the occupied warn zones.
fn warned_zones(snapshot: &Snapshot, context: &SceneContext) -> Option<String> {
    let names: Vec<&str> = occupied_zones(snapshot)
        .iter()
        .filter(|zone| {
            let zone = context.zones.get(usize::from(zone.0));
            zone.is_some_and(|zone| zone.kind == ZoneKind::Warn)
        })
        .map(|zone| zone_name(zone, context))
        .collect();
    (!names.is_empty()).then(|| format!("WARNING – {}", names.join(", ")))
}

/// A warning beside the state, right-aligned at `right`; its width and a gap.
fn warning(sketch: &mut Sketch, within: Rect<ScreenPixels>, right: f32, text: &str) -> f32 {
    let tag = Tag {
        symbol: Some(Symbol::Attention),
        text,
        size: (0.19 * within.height()).round(),
        ground: palette::CAUTION,
        ink: palette::DARK_TEXT,
    };
    let room = within.width() * 0.36;
    let width = tag.width(&sketch.fonts).min(room);
    let top = within.top() + (within.height() - tag.height()) / 2.0;
    sketch.tag(&tag, right - width, top, room);
    width + 0.16 * within.height()
}
