//! `andon replay`: decides the persons and parts of a report again, with other zones or counts,
//! without running a model.

use std::fmt::Write as _;
use std::time::Duration;

use arrayvec::ArrayVec;
use serde_json::{Value, json};

use super::report::{Names, inspection_line, output_line, safety_line};
use crate::config::{Loaded, OutputBackend};
use crate::decision::{Actions, Decision};
use crate::geometry::Rect;
use crate::message::{
    DETECTIONS_MAX, Detection, Detections, DetectorTest, Findings, Grade, GradedItem, GradedItems,
    ITEMS_MAX, LineHealth, OutputState, PictureDoubt, Verdict,
};
use crate::output::SimulatedOperator;
use crate::units::{LabelId, MonotonicTime, Score, StreamId};

/// Why a report cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line is not what the report format says.
    #[error("line {line}: {what}; is this a report of andon run?")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Not text at all.
    #[error("byte {byte} is not UTF-8 text; is this a report of andon run?")]
    NotText {
        /// Counted from 0.
        byte: usize,
    },
}

/// A report decided again.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// The new report, one JSON object per line.
    pub lines: String,
    /// A line for people.
    pub summary: String,
}

/// One frame of the old report.
#[derive(Clone, Debug)]
struct Recorded {
    stream: StreamId,
    frame: u64,
    at: Duration,
    findings: Findings,
    doubt: Option<PictureDoubt>,
}

/// Decides the frames of a report again with the configuration `loaded`. Persons that the report does
/// not have, because they were below its threshold, cannot come back. Grades mean what the
/// configuration makes of them; one that it does not mention is unsure, as in a run.
///
/// A last line that breaks off, as after a power cut, is left out with a warning.
///
/// # Errors
///
/// Names the first line that is not as the report format says.
pub fn replay(report: &[u8], loaded: &Loaded) -> Result<Replayed, ReplayError> {
    let text = whole_text(report)?;
    let mut grades = Vec::new();
    let mut recorded = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let failed = |what: String| ReplayError::Line { line: number, what };
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(_) if !line.ends_with('\n') && number > 1 => {
                log::warn!("line {number} breaks off and is left out: the run was cut short");
                break;
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        if let Some(frame) = parse(&value, &mut grades).map_err(failed)? {
            recorded.push(frame);
        }
    }
    let last = StreamId::ALL.map(|id| recorded.iter().rposition(|frame| frame.stream == id));
    let mut player = Player::new(loaded, grades);
    for (index, frame) in recorded.iter().enumerate() {
        player.frame(frame);
        for id in StreamId::ALL {
            if last[id.index()] == Some(index) {
                let actions = player.decision.source_ended(id, player.now);
                player.tell(&actions);
            }
        }
    }
    Ok(player.finish(recorded.len()))
}

#[derive(Debug)]
struct Player {
    decision: Decision,
    operator: SimulatedOperator,
    names: Names,
    now: MonotonicTime,
    lines: String,
    occupied: u64,
    trips: u64,
}

impl Player {
    fn new(loaded: &Loaded, grades: Vec<String>) -> Self {
        let config = &loaded.config;
        // Of a wired machine's buttons the report knows nothing: nobody presses.
        let operator_reset_after = match config.output.backend {
            OutputBackend::Simulated {
                operator_reset_after,
            } => operator_reset_after,
            OutputBackend::Gpio(_) => None,
        };
        let mut player = Self {
            decision: Decision::new(config, &grades),
            operator: SimulatedOperator::new(operator_reset_after),
            names: Names {
                zones: config.zones.iter().map(|zone| zone.name.clone()).collect(),
                grades,
            },
            now: MonotonicTime::ZERO,
            lines: String::new(),
            occupied: 0,
            trips: 0,
        };
        let initial = player.decision.initial(player.now);
        player.tell(&initial);
        player.trips = 0;
        // The run that wrote the report had passed it, or it would have found nobody.
        let started = player
            .decision
            .on_self_test(DetectorTest::Passed, player.now);
        player.tell(&started);
        player
    }

