//! The status pages: what stands on them, and how it is set.

use std::time::Duration;

use super::build::Sketch;
use super::font::Weight;
use super::layout::whole;
use super::status::{AcceleratorStatus, Gravity, InputStatus, Machine, Status};
use super::stream::stream_title;
use super::symbol::{self, Inks, Layer, Symbol};
use super::view::KioskView;
use super::{Align, SceneContext, palette};
use crate::config::StatusPage;
use crate::geometry::{Point, Rect, ScreenPixels};
use crate::message::{PartTally, Snapshot};
use crate::units::StreamId;

/// Hotter than this a board slows itself down soon (Raspberry Pi 4: 80 °C, i.MX 8M: 85 to 95 °C).
const HOT_CELSIUS: f32 = 80.0;

/// Heights in pixels of a 1280x720 picture.
const HEADING: f32 = 44.0;
const ROW: f32 = 34.0;

/// One line: what, and how much.
#[derive(Debug)]
struct Row {
    label: String,
    value: String,
    gravity: Option<Gravity>,
}

#[derive(Debug)]
struct Section {
    title: String,
    rows: Vec<Row>,
}

fn row(label: &str, value: impl Into<String>) -> Row {
    Row {
        label: label.to_owned(),
        value: value.into(),
        gravity: None,
    }
}

fn warned(row: Row, when: bool) -> Row {
    Row {
        gravity: when.then_some(Gravity::Caution),
        ..row
    }
}

/// Draws a page into `body`.
pub(super) fn draw(
    sketch: &mut Sketch,
    body: Rect<ScreenPixels>,
    page: StatusPage,
    (snapshot, context): (&Snapshot, &SceneContext),
    kiosk: &KioskView,
) {
    let (status, machine) = (&kiosk.status, &kiosk.machine);
    let sections = match page {
        StatusPage::Inputs => StreamId::ALL
            .map(|id| input(id, snapshot, context, &status.inputs[id.index()]))
            .into(),
        StatusPage::Engine => engine(status, context),
        StatusPage::System => system(machine, status, context),
        StatusPage::Counters => counters(snapshot.parts, status),
        StatusPage::Events => events(status),
    };
    set(sketch, body, &sections);
}

fn input(
    id: StreamId,
    snapshot: &Snapshot,
    context: &SceneContext,
    status: &InputStatus,
) -> Section {
    let mut rows = vec![
        row("source", &*context.sources[id.index()]),
        row("kind", &*status.description),
    ];
    match &snapshot.streams[id.index()] {
        Some(view) => {
            let format = view.frame.format();
            let age = snapshot.at.saturating_since(view.frame.meta.timestamp);
            let name = format!("{:?}", format.pixel_format).to_uppercase();
            rows.push(row("format", format!("{} {name}", format.size)));
            rows.push(row("rate", format!("{:.1} frames a second", view.fps)));
            let shown = row("age of the picture", milliseconds(age));
            rows.push(warned(shown, age > context.old_after));
        }
        None => rows.push(warned(row("picture", "none yet"), true)),
    }
    rows.push(row("frames taken", grouped(status.frames)));
    for (how, count) in &status.losses {
        rows.push(warned(row(how, grouped(*count)), *count > 0));
    }
    Section {
        title: stream_title(id).to_owned(),
        rows,
    }
}

fn engine(status: &Status, context: &SceneContext) -> Vec<Section> {
    let mut rows = vec![row("runs on", &*context.engine)];
    if let Some(accelerator) = &status.accelerator {
        rows.extend(self::accelerator(accelerator));
    }
    if let Some(outcome) = &status.self_test {
        rows.push(row("self-test", &**outcome));
    }
    for (role, name) in &status.models {
        rows.push(row(role, &**name));
    }
    let mut sections = vec![Section {
        title: "ENGINE".to_owned(),
        rows,
    }];
    for id in StreamId::ALL {
        let figures = status.inference[id.index()];
        let pair = |(median, slow): (Duration, Duration)| {
            format!(
                "{}, 1 in 100 above {}",
                milliseconds(median),
                milliseconds(slow)
            )
        };
        let failed = row("not judged", grouped(figures.failed));
        sections.push(Section {
            title: stream_title(id).to_owned(),
            rows: vec![
                row("frames judged", grouped(figures.frames)),
                warned(failed, figures.failed > 0),
                row("inference", pair(figures.engine)),
                row("picture to decision", pair(figures.latency)),
            ],
        });
    }
    sections
}

