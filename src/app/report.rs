//! The report: one JSON object per line (format in `docs/report.md`).
//!
//! Numbers are written so that a reader who parses them as 64-bit floats gets exactly what the
//! decision used; an independent zone test over the reported boxes therefore agrees to the last bit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::line_file::LineFile;
use super::summary::Summary;
use crate::config::{Config, Zone};
use crate::geometry::{Normalised, Rect};
use crate::health;
use crate::message::{
    CameraChange, CameraState, ConfigurationChange, Decided, DetectorTest, InspectionVerdict,
    OutputCommand, OutputState, SafetyVerdict, Verdict,
};
use crate::sys::monotonic_now;
use crate::units::{LabelId, ZoneIndex, ZoneKind};

/// The names behind the numbers in verdicts.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Zone names by index.
    pub zones: Vec<String>,
    /// Labels of the classifier by id.
    pub grades: Vec<String>,
}

impl Names {
    fn grade(&self, label: LabelId) -> &str {
        self.grades
            .get(usize::from(label.0))
            .map_or("?", String::as_str)
    }
}

/// A model as the header names it.
#[derive(Clone, Debug, Serialize)]
pub struct ModelEntry {
    /// What it is used for: `detector`, `classifier`.
    pub role: &'static str,
    /// Name or path.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// An input as the header names it.
#[derive(Clone, Debug, Serialize)]
pub struct InputEntry {
    /// Stream name.
    pub stream: &'static str,
    /// Path or pattern.
    pub source: String,
    /// Codec, profile, size.
    pub description: String,
    /// Pixels, width and height.
    pub size: [u32; 2],
    /// Frames per second where known.
    pub fps: Option<f64>,
}

/// A zone as the header names it; corners are normalised.
#[derive(Clone, Debug, Serialize)]
pub struct ZoneEntry {
    /// Unique name.
    pub name: String,
    /// `stop` or `warn`.
    pub kind: &'static str,
    /// `bottom-edge` or `whole-box`.
    pub anchor: &'static str,
    /// Corners in order.
    pub points: Vec<[f64; 2]>,
}

/// The zones of a configuration as the header names them.
#[must_use]
pub fn zone_entries(config: &Config) -> Vec<ZoneEntry> {
    let entry = |zone: &Zone| ZoneEntry {
        name: zone.name.clone(),
        kind: zone.kind.name(),
        anchor: zone.anchor.name(),
        points: zone
            .polygon
            .points()
            .iter()
            .map(|p| [p.x, p.y].map(f64::from))
            .collect(),
    };
    config.zones.iter().map(entry).collect()
}

/// First line of a report: what ran on what.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// Version of the program.
    pub version: &'static str,
    /// Engine in words, for instance `CPU, TensorFlow Lite 2.14.1, XNNPACK, 1 thread`.
    pub engine: String,
    /// `asap` or `realtime`.
    pub pace: &'static str,
    /// Models in use.
    pub models: Vec<ModelEntry>,
    /// Inputs in use.
    pub inputs: Vec<InputEntry>,
    /// Zones in use.
    pub zones: Vec<ZoneEntry>,
    /// Persons below this score are not reported.
    pub worker_threshold: f64,
    /// Parts below this score are not reported.
    pub inspection_threshold: f64,
    /// SHA-256 of the configuration files, hexadecimal.
    pub config_sha256: String,
    /// SHA-256 of the keepout file, hexadecimal.
    pub keepout_sha256: String,
}

/// Why there is no report, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file cannot be created.
    #[error("cannot create report {}: {source}; check that the folder is writable", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line cannot be written. Those before it are in the file.
    #[error("cannot write report {}: {source}; check the free space", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file that a report can be written to. What it held before is still there.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: File,
}

impl Place {
    /// Opens the file, and makes it and its folder where they are missing.
    ///
    /// # Errors
    ///
    /// The file cannot be created or written.
    pub fn reserve(path: &Path) -> Result<Self, ReportError> {
        let failed = |source| ReportError::Create {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut how = File::options();
        let file = how.write(true).create(true).truncate(false).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: file.map_err(failed)?,
        })
    }

    /// Empties the file and writes the header.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn begin(self, header: &Header, names: Names) -> Result<ReportWriter, ReportError> {
        let Self { path, file } = self;
        let failed = |source| ReportError::Create {
            path: path.clone(),
            source,
        };
        // Of a pipe or a terminal there is nothing to empty.
        if file.metadata().map_err(failed)?.is_file() {
            file.set_len(0).map_err(failed)?;
        }
        let mut line = json!({ "type": "header" });
        merge(
            &mut line,
            serde_json::to_value(header).map_err(|e| failed(e.into()))?,
        );
        let mut writer = ReportWriter {
            path,
            out: LineFile::new(file),
            names,
        };
        writer.line(&line)?;
        writer.flush()?;
        Ok(writer)
    }
}