    fn frame(&mut self, frame: &Recorded) {
        let captured = MonotonicTime::from_duration(frame.at);
        self.now = self.now.max(captured);
        let (verdict, actions) = self.decision.on_picture(
            frame.stream,
            captured,
            frame.doubt,
            &frame.findings,
            self.now,
        );
        let line = match &verdict {
            Verdict::Safety(verdict) => {
                self.occupied += u64::from(verdict.occupied);
                safety_line(frame.frame, frame.at, verdict, &self.names)
            }
            Verdict::Inspection(verdict) => {
                inspection_line(frame.frame, frame.at, verdict, &self.names)
            }
        };
        self.line(&line);
        self.tell(&actions);
        let field = self.operator.levels(self.now, self.decision.prompt());
        let actions = self.decision.tick(self.now, field, LineHealth::Healthy);
        self.tell(&actions);
    }

    fn tell(&mut self, actions: &Actions) {
        for change in &actions.changes {
            let cause = change.cause.with_names(&self.names.zones).to_string();
            let since_start = change.at.since_epoch();
            self.trips += u64::from(
                change.command.output == crate::message::OutputName::RunPermission
                    && change.command.state == OutputState::Inactive,
            );
            self.line(&output_line(since_start, change.command, &cause));
        }
    }

    fn line(&mut self, value: &Value) {
        let _ = writeln!(self.lines, "{value}");
    }

    fn finish(mut self, frames: usize) -> Replayed {
        let last = self.decision.shut_down(self.now);
        self.tell(&last);
        let (occupied, trips) = (self.occupied, self.trips);
        self.line(&json!({
            "type": "summary", "frames": frames, "occupied": occupied, "trips": trips,
        }));
        let summary = format!(
            "{frames} frames decided again: {occupied} occupied, run permission lost {trips} times\n"
        );
        Replayed {
            lines: self.lines,
            summary,
        }
    }
}

/// The report as text; a last character that breaks off is left out with its line.
fn whole_text(report: &[u8]) -> Result<&str, ReplayError> {
    let error = match std::str::from_utf8(report) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let byte = error.valid_up_to();
    let (valid, _) = report.split_at(byte);
    match (error.error_len(), std::str::from_utf8(valid)) {
        (None, Ok(text)) => Ok(text),
        (Some(_), _) | (None, Err(_)) => Err(ReplayError::NotText { byte }),
    }
}

/// A frame of the report; `None` for lines of other types. `grades` collects the labels met so far.
fn parse(line: &Value, grades: &mut Vec<String>) -> Result<Option<Recorded>, String> {
    let (stream, list) = match line["type"].as_str() {
        Some("safety") => (StreamId::WorkerSafety, "persons"),
        Some("inspection") => (StreamId::VisualInspection, "items"),
        Some(_) => return Ok(None),
        None => return Err("no type".to_owned()),
    };
    let frame = line["frame"].as_u64().ok_or("no frame number")?;
    let at = duration(line["t_ms"].as_f64().ok_or("no t_ms")?).ok_or("t_ms is no time")?;
    let findings = if let Some(failure) = line["failure"].as_str() {
        Findings::Failed(failure.into())
    } else {
        let objects = line[list].as_array().ok_or_else(|| format!("no {list}"))?;
        match stream {
            StreamId::WorkerSafety => {
                let mut persons = Detections::new();
                for object in objects {
                    let room = persons.try_push(detection(object)?);
                    room.map_err(|_full| format!("more than {DETECTIONS_MAX} persons"))?;
                }
                Findings::Persons(persons)
            }
            StreamId::VisualInspection => {
                let mut items = GradedItems::new();
                for object in objects {
                    let room = items.try_push(item(object, grades)?);
                    room.map_err(|_full| format!("more than {ITEMS_MAX} items"))?;
                }
                Findings::Items(items)
            }
        }
    };
    Ok(Some(Recorded {
        stream,
        frame,
        at,
        findings,
        doubt: doubt(&line["condition"])?,
    }))
}