fn accelerator(status: &AcceleratorStatus) -> Vec<Row> {
    let AcceleratorStatus {
        celsius,
        out_of_service,
        remark,
    } = status;
    let mut rows = vec![match out_of_service {
        None => row("accelerator", "in service"),
        Some(why) => warned(row("out of service", &**why), true),
    }];
    rows.push(match *celsius {
        Some(celsius) => warned(
            row("temperature", format!("{celsius:.0} °C")),
            celsius >= HOT_CELSIUS,
        ),
        None => row("temperature", "not told"),
    });
    rows.extend(remark.iter().map(|it| warned(row("note", &**it), true)));
    rows
}

fn system(machine: &Machine, status: &Status, context: &SceneContext) -> Vec<Section> {
    let mut rows: Vec<Row> = machine
        .temperatures
        .iter()
        .map(|(name, celsius)| {
            let hot = *celsius >= HOT_CELSIUS;
            warned(row(name, format!("{celsius:.0} °C")), hot)
        })
        .collect();
    if rows.is_empty() {
        rows.push(row("temperatures", "not told"));
    }
    if let Some((free, total)) = machine.memory {
        let text = format!("{} of {} free", mebibytes(free), mebibytes(total));
        rows.push(warned(row("memory", text), free < total / 20));
    }
    if let Some(resident) = machine.resident {
        rows.push(row("memory of andon", mebibytes(resident)));
    }
    if let Some(load) = machine.load {
        rows.push(row("load", format!("{load:.2}")));
    }
    let mut about = vec![row("version", format!("andon {}", context.version))];
    about.push(row("andon runs for", span(status.running)));
    if let Some(uptime) = machine.uptime {
        about.push(row("machine runs for", span(uptime)));
    }
    vec![
        Section {
            title: "MACHINE".to_owned(),
            rows,
        },
        Section {
            title: "PROGRAM".to_owned(),
            rows: about,
        },
    ]
}

fn counters(parts: PartTally, status: &Status) -> Vec<Section> {
    let PartTally {
        good,
        reject,
        unsure,
        missed,
    } = parts;
    vec![
        Section {
            title: "PARTS".to_owned(),
            rows: vec![
                row("good", grouped(good)),
                row("rejected", grouped(reject)),
                row("unsure", grouped(unsure)),
                warned(row("not rejected in time", grouped(missed)), missed > 0),
                row("all", grouped(parts.total())),
            ],
        },
        Section {
            title: "SINCE THE START".to_owned(),
            rows: vec![
                row("trips", grouped(status.trips)),
                row("frames, safety", grouped(status.inference[0].frames)),
                row("frames, inspection", grouped(status.inference[1].frames)),
                row("time", span(status.running)),
            ],
        },
    ]
}

fn events(status: &Status) -> Vec<Section> {
    let mut rows: Vec<Row> = status
        .events
        .iter()
        .map(|event| Row {
            label: event.time.clone(),
            value: event.text.clone(),
            gravity: Some(event.gravity),
        })
        .collect();
    if rows.is_empty() {
        rows.push(row("", "Nothing yet."));
    }
    vec![Section {
        title: "LAST EVENTS".to_owned(),
        rows,
    }]
}

/// Sets the sections: side by side where the body is wide enough, else below each other.
fn set(sketch: &mut Sketch, body: Rect<ScreenPixels>, sections: &[Section]) {
    sketch.block(body, palette::GROUND);
    let gap = 24.0 * sketch.scale;
    let columns = if body.width() > 1.2 * body.height() && sections.len() > 1 {
        2.0
    } else {
        1.0
    };
    let wide = (body.width() - (columns + 1.0) * gap) / columns;
    let scale = sketch.scale;
    // The first section has the left column to itself; the others share the other one.
    let tall = |first: usize, count: usize| -> f32 {
        let sections = sections.iter().skip(first).take(count);
        sections
            .map(|section| height_of(section, scale) + gap)
            .sum()
    };
    let longest = if columns > 1.0 {
        tall(0, 1).max(tall(1, usize::MAX))
    } else {
        tall(0, usize::MAX)
    };
    // A list of any length is cut; a page of figures is made smaller.
    let shrink = if sections.len() > 1 {
        (body.height() / longest).clamp(0.55, 1.0)
    } else {
        1.0
    };
    let mut top = body.top() + 0.5 * gap;
    for (index, section) in sections.iter().enumerate() {
        if columns > 1.0 && index == 1 {
            top = body.top() + 0.5 * gap;
        }
        let left = if columns > 1.0 && index > 0 {
            body.left() + 2.0 * gap + wide
        } else {
            body.left() + gap
        };
        let place = whole(left, top, wide, body.bottom() - top);
        set_section(sketch, place, section, shrink);
        top += (height_of(section, scale) + gap) * shrink;
    }
}

