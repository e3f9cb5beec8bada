//! Runs models on an open accelerator.
//!
//! Only instructions are queued; the chip fetches parameters and inputs and writes outputs by itself,
//! at the addresses that were patched into the instructions. Each of two runs per model has its own
//! buffers at fixed addresses. Inputs and outputs are mapped for each run anew: on machines whose
//! caches do not see what devices do, mapping is what writes them back and throws them away.

use std::collections::VecDeque;
use std::sync::Arc;

use super::address_space::{Addresses as Places, SIMPLE_ENTRIES};
use super::pages_sys::{Pages, barrier_after_register};
use super::ring::{ROOM, Ring};
use super::surface::{DeviceAddress, Direction, INTERRUPTS, Interrupt, Surface};
use crate::tpu::bringup::{self, ClockRate};
use crate::tpu::cache::{LoaderId, Residency, Upload};
use crate::tpu::device::{Notice, ProgramId, Ticket};
use crate::tpu::error::TpuError;
use crate::tpu::layout::{InputLayout, OutputLayout};
use crate::tpu::link::{Addresses, link};
use crate::tpu::package::{Executable, Package, PackageError};
use crate::tpu::regs::{
    DMA_BURST_LIMITER, FATAL_INT_CONTROL, FATAL_INT_STATUS, HIB_ERROR_STATUS,
    HIB_FIRST_ERROR_STATUS, HOST_INT_CONTROL, HOST_INT_COUNT, HOST_INT_STATUS, HibErrors,
    MilliCelsius, STATUS_BLOCK_UPDATE,
};
use crate::units::MonotonicTime;

/// Runs of one model that may be under way at once.
const RUNS: usize = 2;

/// A model with what does not depend on a connection.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) package: Arc<Package>,
    loader: Option<LoaderId>,
    inputs: Vec<InputLayout>,
    outputs: Vec<OutputLayout>,
    /// Wire bytes of inputs and outputs, while they are brought into or out of form.
    wire: Vec<u8>,
}

impl Program {
    pub(super) fn new(package: Arc<Package>, loader: LoaderId) -> Result<Self, TpuError> {
        let executables = package.caching.iter().chain([&package.main]);
        let chunks: usize = executables.map(|e| e.chunks.len()).sum();
        if chunks > ROOM as usize {
            return Err(PackageError::Unsupported(format!(
                "has {chunks} chunks of instructions; the queue of a chip on PCIe has room for {ROOM}"
            ))
            .into());
        }
        let outputs = package.main.outputs.iter().map(OutputLayout::new);
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<_> = package.main.inputs.iter().map(InputLayout::new).collect();
        let lengths = inputs.iter().map(InputLayout::wire_bytes);
        let lengths = lengths.chain(outputs.iter().map(OutputLayout::wire_bytes));
        Ok(Self {
            wire: Vec::with_capacity(lengths.max().unwrap_or(0)),
            loader: package.caching.as_ref().map(|_| loader),
            inputs,
            outputs,
            package,
        })
    }
}

/// Memory that the chip sees.
#[derive(Clone, Debug)]
struct Placed {
    pages: Pages,
    at: DeviceAddress,
}

/// An executable with its buffers.
#[derive(Debug)]
struct Slot {
    chunks: Vec<(DeviceAddress, u32)>,
    inputs: Vec<Placed>,
    outputs: Vec<Placed>,
    /// Instructions and parameters: mapped while the connection lasts.
    _constant: Vec<Placed>,
    is_mapped: bool,
}

/// A model's executables on this connection.
#[derive(Debug)]
struct Resident {
    upload: Option<Slot>,
    runs: Vec<Slot>,
    /// Runs that are not under way.
    free: Vec<usize>,
}

