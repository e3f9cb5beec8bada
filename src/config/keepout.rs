//! The keys of `keepout.toml`: the zones.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::csv::import_csv;
use super::error::{Origin, Problems};
use super::ground::{self, FloorZone, Ground, Measured, offending_corner};
use super::source::Source;
use super::table::{Table, fit_text, share, text_rule};
use super::{Anchor, Hours, ParseWindowError, Zone};
use crate::geometry::{POLYGON_POINTS_MAX, Point, Polygon, PolygonError, Size};
use crate::units::{StreamId, ZONES_MAX, ZoneIndex, ZoneKind};

/// Most characters of a zone's name: what fits into the picture beside its outline.
const ZONE_NAME_MAX: usize = 32;

/// Characters of a window of hours.
const WINDOW_MAX: usize = 16;

/// Streams that people are looked for in.
const GUARDING: [StreamId; 1] = [StreamId::WorkerSafety];

const KINDS: [ZoneKind; 2] = [ZoneKind::Stop, ZoneKind::Warn];

/// Why a text is no name of a zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no name for a zone; it must be {}",
    text_rule(ZONE_NAME_MAX)
)]
pub struct ZoneNameError {
    name: String,
}

/// Checks a zone's name as a keepout file would be checked.
///
/// # Errors
///
/// It is empty, too long, blank at an end or holds a control character.
pub fn check_zone_name(name: &str) -> Result<(), ZoneNameError> {
    match fit_text(name, ZONE_NAME_MAX) {
        Some(_) => Ok(()),
        None => Err(ZoneNameError {
            name: name.to_owned(),
        }),
    }
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Keepout {
    pub(super) zones: Vec<Zone>,
    pub(super) ground: Option<Ground>,
}

/// Reads the zones and the floor of a parsed `keepout.toml`. What is wrong is noted; the zones returned then are
/// not all of them.
pub(super) fn read(source: &Source, parsed: &Spanned<DeTable<'_>>, problems: &Problems) -> Keepout {
    let before = problems.count();
    let mut top = Table::top(source, parsed, problems);
    let mut measured = ground::read(&mut top);
    let tables = top.tables("zone");
    top.finish();
    let count = tables.len();
    let mut zones: Vec<Zone> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (number, mut table) in (1..).zip(tables) {
        if number == ZONES_MAX + 1 {
            let message = format!("there are {count} zones; the most is {ZONES_MAX}");
            table.wrong_at(None, &message, None);
            break;
        }
        let name = name(&mut table, number, &names);
        names.push(name.clone().unwrap_or_default());
        zones.extend(zone(table, name, &mut measured, zones.len()));
    }
    if problems.count() == before && zones.iter().all(|zone| zone.kind != ZoneKind::Stop) {
        let message = match count {
            0 => "has no [[zone]]: nobody would be guarded",
            _ => "has no zone of kind \"stop\": nobody would be guarded",
        };
        problems.add_with_help(
            Origin::File(source.path().to_owned()),
            message,
            "write at least one stop zone, as config/keepout.toml shows",
        );
    }
    let ground = match measured {
        Measured::Absent | Measured::Wrong => None,
        Measured::Good(ground) => Some(*ground),
    };
    Keepout { zones, ground }
}

fn name(table: &mut Table<'_>, number: usize, names: &[String]) -> Option<String> {
    if !table.has("name") {
        table.missing(
            "name",
            "write name = \"...\", shown on the picture and in the report",
        );
    }
    let name = table.text("name", ZONE_NAME_MAX)?;
    if let Some((first, _)) = (1..).zip(names).find(|(_, other)| **other == name) {
        let message = format!("\"{name}\" is the name of zone {first} already");
        table.wrong("name", &message);
    }
    table.rename(format!("zone {number} \"{name}\""));
    Some(name)
}

/// Reads a zone, the `position`th good one, and enters what it is on the floor.
fn zone(
    mut table: Table<'_>,
    name: Option<String>,
    measured: &mut Measured,
    position: usize,
) -> Option<Zone> {
    let camera = table.choice("camera", &GUARDING, StreamId::name);
    let kind = table.choice("kind", &KINDS, ZoneKind::name);
    let anchor = table.choice("anchor", &Anchor::ALL, Anchor::name);
    let polygon = place(&mut table, measured, position);
    let hours = hours(&mut table);
    let dwell_limit = table.integer("dwell_limit_ms", 100..=86_400_000, " milliseconds");
    table.finish();
    Some(Zone {
        name: name?,
        camera: camera.unwrap_or(StreamId::WorkerSafety),
        kind: kind.unwrap_or(ZoneKind::Stop),
        anchor: anchor.unwrap_or_default(),
        polygon: polygon?,
        hours,
        dwell_limit: dwell_limit.map(|ms| Duration::from_millis(u64::from(ms))),
    })
}

fn hours(table: &mut Table<'_>) -> Hours {
    let texts = table.texts("active", WINDOW_MAX).unwrap_or_default();
    let mut windows = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(window) => windows.push(window),
            Err(error) => {
                let error: ParseWindowError = error;
                table.wrong("active", &format!("has \"{text}\", which {error}"));
            }
        }
    }
    Hours::new(windows)
}