fn height_of(section: &Section, scale: f32) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "a page has a few rows")]
    let rows = section.rows.len() as f32;
    (HEADING + ROW * rows) * scale
}

fn set_section(sketch: &mut Sketch, place: Rect<ScreenPixels>, section: &Section, shrink: f32) {
    let scale = sketch.scale * shrink;
    let (size, heading) = ((19.0 * scale).round(), (22.0 * scale).round());
    let mut baseline = place.top() + (0.72 * HEADING * scale).round();
    let at = Point::new(place.left(), baseline);
    sketch.text(
        at,
        section.title.clone(),
        heading,
        Weight::Bold,
        Align::Left,
        palette::TEXT,
    );
    let line = whole(
        place.left(),
        place.top() + HEADING * scale - 2.0 * scale,
        place.width(),
        (2.0 * scale).max(1.0),
    );
    sketch.block(line, palette::SELF_TEST);
    baseline = place.top() + (HEADING + 0.72 * ROW) * scale;
    let mark = size * 1.5;
    let widest = |width: &dyn Fn(&Row) -> f32| section.rows.iter().map(width).fold(0.0, f32::max);
    let labels = widest(&|row| sketch.fonts.width(&row.label, size, Weight::Regular));
    let values = widest(&|row| {
        let room_of_mark = if row.gravity.is_some() { mark } else { 0.0 };
        room_of_mark + sketch.fonts.width(&row.value, size, Weight::Bold)
    });
    // Labels have half of the place and what the values leave of the rest.
    let label_room = (labels + 1.2 * size).min((place.width() - values).max(0.55 * place.width()));
    for row in &section.rows {
        if baseline + 0.3 * size > place.bottom() {
            break;
        }
        set_row(
            sketch,
            row,
            (place, baseline.round()),
            (size, mark, label_room),
        );
        baseline += ROW * scale;
    }
}

fn set_row(
    sketch: &mut Sketch,
    row: &Row,
    (place, baseline): (Rect<ScreenPixels>, f32),
    (size, mark, label_room): (f32, f32, f32),
) {
    // A little smaller before anything is cut off.
    let small = (0.75 * size).floor();
    let set = |sketch: &mut Sketch, text: &str, left: f32, room: f32, weight, color| {
        let size = sketch.fonts.fit(text, size, weight, room).max(small);
        let text = sketch.fonts.shorten(text, size, weight, room);
        let at = Point::new(left, baseline);
        sketch.text(at, text, size, weight, Align::Left, color);
    };
    let room = label_room - 0.5 * size;
    set(
        sketch,
        &row.label,
        place.left(),
        room,
        Weight::Regular,
        palette::MUTED,
    );
    let mut left = (place.left() + label_room).round();
    let (symbol, color, weight) = match row.gravity {
        None => (None, palette::TEXT, Weight::Bold),
        Some(Gravity::Note) => (None, palette::TEXT, Weight::Regular),
        Some(Gravity::Caution) => (Some(Symbol::Attention), palette::CAUTION, Weight::Bold),
        Some(Gravity::Fault) => (Some(Symbol::Stop), palette::DANGER, Weight::Bold),
    };
    if let Some(symbol) = symbol {
        let side = (0.95 * size).round();
        let inks = Inks {
            body: color,
            detail: palette::GROUND,
        };
        let square = whole(left, baseline - 0.82 * size, side, side);
        symbol::draw(sketch, Layer::Ink, symbol, square, inks);
    }
    if row.gravity.is_some() {
        left += mark;
    }
    let room = place.right() - left;
    set(sketch, &row.value, left, room, weight, palette::TEXT);
}

fn milliseconds(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes >> 20))
}

/// Digits in threes: 1 234 567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `3 d 04 h 12 min`, `12 min 07 s`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {:02} h {:02} min", hours % 24, minutes % 60)
    } else if hours > 0 {
        format!("{hours} h {:02} min", minutes % 60)
    } else {
        format!("{minutes} min {:02} s", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(milliseconds(Duration::from_micros(4420)), "4.4 ms");
        assert_eq!(milliseconds(Duration::from_micros(18_600)), "19 ms");
        assert_eq!(mebibytes(3 << 30), "3 072 MiB");
        let spans = [
            (7, "0 min 07 s"),
            (3_700, "1 h 01 min"),
            (90_061, "1 d 01 h 01 min"),
        ];
        for (seconds, text) in spans {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
