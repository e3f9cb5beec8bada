//! `andon models info`: what a model file holds, and what it costs an Edge TPU.

use std::fmt::Write as _;
use std::path::Path;

use super::error::InferenceError;
use super::tflite_graph::Graph;
use crate::config::EngineConfig;
use crate::tpu::package::{CachingToken, Package, Traffic};
use crate::tpu::usb::NusbHost;
use crate::tpu::usb::transport::{DFU_ID, Speed};

/// Weights that an Edge TPU keeps, at most; the compiler reserves some of it.
const CHIP_BYTES: usize = 8 << 20;

/// A model file by what it costs.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// What it is, in lines.
    pub text: String,
    /// Tokens and traffic of its programs for an Edge TPU.
    programs: Vec<(CachingToken, Traffic)>,
}

/// What a compiled model takes of an Edge TPU's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipMemory {
    /// Weights that stay on the chip.
    pub cached_bytes: u64,
    /// Weights that are sent again with every inference.
    pub streamed_bytes: u64,
    /// Whose weights may lie there beside it.
    pub token: CachingToken,
}

impl ModelInfo {
    /// Whether it has a program for an Edge TPU.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        !self.programs.is_empty()
    }

    /// Weights on the chip, weights streamed with every inference, and the token under which they lie
    /// there (0 where its programs have several); `None` where it is not compiled.
    #[must_use]
    pub fn chip_memory(&self) -> Option<ChipMemory> {
        let ((first, _), _) = self.programs.split_first()?;
        let shared = self.programs.iter().all(|(token, _)| token == first);
        let sum = |bytes: fn(&Traffic) -> usize| {
            let each = self.programs.iter().map(|(_, traffic)| bytes(traffic));
            each.sum::<usize>() as u64
        };
        Some(ChipMemory {
            cached_bytes: sum(|traffic| traffic.cached_bytes),
            streamed_bytes: sum(|traffic| traffic.streamed_bytes),
            token: if shared { *first } else { CachingToken(0) },
        })
    }

    /// Reads a model file; labels are not needed.
    ///
    /// # Errors
    ///
    /// Unreadable, no model, or a program for an Edge TPU that is refused.
    pub fn read(path: &Path) -> Result<Self, InferenceError> {
        let bytes = std::fs::read(path).map_err(|source| InferenceError::Unreadable {
            what: "model",
            path: path.to_owned(),
            source,
        })?;
        let graph = Graph::parse(&bytes).map_err(|source| InferenceError::Damaged {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::of(&name, &graph, &bytes).map_err(|reason| InferenceError::Unsuitable {
            path: path.to_owned(),
            task: "model of an Edge TPU",
            reason,
        })
    }

    fn of(name: &str, graph: &Graph, bytes: &[u8]) -> Result<Self, String> {
        let mut text = format!("{name}\n");
        for input in graph.inputs() {
            let _ = writeln!(text, "  input   {input} {}", input.name);
        }
        for output in graph.outputs() {
            let _ = writeln!(text, "  output  {output} {}", output.name);
        }
        let mut programs = Vec::new();
        for options in graph.edge_tpu_options(bytes) {
            let package = Package::from_custom_options(options).map_err(|e| e.to_string())?;
            describe(&mut text, &package);
            programs.push((package.token(), package.traffic()));
        }
        if programs.is_empty() {
            let _ = writeln!(text, "  not compiled for an Edge TPU");
        }
        Ok(Self {
            name: name.to_owned(),
            text,
            programs,
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn describe(text: &mut String, package: &Package) {
    let traffic = package.traffic();
    let _ = writeln!(
        text,
        "  Edge TPU program, compiler {}, runtime {} or newer, caching token {}",
        package.compiler_version,
        package.min_runtime_version,
        package.token(),
    );
    let _ = writeln!(
        text,
        "    on chip          {:>9} bytes ({:.2} MiB)",
        traffic.cached_bytes,
        mib(traffic.cached_bytes)
    );
    let _ = writeln!(
        text,
        "    streamed         {:>9} bytes of weights with every inference",
        traffic.streamed_bytes
    );
    let _ = writeln!(
        text,
        "    per inference    {:>9} bytes to the chip, {} back: {} on USB 3, {} on USB 2",
        traffic.to_chip_bytes,
        traffic.from_chip_bytes,
        shown(traffic.transfer_time(Speed::Super)),
        shown(traffic.transfer_time(Speed::High)),
    );
    let _ = writeln!(
        text,
        "    first inference  {:>9} bytes more: {} on USB 3, {} on USB 2",
        traffic.upload_bytes,
        shown(traffic.upload_time(Speed::Super)),
        shown(traffic.upload_time(Speed::High)),
    );
    if package.main.estimated_cycles > 0 {
        let _ = writeln!(
            text,
            "    computing        {:>9} cycles by the compiler's estimate",
            package.main.estimated_cycles
        );
    }
}

fn shown(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// What models that share an Edge TPU do to each other, a line each; empty where nothing is to be said.
#[must_use]
pub fn companions(models: &[ModelInfo]) -> Vec<String> {
    let mut lines = Vec::new();
    let programs: Vec<_> = models
        .iter()
        .flat_map(|model| {
            model
                .programs
                .iter()
                .map(move |program| (&model.name, program))
        })
        .collect();
    let [(first, (token, _)), others @ ..] = programs.as_slice() else {
        return lines;
    };
    if others.is_empty() {
        return lines;
    }
    let cached: usize = programs
        .iter()
        .map(|(_, (_, traffic))| traffic.cached_bytes)
        .sum();
    let strangers = others
        .iter()
        .filter(|(_, (other, _))| other != token || token.0 == 0);
    let strangers: Vec<&str> = strangers.map(|(name, _)| name.as_str()).collect();
    if strangers.is_empty() {
        lines.push(format!(
            "they share a caching token: {:.2} of {:.0} MiB on chip, uploaded once",
            mib(cached),
            mib(CHIP_BYTES)
        ));
        return lines;
    }
    let again: usize = programs
        .iter()
        .map(|(_, (_, traffic))| traffic.upload_bytes)
        .sum();
    lines.push(format!(
        "WARNING: {first} and {} were not compiled together (their caching tokens differ): on one Edge TPU each evicts the other's weights, \
         {again} bytes more per pair of inferences. Compile them in one call of edgetpu_compiler, or use two Edge TPUs",
        strangers.join(", "),
    ));
    lines
}

/// The accelerators that are plugged in, a line each; nothing is done to them.
#[must_use]
pub fn accelerators(_config: &EngineConfig) -> Vec<String> {
    let mut lines = Vec::new();
    match crate::tpu::usb::attached(&mut NusbHost::new()) {
        Ok(devices) => lines.extend(devices.iter().map(|device| {
            let state = if device.id == DFU_ID {
                "without firmware"
            } else {
                "running"
            };
            format!("USB {} ({}, {state})", device.port, device.id)
        })),
        Err(error) => lines.push(format!("USB: {error}")),
    }
    lines.extend(
        crate::tpu::pcie::attached()
            .iter()
            .map(|gasket| format!("PCIe {} ({})", gasket.address, gasket.node.display())),
    );
    lines
}