/// What was wrong with the picture; a word that is not known must not be taken as nothing.
fn doubt(condition: &Value) -> Result<Option<PictureDoubt>, String> {
    if condition.is_null() {
        return Ok(None);
    }
    let known = |doubt: &PictureDoubt| condition.as_str() == Some(doubt.name());
    let doubt = PictureDoubt::ALL.into_iter().find(known);
    let doubt = doubt.ok_or_else(|| format!("condition {condition} is not known"))?;
    Ok(Some(doubt))
}

fn item(object: &Value, grades: &mut Vec<String>) -> Result<GradedItem, String> {
    let name = object["grade"].as_str().ok_or("an item without grade")?;
    let known = grades.iter().position(|grade| grade == name);
    let index = known.unwrap_or_else(|| {
        grades.push(name.to_owned());
        grades.len() - 1
    });
    let label = LabelId(u16::try_from(index).ok().ok_or("too many grades")?);
    let score = score(&object["grade_score"])?;
    Ok(GradedItem {
        detection: detection(object)?,
        grade: Grade { label, score },
    })
}

fn detection(object: &Value) -> Result<Detection, String> {
    let corners = object["box"].as_array().ok_or("an object without box")?;
    let corners: ArrayVec<f32, 4> = corners
        .iter()
        .take(4)
        .filter_map(Value::as_f64)
        .map(narrow)
        .collect();
    let [left, top, right, bottom] = corners
        .into_inner()
        .ok()
        .ok_or("a box needs four numbers")?;
    let bbox = Rect::new(left, top, right, bottom).ok_or("a box that is no rectangle")?;
    Ok(Detection {
        label: LabelId(0),
        score: score(&object["score"])?,
        bbox,
    })
}

fn score(value: &Value) -> Result<Score, String> {
    let number = value.as_f64().ok_or("an object without score")?;
    Score::new(narrow(number)).ok_or_else(|| format!("score {number} is outside 0..1"))
}

/// The report's numbers are 32-bit floats written exactly; nothing is lost on the way back.
#[allow(
    clippy::cast_possible_truncation,
    reason = "32-bit floats, written exactly"
)]
const fn narrow(number: f64) -> f32 {
    number as f32
}

