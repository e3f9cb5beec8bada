//! A model as transfers: what each run sends, cut into buffers that are used again and again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::transport::Speed;
use crate::tpu::cache::LoaderId;
use crate::tpu::error::TpuError;
use crate::tpu::layout::{InputLayout, OutputLayout};
use crate::tpu::link::{Addresses, link};
use crate::tpu::package::{Executable, Hint, Package};

/// Most bytes of one transfer, as libedgetpu has it: the kernel's limit for all transfers together
/// is 16 MiB, shared by all devices.
const TRANSFER_MAX: usize = 1 << 20;

/// Runs of one model that may be under way at once: one computing, one waiting with all its buffers
/// filled.
const RUNS: usize = 2;

/// What a stream is, in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Instructions = 0,
    Input = 1,
    Parameters = 2,
}

fn header(tag: Tag, length: usize) -> Result<Vec<u8>, TpuError> {
    let length = u32::try_from(length);
    let length = length.map_err(|_long| TpuError::Nonsense(format!("no {tag:?}: too long")))?;
    let mut header = length.to_le_bytes().to_vec();
    header.extend([tag as u8, 0, 0, 0]);
    Ok(header)
}

/// The next thing that a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Sends buffer `piece` of the run.
    Send {
        /// Its place in [`Run::pieces`].
        piece: usize,
    },
    /// Takes bytes of an output.
    Receive {
        /// Index of the layer.
        layer: usize,
        /// First byte.
        offset: usize,
        /// Bytes.
        length: usize,
    },
    /// Waits until everything before is over.
    Fence,
}

/// A buffer that a run sends, and where its bytes come from.
#[derive(Clone, Copy, Debug)]
enum Content {
    /// Always the same.
    Constant,
    /// A part of an input layer's wire bytes.
    Input { layer: usize, offset: usize },
}

/// What runs of an executable have in common.
#[derive(Debug)]
struct Plan {
    steps: Arc<[Step]>,
    contents: Vec<Content>,
    pieces: Vec<Vec<u8>>,
}

impl Plan {
    fn new(executable: &Executable) -> Result<Self, TpuError> {
        let addresses = Addresses::synthetic(executable);
        let (mut steps, mut pieces, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        let mut send = |tag: Tag, bytes: &[u8], input: Option<(usize, usize)>| {
            let header = header(tag, bytes.len())?;
            let parts = bytes.chunks(TRANSFER_MAX).enumerate().map(|(index, part)| {
                let content = input.map_or(Content::Constant, |(layer, offset)| Content::Input {
                    layer,
                    offset: offset + index * TRANSFER_MAX,
                });
                (content, part.to_vec())
            });
            let mut buffers = Vec::new();
            for (content, piece) in std::iter::once((Content::Constant, header)).chain(parts) {
                buffers.push(Step::Send {
                    piece: pieces.len(),
                });
                contents.push(content);
                pieces.push(piece);
            }
            Ok::<_, TpuError>(buffers)
        };
        let missing = || TpuError::Unknown("part of the model");
        for hint in &executable.hints {
            match *hint {
                Hint::Instructions { chunk } => {
                    let chunk = executable.chunks.get(chunk).ok_or_else(missing)?;
                    steps.extend(send(Tag::Instructions, &link(chunk, &addresses), None)?);
                }
                Hint::Parameters { offset, length } => {
                    let bytes = executable.parameters.get(offset..offset + length);
                    steps.extend(send(Tag::Parameters, bytes.ok_or_else(missing)?, None)?);
                }
                Hint::Input {
                    layer,
                    offset,
                    length,
                } => {
                    let blank = vec![0; length];
                    steps.extend(send(Tag::Input, &blank, Some((layer, offset)))?);
                }
                Hint::Output {
                    layer,
                    offset,
                    length,
                } => steps.push(Step::Receive {
                    layer,
                    offset,
                    length,
                }),
                Hint::Fence => steps.push(Step::Fence),
                // Always the last; a run is over when it has come.
                Hint::Completion => {}
            }
        }
        Ok(Self {
            steps: steps.into(),
            contents,
            pieces,
        })
    }
}

/// An output, or a part of one, that has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) layer: usize,
    pub(super) next: usize,
    pub(super) end: usize,
}

/// A run's buffers. Those being sent are with the host and are empty here.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) steps: Arc<[Step]>,
    /// In order.
    pub(super) awaited: VecDeque<Awaited>,
    pub(super) pieces: Vec<Vec<u8>>,
    /// Wire bytes of each output layer.
    pub(super) outputs: Vec<Vec<u8>>,
}

