//! What the command line may change in a configuration.

use std::path::PathBuf;

use super::{DisplayChoice, EngineChoice};

/// Options of the command line that lie over the files; absent ones leave the file's value. Values
/// are as typed: [`super::load()`] checks them and names the option where one is wrong. Relative
/// paths start at the current directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--keepout`: a keepout TOML, or a CSV of pixels of a picture of `--width` × `--height`.
    pub keepout: Option<PathBuf>,
    /// `--worker-safety-input`.
    pub worker_safety_input: Option<String>,
    /// `--visual-inspection-input`.
    pub visual_inspection_input: Option<String>,
    /// `--detection-model`: a name in `models.toml` or a `.tflite` file.
    pub detection_model: Option<String>,
    /// `--classifier-model`: a name in `models.toml` or a `.tflite` file.
    pub classifier_model: Option<String>,
    /// `--engine`.
    pub engine: Option<EngineChoice>,
    /// `--threads`.
    pub threads: Option<u8>,
    /// `--display`.
    pub display: Option<DisplayChoice>,
    /// `--width`, pixels.
    pub width: Option<u32>,
    /// `--height`, pixels.
    pub height: Option<u32>,
    /// `--worker-threshold`.
    pub worker_threshold: Option<f64>,
    /// `--inspection-threshold`.
    pub inspection_threshold: Option<f64>,
    /// `--safety-check-whole-box`: every zone gets the anchor `whole-box`.
    pub safety_check_whole_box: bool,
    /// `--anonymize`.
    pub anonymize: bool,
}