/// Something that was queued.
#[derive(Clone, Copy, Debug)]
struct Request {
    ticket: Ticket,
    program: ProgramId,
    /// Which of the runs; `None` for an upload.
    run: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Engine {
    surface: Box<dyn Surface>,
    ring: Ring,
    places: Places,
    pub(super) programs: Vec<Program>,
    residents: Vec<Resident>,
    residency: Residency,
    queue: VecDeque<Request>,
    finished: VecDeque<Request>,
    next_ticket: u64,
    /// Completions that the chip counted.
    count: u16,
    notices: VecDeque<Notice>,
}

fn memory(error: &std::io::Error) -> TpuError {
    TpuError::Gasket {
        device: "memory".to_owned(),
        operation: "allocate pages",
        reason: error.to_string(),
    }
}

fn host_count(raw: u64) -> u16 {
    let [low, high, ..] = raw.to_le_bytes();
    u16::from_le_bytes([low, high])
}

impl Engine {
    /// Takes an accelerator that was just opened, and places the models on it.
    pub(super) fn open(
        mut surface: Box<dyn Surface>,
        clock: ClockRate,
        programs: Vec<Program>,
        first_ticket: Ticket,
    ) -> Result<Self, (TpuError, Vec<Program>)> {
        let opened = Self::bring_up(surface.as_mut(), clock);
        let (ring, count) = match opened {
            Ok(opened) => opened,
            Err(error) => return Err((error, programs)),
        };
        let mut engine = Self {
            surface,
            ring,
            places: Places::default(),
            programs: Vec::new(),
            residents: Vec::new(),
            residency: Residency::default(),
            queue: VecDeque::with_capacity(8),
            finished: VecDeque::with_capacity(8),
            next_ticket: first_ticket.0,
            count,
            notices: VecDeque::new(),
        };
        let mut programs = programs.into_iter();
        while let Some(program) = programs.next() {
            if let Err(refused) = engine.add(program) {
                let (error, program) = *refused;
                let mut back = std::mem::take(&mut engine.programs);
                back.push(program);
                back.extend(programs);
                return Err((error, back));
            }
        }
        Ok(engine)
    }

    fn bring_up(surface: &mut dyn Surface, clock: ClockRate) -> Result<(Ring, u16), TpuError> {
        if let Err(error) = surface.set_clock(clock) {
            log::warn!("{error}");
        }
        check_errors(surface)?;
        surface.write64(DMA_BURST_LIMITER, 0)?;
        surface.partition(SIMPLE_ENTRIES)?;
        surface.enable()?;
        let ring = Ring::open(surface)?;
        let count = host_count(surface.read64(HOST_INT_COUNT)?);
        bringup::run(surface)?;
        surface.write64(STATUS_BLOCK_UPDATE, 0)?;
        surface.write64(HOST_INT_CONTROL, 0xf)?;
        Ring::enable_interrupts(surface)?;
        surface.write64(FATAL_INT_CONTROL, 1)?;
        Ok((ring, count))
    }

    /// Places a model; gives it back where that fails.
    pub(super) fn add(&mut self, program: Program) -> Result<ProgramId, Box<(TpuError, Program)>> {
        match self.place(&program) {
            Ok(resident) => {
                self.residents.push(resident);
                self.programs.push(program);
                Ok(ProgramId(self.programs.len() - 1))
            }
            Err(error) => Err(Box::new((error, program))),
        }
    }

    fn place(&mut self, program: &Program) -> Result<Resident, TpuError> {
        let package = &program.package;
        let upload = package.caching.as_ref().map(|caching| self.slot(caching));
        let runs = (0..RUNS).map(|_| self.slot(&package.main));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        Ok(Resident {
            upload: upload.transpose()?,
            free: (0..runs.len()).collect(),
            runs,
        })
    }

    fn slot(&mut self, executable: &Executable) -> Result<Slot, TpuError> {
        let mut constant = Vec::new();
        let parameters = match executable.parameters.as_ref() {
            [] => None,
            bytes => {
                let placed = self.constant(bytes)?;
                let at = placed.at;
                constant.push(placed);
                Some(at.0)
            }
        };
        let mut buffers = |bytes: usize| {
            Ok::<_, TpuError>(Placed {
                pages: Pages::new(bytes).map_err(|error| memory(&error))?,
                at: self.places.place(bytes)?,
            })
        };
        let inputs = executable
            .inputs
            .iter()
            .map(|layer| buffers(layer.wire_bytes()));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let outputs = executable
            .outputs
            .iter()
            .map(|layer| buffers(layer.wire_bytes()));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let addresses = Addresses {
            parameters,
            inputs: inputs.iter().map(|placed| placed.at.0).collect(),
            outputs: outputs.iter().map(|placed| placed.at.0).collect(),
        };
        let mut chunks = Vec::new();
        for chunk in &executable.chunks {
            let placed = self.constant(&link(chunk, &addresses))?;
            let bytes = u32::try_from(chunk.bytes.len());
            chunks.push((
                placed.at,
                bytes.map_err(|_long| TpuError::Unknown("long chunk"))?,
            ));
            constant.push(placed);
        }
        Ok(Slot {
            chunks,
            inputs,
            outputs,
            _constant: constant,
            is_mapped: false,
        })
    }

