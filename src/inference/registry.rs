//! `models.toml`: which models there are, what they must look like, and reading one for use.
//!
//! A model named in the list is used only while its file and its labels have the listed hashes. A
//! path to a `.tflite` file works without a list; its labels are then looked for beside it.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::InferenceError;
use super::labels::Labels;
use super::tflite_graph::Graph;
use crate::config::ModelRef;

/// The list's file name.
pub const REGISTRY_FILE: &str = "models.toml";

/// The layout of the list that this program reads.
const SCHEMA: u32 = 1;

/// A tensor as the list describes it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct ListedTensor {
    /// Name in the model file.
    pub name: String,
    /// What an output is for.
    pub role: Option<String>,
    /// Elements per dimension, outermost first.
    pub shape: Vec<usize>,
    /// `uint8`, `int8`, `float32`.
    pub dtype: String,
    /// Quantisation, where it has one.
    pub scale: Option<f32>,
    /// Quantisation, where it has one.
    pub zero_point: Option<i32>,
}

/// A label file as the list describes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ListedLabels {
    /// Name in the list's directory.
    pub file: String,
    /// Hexadecimal.
    pub sha256: String,
}

/// A model as the list describes it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct ListedModel {
    /// How configuration and reports call it.
    pub name: String,
    /// `detection` or `classification`.
    pub task: String,
    /// Name in the list's directory.
    pub file: String,
    /// Hexadecimal.
    pub sha256: String,
    /// Its labels.
    pub labels: ListedLabels,
    /// What goes in.
    pub input: ListedTensor,
    /// What comes out.
    pub output: Vec<ListedTensor>,
    /// What it was trained on, in a few words.
    pub training_set: Option<String>,
    /// How good it is, by its card.
    pub accuracy: Option<ListedAccuracy>,
    /// What an Edge TPU makes of it.
    pub tpu: Option<ListedTpu>,
}

/// A model's headline figure.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct ListedAccuracy {
    /// What it was measured on.
    pub set: String,
    /// What was measured.
    pub metric: String,
    /// The figure, 0 to 1.
    pub value: f64,
    /// Lower end of its 95 % interval, where stated.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval, where stated.
    pub high: Option<f64>,
    /// Number of cases.
    pub count: u64,
}

/// What is known of a model on an Edge TPU without having one.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct ListedTpu {
    /// Parameters kept on the chip, by the compiler's log; without it they are estimated.
    pub on_chip_bytes: Option<u64>,
    /// Parameters sent at every inference, by the compiler's log.
    pub streamed_bytes: Option<u64>,
    /// Published time of one inference, milliseconds.
    pub published_ms: Option<f64>,
    /// Who published it, for which network, link and clock.
    pub source: Option<String>,
}

/// A file that can be downloaded.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct ListedDownload {
    /// The model it belongs to.
    pub name: String,
    /// `edgetpu`, `cpu` or `labels`.
    pub role: String,
    /// Where it is.
    pub url: String,
    /// Its path in its repository; the last part names the file here.
    pub path: String,
    /// Its git object id, hexadecimal SHA-1.
    pub git_blob: String,
    /// SHA-256 where known, hexadecimal.
    pub sha256: Option<String>,
    /// Length where known.
    pub bytes: Option<u64>,
    /// Its licence.
    pub licence: String,
    /// `detection` or `classification`.
    pub task: Option<String>,
    /// What it was trained on, in a few words.
    pub training_set: Option<String>,
    /// How good it is, as its makers say.
    pub accuracy: Option<ListedAccuracy>,
    /// What an Edge TPU makes of it.
    pub tpu: Option<ListedTpu>,
}

#[derive(Debug, Default, Deserialize)]
struct ListFile {
    schema: u32,
    #[serde(default)]
    model: Vec<ListedModel>,
    #[serde(default)]
    coral: Vec<ListedDownload>,
}

/// A directory's list of models.
#[derive(Clone, Debug)]
pub struct Registry {
    directory: PathBuf,
    models: Vec<ListedModel>,
    downloads: Vec<ListedDownload>,
}

/// A model file that has been read and checked, with its labels: what an engine loads.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// Name in the list, or the file's name.
    pub name: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// Hash of the file, hexadecimal.
    pub sha256: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// What it says of its graph.
    pub graph: Graph,
    /// Its labels.
    pub labels: Labels,
}

impl Registry {
    /// Reads a directory's `models.toml`.
    ///
    /// # Errors
    ///
    /// Missing, unreadable, or not in the known layout.
    pub fn read(directory: &Path) -> Result<Self, InferenceError> {
        let path = directory.join(REGISTRY_FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| InferenceError::Unreadable {
            what: "the list of models",
            path: path.clone(),
            source,
        })?;
        let failed = |reason: String| InferenceError::Registry {
            path: path.clone(),
            reason,
        };
        let list: ListFile = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if list.schema != SCHEMA {
            return Err(failed(format!(
                "its schema is {}, this program reads {SCHEMA}",
                list.schema
            )));
        }
        for model in &list.model {
            for file in [&model.file, &model.labels.file] {
                if file.contains(['/', '\\']) {
                    return Err(failed(format!("{file:?} is not a plain file name")));
                }
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            models: list.model,
            downloads: list.coral,
        })
    }

