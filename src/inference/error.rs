//! Everything that can go wrong with models and engines.

use std::io;
use std::path::PathBuf;

use super::tflite_graph::GraphError;
use crate::preprocess::PreprocessError;
use crate::tpu::TpuError;

/// Why a model or engine cannot be used, or an inference failed.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// A model, label or registry file cannot be read.
    #[error(
        "cannot read {what} {path}: {source}; check [models] in the configuration, or the option that names it"
    )]
    Unreadable {
        /// Model file, label file, list of models.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `models.toml` is no list of models.
    #[error("{path}: {reason}")]
    Registry {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No such name.
    #[error("no model is called {name:?} in {path}; it lists {known}. A path must end in .tflite")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The list.
        path: PathBuf,
        /// The names in it.
        known: String,
    },
    /// The file is not the one the list was written for.
    #[error(
        "{path} is damaged or has been replaced: its sha256 is {actual}, models.toml says {expected}. Restore it, or list the new file there"
    )]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// Hash in `models.toml`.
        expected: String,
        /// Hash of the file.
        actual: String,
    },
    /// The known-answer test cannot be prepared.
    #[error("self-test picture: {reason}; the program is damaged, install it again")]
    SelfTest {
        /// What is wrong.
        reason: String,
    },
    /// The file is no model, or a damaged one.
    #[error("model {path}: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GraphError,
    },
    /// A model that cannot do the job it is configured for.
    #[error("model {path} cannot be the {task}: {reason}")]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// `detector` or `classifier`.
        task: &'static str,
        /// Expected and found.
        reason: String,
    },
    /// A label file that cannot be used.
    #[error("labels {path}: {reason}")]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The configured engine is not there.
    #[error("engine {engine} cannot be used: {reason}")]
    EngineUnavailable {
        /// As in the configuration.
        engine: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// The engine refused a model or failed to run it.
    #[error("model {model}: TFLite cannot {operation}: {source}")]
    Tflite {
        /// Name of the model.
        model: String,
        /// What it was to do.
        operation: &'static str,
        /// What it said.
        source: tflitec::Error,
    },
    /// An Edge TPU failed to run a model.
    #[error("model {model}: {source}")]
    EdgeTpu {
        /// Name of the model.
        model: String,
        /// What went wrong.
        source: TpuError,
    },
    /// The model put out what no healthy model does.
    #[error("model {model}: {reason}")]
    Nonsense {
        /// Name of the model.
        model: String,
        /// Which tensor holds what.
        reason: String,
    },
    /// A frame could not be turned into the model's input.
    #[error("model {model}: {source}")]
    Preprocess {
        /// Name of the model.
        model: String,
        /// Why not.
        source: PreprocessError,
    },
}
