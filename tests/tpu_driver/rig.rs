//! A supervised accelerator that is simulated, with models, and what must come out of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use andon::tpu::TpuError;
use andon::tpu::device::ProgramId;
use andon::tpu::package::Package;
use andon::tpu::supervise::{Limits, Supervised};
use andon::tpu::usb::simulated::SimulatedUsb;
use andon::tpu::usb::transport::PortPath;
use andon::tpu::usb::{Usb, UsbOptions};
use andon_tpu_sim::device::{Config, SimulatedEdgeTpu};
use andon_tpu_sim::execute::{Executor, input_key, keyed_byte};
use andon_tpu_sim::fault::{Fault, Trigger};
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::model::Model;
use andon_tpu_sim::package::{Executable, Kind};
use andon_tpu_sim::registry::Registry;

pub(crate) const PORT: &str = "1-1";

/// The time between two frames.
pub(crate) const FRAME: Duration = Duration::from_millis(33);

/// A model file by name.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    pub(crate) fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
        }
    }
}

/// A small model: two inputs, one of them padded and signed, three outputs, tiled.
pub(crate) fn small(token: u64, seed: u64, cached_bytes: usize) -> File {
    let layout = andon_tpu_sim::pack::Layout::Tiles;
    let (bytes, _) = super::models::small(token, seed, cached_bytes, layout);
    File::new(&format!("small_{token:x}_{seed}"), bytes)
}

/// The folder with `models/` and `traces/`, or the words that tell of its absence.
pub(crate) fn reference(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("ANDON_EDGETPU").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from("../shared/edgetpu"));
    if folder.join("models").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: {test}: no compiled models in {} (set ANDON_EDGETPU)",
        folder.display()
    );
    None
}

/// A model of the reference folder.
pub(crate) fn compiled(test: &str, name: &str) -> Option<File> {
    let path = reference(test)?.join("models").join(name);
    Some(File::new(name, std::fs::read(path).unwrap()))
}

/// One program of a model file, as both sides know it.
pub(crate) struct Known {
    pub(crate) name: String,
    /// By the simulator's own reader.
    pub(crate) executable: Executable,
    pub(crate) program: ProgramId,
    pub(crate) outputs: Vec<Vec<u8>>,
}

impl Known {
    /// Inputs that differ from frame to frame.
    pub(crate) fn inputs(&self, salt: u8) -> Vec<Vec<u8>> {
        super::models::inputs(&self.executable, salt)
    }

    /// What the pattern of the simulated device answers to inputs.
    fn expected(&self, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let key = input_key(inputs.iter().map(Vec::as_slice));
        let layers = self.executable.outputs.iter();
        layers
            .map(|layer| {
                let bytes = 0..layer.plain_bytes();
                bytes.map(|at| keyed_byte(key, &layer.name, at)).collect()
            })
            .collect()
    }
}

pub(crate) struct Rig {
    pub(crate) host: SimulatedHost,
    pub(crate) device: Supervised,
    pub(crate) known: Vec<Known>,
    _firmware: tempfile::NamedTempFile,
    salt: u8,
}

/// The packages of a file, as the simulator reads them, with their options as the file has them.
pub(crate) fn packages(file: &File) -> Vec<(Vec<u8>, andon_tpu_sim::package::Package)> {
    let model = Model::read(&file.bytes).unwrap();
    let operators = model.graphs.into_iter().flat_map(|graph| graph.operators);
    operators
        .filter_map(|operator| Some((operator.custom_options, operator.package?)))
        .collect()
}

impl Rig {
    pub(crate) fn new(config: Config, files: &[File]) -> Self {
        Self::with(config, files, None)
    }

