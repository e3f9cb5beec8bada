//! Which engine runs the models: what the configuration names, or what there is.

use std::time::Duration;

use super::cpu::CpuEngine;
use super::edgetpu::{EdgeTpuEngine, OtherModels, twin_of};
use super::engine::Engine;
use super::error::InferenceError;
use super::registry::ModelFile;
use crate::config::{EngineChoice, EngineConfig};
use crate::tpu::{Bus, TpuError};

/// The engine that the configuration chooses for these models. With `auto` and no Edge TPU, models
/// that are compiled for one are replaced by those they were compiled from.
///
/// # Errors
///
/// The engine it names is not there.
pub fn engine(
    config: &EngineConfig,
    files: &mut [ModelFile],
) -> Result<Box<dyn Engine>, InferenceError> {
    let bus = match config.engine {
        EngineChoice::Cpu => return Ok(Box::new(CpuEngine::new(config.threads))),
        EngineChoice::Auto => return automatic(config, files),
        EngineChoice::EdgeTpu => Bus::Any,
        EngineChoice::EdgeTpuUsb => Bus::Usb,
        EngineChoice::EdgeTpuPcie => Bus::Pcie,
        #[cfg(feature = "tpu-sim")]
        EngineChoice::EdgeTpuSimulated => {
            let engine = super::edgetpu::SimulatedEngine::open(config, files);
            return engine
                .map(|engine| Box::new(engine) as Box<dyn Engine>)
                .map_err(|error| unavailable(config, &error));
        }
    };
    match EdgeTpuEngine::open(bus, config, OtherModels::Refused, patience(files)) {
        Ok(engine) => Ok(Box::new(engine)),
        Err(error) => Err(unavailable(config, &error)),
    }
}

fn unavailable(config: &EngineConfig, error: &TpuError) -> InferenceError {
    InferenceError::EngineUnavailable {
        engine: config.engine.name(),
        reason: format!("{error}; or use engine = \"cpu\" (or --engine cpu)"),
    }
}

/// How long to wait for an Edge TPU to be on the bus: models that are compiled for one were put there
/// by somebody who has one, and a machine that is just starting lists it late.
fn patience(files: &[ModelFile]) -> Duration {
    if files.iter().any(|file| file.graph.is_for_edge_tpu()) {
        Duration::from_secs(5)
    } else {
        Duration::ZERO
    }
}

fn automatic(
    config: &EngineConfig,
    files: &mut [ModelFile],
) -> Result<Box<dyn Engine>, InferenceError> {
    let cpu = CpuEngine::new(config.threads);
    if !files.iter().any(|file| file.graph.is_for_edge_tpu()) {
        return Ok(Box::new(
            cpu.because("auto: the models are not compiled for an Edge TPU"),
        ));
    }
    let others = OtherModels::OnCpu;
    let error = match EdgeTpuEngine::open(Bus::Any, config, others, patience(files)) {
        Ok(engine) => return Ok(Box::new(engine)),
        Err(error) => error,
    };
    log::warn!("{error}");
    for file in files.iter_mut().filter(|file| file.graph.is_for_edge_tpu()) {
        *file = twin_of(file)?;
    }
    Ok(Box::new(cpu.because(&format!("auto: {error}"))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure is the message")]
mod tests {
    use super::*;

    fn config(engine: EngineChoice) -> EngineConfig {
        EngineConfig {
            engine,
            threads: 2,
            ..EngineConfig::default()
        }
    }

    #[test]
    fn an_edge_tpu_that_is_not_there_is_an_error_and_auto_says_what_it_took() {
        let options = crate::tpu::usb::UsbOptions::default();
        if crate::tpu::find(Bus::Any, &options, std::time::Duration::ZERO).is_ok() {
            eprintln!("SKIPPED: this machine has an Edge TPU");
            return;
        }
        for choice in [
            EngineChoice::EdgeTpu,
            EngineChoice::EdgeTpuUsb,
            EngineChoice::EdgeTpuPcie,
        ] {
            let error = engine(&config(choice), &mut []).unwrap_err().to_string();
            assert!(
                error.contains("edgetpu") && error.contains("--engine cpu"),
                "{error}"
            );
        }
        let auto = engine(&config(EngineChoice::Auto), &mut []).unwrap();
        for part in ["CPU", "XNNPACK", "2 threads", "Edge TPU"] {
            assert!(auto.description().contains(part), "{}", auto.description());
        }
        let cpu = engine(&config(EngineChoice::Cpu), &mut []).unwrap();
        assert!(!cpu.description().contains("auto"), "{}", cpu.description());
    }
}