    /// Memory that the chip only reads, mapped for good.
    fn constant(&mut self, bytes: &[u8]) -> Result<Placed, TpuError> {
        let pages = Pages::new(bytes.len()).map_err(|error| memory(&error))?;
        pages.copy_in(0, bytes);
        let at = self.places.place(bytes.len())?;
        self.surface.map(&pages, at, Direction::ToDevice)?;
        Ok(Placed { pages, at })
    }

    pub(super) const fn next_ticket(&self) -> Ticket {
        Ticket(self.next_ticket)
    }

    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    pub(super) fn temperature(&mut self) -> Option<MilliCelsius> {
        self.surface.temperature()
    }

    pub(super) fn submit(&mut self, id: ProgramId, inputs: &[&[u8]]) -> Result<Ticket, TpuError> {
        self.check_count()?;
        let unknown = || TpuError::Unknown("model");
        let program = self.programs.get_mut(id.0).ok_or_else(unknown)?;
        let resident = self.residents.get_mut(id.0).ok_or_else(unknown)?;
        if inputs.len() != program.inputs.len() {
            return Err(TpuError::Count {
                what: "inputs",
                found: inputs.len(),
                expected: program.inputs.len(),
            });
        }
        let run = *resident.free.last().ok_or(TpuError::Busy)?;
        let slot = resident.runs.get_mut(run).ok_or_else(unknown)?;
        for ((layout, tensor), placed) in program.inputs.iter().zip(inputs).zip(&slot.inputs) {
            program.wire.resize(layout.wire_bytes(), 0);
            layout.encode(tensor, &mut program.wire)?;
            placed.pages.copy_in(0, &program.wire);
        }
        let needed = slot.chunks.len() + resident.upload.as_ref().map_or(0, |u| u.chunks.len());
        let surface = self.surface.as_mut();
        if (self.ring.free() as usize) < needed {
            // Its interrupt may still be to come, or be lost; the status block says the same.
            self.ring.advance(surface)?;
        }
        if (self.ring.free() as usize) < needed {
            return Err(if self.queue.is_empty() {
                TpuError::Nonsense(
                    "that its instruction queue is full while nothing is under way".to_owned(),
                )
            } else {
                TpuError::Busy
            });
        }
        for placed in &slot.inputs {
            surface.map(&placed.pages, placed.at, Direction::ToDevice)?;
        }
        for placed in &slot.outputs {
            surface.map(&placed.pages, placed.at, Direction::FromDevice)?;
        }
        slot.is_mapped = true;
        resident.free.pop();
        let upload = self
            .residency
            .prepare(program.package.token(), program.loader);
        if upload != Upload::Nothing
            && let Some(upload) = &resident.upload
        {
            self.ring.queue(surface, &upload.chunks)?;
            self.queue.push_back(Request {
                ticket: Ticket(self.next_ticket),
                program: id,
                run: None,
            });
            self.next_ticket += 1;
        }
        self.ring.queue(surface, &slot.chunks)?;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queue.push_back(Request {
            ticket,
            program: id,
            run: Some(run),
        });
        Ok(ticket)
    }

    /// While nothing is under way nothing completes: a completion too many would be taken for that of the
    /// next run, whose buffers would be read before the chip has filled them.
    fn check_count(&mut self) -> Result<(), TpuError> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        let count = host_count(self.surface.read64(HOST_INT_COUNT)?);
        match count.wrapping_sub(self.count) {
            0 => Ok(()),
            more => Err(TpuError::Nonsense(format!(
                "{more} completions while nothing was under way"
            ))),
        }
    }