    pub(crate) fn with(
        config: Config,
        files: &[File],
        executor: Option<Box<dyn Executor>>,
    ) -> Self {
        let mut registry = Registry::default();
        for file in files {
            registry.add_bytes(&file.name, &file.bytes).unwrap();
        }
        let mut simulated = SimulatedEdgeTpu::new(config, registry);
        if let Some(executor) = executor {
            simulated.set_executor(executor);
        }
        let host = SimulatedHost::new(andon_tpu_sim::clock::VirtualClock::new());
        host.add(PORT, simulated);
        let firmware = tempfile::NamedTempFile::new().unwrap();
        let image: Vec<u8> = (0..1_000_u32)
            .map(|i| (i * 7 + 1).to_le_bytes()[0])
            .collect();
        std::fs::write(firmware.path(), image).unwrap();
        let usb = Usb::new(
            Box::new(SimulatedUsb::new(host.clone())),
            PortPath(PORT.to_owned()),
            UsbOptions {
                firmware: firmware.path().to_owned(),
                ..UsbOptions::default()
            },
        );
        let mut device = Supervised::new(Box::new(usb), Limits::default());
        let mut known = Vec::new();
        for file in files {
            for (options, theirs) in packages(file) {
                let package = Arc::new(Package::from_custom_options(&options).unwrap());
                let kinds = [Kind::ExecutionOnly, Kind::StandAlone];
                let executable = kinds.iter().find_map(|kind| theirs.executable(*kind));
                let executable = executable.unwrap().clone();
                let outputs = executable.outputs.iter();
                known.push(Known {
                    name: file.name.clone(),
                    program: device.load(&package).unwrap(),
                    outputs: outputs.map(|layer| vec![0; layer.plain_bytes()]).collect(),
                    executable,
                });
            }
        }
        Self {
            host,
            device,
            known,
            _firmware: firmware,
            salt: 0,
        }
    }

    /// As [`Rig::new`], in service.
    pub(crate) fn started(config: Config, files: &[File]) -> Self {
        let mut rig = Self::new(config, files);
        rig.device.start(Duration::from_secs(10)).unwrap();
        rig
    }

    /// Runs a program on new inputs. Its outputs are those of the pattern, or there is an error.
    pub(crate) fn run(&mut self, at: usize) -> Result<(), TpuError> {
        self.salt = self.salt.wrapping_add(1);
        let known = &mut self.known[at];
        let inputs = known.inputs(self.salt);
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        known
            .outputs
            .iter_mut()
            .for_each(|output| output.fill(0xee));
        self.device
            .run(known.program, &slices, &mut known.outputs)?;
        let expected = known.expected(&inputs);
        for (layer, (ours, theirs)) in known
            .executable
            .outputs
            .iter()
            .zip(known.outputs.iter().zip(&expected))
        {
            let differs = ours.iter().zip(theirs).position(|(a, b)| a != b);
            assert!(
                ours == theirs,
                "{}: output \"{}\" differs at byte {differs:?} of {}",
                known.name,
                layer.name,
                theirs.len()
            );
        }
        Ok(())
    }

    /// A frame's time goes by.
    pub(crate) fn next_frame(&self) {
        let clock = self.host.clock();
        clock.advance_to(clock.now() + FRAME);
        let _ = self.host.devices();
    }

    /// Runs programs, a frame apart, until one succeeds; says how many failed.
    pub(crate) fn until_success(&mut self, frames: usize) -> Option<usize> {
        for failed in 0..frames {
            // Only a step of recovery may take as long as the kernel gives it, and it is announced.
            let announced = self.device.is_recovering();
            let before = self.host.now();
            let result = self.run(failed % self.known.len());
            let took = self.host.now().saturating_sub(before);
            let longest = Duration::from_secs(if announced { 12 } else { 2 });
            assert!(took < longest, "an inference took {took:?}");
            if result.is_ok() {
                return Some(failed);
            }
            self.next_frame();
        }
        None
    }

    pub(crate) fn script(&self, trigger: Trigger, fault: Fault) {
        let pushed = self
            .host
            .with(PORT, |device, _| device.script_mut().push(trigger, fault));
        assert!(pushed.is_some(), "the port is there");
    }

    /// The number that the next transfer will have.
    pub(crate) fn transfers(&self) -> u64 {
        self.host
            .with(PORT, |device, _| device.transfers())
            .unwrap()
    }

    pub(crate) fn figures(&self) -> andon_tpu_sim::Figures {
        self.host.with(PORT, |device, _| device.figures()).unwrap()
    }

    /// Words for what happened since the last call.
    pub(crate) fn events(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.device.take_event())
            .map(|event| event.what.name())
            .collect()
    }
}