    /// The models in the order of the list.
    #[must_use]
    pub fn models(&self) -> &[ListedModel] {
        &self.models
    }

    /// The folder of the list.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What can be downloaded.
    #[must_use]
    pub fn downloads(&self) -> &[ListedDownload] {
        &self.downloads
    }

    /// Reads a model named in the list and its labels.
    ///
    /// # Errors
    ///
    /// No such name; a file that is missing, has another hash, or is no model.
    pub fn load(&self, name: &str) -> Result<ModelFile, InferenceError> {
        let Some(model) = self.models.iter().find(|model| model.name == name) else {
            let known: Vec<&str> = self
                .models
                .iter()
                .map(|model| model.name.as_str())
                .collect();
            return Err(InferenceError::UnknownModel {
                name: name.to_owned(),
                path: self.directory.join(REGISTRY_FILE),
                known: known.join(", "),
            });
        };
        self.load_listed(model)
    }

    /// As [`Registry::load`], of an entry.
    ///
    /// # Errors
    ///
    /// As [`Registry::load`].
    pub fn load_listed(&self, model: &ListedModel) -> Result<ModelFile, InferenceError> {
        let path = self.directory.join(&model.file);
        let bytes = read_hashed("model", &path, &model.sha256)?;
        let labels_path = self.directory.join(&model.labels.file);
        let text = read_hashed("label file", &labels_path, &model.labels.sha256)?;
        let labels = Labels::parse(&labels_path, &String::from_utf8_lossy(&text))?;
        ModelFile::new(model.name.clone(), path, bytes, labels)
    }

    /// The entry of a file of this directory.
    fn entry_of(&self, path: &Path) -> Option<&ListedModel> {
        let directory = self.directory.canonicalize().ok()?;
        let path = path.canonicalize().ok()?;
        self.models
            .iter()
            .find(|model| path == directory.join(&model.file))
    }
}

/// Reads the model that the configuration names. A file that is in the directory's list is held to it.
///
/// # Errors
///
/// As [`Registry::load`]; for a file outside the list also where no labels are beside it.
pub fn load_model(directory: &Path, model: &ModelRef) -> Result<ModelFile, InferenceError> {
    let path = match model {
        ModelRef::Named(name) => return Registry::read(directory)?.load(name),
        ModelRef::File(path) => path,
    };
    match Registry::read(directory) {
        Ok(registry) => {
            if let Some(model) = registry.entry_of(path) {
                return registry.load_listed(model);
            }
        }
        Err(InferenceError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    ModelFile::read(path)
}

impl ModelFile {
    /// Reads a model outside any list, and the labels beside it.
    ///
    /// # Errors
    ///
    /// Unreadable, no model, or no labels.
    pub fn read(path: &Path) -> Result<Self, InferenceError> {
        let bytes = read("model", path)?;
        let graph = Graph::parse(&bytes).map_err(|source| InferenceError::Damaged {
            path: path.to_owned(),
            source,
        })?;
        let labels = labels_beside(path)?;
        log::info!(
            "model {}: not in {REGISTRY_FILE}, so its hash is not checked; labels from {}",
            path.display(),
            labels.path().display()
        );
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.into_owned(),
            path: path.to_owned(),
            sha256: sha256_hex(&bytes),
            bytes,
            graph,
            labels,
        })
    }

    pub(super) fn new(
        name: String,
        path: PathBuf,
        bytes: Vec<u8>,
        labels: Labels,
    ) -> Result<Self, InferenceError> {
        let graph = Graph::parse(&bytes).map_err(|source| InferenceError::Damaged {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            name,
            path,
            sha256: sha256_hex(&bytes),
            bytes,
            graph,
            labels,
        })
    }
}

/// `x_labels.txt`, `x.txt`, and the names Coral's models come with.
fn labels_beside(model: &Path) -> Result<Labels, InferenceError> {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let candidates = [
        format!("{stem}_labels.txt"),
        format!("{}_labels.txt", stem.trim_end_matches("_edgetpu")),
        format!("{stem}.txt"),
        "labels.txt".to_owned(),
        "coco_labels.txt".to_owned(),
    ];
    let found = candidates
        .iter()
        .map(|name| model.with_file_name(name))
        .find(|path| path.is_file());
    match found {
        Some(path) => Labels::read(&path),
        None => Err(InferenceError::Labels {
            path: model.with_file_name(&candidates[0]),
            reason: format!(
                "not there, and neither is any of {}; put the model's label file beside it",
                candidates[1..].join(", ")
            ),
        }),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, InferenceError> {
    std::fs::read(path).map_err(|source| InferenceError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })
}

fn read_hashed(what: &'static str, path: &Path, expected: &str) -> Result<Vec<u8>, InferenceError> {
    let bytes = read(what, path)?;
    let actual = sha256_hex(&bytes);
    if actual.eq_ignore_ascii_case(expected) {
        return Ok(bytes);
    }
    Err(InferenceError::WrongHash {
        path: path.to_owned(),
        expected: expected.to_owned(),
        actual,
    })
}

/// SHA-256, lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