/// Milliseconds of the report, which are exact to the nanosecond.
fn duration(millis: f64) -> Option<Duration> {
    let nanos = (millis * 1e6).round();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked on the same line"
    )]
    (0.0..1e18)
        .contains(&nanos)
        .then(|| Duration::from_nanos(nanos as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides};

    fn loaded() -> Loaded {
        config::load("config/andon.toml".as_ref(), &Overrides::default()).expect("shipped")
    }

    fn failure(report: &str) -> String {
        let replayed = replay(report.as_bytes(), &loaded());
        replayed.expect_err("refused").to_string()
    }

    fn inspection(frame: u64, items: &[Value]) -> String {
        let at = frame * 40;
        json!({ "type": "inspection", "frame": frame, "t_ms": at, "items": items }).to_string()
    }

    fn item(grade: &str) -> Value {
        json!({
            "score": 0.9, "box": [0.4, 0.4, 0.6, 0.6], "grade": grade, "grade_score": 0.99,
        })
    }

    #[test]
    fn more_objects_than_a_frame_can_have_are_refused() {
        let person = json!({ "score": 0.9, "box": [0.1, 0.1, 0.2, 0.2] });
        let safety = |count| {
            let persons = vec![person.clone(); count];
            json!({ "type": "safety", "frame": 0, "t_ms": 0, "persons": persons }).to_string()
        };
        assert!(replay(safety(100).as_bytes(), &loaded()).is_ok());
        assert_eq!(
            failure(&safety(101)),
            "line 1: more than 100 persons; is this a report of andon run?"
        );
        let items = vec![item("fresh_apple"); 17];
        assert!(replay(inspection(0, &items[..16]).as_bytes(), &loaded()).is_ok());
        assert!(failure(&inspection(0, &items)).contains("more than 16 items"));
    }

    #[test]
    fn a_grade_that_the_configuration_does_not_mention_is_unsure() {
        let report = ["stone", "rotten_apple"].map(item);
        let replayed = replay(inspection(0, &report).as_bytes(), &loaded()).expect("replayed");
        let lines = replayed.lines.lines();
        let line = lines.clone().find(|line| line.contains("\"items\""));
        let line: Value = serde_json::from_str(line.expect("a line")).expect("JSON");
        let told = |index: usize| {
            (
                &line["items"][index]["grade"],
                &line["items"][index]["disposition"],
            )
        };
        assert_eq!(told(0), (&json!("stone"), &json!("unsure")));
        assert_eq!(told(1), (&json!("rotten_apple"), &json!("reject")));
    }

    #[test]
    fn a_report_cut_off_anywhere_is_replayed_up_to_its_last_whole_line() {
        let lines = [0, 1].map(|frame| inspection(frame, &[item("\u{e4}pfel")]));
        let report = format!("{}\n{}\n", lines[0], lines[1]);
        let first = lines[0].len() + 1;
        for length in first..report.len() {
            let replayed = replay(&report.as_bytes()[..length], &loaded()).expect("replayed");
            let whole = 1 + usize::from(length + 1 == report.len());
            let frames = replayed.lines.matches("\"inspection\"").count();
            assert_eq!(frames, whole, "{length} of {} bytes", report.len());
        }
    }

    #[test]
    fn what_is_broken_elsewhere_is_refused() {
        let line = inspection(0, &[]);
        let torn = format!("{line}\n{}\n{line}\n", &line[..20]);
        assert!(failure(&torn).starts_with("line 2: "));
        assert!(failure("this is no report").starts_with("line 1: "));
        let replayed = replay(b"{}\n\xff\xfe\n", &loaded());
        let text = replayed.expect_err("refused").to_string();
        assert!(text.starts_with("byte 3 "), "{text}");
    }

    #[test]
    fn a_report_is_decided_again_with_a_zone_that_grows_on_the_floor() {
        let folder = tempfile::tempdir().expect("a folder");
        let keepout = folder.path().join("keepout.toml");
        let decide = |grow: bool| -> Value {
            let text = format!(
                "[ground]\nresponse_time_ms = 500\npoints = [\n\
                 {{ image = [0.25, 1.0], floor = [-1, 0] }}, {{ image = [0.75, 1.0], floor = [1, 0] }},\n\
                 {{ image = [0.625, 0.6], floor = [1, 1] }}, {{ image = [0.375, 0.6], floor = [-1, 1] }},\n]\n\
                 [[zone]]\nname = \"a\"\nfloor = [[-1, 1], [1, 1], [1, 3], [-1, 3]]\ngrow = {grow}\n"
            );
            std::fs::write(&keepout, text).expect("written");
            let overrides = Overrides {
                keepout: Some(keepout.clone()),
                ..Overrides::default()
            };
            let loaded = config::load("config/andon.toml".as_ref(), &overrides).expect("valid");
            // Feet at 0.75 stand at Y = 0.4545, which is 0.5455 m from the zone.
            let report = r#"{"type":"safety","frame":0,"t_ms":0.0,"persons":[{"score":0.9,"box":[0.45,0.2,0.55,0.75],"zones":[],"kind":null}],"occupied":false}"#;
            let lines = replay(report.as_bytes(), &loaded).expect("a report").lines;
            let safety = lines.lines().find(|line| line.contains("\"safety\""));
            serde_json::from_str(safety.expect("a frame")).expect("JSON")
        };
        let [drawn, grown] = [false, true].map(decide);
        assert_eq!(drawn["occupied"], false);
        let distance = drawn["persons"][0]["distance_m"]
            .as_f64()
            .expect("a distance");
        assert!((distance - 0.5455).abs() < 1e-3, "{distance}");
        assert_eq!(grown["occupied"], true);
        assert_eq!(grown["persons"][0]["distance_m"], 0.0);
    }
}
