//! The keys of `keepout.toml`: the zones.

use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::csv::import_csv;
use super::error::{Origin, Problems};
use super::source::Source;
use super::table::{Table, fit_text, share};
use super::{Anchor, Zone};
use crate::geometry::{POLYGON_POINTS_MAX, Point, Polygon, PolygonError, Size};
use crate::units::{StreamId, ZONES_MAX, ZoneKind};

/// Most characters of a zone's name: what fits into the picture beside its outline.
const ZONE_NAME_MAX: usize = 32;

/// Streams that people are looked for in.
const GUARDING: [StreamId; 1] = [StreamId::WorkerSafety];

const KINDS: [ZoneKind; 2] = [ZoneKind::Stop, ZoneKind::Warn];

/// Reads the zones of a parsed `keepout.toml`. What is wrong is noted; the zones returned then are
/// not all of them.
pub(super) fn read(
    source: &Source,
    parsed: &Spanned<DeTable<'_>>,
    problems: &Problems,
) -> Vec<Zone> {
    let before = problems.count();
    let mut top = Table::top(source, parsed, problems);
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
        zones.extend(zone(table, name));
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
    zones
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

fn zone(mut table: Table<'_>, name: Option<String>) -> Option<Zone> {
    let camera = table.choice("camera", &GUARDING, StreamId::name);
    let kind = table.choice("kind", &KINDS, ZoneKind::name);
    let anchor = table.choice("anchor", &Anchor::ALL, Anchor::name);
    let polygon = polygon(&mut table);
    table.finish();
    Some(Zone {
        name: name?,
        camera: camera.unwrap_or(StreamId::WorkerSafety),
        kind: kind.unwrap_or(ZoneKind::Stop),
        anchor: anchor.unwrap_or_default(),
        polygon: polygon?,
    })
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
            let pair = offending_point(error).and_then(|number| pairs.get(number - 1));
            let span = pair.map_or_else(|| table.span_of("points"), |(_, _, span)| span.clone());
            table.wrong_at(Some(span), &error.to_string(), None);
            None
        }
    }
}

/// The point to show, from 1; `None` where it is their number that is wrong.
const fn offending_point(error: PolygonError) -> Option<usize> {
    match error {
        PolygonError::TooFewPoints(_) | PolygonError::TooManyPoints(_) => None,
        PolygonError::NotFinite { point }
        | PolygonError::Outside { point }
        | PolygonError::FoldsBack { point } => Some(point),
        PolygonError::ClosingPoint { last } => Some(last),
        PolygonError::RepeatedPoint { second, .. } | PolygonError::EdgesMeet { second, .. } => {
            Some(second)
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
