//! From the flags of the command line to what lies over the configuration files.

use std::path::PathBuf;

use super::commands::Failure;
use super::{ConfigArgs, DisplayArg, EngineArg, Exit, PaceArg};
use crate::app::SnapshotRequest;
use crate::config::{self, DisplayChoice, EngineChoice, Loaded, Overrides, Pace};

impl ConfigArgs {
    /// Reads and checks the configuration with these flags over it.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        let path = self.file()?;
        config::load(&path, &self.overrides()).map_err(|error| Failure::new(Exit::Usage, error))
    }

    /// The configuration file in use.
    fn file(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let candidates = config::default_paths();
        let found = candidates.iter().find(|path| path.exists()).cloned();
        found.ok_or_else(|| {
            let [first, second] = candidates.map(|path| path.display().to_string());
            Failure::usage(format!(
                "no configuration: neither {first} nor {second} exists; name one with --config FILE"
            ))
        })
    }

    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            keepout: self.keepout.clone(),
            worker_safety_input: self.worker_safety_input.clone(),
            visual_inspection_input: self.visual_inspection_input.clone(),
            detection_model: self.detection_model.clone(),
            classifier_model: self.classifier_model.clone(),
            engine: self.engine.map(EngineChoice::from),
            threads: self.threads,
            display: self.display.map(DisplayChoice::from),
            width: self.width,
            height: self.height,
            worker_threshold: self.worker_threshold,
            inspection_threshold: self.inspection_threshold,
            safety_check_whole_box: self.safety_check_whole_box,
            anonymize: self.anonymize,
        }
    }
}

impl From<EngineArg> for EngineChoice {
    fn from(argument: EngineArg) -> Self {
        match argument {
            EngineArg::Auto => Self::Auto,
            EngineArg::Cpu => Self::Cpu,
            EngineArg::Edgetpu => Self::EdgeTpu,
            EngineArg::EdgetpuUsb => Self::EdgeTpuUsb,
            EngineArg::EdgetpuPcie => Self::EdgeTpuPcie,
            #[cfg(feature = "tpu-sim")]
            EngineArg::EdgetpuSim => Self::EdgeTpuSimulated,
        }
    }
}

impl From<DisplayArg> for DisplayChoice {
    fn from(argument: DisplayArg) -> Self {
        match argument {
            DisplayArg::Kms => Self::Kms,
            DisplayArg::Headless => Self::Headless,
            DisplayArg::None => Self::None,
        }
    }
}

impl From<PaceArg> for Pace {
    fn from(argument: PaceArg) -> Self {
        match argument {
            PaceArg::Realtime => Self::Realtime,
            PaceArg::Asap => Self::Asap,
        }
    }
}

/// Reads `FILE.png@FRAME`.
pub(super) fn snapshot(text: &str) -> Result<SnapshotRequest, Failure> {
    let bad = || {
        Failure::usage(format!(
            "--snapshot {text}: write FILE.png@FRAME, for instance out/frame.png@100"
        ))
    };
    let (path, frame) = text.rsplit_once('@').ok_or_else(bad)?;
    let frame = frame.parse().ok().ok_or_else(bad)?;
    if path.is_empty() {
        return Err(bad());
    }
    Ok(SnapshotRequest {
        path: PathBuf::from(path),
        frame,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_names_file_and_frame() {
        let request = snapshot("out/a@b.png@120").ok();
        let expected = SnapshotRequest {
            path: "out/a@b.png".into(),
            frame: 120,
        };
        assert_eq!(request, Some(expected));
        for bad in ["a.png", "a.png@", "@3", "a.png@x", "a.png@-1"] {
            assert!(snapshot(bad).is_err(), "{bad}");
        }
    }
}
