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

mod choose;
mod classification;
mod cpu;
mod detection;
mod edgetpu;
mod engine;
mod error;
mod fetch;
mod inferencer;
mod info;
mod labels;
mod narrow;
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
mod trial;
mod verify;

pub use choose::engine;
pub use classification::Classifier;
pub use cpu::CpuEngine;
pub use detection::Detector;
pub use edgetpu::EdgeTpuEngine;
pub use engine::{Condition, ElementType, Engine, Model, Quantisation, TensorSpec, TensorView};
pub use error::InferenceError;
pub use fetch::{FetchError, Fetched, Source, downloaded, fetch_coral};
pub use inferencer::{Inferencer, InspectionJob, LabelSet, Selection, Step};
pub use info::{ChipMemory, ModelInfo, accelerators, companions};
pub use labels::Labels;
pub use registry::{
    ListedAccuracy, ListedDownload, ListedLabels, ListedModel, ListedTensor, ListedTpu, ModelFile,
    REGISTRY_FILE, Registry, load_model, sha256_hex,
};
pub use tflite_graph::{Graph, GraphError};
pub use trial::{Answer, Trial, known_picture};
pub use verify::{Check, ModelReport, verify};
