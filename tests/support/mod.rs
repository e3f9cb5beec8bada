//! What the integration tests share: running the program, reading its report, and an independent
//! opinion about boxes and zones.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const WORKER_SAFETY: &str = "tests/media/worker_safety.mp4";
pub(crate) const CONVEYOR: &str = "tests/media/conveyor.mp4";

/// The program, in the repository's root.
pub(crate) fn andon() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_andon"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("ANDON_LOG");
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    andon()
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Standard error as text.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path below the temporary folder as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// A report, line by line.
pub(crate) fn report(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the report can be read");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

/// Lines of one type.
pub(crate) fn of_type<'a>(report: &'a [Value], kind: &str) -> Vec<&'a Value> {
    report.iter().filter(|line| line["type"] == kind).collect()
}

/// The beginning of a run without a picture, every frame in order, on the CPU.
pub(crate) const RUN: [&str; 7] = [
    "run",
    "--display",
    "none",
    "--pace",
    "asap",
    "--engine",
    "cpu",
];

/// Runs the bundled clips in `asap` and returns the report.
pub(crate) fn run_clips(more: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("report.jsonl");
    let mut arguments = RUN.to_vec();
    arguments.extend(["--report", argument(&path)]);
    arguments.extend(more);
    let output = run(&arguments);
    assert!(output.status.success(), "{}", complaint(&output));
    report(&path)
}

pub(crate) type P = (f64, f64);

fn cross(o: P, a: P, b: P) -> f64 {
    (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0)
}

fn between(a: f64, b: f64, v: f64) -> bool {
    a.min(b) <= v && v <= a.max(b)
}

fn segments_touch(a: P, b: P, c: P, d: P) -> bool {
    let (d1, d2, d3, d4) = (
        cross(c, d, a),
        cross(c, d, b),
        cross(a, b, c),
        cross(a, b, d),
    );
    if (d1 > 0.0) != (d2 > 0.0)
        && d1 != 0.0
        && d2 != 0.0
        && (d3 > 0.0) != (d4 > 0.0)
        && d3 != 0.0
        && d4 != 0.0
    {
        return true;
    }
    let on = |p: P, q: P, r: P, side: f64| {
        side == 0.0 && between(p.0, q.0, r.0) && between(p.1, q.1, r.1)
    };
    on(c, d, a, d1) || on(c, d, b, d2) || on(a, b, c, d3) || on(a, b, d, d4)
}

fn inside(polygon: &[P], p: P) -> bool {
    let mut odd = false;
    for (i, &a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        if (a.1 > p.1) != (b.1 > p.1) {
            let x = a.0 + (p.1 - a.1) / (b.1 - a.1) * (b.0 - a.0);
            odd ^= p.0 < x;
        }
    }
    odd
}

/// Whether the box (or its bottom edge) touches the polygon, worked out in plain 64-bit floats.
pub(crate) fn touches(polygon: &[P], [x0, y0, x1, y1]: [f64; 4], whole_box: bool) -> bool {
    let edges: Vec<(P, P)> = if whole_box {
        let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)];
        (0..4).map(|i| (corners[i], corners[(i + 1) % 4])).collect()
    } else {
        vec![((x0, y1), (x1, y1))]
    };
    let crossing = (0..polygon.len()).any(|i| {
        let (a, b) = (polygon[i], polygon[(i + 1) % polygon.len()]);
        edges.iter().any(|&(c, d)| segments_touch(a, b, c, d))
    });
    let swallowed = whole_box
        && polygon
            .iter()
            .any(|p| (x0..=x1).contains(&p.0) && (y0..=y1).contains(&p.1));
    crossing || swallowed || inside(polygon, edges[0].0)
}

/// A JSON array of numbers.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("an array")
        .iter()
        .map(|v| v.as_f64().expect("a number"))
        .collect()
}