    pub(super) fn finish(
        &mut self,
        ticket: Ticket,
        deadline: MonotonicTime,
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError> {
        let start = self.surface.now();
        loop {
            if let Some(at) = self.finished.iter().position(|done| done.ticket == ticket) {
                let done = self.finished.remove(at).ok_or(TpuError::Unknown("run"))?;
                return self.collect(done, outputs);
            }
            if !self.queue.iter().any(|request| request.ticket == ticket) {
                return Err(TpuError::Unknown("run"));
            }
            // Also while interrupts keep coming: they may be none that the run waits for.
            let in_time = self.surface.now() < deadline;
            let raised = if in_time {
                self.surface.wait(deadline)?
            } else {
                [false; INTERRUPTS]
            };
            if raised.iter().all(|raised| !raised) {
                let waited = self.surface.now().saturating_since(start);
                check_errors(self.surface.as_mut())?;
                return Err(TpuError::Deadline {
                    waited,
                    progress: format!("{} requests are queued", self.queue.len()),
                });
            }
            for (number, _) in raised.iter().enumerate().filter(|(_, raised)| **raised) {
                self.handle(Interrupt::of(number))?;
            }
        }
    }

    fn handle(&mut self, interrupt: Interrupt) -> Result<(), TpuError> {
        let surface = self.surface.as_mut();
        match interrupt {
            Interrupt::InstructionQueue => self.ring.advance(surface),
            Interrupt::Host(0) => {
                // Status first: what completes after it raises the interrupt again.
                surface.write64(HOST_INT_STATUS, 0xe)?;
                let count = host_count(surface.read64(HOST_INT_COUNT)?);
                barrier_after_register();
                let completed = count.wrapping_sub(self.count);
                self.count = count;
                if usize::from(completed) > self.queue.len() {
                    return Err(TpuError::Nonsense(format!(
                        "{completed} completions of {} requests",
                        self.queue.len()
                    )));
                }
                for _ in 0..completed {
                    let done = self.queue.pop_front().filter(|done| done.run.is_some());
                    self.finished.extend(done);
                }
                Ok(())
            }
            Interrupt::Host(line) => surface.write64(HOST_INT_STATUS, 0xf & !(1 << line)),
            Interrupt::TopLevel(3) => {
                self.notices.push_back(Notice::Hot(surface.temperature()));
                self.notices.truncate(8);
                Ok(())
            }
            Interrupt::TopLevel(1) => {
                self.notices.push_back(Notice::Bus);
                self.notices.truncate(8);
                Ok(())
            }
            // The kernel keeps the registers to itself that say what is wrong with the memory.
            Interrupt::TopLevel(line) => Err(TpuError::TopLevel(match line {
                0 => "that it is too hot and has shut down",
                _ => "a fault of its memory",
            })),
            Interrupt::Fatal => {
                surface.write64(FATAL_INT_CONTROL, 0)?;
                surface.write64(FATAL_INT_STATUS, 0)?;
                check_errors(surface)?;
                surface.write64(FATAL_INT_CONTROL, 1)
            }
            Interrupt::Other => Ok(()),
        }
    }

    /// Takes a run's outputs out of its buffers.
    fn collect(&mut self, done: Request, outputs: &mut [Vec<u8>]) -> Result<(), TpuError> {
        let unknown = || TpuError::Unknown("model");
        let program = self.programs.get_mut(done.program.0).ok_or_else(unknown)?;
        let resident = self.residents.get_mut(done.program.0).ok_or_else(unknown)?;
        let run = done.run.ok_or_else(unknown)?;
        let slot = resident.runs.get_mut(run).ok_or_else(unknown)?;
        slot.is_mapped = false;
        for placed in slot.inputs.iter().chain(&slot.outputs) {
            self.surface.unmap(&placed.pages, placed.at)?;
        }
        resident.free.push(run);
        if outputs.len() != program.outputs.len() {
            return Err(TpuError::Count {
                what: "outputs",
                found: outputs.len(),
                expected: program.outputs.len(),
            });
        }
        for ((layout, placed), tensor) in program.outputs.iter().zip(&slot.outputs).zip(outputs) {
            program.wire.resize(layout.wire_bytes(), 0);
            placed.pages.copy_out(0, &mut program.wire);
            layout.decode(&program.wire, tensor)?;
        }
        Ok(())
    }

    /// Halts the chip and gives its memory back. Models stay usable.
    pub(super) fn close(mut self) -> (Result<(), TpuError>, Vec<Program>) {
        let closed = self.shut_down();
        (closed, std::mem::take(&mut self.programs))
    }

    fn shut_down(&mut self) -> Result<(), TpuError> {
        let surface = self.surface.as_mut();
        bringup::halt(surface)?;
        surface.write64(FATAL_INT_CONTROL, 0)?;
        surface.write64(HOST_INT_CONTROL, 0)?;
        Ring::close(surface)
    }

    /// Resets the chip; whatever it was doing to memory has ended then, and the connection with it.
    pub(super) fn reset(mut self) -> (Result<(), TpuError>, Vec<Program>) {
        let reset = self.surface.reset();
        if reset.is_err() {
            // The chip may still write into buffers: they are never given back.
            std::mem::take(&mut self.residents)
                .into_iter()
                .for_each(std::mem::forget);
        }
        (reset, std::mem::take(&mut self.programs))
    }
}

fn check_errors(surface: &mut dyn Surface) -> Result<(), TpuError> {
    let status = surface.read64(HIB_ERROR_STATUS)?;
    if status == 0 {
        return Ok(());
    }
    let first = surface.read64(HIB_FIRST_ERROR_STATUS)?;
    Err(TpuError::Fatal(HibErrors { status, first }))
}