/// Writes a report file. Every line is complete or missing, also after a crash. Edges of outputs and
/// states of the run permission are in the file at once, other lines after about a second.
#[derive(Debug)]
pub struct ReportWriter {
    path: PathBuf,
    out: LineFile,
    names: Names,
}

impl ReportWriter {
    /// Writes the line of a decided frame.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn decided(&mut self, decided: &Decided) -> Result<(), ReportError> {
        let (frame, at) = (decided.meta.sequence, decided.meta.media_time);
        let line = match &decided.verdict {
            Verdict::Safety(verdict) => safety_line(frame, at, verdict, &self.names),
            Verdict::Inspection(verdict) => inspection_line(frame, at, verdict, &self.names),
        };
        self.line(&line)
    }

    /// Writes the line of a switched output.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn output(
        &mut self,
        since_start: Duration,
        command: OutputCommand,
        cause: &str,
    ) -> Result<(), ReportError> {
        self.line(&output_line(since_start, command, cause))?;
        self.flush()
    }

    /// Writes lines that have waited for about a second; for whoever has no line to write just now.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn settle(&mut self) -> Result<(), ReportError> {
        let result = self.out.settle(monotonic_now());
        result.map_err(|source| self.failed(source))
    }

    /// Writes the outcome of a self-test.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn self_test(
        &mut self,
        since_start: Duration,
        outcome: DetectorTest,
    ) -> Result<(), ReportError> {
        let result = match outcome {
            DetectorTest::Passed => "passed",
            DetectorTest::Failed => "failed",
        };
        self.line(&json!({
            "type": "self_test", "t_ms": millis(since_start), "result": result,
        }))
    }

    /// Writes that the run permission is in another state.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn state(
        &mut self,
        since_start: Duration,
        state: &'static str,
        cause: Option<&str>,
    ) -> Result<(), ReportError> {
        let mut line = json!({ "type": "state", "t_ms": millis(since_start), "state": state });
        if let Some(cause) = cause {
            merge(&mut line, json!({ "cause": cause }));
        }
        self.line(&line)?;
        self.flush()
    }

    /// Writes that a camera was lost or is back.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn camera(
        &mut self,
        since_start: Duration,
        change: &CameraChange,
    ) -> Result<(), ReportError> {
        let (state, member, text) = match &change.state {
            CameraState::Lost { why } => ("lost", "reason", why),
            CameraState::Back { description } => ("back", "delivers", description),
        };
        let mut line = json!({
            "type": "camera",
            "t_ms": millis(since_start),
            "stream": change.stream.name(),
            "source": change.source,
            "state": state,
        });
        merge(&mut line, json!({ member: text }));
        self.line(&line)?;
        self.flush()
    }

    /// Writes what became of changed configuration files. Lines that follow go by `config`, where there
    /// is another one in force now.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn configuration(
        &mut self,
        since_start: Duration,
        change: &ConfigurationChange,
        config: Option<&Config>,
    ) -> Result<(), ReportError> {
        let mut line = json!({ "type": "configuration", "t_ms": millis(since_start) });
        merge(&mut line, health::configuration(change));
        if let Some(config) = config {
            self.names.zones = config.zones.iter().map(|zone| zone.name.clone()).collect();
            let now = json!({
                "zones": zone_entries(config),
                "worker_threshold": f64::from(config.worker_safety.threshold.get()),
                "inspection_threshold": f64::from(config.visual_inspection.threshold.get()),
            });
            merge(&mut line, now);
        }
        self.line(&line)
    }

    /// Writes the last line and makes sure that everything is in the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn finish(mut self, summary: &Summary) -> Result<(), ReportError> {
        let mut line = json!({ "type": "summary" });
        merge(&mut line, summary.to_json());
        self.line(&line)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), ReportError> {
        let result = self.out.flush();
        result.map_err(|source| self.failed(source))
    }

    fn line(&mut self, value: &Value) -> Result<(), ReportError> {
        let result = self.out.line(&value.to_string(), monotonic_now());
        result.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ReportError {
        ReportError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

/// The line of a switched output.
pub(super) fn output_line(since_start: Duration, command: OutputCommand, cause: &str) -> Value {
    let state = match command.state {
        OutputState::Active => "on",
        OutputState::Inactive => "off",
    };
    json!({
        "type": "output",
        "t_ms": millis(since_start),
        "name": command.output.name(),
        "state": state,
        "cause": cause,
    })
}

/// The line of a worker-safety frame.
pub(super) fn safety_line(
    frame: u64,
    at: Duration,
    verdict: &SafetyVerdict,
    names: &Names,
) -> Value {
    let persons: Vec<Value> = verdict
        .persons
        .iter()
        .map(|person| {
            let name = |zone: ZoneIndex| names.zones.get(usize::from(zone.0));
            let zones: Vec<&String> = person.zones.iter().filter_map(name).collect();
            json!({
                "score": f64::from(person.detection.score.get()),
                "box": corners(person.detection.bbox),
                "zones": zones,
                "kind": person.kind.map(ZoneKind::name),
                "distance_m": person.distance.map(|distance| f64::from(distance.0)),
            })
        })
        .collect();
    let mut line = json!({
        "type": "safety",
        "frame": frame,
        "t_ms": millis(at),
        "persons": persons,
        "occupied": verdict.occupied,
    });
    if let Some(doubt) = verdict.doubt {
        merge(&mut line, json!({ "condition": doubt.name() }));
    }
    add_failure(&mut line, verdict.failure.as_deref());
    line
}

/// The line of a visual-inspection frame.
pub(super) fn inspection_line(
    frame: u64,
    at: Duration,
    verdict: &InspectionVerdict,
    names: &Names,
) -> Value {
    let items: Vec<Value> = verdict
        .items
        .iter()
        .map(|part| {
            json!({
                "score": f64::from(part.item.detection.score.get()),
                "box": corners(part.item.detection.bbox),
                "grade": names.grade(part.item.grade.label),
                "grade_score": f64::from(part.item.grade.score.get()),
                "disposition": part.disposition.name(),
            })
        })
        .collect();
    let mut line =
        json!({ "type": "inspection", "frame": frame, "t_ms": millis(at), "items": items });
    add_failure(&mut line, verdict.failure.as_deref());
    line
}

fn add_failure(line: &mut Value, failure: Option<&str>) {
    if let Some(failure) = failure {
        merge(line, json!({ "failure": failure }));
    }
}

/// Moves the members of object `more` into object `base`.
fn merge(base: &mut Value, more: Value) {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
}

fn corners(bbox: Rect<Normalised>) -> [f64; 4] {
    [bbox.left(), bbox.top(), bbox.right(), bbox.bottom()].map(f64::from)
}

/// Milliseconds, exact to the nanosecond: `(millis * 1e6).round()` gives the nanoseconds back.
#[must_use]
pub fn millis(span: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "exact for spans below 104 days")]
    let nanos = span.as_nanos() as f64;
    nanos / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::unjudged::tests::decided;
    use crate::message::OutputName;

    fn header() -> Header {
        Header {
            version: "1",
            engine: "none".to_owned(),
            pace: "asap",
            models: Vec::new(),
            inputs: Vec::new(),
            zones: Vec::new(),
            worker_threshold: 0.5,
            inspection_threshold: 0.5,
            config_sha256: String::new(),
            keepout_sha256: String::new(),
        }
    }

    #[test]
    fn an_edge_is_in_the_file_at_once_with_all_that_led_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/report.jsonl");
        let place = Place::reserve(&path).expect("created");
        let mut writer = place.begin(&header(), Names::default()).expect("begun");
        let types = || {
            let text = std::fs::read_to_string(&path).expect("a report");
            let lines = text.lines().map(|line| {
                let value: Value = serde_json::from_str(line).expect("a whole line");
                value["type"].as_str().expect("a type").to_owned()
            });
            lines.collect::<Vec<_>>()
        };
        assert_eq!(types(), ["header"]);
        writer.decided(&decided(0, None)).expect("written");
        let off = OutputCommand {
            output: OutputName::RunPermission,
            state: OutputState::Inactive,
        };
        writer
            .output(Duration::ZERO, off, "zone press")
            .expect("written");
        assert_eq!(types(), ["header", "inspection", "output"]);
    }
}