/// The zone's polygon in the picture, from its corners there or on the floor.
fn place(table: &mut Table<'_>, measured: &mut Measured, position: usize) -> Option<Polygon> {
    match (table.has("points"), table.has("floor")) {
        (false, true) => {
            let drawn = ground::zone(table, measured)?;
            if let Measured::Good(ground) = measured {
                let (floor, growth, grown) = drawn.floor;
                ground.zones.push(FloorZone {
                    zone: ZoneIndex(u8::try_from(position).ok()?),
                    drawn: floor,
                    growth,
                    grown,
                });
            }
            Some(drawn.polygon)
        }
        (true, true) => {
            table.ignore("points");
            table.ignore("floor");
            table.ignore("grow");
            table.wrong("floor", "is given, and points too; draw the zone once");
            None
        }
        (_, false) => {
            let span = table.span_of("grow");
            if table.boolean("grow") == Some(true) {
                let help = "draw it on the floor, with floor = [[X, Y], ...] in metres";
                let message = "only a zone drawn on the floor can grow";
                table.wrong_at(Some(span), message, Some(help));
            }
            polygon(table)
        }
    }
}

fn polygon(table: &mut Table<'_>) -> Option<Polygon> {
    if !table.has("points") {
        let help =
            "write points = [[x, y], [x, y], [x, y]], shares of the frame's width and height";
        table.missing("points", help);
    }
    let pairs = table.pairs("points", POLYGON_POINTS_MAX)?;
    let mut points = Vec::with_capacity(pairs.len());
    for (point, (x, y, span)) in (1..).zip(&pairs) {
        if let (Some(x), Some(y)) = (share(*x), share(*y)) {
            points.push(Point::new(x.get(), y.get()));
            continue;
        }
        let (error, help) = if x.is_finite() && y.is_finite() {
            let pixels = *x > 1.0 || *y > 1.0;
            let help = "`andon import-keepout` turns pixels into shares";
            (PolygonError::Outside { point }, pixels.then_some(help))
        } else {
            (PolygonError::NotFinite { point }, None)
        };
        table.wrong_at(Some(span.clone()), &error.to_string(), help);
    }
    if points.len() < pairs.len() {
        return None;
    }
    match Polygon::new(points) {
        Ok(polygon) => Some(polygon),
        Err(error) => {
            let pair = offending_corner(error).and_then(|number| pairs.get(number - 1));
            let span = pair.map_or_else(|| table.span_of("points"), |(_, _, span)| span.clone());
            table.wrong_at(Some(span), &error.to_string(), None);
            None
        }
    }
}

/// The one zone of a CSV of pixels, as the original demo has them.
pub(super) fn read_csv(source: &Source, size: Size, problems: &Problems) -> Vec<Zone> {
    let wrong = |origin: Origin, message: String| {
        problems.add(origin, message);
        Vec::new()
    };
    let points = match import_csv(source.text(), size) {
        Ok(points) => points,
        Err(error) => {
            let origin = error.line().map_or_else(
                || Origin::File(source.path().to_owned()),
                |line| source.origin_of_line(line),
            );
            return wrong(origin, error.to_string());
        }
    };
    match Polygon::new(points) {
        Ok(polygon) => vec![Zone {
            name: zone_name(source.path()),
            camera: StreamId::WorkerSafety,
            kind: ZoneKind::Stop,
            anchor: Anchor::default(),
            polygon,
            hours: Hours::default(),
            dwell_limit: None,
        }],
        Err(error) => wrong(Origin::File(source.path().to_owned()), error.to_string()),
    }
}

/// A CSV has no name for its zone: the file's own, where it is fit to be shown.
fn zone_name(path: &Path) -> String {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| fit_text(stem, ZONE_NAME_MAX))
        .unwrap_or_else(|| "keepout".to_owned())
}
