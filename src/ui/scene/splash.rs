//! The first picture: what starts, before there is anything to see.

use super::build::Sketch;
use super::font::Weight;
use super::layout::whole;
use super::symbol::{self, Inks, Layer, Symbol};
use super::view::View;
use super::{Align, Scene, palette};
use crate::geometry::Point;

/// How far a part of the program has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// It is being opened or loaded.
    Starting,
    /// It is there.
    Ready,
    /// It cannot be had.
    Failed,
}

/// One part of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartLine {
    /// Which.
    pub name: String,
    /// How far.
    pub step: Step,
    /// What it is, or what is wrong with it.
    pub detail: String,
}

/// What starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splash {
    /// The program's version.
    pub version: String,
    /// In the order in which they start.
    pub lines: Vec<StartLine>,
}

/// The picture of a start.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes and lines are far below 2^24"
)]
pub fn splash(splash: &Splash, view: &View<'_>) -> Scene {
    let (width, height) = (view.size.width as f32, view.size.height as f32);
    let base = if height > width {
        (width / 720.0).min(height / 1280.0)
    } else {
        (width / 1280.0).min(height / 720.0)
    };
    let scale = base * view.factor;
    let mut sketch = Sketch::new(scale);
    let failed = splash.lines.iter().any(|line| line.step == Step::Failed);
    let row = 46.0 * scale;
    let name = (110.0 * base).round();
    let tall = 1.9 * name + row * (splash.lines.len() as f32 + 1.6);
    let mut baseline = ((height - tall) / 2.0).max(0.0) + 0.8 * name;
    let inset = (0.12 * width).round();
    let at = |baseline: f32| Point::new(inset, baseline.round());
    sketch.text(
        at(baseline),
        String::from("ANDON"),
        name,
        Weight::Bold,
        Align::Left,
        palette::TEXT,
    );
    baseline += 0.42 * name;
    let size = (24.0 * scale).round();
    let version = format!("version {}", splash.version);
    sketch.text(
        at(baseline),
        version,
        size,
        Weight::Regular,
        Align::Left,
        palette::MUTED,
    );
    baseline += 0.62 * name;
    let widest = splash
        .lines
        .iter()
        .map(|line| sketch.fonts.width(&line.name, size, Weight::Bold))
        .fold(0.0, f32::max);
    let columns = (inset, inset + 2.4 * size + widest, width - 0.5 * inset);
    for line in &splash.lines {
        start_line(&mut sketch, line, columns, (baseline, size));
        baseline += row;
    }
    let (text, color) = if failed {
        ("Cannot start. Run permission OFF.", palette::CAUTION)
    } else {
        ("Starting. Run permission OFF.", palette::TEXT)
    };
    sketch.text(
        at(baseline + 0.6 * row),
        String::from(text),
        size,
        Weight::Bold,
        Align::Left,
        color,
    );
    sketch.finish(view.size)
}

fn start_line(
    sketch: &mut Sketch,
    line: &StartLine,
    (inset, detail, right): (f32, f32, f32),
    (baseline, size): (f32, f32),
) {
    let (symbol, color) = match line.step {
        Step::Waiting => (None, palette::MUTED),
        Step::Starting => (Some(Symbol::Wait), palette::TEXT),
        Step::Ready => (Some(Symbol::Good), palette::CLEAR),
        Step::Failed => (Some(Symbol::Attention), palette::CAUTION),
    };
    if let Some(symbol) = symbol {
        let side = (0.9 * size).round();
        let place = whole(inset, baseline - 0.78 * size, side, side);
        let inks = Inks {
            body: color,
            detail: palette::GROUND,
        };
        symbol::draw(sketch, Layer::Ink, symbol, place, inks);
    }
    let ink = match line.step {
        Step::Waiting => palette::MUTED,
        Step::Starting | Step::Ready | Step::Failed => palette::TEXT,
    };
    let left = inset + 1.6 * size;
    let at = Point::new(left, baseline.round());
    sketch.text(at, line.name.clone(), size, Weight::Bold, Align::Left, ink);
    let left = detail.round();
    let room = right - left;
    let text = sketch
        .fonts
        .shorten(&line.detail, size, Weight::Regular, room);
    if !text.is_empty() {
        let at = Point::new(left, baseline.round());
        sketch.text(at, text, size, Weight::Regular, Align::Left, ink);
    }
}
