//! A simulated Edge TPU as an engine (feature `tpu-sim`): in test builds the whole program runs its
//! compiled models through the driver, answered by the models that they were made of.
//!
//! It knows the models of its run only. For a model that `andon-tpu-sim pack` made, `X.twin.tflite`
//! lies beside it; for one of the vendor's compiler, `X.tflite` beside `X_edgetpu.tflite` answers.
//! Breaches of the protocol are errors in the log when the run ends.

use std::borrow::Cow;

use andon_tpu_sim::clock::RealClock;
use andon_tpu_sim::device::{Config as SimConfig, SimulatedEdgeTpu};
use andon_tpu_sim::fault::Script;
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::latency::Latency;
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::twin::Twins;

use super::{EdgeTpuEngine, OtherModels};
use crate::config::EngineConfig;
use crate::inference::engine::{Condition, Engine, Model, Processor};
use crate::inference::error::InferenceError;
use crate::inference::registry::ModelFile;
use crate::tpu::TpuError;
use crate::tpu::pool::Pool;
use crate::tpu::supervise::{Limits, Supervised};
use crate::tpu::usb::Usb;
use crate::tpu::usb::simulated::SimulatedUsb;
use crate::tpu::usb::transport::PortPath;

/// Names a file with a script of faults (`tests/tpu-sim`, `fault.rs`).
const FAULTS: &str = "ANDON_TPU_SIM_FAULTS";

/// `coral` has computing take as long as on Coral's pages; else it takes no time of its own.
const LATENCY: &str = "ANDON_TPU_SIM_LATENCY";

/// Where the device is plugged in.
const PORT: &str = "1-1";

/// An engine on a simulated device.
#[derive(Debug)]
pub(in super::super) struct SimulatedEngine {
    engine: EdgeTpuEngine,
    host: SimulatedHost,
}

fn cannot(reason: impl std::fmt::Display) -> TpuError {
    TpuError::Absent(format!("can be simulated: {reason}"))
}

impl SimulatedEngine {
    /// A device that knows these models.
    ///
    /// # Errors
    ///
    /// A model, its twin or the script of faults cannot be read; the device does not come into
    /// service.
    pub(in super::super) fn open(
        config: &EngineConfig,
        files: &[ModelFile],
    ) -> Result<Self, TpuError> {
        let mut registry = Registry::default();
        let mut twins = Twins::new();
        for file in files.iter().filter(|file| file.graph.is_for_edge_tpu()) {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            registry.add_bytes(&name, &file.bytes).map_err(cannot)?;
            if !twins.add_beside(&file.path).map_err(cannot)? {
                let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
                let cpu = stem.strip_suffix("_edgetpu").unwrap_or(&stem);
                twins.add(&name, &file.path.with_file_name(format!("{cpu}.tflite")));
            }
        }
        let latency = match std::env::var(LATENCY).as_deref() {
            Ok("coral") => Latency::coral(),
            _ => Latency::none(),
        };
        let mut device = SimulatedEdgeTpu::new(
            SimConfig {
                // Without firmware to give it, it has some.
                starts_in_dfu: config.tpu_firmware.is_some(),
                latency,
                ..SimConfig::default()
            },
            registry,
        );
        device.set_executor(Box::new(twins));
        if let Some(path) = std::env::var_os(FAULTS) {
            let text = std::fs::read_to_string(path).map_err(cannot)?;
            *device.script_mut() = Script::parse(&text).map_err(cannot)?;
        }
        let host = SimulatedHost::new(RealClock::new());
        host.add(PORT, device);
        let usb = Usb::new(
            Box::new(SimulatedUsb::new(host.clone())),
            PortPath(PORT.to_owned()),
            super::usb_options(config),
        );
        let member = Supervised::new(Box::new(usb), Limits::default());
        let pool = Pool::new(vec![member])?;
        let engine = EdgeTpuEngine::new(pool, config, OtherModels::Refused)?;
        Ok(Self { engine, host })
    }
}

impl Drop for SimulatedEngine {
    fn drop(&mut self) {
        for violation in self.host.violations() {
            log::error!("the driver broke the Edge TPU's protocol: {violation}");
        }
        if let Some(figures) = self.host.with(PORT, |device, _| device.figures()) {
            log::info!(
                "simulated Edge TPU: {} inferences, {} uploads of weights, {:.1?} busy, {:.1?} computing",
                figures.inferences,
                figures.loads,
                figures.busy,
                figures.computing
            );
        }
    }
}

impl Engine for SimulatedEngine {
    fn description(&self) -> Cow<'_, str> {
        Cow::Owned(format!("SIMULATED {}", self.engine.description()))
    }

    fn description_of(&self, processor: Processor) -> Cow<'_, str> {
        match processor {
            Processor::Cpu => self.engine.description_of(processor),
            Processor::EdgeTpu => self.description(),
        }
    }

    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError> {
        self.engine.load(file)
    }

    fn tick(&self) {
        self.engine.tick();
    }

    fn is_recovering(&self) -> bool {
        self.engine.is_recovering()
    }

    fn notes(&self) -> Vec<String> {
        self.engine.notes()
    }

    fn condition(&self) -> Option<Condition> {
        self.engine.condition()
    }

    fn take_event(&self) -> Option<String> {
        self.engine.take_event()
    }
}
