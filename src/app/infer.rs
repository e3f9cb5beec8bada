//! `andon infer`: stills in, what one model says of each out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::report::millis;
use crate::capture::{CaptureError, Captured, FrameSource as _, StillsSource};
use crate::config::{EngineConfig, ModelRef};
use crate::frame::Frame;
use crate::inference::{self, Answer, InferenceError, Labels, Trial};
use crate::message::InferenceTiming;
use crate::sys::monotonic_now;
use crate::units::{Score, StreamId};

/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 16;

/// What to show to which model.
#[derive(Clone, Debug)]
pub struct InferPlan {
    /// Folder with `models.toml`, for a model by name.
    pub directory: PathBuf,
    /// The model.
    pub model: ModelRef,
    /// What runs it.
    pub engine: EngineConfig,
    /// Findings of a detector below it are left out.
    pub threshold: Score,
}

/// Why pictures could not be shown to a model.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// Nothing to show.
    #[error("{path}: no .png or .jpg in it")]
    NoPicture {
        /// The folder.
        path: PathBuf,
    },
    /// A folder or the list of pictures cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Folder or list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A picture cannot be decoded.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The model or the engine.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The answer cannot be written.
    #[error("cannot write the answers: {0}")]
    Write(#[source] io::Error),
}

/// What a model said of one picture, and what it is.
#[derive(Clone, Debug)]
pub struct Row {
    picture: PathBuf,
    answer: Answer,
    timing: InferenceTiming,
}

/// A model that is ready for pictures.
#[derive(Debug)]
pub struct Inspector {
    trial: Trial,
    engine: String,
    threshold: Score,
}

impl Inspector {
    /// Loads the model.
    ///
    /// # Errors
    ///
    /// The model or the engine cannot be used.
    pub fn new(plan: &InferPlan) -> Result<Self, InferenceError> {
        let mut files = [inference::load_model(&plan.directory, &plan.model)?];
        let engine = inference::engine(&plan.engine, &mut files)?;
        let [file] = files;
        Ok(Self {
            trial: Trial::load(file, engine.as_ref())?,
            engine: engine.description().into_owned(),
            threshold: plan.threshold,
        })
    }

    /// Shows it a picture.
    ///
    /// # Errors
    ///
    /// The picture cannot be decoded, or the inference failed.
    pub fn look(&mut self, picture: &Path) -> Result<Row, InferError> {
        let frame = still(picture)?;
        let (answer, timing) = self.trial.run(&frame, self.threshold, monotonic_now)?;
        Ok(Row {
            picture: picture.to_owned(),
            answer,
            timing,
        })
    }

    /// The first line for programs: model, engine, labels by number.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({
            "type": "header", "version": env!("CARGO_PKG_VERSION"), "model": self.trial.name(),
            "sha256": self.trial.sha256(), "task": self.trial.task(), "engine": self.engine,
            "labels": self.trial.labels().names(),
        })
    }

    /// The first line for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!(
            "{} ({}), {}",
            self.trial.name(),
            self.trial.task(),
            self.engine
        )
    }

    /// The words of the rows.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        self.trial.labels()
    }
}

impl Row {
    /// For programs. Scores are in the order of the header's labels; boxes are x0, y0, x1, y1 as shares
    /// of the picture.
    #[must_use]
    pub fn to_json(&self, labels: &Labels) -> Value {
        let mut row = json!({
            "image": self.picture.display().to_string(),
            "preprocess_ms": millis(self.timing.preprocess),
            "inference_ms": millis(self.timing.inference),
        });
        match &self.answer {
            Answer::Scores(scores) => {
                let scores: Vec<f32> = scores.iter().map(|score| score.get()).collect();
                row["scores"] = json!(scores);
            }
            Answer::Detections(found) => {
                let found = found.iter().map(|one| {
                    let bbox = one.bbox;
                    json!({
                        "label": name(labels, usize::from(one.label.0)), "score": one.score.get(),
                        "box": [bbox.left(), bbox.top(), bbox.right(), bbox.bottom()],
                    })
                });
                row["detections"] = found.collect();
            }
        }
        row
    }

    /// For people.
    #[must_use]
    pub fn text(&self, labels: &Labels) -> String {
        let said: Vec<String> = match &self.answer {
            Answer::Scores(scores) => {
                let mut ranked: Vec<(usize, &Score)> = scores.iter().enumerate().collect();
                ranked.sort_by(|a, b| b.1.get().total_cmp(&a.1.get()));
                let best = ranked.iter().take(3);
                best.map(|(label, score)| format!("{} {score}", name(labels, *label)))
                    .collect()
            }
            Answer::Detections(found) => found
                .iter()
                .map(|one| format!("{} {}", name(labels, usize::from(one.label.0)), one.score))
                .collect(),
        };
        let said = if said.is_empty() {
            "nothing".to_owned()
        } else {
            said.join(", ")
        };
        let spent = millis(self.timing.inference);
        format!("{}  {said}  ({spent:.1} ms)", self.picture.display())
    }
}

