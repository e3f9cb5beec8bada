//! The chip: takes streams, follows the hints of the executable whose instructions it was sent, and
//! sends outputs and events.
//!
//! ```text
//! streams ─▶ inbox ─▶ Run{cursor over hints} ─▶ compute ─▶ outputs ─▶ drained by the host ─▶ event
//! ```
//!
//! A run begins with instructions that match a known executable, everything else must then come in
//! the order of its hints. What breaks a rule wedges the chip, as a real one would hang, until it is
//! put to sleep and woken again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::InEndpoint;
use crate::execute::{Executor, Inference};
use crate::fault::{Fault, Script, Trigger};
use crate::latency::Latency;
use crate::layout::plain_input;
use crate::link::Addresses;
use crate::memory::ResidentMemory;
use crate::package::{Direction, Executable, Hint, Kind, Target};
use crate::record::{Entry, Record};
use crate::registry::{Program, Registry};
use crate::violation::{Rule, Violations};

/// A whole stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub tag: u8,
    pub bytes: Vec<u8>,
    /// When its header came.
    pub begun: Duration,
    /// When its last byte came.
    pub at: Duration,
}

/// What the chip reaches outside itself while it works.
pub(crate) struct Surroundings<'a> {
    pub now: Duration,
    pub outputs: &'a mut InEndpoint,
    pub events: &'a mut InEndpoint,
    /// Bytes of an output chunk.
    pub chunk: usize,
    pub violations: &'a mut Violations,
    pub record: &'a mut Record,
    pub script: &'a mut Script,
    pub latency: &'a Latency,
    /// Faults that concern the whole device and were due inside the chip.
    pub escalate: Vec<Fault>,
}

/// One execution.
#[derive(Debug)]
struct Run {
    program: Arc<Program>,
    /// Others whose first instructions look the same.
    alternatives: Vec<Arc<Program>>,
    cursor: usize,
    addresses: Addresses,
    /// By batch, then layer; in the chip's order.
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    /// Parameters are missing or wrong: outputs will be, too.
    poisoned: bool,
    started: Duration,
    computed: bool,
}

/// Figures for tests and benches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Inferences whose event was sent.
    pub inferences: u64,
    /// Time from the header of each run's first stream to its completion, added up; none counts twice.
    pub busy: Duration,
    /// Of that, time in which the chip computed.
    pub computing: Duration,
    /// Parameter loads that were completed.
    pub loads: u64,
    /// Those of them that loaded what was there already.
    pub repeated_loads: u64,
}

/// The chip.
pub(crate) struct Chip {
    registry: Registry,
    executor: Box<dyn Executor>,
    pub memory: ResidentMemory,
    run: Option<Run>,
    inbox: VecDeque<Stream>,
    /// When the last stream that the run uses arrived.
    last_stream: Duration,
    /// Broken beyond what it can do by itself.
    pub wedged: bool,
    events: u64,
    inferences: u64,
    figures: Figures,
    spare: Vec<Vec<u8>>,
    compare: Vec<u8>,
    plain_inputs: Vec<Vec<u8>>,
    plain_outputs: Vec<Vec<u8>>,
    early_event: bool,
    /// When the last run was complete.
    completed_at: Duration,
}

impl std::fmt::Debug for Chip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chip")
            .field("run", &self.run.as_ref().map(|run| run.program.label()))
            .field("inbox", &self.inbox.len())
            .field("wedged", &self.wedged)
            .finish_non_exhaustive()
    }
}

/// The stream that a hint stands for.
fn expected(executable: &Executable, hint: &Hint) -> Option<(u8, usize)> {
    match hint {
        Hint::Instructions(chunk) => {
            let bytes = executable.bitstreams.get(*chunk)?.bytes.len();
            Some((0, bytes))
        }
        Hint::Dma {
            direction: Direction::Infeed,
            target,
            bytes,
            ..
        } => match target {
            Target::Parameters => Some((2, *bytes)),
            Target::Input { .. } | Target::Scratch | Target::Output { .. } => Some((1, *bytes)),
        },
        Hint::Dma {
            direction: Direction::Outfeed,
            ..
        }
        | Hint::Interrupt(_)
        | Hint::Fence => None,
    }
}

fn is_output(hint: &Hint) -> bool {
    matches!(
        hint,
        Hint::Dma {
            direction: Direction::Outfeed,
            ..
        }
    )
}

