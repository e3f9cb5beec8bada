//! The Edge TPU engine: compiled models on accelerators, through the driver in [`tpu`](crate::tpu).
//!
//! A compiled model is a graph of few operators: what the accelerator does is one of them, which
//! holds the program; real numbers may be made of its outputs after it. Both are done here. What else
//! a graph asks for is refused by name: there is no second, silent way to run it.
//!
//! The accelerators are shared by the models of one infer thread, behind a lock that nobody waits
//! for.

mod model;
mod twin;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cpu::CpuEngine;
use super::engine::{Engine, Model, Processor};
use super::error::InferenceError;
use super::registry::ModelFile;
use crate::config::{EngineConfig, OnTpuLoss, TpuClock};
use crate::tpu::bringup::ClockRate;
use crate::tpu::pool::Pool;
use crate::tpu::supervise::{Limits, Supervised};
use crate::tpu::usb::UsbOptions;
use crate::tpu::{Bus, TpuError};
use model::EdgeTpuModel;

pub(super) use twin::twin_of;

/// How long accelerators may take to come into service at the start: firmware, reset, the bus.
const START_LIMIT: Duration = Duration::from_secs(15);

/// What becomes of models that are not compiled for an Edge TPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherModels {
    /// They are refused.
    Refused,
    /// They run on the CPU, which is said.
    OnCpu,
}

/// Accelerators as an engine.
#[derive(Debug)]
pub struct EdgeTpuEngine {
    pool: SharedPool,
    description: String,
    on_loss: OnTpuLoss,
    others: OtherModels,
    cpu: CpuEngine,
}

/// The accelerators, for every model that runs on them.
#[derive(Clone, Debug)]
struct SharedPool(Arc<Mutex<Pool>>, Switches);

/// What has changed about where models run, for the event log; the oldest first.
#[derive(Clone, Debug, Default)]
struct Switches(Arc<Mutex<VecDeque<String>>>);

/// Most switches kept for whoever asks.
const SWITCHES_MAX: usize = 64;

impl Switches {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, message: String) {
        log::warn!("{message}");
        let mut switches = self.lock();
        if switches.len() == SWITCHES_MAX {
            switches.pop_front();
        }
        switches.push_back(message);
    }
}

impl SharedPool {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        // A panic ends the thread that owns all models; whoever comes after finds a device in an
        // unknown state, as after any other failure.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EdgeTpuEngine {
    /// The accelerators of this machine on a bus, in service; where there is none, one is waited for.
    ///
    /// # Errors
    ///
    /// There is none, or none comes into service.
    pub(super) fn open(
        bus: Bus,
        config: &EngineConfig,
        others: OtherModels,
        patience: Duration,
    ) -> Result<Self, TpuError> {
        let options = UsbOptions {
            clock: match config.tpu_clock {
                TpuClock::Standard => ClockRate::Standard,
                TpuClock::Maximum => ClockRate::Maximum,
            },
            ..UsbOptions::default()
        };
        let options = match &config.tpu_firmware {
            Some(firmware) => UsbOptions {
                firmware: firmware.clone(),
                ..options
            },
            None => options,
        };
        let found = crate::tpu::find(bus, &options, patience)?;
        let members = found
            .into_iter()
            .map(|backend| Supervised::new(backend, Limits::default()));
        Self::new(Pool::new(members.collect())?, config, others)
    }

    /// As [`EdgeTpuEngine::open`], of accelerators that were found already.
    ///
    /// # Errors
    ///
    /// None comes into service.
    pub(super) fn new(
        mut pool: Pool,
        config: &EngineConfig,
        others: OtherModels,
    ) -> Result<Self, TpuError> {
        pool.start(START_LIMIT)?;
        Ok(Self {
            description: format!("Edge TPU, {}", pool.description()),
            pool: SharedPool(Arc::new(Mutex::new(pool)), Switches::default()),
            on_loss: config.on_tpu_loss,
            others,
            cpu: CpuEngine::new(config.threads),
        })
    }
}

impl Engine for EdgeTpuEngine {
    fn description(&self) -> &str {
        &self.description
    }

    fn description_of(&self, processor: Processor) -> &str {
        match processor {
            Processor::Cpu => self.cpu.description(),
            Processor::EdgeTpu => &self.description,
        }
    }

    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError> {
        if !file.graph.is_for_edge_tpu() {
            return match self.others {
                OtherModels::OnCpu => {
                    self.pool.1.note(format!(
                        "model {}: not compiled for an Edge TPU; it runs on the CPU",
                        file.name
                    ));
                    self.cpu.load(file)
                }
                OtherModels::Refused => Err(InferenceError::EngineUnavailable {
                    engine: "edgetpu",
                    reason: format!(
                        "{} is not compiled for an Edge TPU; name a model that is (its file ends in _edgetpu.tflite), or use engine = \"auto\" or \"cpu\"",
                        file.path.display()
                    ),
                }),
            };
        }
        let spare = match self.on_loss {
            OnTpuLoss::Stop => None,
            OnTpuLoss::Cpu => Some(self.cpu.load(twin_of(&file)?)?),
        };
        Ok(Box::new(EdgeTpuModel::open(
            file,
            self.pool.clone(),
            spare,
        )?))
    }

    fn tick(&self) {
        self.pool.lock().tick();
    }

    fn is_recovering(&self) -> bool {
        self.pool.lock().is_recovering()
    }

    fn notes(&self) -> Vec<String> {
        let mut pool = self.pool.lock();
        let mut notes: Vec<String> = pool
            .members_mut()
            .iter_mut()
            .map(|member| {
                let temperature = match member.temperature() {
                    Ok(Some(temperature)) => temperature.to_string(),
                    Ok(None) => "temperature not known".to_owned(),
                    Err(error) => error.to_string(),
                };
                format!(
                    "{}: {}, {temperature}",
                    member.identity(),
                    member.description()
                )
            })
            .collect();
        if !pool.evicting().is_empty() {
            notes.push(
                "WARNING: the models were not compiled together: each evicts the other's weights from the chip (see `andon models info`)"
                    .to_owned(),
            );
        }
        notes
    }

    fn take_event(&self) -> Option<String> {
        let event = self.pool.lock().take_event();
        event
            .map(|event| event.to_string())
            .or_else(|| self.pool.1.lock().pop_front())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
