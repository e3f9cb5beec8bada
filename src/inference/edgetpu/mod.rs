//! The Edge TPU engine: compiled models on accelerators, through the driver in [`tpu`](crate::tpu).
//!
//! A compiled model is a graph of few operators: what the accelerator does is one of them, which
//! holds the program; real numbers may be made of its outputs after it. Both are done here. What else
//! a graph asks for is refused by name: there is no second, silent way to run it.
//!
//! The accelerators are shared by the models of one infer thread, behind a lock that nobody waits
//! for.

mod model;
#[cfg(feature = "tpu-sim")]
mod simulated;
mod twin;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cpu::CpuEngine;
use super::engine::{Condition, Engine, Model, Processor};
use super::error::InferenceError;
use super::registry::ModelFile;
use crate::config::{EngineConfig, OnTpuLoss, TpuClock};
use crate::tpu::bringup::ClockRate;
use crate::tpu::pool::Pool;
use crate::tpu::supervise::{Limits, Supervised};
use crate::tpu::usb::UsbOptions;
use crate::tpu::{Bus, TpuError};
use model::EdgeTpuModel;

#[cfg(feature = "tpu-sim")]
pub(super) use simulated::SimulatedEngine;
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
    on_loss: OnTpuLoss,
    others: OtherModels,
    cpu: CpuEngine,
}

/// The accelerators, for every model that runs on them, and what the models have to say.
#[derive(Clone, Debug)]
struct SharedPool(Arc<(Mutex<Pool>, Mutex<Said>)>);

/// What models said of where they run.
#[derive(Debug, Default)]
struct Said {
    /// Not yet taken, oldest first.
    events: VecDeque<String>,
    /// Models that run on the CPU for want of an accelerator.
    on_cpu: Vec<String>,
}

/// Most of a model's words that are kept for whoever takes them.
const SAID_MAX: usize = 32;

impl SharedPool {
    fn new(pool: Pool) -> Self {
        Self(Arc::new((Mutex::new(pool), Mutex::default())))
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // A panic ends the thread that owns all models; whoever comes after finds a device in an
        // unknown state, as after any other failure.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A model says that it runs on the CPU now, or on an accelerator again.
    fn say(&self, model: &str, on_cpu: Option<&crate::tpu::TpuError>) {
        let text = match on_cpu {
            Some(reason) => {
                format!("model {model} runs on the CPU until an Edge TPU is back: {reason}")
            }
            None => format!("model {model} runs on an Edge TPU again"),
        };
        let mut said = self.said();
        said.on_cpu.retain(|name| name != model);
        if on_cpu.is_some() {
            said.on_cpu.push(model.to_owned());
        }
        said.tell(text);
    }
}

impl Said {
    fn tell(&mut self, text: String) {
        log::warn!("{text}");
        if self.events.len() == SAID_MAX {
            self.events.pop_front();
        }
        self.events.push_back(text);
    }
}

fn usb_options(config: &EngineConfig) -> UsbOptions {
    let mut options = UsbOptions {
        clock: match config.tpu_clock {
            TpuClock::Standard => ClockRate::Standard,
            TpuClock::Maximum => ClockRate::Maximum,
        },
        ..UsbOptions::default()
    };
    if let Some(firmware) = &config.tpu_firmware {
        options.firmware.clone_from(firmware);
    }
    options
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
        let found = crate::tpu::find(bus, &usb_options(config), patience)?;
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
            pool: SharedPool::new(pool),
            on_loss: config.on_tpu_loss,
            others,
            cpu: CpuEngine::new(config.threads),
        })
    }
}

impl Engine for EdgeTpuEngine {
    fn description(&self) -> Cow<'_, str> {
        // Made when it is asked for: an accelerator may be in another socket than at the start.
        Cow::Owned(format!("Edge TPU, {}", self.pool.lock().description()))
    }

    fn description_of(&self, processor: Processor) -> Cow<'_, str> {
        match processor {
            Processor::Cpu => self.cpu.description(),
            Processor::EdgeTpu => self.description(),
        }
    }

    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError> {
        if !file.graph.is_for_edge_tpu() {
            return match self.others {
                OtherModels::OnCpu => {
                    self.pool.said().tell(format!(
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

    fn condition(&self) -> Option<Condition> {
        let mut condition = Condition::default();
        let mut pool = self.pool.lock();
        for member in pool.members_mut() {
            match member.temperature() {
                Ok(Some(temperature)) => {
                    let celsius = temperature.celsius();
                    let hottest = condition
                        .celsius
                        .map_or(celsius, |other| other.max(celsius));
                    condition.celsius = Some(hottest);
                }
                Ok(None) => {}
                Err(error) => {
                    let why = format!("{}: {error}", member.identity());
                    condition.out_of_service.get_or_insert(why);
                }
            }
        }
        let on_cpu = self.pool.said().on_cpu.join(", ");
        if !on_cpu.is_empty() {
            condition.remark = Some(format!("on the CPU meanwhile: {on_cpu}"));
        } else if !pool.evicting().is_empty() {
            condition.remark = Some("models not compiled together: slower".to_owned());
        }
        Some(condition)
    }

    fn take_event(&self) -> Option<String> {
        let event = self.pool.lock().take_event().map(|event| event.to_string());
        event.or_else(|| self.pool.said().events.pop_front())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "operators_tests.rs"]
mod operators_tests;