impl Chip {
    pub(crate) fn new(registry: Registry, executor: Box<dyn Executor>) -> Self {
        Self {
            registry,
            executor,
            memory: ResidentMemory::default(),
            run: None,
            inbox: VecDeque::new(),
            last_stream: Duration::ZERO,
            wedged: false,
            events: 0,
            inferences: 0,
            figures: Figures::default(),
            spare: Vec::new(),
            compare: Vec::new(),
            plain_inputs: Vec::new(),
            plain_outputs: Vec::new(),
            early_event: false,
            completed_at: Duration::ZERO,
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            loads: self.memory.loads(),
            repeated_loads: self.memory.repeated_loads(),
            ..self.figures
        }
    }

    pub(crate) fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    pub(crate) fn set_executor(&mut self, executor: Box<dyn Executor>) {
        self.executor = executor;
    }

    /// Reset or sleep: everything in the chip is lost.
    pub(crate) fn reset(&mut self) {
        self.memory.clear();
        self.run = None;
        self.inbox.clear();
        self.wedged = false;
        self.early_event = false;
    }

    /// A buffer to collect a stream in.
    pub(crate) fn spare_buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < 8 {
            self.spare.push(buffer);
        }
    }

    /// Bytes that wait for the run before them to end.
    pub(crate) fn inbox_bytes(&self) -> usize {
        self.inbox.iter().map(|stream| stream.bytes.len()).sum()
    }

    /// Whether a stream that begins now would stand behind outputs that the host has not read.
    pub(crate) fn behind_outputs(&self, backlog: usize) -> bool {
        if backlog > 0 {
            return true;
        }
        let Some(run) = &self.run else {
            return false;
        };
        let mut accepted = self.inbox.len();
        for hint in run.program.executable.hints.iter().skip(run.cursor) {
            if is_output(hint) {
                return true;
            }
            if expected(&run.program.executable, hint).is_some() {
                if accepted == 0 {
                    return false;
                }
                accepted -= 1;
            }
        }
        false
    }

    pub(crate) fn accept(&mut self, stream: Stream) {
        self.inbox.push_back(stream);
    }

    /// When the chip goes on by itself.
    pub(crate) fn next_time(&self, latency: &Latency) -> Option<Duration> {
        if self.wedged {
            return None;
        }
        let run = self.run.as_ref()?;
        if run.computed {
            return None;
        }
        let hint = run.program.executable.hints.get(run.cursor)?;
        (is_output(hint) || matches!(hint, Hint::Interrupt(_))).then(|| self.ready_at(run, latency))
    }

    fn ready_at(&self, run: &Run, latency: &Latency) -> Duration {
        let time = match run.program.executable.kind {
            Kind::ParameterCaching => latency.caching,
            Kind::StandAlone | Kind::ExecutionOnly => latency.compute_time(&run.program.model),
        };
        self.last_stream + time
    }

    /// Does what can be done by now.
    pub(crate) fn step(&mut self, around: &mut Surroundings<'_>) {
        while !self.wedged {
            let Some(run) = &self.run else {
                let Some(stream) = self.inbox.pop_front() else {
                    return;
                };
                self.begin(stream, around);
                continue;
            };
            let program = Arc::clone(&run.program);
            let Some(hint) = program.executable.hints.get(run.cursor) else {
                self.complete(around);
                continue;
            };
            let went_on = match hint {
                Hint::Fence => true,
                Hint::Interrupt(number) => self.interrupt(*number, around),
                Hint::Dma {
                    direction: Direction::Outfeed,
                    target,
                    offset,
                    bytes,
                } => self.send(target, *offset, *bytes, around),
                Hint::Instructions(_) | Hint::Dma { .. } => self.receive(&program, hint, around),
            };
            if !went_on {
                return;
            }
            if let Some(run) = &mut self.run {
                run.cursor += 1;
            }
        }
    }

    fn wedge(&mut self, rule: Rule, detail: String, around: &mut Surroundings<'_>) {
        around.violations.add(rule, detail);
        self.wedged = true;
    }

    /// The first stream of a run: instructions that tell which executable it is.
    fn begin(&mut self, stream: Stream, around: &mut Surroundings<'_>) {
        if stream.tag != 0 {
            let detail = format!(
                "a stream of tag {} and {} bytes where instructions begin a run",
                stream.tag,
                stream.bytes.len()
            );
            self.wedge(Rule::Order, detail, around);
            return;
        }
        let mut matching = Vec::new();
        let mut nearest: Option<(usize, String)> = None;
        let compare = &mut self.compare;
        for program in self.registry.programs() {
            let Some(Hint::Instructions(chunk)) = program.executable.hints.first() else {
                continue;
            };
            match program.template.compare(*chunk, &stream.bytes, compare) {
                Ok(()) => matching.push(Arc::clone(program)),
                Err(at) if nearest.as_ref().is_none_or(|(best, _)| at > *best) => {
                    nearest = Some((at, program.label()));
                }
                Err(_) => {}
            }
        }
        // Among equals, the one that could work: its parameters are there, or its token is.
        let memory = &self.memory;
        matching.sort_by_key(|program| {
            let works = match (program.executable.kind, program.relies_on) {
                (Kind::ExecutionOnly, Some(id)) => memory.holds(program.executable.token, id),
                _ => memory.holds(program.executable.token, program.identity),
            };
            !works
        });
        let mut matching = matching.into_iter();
        let Some(program) = matching.next() else {
            let near = match nearest {
                Some((at, label)) => format!("; the nearest, {label}, differs at byte {at}"),
                None => String::new(),
            };
            let detail = format!(
                "{} bytes of instructions of no known executable{near}",
                stream.bytes.len()
            );
            self.wedge(Rule::Instructions, detail, around);
            return;
        };
        let label = program.label();
        around
            .record
            .add(|| Entry::Device(format!("matched executable {label}")));
        self.start(program, matching.collect(), stream, around);
    }

    fn start(
        &mut self,
        program: Arc<Program>,
        alternatives: Vec<Arc<Program>>,
        stream: Stream,
        around: &mut Surroundings<'_>,
    ) {
        let executable = &program.executable;
        let mut poisoned = false;
        match executable.kind {
            Kind::ParameterCaching => self.memory.begin_load(executable.token, program.identity),
            Kind::StandAlone => self.memory.overwrite(),
            Kind::ExecutionOnly => {
                if let Some(id) = program.relies_on
                    && !self.memory.holds(executable.token, id)
                {
                    poisoned = true;
                    around.violations.add(
                        Rule::Residency,
                        format!(
                            "{} runs, but its parameters are not in the chip's memory (token {:#x})",
                            program.label(),
                            executable.token
                        ),
                    );
                }
            }
        }
        let batch = executable.batch.max(1);
        let inputs = (0..batch)
            .flat_map(|_| executable.inputs.iter())
            .map(|layer| {
                let mut buffer = self.spare.pop().unwrap_or_default();
                buffer.clear();
                buffer.resize(layer.padded_bytes(), 0);
                buffer
            })
            .collect();
        let mut run = Run {
            alternatives,
            cursor: 0,
            addresses: Addresses::default(),
            inputs,
            outputs: Vec::new(),
            scratch: vec![0; executable.scratch_bytes],
            poisoned,
            started: stream.begun.max(self.completed_at),
            computed: false,
            program: Arc::clone(&program),
        };
        self.last_stream = stream.at;
        if let Some(Hint::Instructions(chunk)) = executable.hints.first() {
            collect(&mut run, *chunk, &stream.bytes, around);
        }
        run.cursor = 1;
        self.run = Some(run);
        self.recycle(stream.bytes);
    }

    /// The next stream of the run.
    fn receive(&mut self, program: &Program, hint: &Hint, around: &mut Surroundings<'_>) -> bool {
        let Some(stream) = self.inbox.pop_front() else {
            return false;
        };
        let wanted = expected(&program.executable, hint);
        if wanted != Some((stream.tag, stream.bytes.len())) {
            let (tag, bytes) = wanted.unwrap_or_default();
            let detail = format!(
                "a stream of tag {} and {} bytes; the next hint of {} wants tag {tag} and {bytes} bytes",
                stream.tag,
                stream.bytes.len(),
                program.label()
            );
            self.wedge(Rule::Order, detail, around);
            return false;
        }
        self.last_stream = stream.at;
        let Some(run) = &mut self.run else {
            return false;
        };
        // More compute may follow what was computed from the streams before.
        match hint {
            Hint::Instructions(chunk) => {
                if let Err(at) = program
                    .template
                    .compare(*chunk, &stream.bytes, &mut self.compare)
                {
                    around.violations.add(
                        Rule::Instructions,
                        format!("chunk {chunk} of {} differs at byte {at}", program.label()),
                    );
                    run.poisoned = true;
                }
                collect(run, *chunk, &stream.bytes, around);
            }
            Hint::Dma {
                target,
                offset,
                bytes,
                ..
            } => take(run, target, *offset, *bytes, &stream.bytes, around),
            Hint::Interrupt(_) | Hint::Fence => {}
        }
        self.recycle(stream.bytes);
        true
    }

    /// Whether the results are there; computes them when it is time.
    fn computed(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(run) = &self.run else {
            return false;
        };
        if run.computed {
            return true;
        }
        let ready = self.ready_at(run, around.latency);
        if around.now < ready {
            return false;
        }
        let program = Arc::clone(&run.program);
        if program.executable.kind != Kind::ParameterCaching {
            let number = self.inferences;
            self.inferences += 1;
            let fault = around.script.due(Trigger::Inference(number));
            let wrong = match fault {
                None => false,
                Some(Fault::WrongOutput) => true,
                Some(Fault::EarlyEvent) => {
                    self.early_event = true;
                    false
                }
                Some(fault) => {
                    around.escalate.push(fault);
                    return false;
                }
            };
            self.figures.computing += ready.saturating_sub(self.last_stream);
            if let Err(reason) = self.compute(&program, wrong, around) {
                let detail = format!("{} cannot be computed: {reason}", program.label());
                self.wedge(Rule::Instructions, detail, around);
                return false;
            }
        }
        if let Some(run) = &mut self.run {
            let wrong = |detail| around.violations.add(Rule::Address, detail);
            run.program.template.judge(&run.addresses, wrong);
            run.computed = true;
        }
        true
    }

    fn compute(
        &mut self,
        program: &Program,
        wrong: bool,
        around: &mut Surroundings<'_>,
    ) -> Result<(), String> {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let executable = &program.executable;
        let layers = executable.inputs.len();
        let batch = executable.batch.max(1);
        self.plain_inputs.resize_with(layers, Vec::new);
        self.plain_outputs
            .resize_with(executable.outputs.len(), Vec::new);
        for item in 0..batch {
            for (index, layer) in executable.inputs.iter().enumerate() {
                let chip = run.inputs.get(item * layers + index);
                let (Some(chip), Some(plain)) = (chip, self.plain_inputs.get_mut(index)) else {
                    continue;
                };
                if let Some(at) = plain_input(layer, chip, plain) {
                    around.violations.add(
                        Rule::Padding,
                        format!("byte {at} of input \"{}\" is padding and not 0", layer.name),
                    );
                }
            }
            for (map, plain) in program.output_maps.iter().zip(&mut self.plain_outputs) {
                plain.clear();
                plain.resize(map.plain_bytes(), 0);
            }
            let inference = Inference {
                model: &program.model,
                package: program.package,
                identifier: &program.identifier,
                input_layers: &executable.inputs,
                inputs: &self.plain_inputs,
                output_layers: &executable.outputs,
            };
            self.executor.run(&inference, &mut self.plain_outputs)?;
            for (map, plain) in program.output_maps.iter().zip(&mut self.plain_outputs) {
                if run.poisoned {
                    for (index, byte) in plain.iter_mut().enumerate() {
                        *byte ^= 0x5a ^ index.to_le_bytes()[0];
                    }
                }
                if wrong && let Some(byte) = plain.first_mut() {
                    *byte ^= 1;
                }
                let mut chip = self.spare.pop().unwrap_or_default();
                map.scatter(plain, &mut chip);
                run.outputs.push(chip);
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        target: &Target,
        offset: usize,
        bytes: usize,
        around: &mut Surroundings<'_>,
    ) -> bool {
        if !self.computed(around) {
            return false;
        }
        if self.early_event {
            self.early_event = false;
            self.send_event(0, around);
            if let Some(run) = &mut self.run {
                // The completion that belongs here must not come twice.
                run.started = around.now;
            }
            self.suppress_next_event(around);
        }
        let Some(run) = &mut self.run else {
            return false;
        };
        let cursor = run.cursor;
        let executable = &run.program.executable;
        let source = match target {
            Target::Output { name, batch } => {
                let layer = executable.outputs.iter().position(|l| l.name == *name);
                let index = layer.and_then(|layer| {
                    Some(usize::try_from(*batch).ok()? * executable.outputs.len() + layer)
                });
                index.and_then(|index| run.outputs.get(index))
            }
            Target::Scratch => Some(&run.scratch),
            Target::Input { .. } | Target::Parameters => None,
        };
        let part = source.and_then(|source| source.get(offset..offset + bytes));
        let Some(part) = part else {
            let detail = format!("hint {cursor} sends {bytes} bytes at {offset} of {target:?}");
            self.wedge(Rule::Order, detail, around);
            return false;
        };
        around.outputs.push(around.now, part, around.chunk);
        around
            .record
            .add(|| Entry::Device(format!("emit output {bytes} bytes (hint {cursor})")));
        true
    }

    /// After an early event the regular one is left out.
    fn suppress_next_event(&mut self, around: &mut Surroundings<'_>) {
        let number = self.events;
        around.script.push(Trigger::Event(number), Fault::DropEvent);
    }

    fn interrupt(&mut self, number: u8, around: &mut Surroundings<'_>) -> bool {
        if !self.computed(around) || around.outputs.backlog() > 0 {
            return false;
        }
        let cursor = self.run.as_ref().map_or(0, |run| run.cursor);
        self.send_event(number, around);
        around
            .record
            .add(|| Entry::Device(format!("emit event interrupt{number} (hint {cursor})")));
        true
    }

    fn send_event(&mut self, number: u8, around: &mut Surroundings<'_>) {
        let index = self.events;
        self.events += 1;
        let mut event = [0u8; 16];
        if let Some(tag) = event.get_mut(12) {
            *tag = 4 + number;
        }
        let (mut bytes, mut times, mut at) = (event.to_vec(), 1, around.now);
        match around.script.due(Trigger::Event(index)) {
            None => {}
            Some(Fault::DropEvent) => times = 0,
            Some(Fault::RepeatEvent(count)) => times = count,
            Some(Fault::Delay(delay)) => at += delay,
            Some(Fault::Short(count)) => bytes.truncate(count),
            Some(Fault::Garbage(garbage)) => bytes = garbage,
            Some(fault) => around.escalate.push(fault),
        }
        for _ in 0..times {
            around.events.push(at, &bytes, around.events.packet_bytes);
        }
    }

    fn complete(&mut self, around: &mut Surroundings<'_>) {
        let Some(run) = self.run.take() else {
            return;
        };
        let executable = &run.program.executable;
        self.figures.busy += around.now.saturating_sub(run.started);
        self.completed_at = around.now;
        match executable.kind {
            Kind::ParameterCaching => {
                if !run.poisoned {
                    self.memory.end_load(run.program.identity);
                }
            }
            Kind::StandAlone | Kind::ExecutionOnly => self.figures.inferences += 1,
        }
        let label = run.program.label();
        around
            .record
            .add(|| Entry::Device(format!("executable {label} complete")));
        for buffer in run.inputs.into_iter().chain(run.outputs) {
            self.recycle(buffer);
        }
    }
}

fn collect(run: &mut Run, chunk: usize, bytes: &[u8], around: &mut Surroundings<'_>) {
    let wrong = |detail| around.violations.add(Rule::Address, detail);
    run.program
        .template
        .collect(chunk, bytes, &mut run.addresses, wrong);
}

/// Puts a stream where its hint says, and compares parameters with the package's.
fn take(
    run: &mut Run,
    target: &Target,
    offset: usize,
    bytes: usize,
    received: &[u8],
    around: &mut Surroundings<'_>,
) {
    match target {
        Target::Parameters => {
            let range = offset..offset + bytes;
            let right = |program: &Program| {
                program.executable.parameters.get(range.clone()) == Some(received)
            };
            let mut equal = right(&run.program);
            if equal {
                run.alternatives.retain(|program| right(program));
            } else if let Some(at) = run.alternatives.iter().position(|p| right(p)) {
                // Same instructions, other parameters: it was that one.
                run.program = run.alternatives.remove(at);
                equal = true;
            } else {
                run.poisoned = true;
                around.violations.add(
                    Rule::Parameters,
                    format!(
                        "{bytes} bytes at {offset} of {} hash to {:016x}, not to the package's",
                        run.program.label(),
                        crate::fnv1a(received)
                    ),
                );
            }
            around
                .record
                .add(|| Entry::Device(format!("params equal={}", u8::from(equal))));
        }
        Target::Input { name, batch } => {
            let layers = &run.program.executable.inputs;
            let layer = layers.iter().position(|layer| layer.name == *name);
            let index =
                layer.and_then(|layer| Some(usize::try_from(*batch).ok()? * layers.len() + layer));
            if let Some(place) = index
                .and_then(|index| run.inputs.get_mut(index))
                .and_then(|buffer| buffer.get_mut(offset..offset + bytes))
            {
                place.copy_from_slice(received);
            }
        }
        Target::Scratch => {
            if run.scratch.get(offset..offset + bytes) != Some(received) {
                around.violations.add(
                    Rule::Order,
                    format!("{bytes} bytes of scratch at {offset} are not what was sent there"),
                );
            }
        }
        Target::Output { .. } => {}
    }
}
