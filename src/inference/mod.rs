//! Models: loading them, running them, making sense of what they say, and whose turn it is.
//!
//! ```text
//! models.toml ─registry─▶ ModelFile ─engine─▶ Model ─┬─ Detector ──┐
//!                                                    └─ Classifier ┴─▶ Inferencer ─▶ Inferred
//! ```
//!
//! [`Inferencer`] is what the infer thread owns and calls; [`scheduler`] tells that thread whose frame
//! is next. Everything wrong with a model file is an error when it is loaded; everything wrong with
//! an inference is [`Findings::Failed`](crate::message::Findings::Failed), never a missing box.
//!
//! Role words as in TFLite: an *interpreter* runs a model, a *tensor* has a *scale* and *zero point*.

mod classification;
mod cpu;
mod detection;
mod engine;
mod error;
mod fetch;
mod inferencer;
mod labels;
mod registry;
pub mod scheduler;
mod self_test;
mod ssd;
mod ssd_options;
mod stage;
#[cfg(test)]
mod test_model;
mod tflite_graph;
mod tflite_sys;
mod verify;

pub use classification::Classifier;
pub use cpu::CpuEngine;
pub use detection::Detector;
pub use engine::{ElementType, Engine, Model, Quantisation, TensorSpec, TensorView};
pub use error::InferenceError;
pub use fetch::{FetchError, Fetched, Source, fetch_coral};
pub use inferencer::{Inferencer, InspectionJob, LabelSet, Selection, Step, engine};
pub use labels::Labels;
pub use registry::{
    ListedDownload, ListedLabels, ListedModel, ListedTensor, ModelFile, REGISTRY_FILE, Registry,
    load_model, sha256_hex,
};
pub use tflite_graph::{Graph, GraphError};
pub use verify::{Check, ModelReport, verify};