/// A model that a device can run.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) package: Arc<Package>,
    pub(super) loader: Option<LoaderId>,
    main: Plan,
    inputs: Vec<InputLayout>,
    outputs: Vec<OutputLayout>,
    /// Wire bytes of each input layer, for the next run.
    staged: Vec<Vec<u8>>,
    free: Vec<Run>,
}

impl Program {
    pub(super) fn new(package: Arc<Package>, loader: LoaderId) -> Result<Self, TpuError> {
        let main = &package.main;
        let outputs = main.outputs.iter().map(OutputLayout::new);
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<_> = main.inputs.iter().map(InputLayout::new).collect();
        let mut program = Self {
            loader: package.caching.as_ref().map(|_| loader),
            main: Plan::new(main)?,
            staged: inputs
                .iter()
                .map(|input| vec![0; input.wire_bytes()])
                .collect(),
            inputs,
            outputs,
            free: Vec::new(),
            package,
        };
        program.free = (0..RUNS).map(|_| program.new_run()).collect();
        Ok(program)
    }

    fn new_run(&self) -> Run {
        Run {
            steps: Arc::clone(&self.main.steps),
            awaited: VecDeque::with_capacity(self.main.steps.len()),
            pieces: self.main.pieces.clone(),
            outputs: self
                .outputs
                .iter()
                .map(|o| vec![0; o.wire_bytes()])
                .collect(),
        }
    }

    /// What loads the weights.
    pub(super) fn upload(&self) -> Result<Option<Run>, TpuError> {
        let Some(caching) = &self.package.caching else {
            return Ok(None);
        };
        let plan = Plan::new(caching)?;
        Ok(Some(Run {
            steps: plan.steps,
            awaited: VecDeque::new(),
            pieces: plan.pieces,
            outputs: Vec::new(),
        }))
    }

    /// A run with these inputs in its buffers.
    pub(super) fn start(&mut self, inputs: &[&[u8]]) -> Result<Run, TpuError> {
        if inputs.len() != self.inputs.len() {
            return Err(TpuError::Count {
                what: "inputs",
                found: inputs.len(),
                expected: self.inputs.len(),
            });
        }
        for ((layout, tensor), wire) in self.inputs.iter().zip(inputs).zip(&mut self.staged) {
            layout.encode(tensor, wire)?;
        }
        let mut run = self.free.pop().ok_or(TpuError::Busy)?;
        for (content, piece) in self.main.contents.iter().zip(&mut run.pieces) {
            if let Content::Input { layer, offset } = *content {
                let wire = self
                    .staged
                    .get(layer)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                // Hints were checked against the layer's length when the package was read.
                let from = wire.get(offset..offset + piece.len()).unwrap_or_default();
                piece.copy_from_slice(from);
            }
        }
        Ok(run)
    }

    /// Takes what a run brought, and its buffers back.
    pub(super) fn finish(&mut self, run: Run, outputs: &mut [Vec<u8>]) -> Result<(), TpuError> {
        let result = self.decode(&run, outputs);
        self.give_back(run);
        result
    }

    fn decode(&self, run: &Run, outputs: &mut [Vec<u8>]) -> Result<(), TpuError> {
        if outputs.len() != self.outputs.len() {
            return Err(TpuError::Count {
                what: "outputs",
                found: outputs.len(),
                expected: self.outputs.len(),
            });
        }
        for ((layout, wire), tensor) in self.outputs.iter().zip(&run.outputs).zip(outputs) {
            layout.decode(wire, tensor)?;
        }
        Ok(())
    }

    /// Takes the buffers of a run back. One that lost some to a device that is gone is replaced.
    pub(super) fn give_back(&mut self, mut run: Run) {
        run.awaited.clear();
        let whole = run
            .pieces
            .iter()
            .zip(&self.main.pieces)
            .all(|(piece, model)| piece.len() == model.len());
        if self.free.len() < RUNS {
            let run = if whole { run } else { self.new_run() };
            self.free.push(run);
        }
    }

    /// Replaces runs whose buffers were lost with a device.
    pub(super) fn refill(&mut self) {
        while self.free.len() < RUNS {
            let run = self.new_run();
            self.free.push(run);
        }
    }
}

/// Transfers to the chip that are on the bus at once, as libedgetpu has it.
pub(super) const SENDS_MAX: usize = 3;

/// Reads of outputs that wait for the chip.
pub(super) const OUTPUT_READS: usize = 32;

/// Bytes that one read of outputs asks for: one packet of the chip's, which ends it.
pub(super) const fn output_read_bytes(speed: Speed) -> usize {
    speed.bulk_packet_bytes()
}