fn name(labels: &Labels, number: usize) -> &str {
    labels.names().get(number).map_or("?", String::as_str)
}

/// One picture, decoded as the stills of an input are.
fn still(path: &Path) -> Result<Frame, CaptureError> {
    let mut source = StillsSource::open(path, StreamId::VisualInspection, 1)?;
    match source.next_frame()? {
        Captured::Frame(frame) => Ok(frame),
        Captured::Nothing | Captured::End => Err(CaptureError::NoStills {
            path: path.to_owned(),
        }),
    }
}

/// Every picture of a folder and of the folders in it, in the order of their paths; or the one picture.
///
/// # Errors
///
/// The folder cannot be read, or there is no picture in it.
pub fn pictures(path: &Path) -> Result<Vec<PathBuf>, InferError> {
    let mut found = Vec::new();
    if path.is_dir() {
        collect(path, DEPTH_MAX, &mut found)?;
    } else {
        found.push(path.to_owned());
    }
    if found.is_empty() {
        return Err(InferError::NoPicture {
            path: path.to_owned(),
        });
    }
    found.sort();
    Ok(found)
}

/// The pictures that a text file names, one a line.
///
/// # Errors
///
/// The file cannot be read, or names nothing.
pub fn listed(path: &Path) -> Result<Vec<PathBuf>, InferError> {
    let text = fs::read_to_string(path).map_err(|source| InferError::Read {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let found: Vec<PathBuf> = lines.map(PathBuf::from).collect();
    if found.is_empty() {
        return Err(InferError::NoPicture {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), InferError> {
    let failed = |source| InferError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        // Links to folders are not followed: they may lead in circles.
        if entry.file_type().map_err(failed)?.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found)?;
            }
        } else if is_picture(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let known = ["png", "jpg", "jpeg"];
    let extension = path.extension().unwrap_or_default();
    known
        .iter()
        .any(|name| extension.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn folder() -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("andon-infer-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("b/c")).expect("a folder");
        path
    }

    #[test]
    fn pictures_of_folders_within_folders_come_in_the_order_of_their_paths() {
        let folder = folder();
        for name in ["b/c/1.png", "b/2.JPG", "a.jpeg", "notes.txt"] {
            fs::write(folder.join(name), b"x").expect("written");
        }
        let found = pictures(&folder).expect("pictures");
        let expected = ["a.jpeg", "b/2.JPG", "b/c/1.png"].map(|name| folder.join(name));
        assert_eq!(found, expected);
        assert_eq!(pictures(&expected[0]).expect("one"), expected[..1]);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_folder_or_list_without_pictures_is_an_error() {
        let folder = folder();
        assert!(matches!(
            pictures(&folder),
            Err(InferError::NoPicture { .. })
        ));
        let list = folder.join("list.txt");
        assert!(matches!(listed(&list), Err(InferError::Read { .. })));
        fs::write(&list, "\n  \n").expect("written");
        assert!(matches!(listed(&list), Err(InferError::NoPicture { .. })));
        fs::remove_dir_all(folder).expect("removed");
    }

    fn plan(model: &str) -> InferPlan {
        InferPlan {
            directory: PathBuf::from("models"),
            model: ModelRef::Named(model.to_owned()),
            engine: EngineConfig {
                engine: crate::config::EngineChoice::Cpu,
                threads: 1,
                ..EngineConfig::default()
            },
            threshold: Score::percent(50),
        }
    }

    #[test]
    fn the_detector_finds_the_person_of_the_self_test() {
        let mut inspector = Inspector::new(&plan("detector_coco_ssd_300_int8")).expect("a model");
        let row = inspector
            .look(Path::new("models/self_test.jpg"))
            .expect("a row");
        let row = row.to_json(inspector.labels());
        assert_eq!(row["detections"][0]["label"], "person");
        let left = row["detections"][0]["box"][0].as_f64().expect("a number");
        assert!((left - 0.75).abs() < 0.03, "{row}");
        assert_eq!(inspector.header()["task"], "detection");
    }

    #[test]
    fn the_classifier_says_a_score_for_every_label() {
        let mut inspector = Inspector::new(&plan("classifier_apple_224_int8")).expect("a model");
        let row = inspector
            .look(Path::new("models/self_test.jpg"))
            .expect("a row");
        let scores = row.to_json(inspector.labels());
        let scores: Vec<f64> = scores["scores"]
            .as_array()
            .expect("scores")
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        assert_eq!(scores.len(), 2);
        assert!(
            (scores.iter().sum::<f64>() - 1.0).abs() < 0.01,
            "{scores:?}"
        );
        assert!(row.text(inspector.labels()).contains("_apple"));
    }

    #[test]
    fn a_picture_that_is_none_is_an_error() {
        let mut inspector = Inspector::new(&plan("classifier_apple_224_int8")).expect("a model");
        let looked = inspector.look(Path::new("models/models.toml"));
        assert!(matches!(looked, Err(InferError::Capture(_))), "{looked:?}");
    }
}
