//! The reference traces, replayed against the simulator by a driver that does exactly what the
//! vendor's driver did: the simulator must answer as the traced device did, find nothing wrong, and
//! record the same lines.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use andon_tpu_sim::clock::VirtualClock;
use andon_tpu_sim::device::{Config, Setup, SimulatedEdgeTpu};
use andon_tpu_sim::host::{OpenDevice, SimulatedHost};
use andon_tpu_sim::latency::Speed;
use andon_tpu_sim::package::{Hint, Target};
use andon_tpu_sim::registers::ResetValues;
use andon_tpu_sim::registry::{Program, Registry};
use support::driver::link;
use support::{reference, trace_input};

const SECOND: Duration = Duration::from_secs(1);

/// One line of a trace: the word in front, and the rest.
fn lines(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).expect("a trace");
    text.lines()
        .map(|line| {
            let (word, rest) = line.split_once("  ").expect("a word and what it says");
            (word.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

fn firmware() -> Vec<u8> {
    (0..10_783u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect()
}

fn dfu(device: &mut OpenDevice, request: u8, value: u16, data: &[u8], length: u16) -> Vec<u8> {
    let request_type = if matches!(request, 1 | 4 | 6) {
        0x21
    } else {
        0xa1
    };
    let setup = Setup {
        request_type,
        request,
        value,
        index: 0,
        length,
    };
    device.control(setup, data, SECOND).expect("a DFU request")
}

/// Downloads, reads back: what the trace sums up in one line.
fn download(device: &mut OpenDevice, firmware: &[u8]) {
    let block_bytes = usize::from(andon_tpu_sim::dfu::TRANSFER_BYTES);
    let mut block = 0;
    for part in firmware.chunks(block_bytes) {
        dfu(
            device,
            1,
            block,
            part,
            u16::try_from(part.len()).expect("short"),
        );
        assert_eq!(dfu(device, 3, 0, &[], 6)[4], 5, "dfuDNLOAD-IDLE");
        block += 1;
    }
    dfu(device, 1, block, &[], 0);
    assert_eq!(dfu(device, 3, 0, &[], 6)[4], 2, "dfuIDLE");
    let mut read = Vec::new();
    for block in 0.. {
        let part = dfu(
            device,
            2,
            block,
            &[],
            u16::try_from(block_bytes).expect("short"),
        );
        read.extend_from_slice(&part);
        if part.len() < block_bytes {
            break;
        }
    }
    assert_eq!(read, firmware);
}

/// The bulk-out transfers of a trace from `start` on, as bytes: the payloads are not in the trace, so
/// they are made from the packages and checked by their hashes.
fn payload(program: &Program, stream: usize) -> Vec<u8> {
    let executable = &program.executable;
    let mut index = 0;
    for hint in &executable.hints {
        let bytes = match hint {
            Hint::Instructions(chunk) => Some(link(executable, *chunk)),
            Hint::Dma {
                target: Target::Parameters,
                offset,
                bytes,
                ..
            } => Some(executable.parameters[*offset..offset + bytes].to_vec()),
            Hint::Dma {
                target: Target::Input { name, .. },
                offset,
                bytes,
                ..
            } => {
                let layer = executable
                    .inputs
                    .iter()
                    .find(|l| l.name == *name)
                    .expect("layer");
                let mut plain = trace_input(layer.plain_bytes());
                if layer.data_type.flipped() {
                    andon_tpu_sim::layout::flip(&mut plain, layer.data_type.bytes());
                }
                plain.resize(layer.padded_bytes(), 0);
                Some(plain[*offset..offset + bytes].to_vec())
            }
            Hint::Dma { .. } | Hint::Interrupt(_) | Hint::Fence => None,
        };
        if let Some(bytes) = bytes {
            if index == stream {
                return bytes;
            }
            index += 1;
        }
    }
    unreachable!("{} has no stream {stream}", program.label())
}

struct Replay<'a> {
    host: SimulatedHost,
    device: Option<OpenDevice>,
    programs: &'a BTreeMap<String, std::sync::Arc<Program>>,
    firmware: Vec<u8>,
    /// Which executable the streams belong to, and how many of it have been sent.
    current: String,
    sent: usize,
    /// The stream on its way and how much of it went out.
    stream: Vec<u8>,
    gone: usize,
    hashes: usize,
}

impl Replay<'_> {
    fn device(&mut self) -> &mut OpenDevice {
        self.device.as_mut().expect("an open device")
    }

    fn usb(&mut self, what: &str) {
        match what.split(' ').next().unwrap_or_default() {
            "open" => {
                let deadline = self.host.now() + 5 * SECOND;
                while self.host.devices().is_empty() {
                    assert!(self.host.wait_for_change(deadline), "a device comes back");
                }
                let listed = self.host.devices();
                let product = if what.contains("dfu") { 0x089a } else { 0x9302 };
                assert_eq!(listed[0].presence.product, product);
                let mut device = self.host.open(&listed[0]).expect("opens");
                for _ in 0..32 {
                    let _ = &mut device;
                }
                self.device = Some(device);
            }
            "reset_device" => self.device().reset().expect("a reset"),
            "close" => self.device = None,
            "claim" => assert!(self.device().claim(0)),
            "release" => {}
            "bulk-out" => {
                let bytes: usize = what
                    .split(' ')
                    .nth(2)
                    .expect("a length")
                    .parse()
                    .expect("a number");
                self.bulk_out(bytes);
            }
            other => unreachable!("USB {other}"),
        }
    }

    fn bulk_out(&mut self, bytes: usize) {
        let data = if self.gone == self.stream.len() {
            assert_eq!(bytes, 8, "a header");
            self.stream.clear();
            self.gone = 0;
            return;
        } else {
            let end = self.gone + bytes;
            let data = self.stream[self.gone..end].to_vec();
            self.gone = end;
            data
        };
        self.submit(data);
    }

    fn submit(&mut self, data: Vec<u8>) {
        let deadline = self.host.now() + SECOND;
        let device = self.device();
        device.submit(1, data);
        let done = device.completion(deadline).expect("taken");
        assert_eq!(done.endpoint, 1);
        done.status.expect("taken");
    }

    fn header(&mut self, length: usize, tag: u8) {
        self.stream = payload(&self.programs[&self.current], self.sent);
        self.sent += 1;
        self.gone = 0;
        assert_eq!(
            self.stream.len(),
            length,
            "length of stream {} of {}",
            self.sent - 1,
            self.current
        );
        let mut header = u32::try_from(length).expect("fits").to_le_bytes().to_vec();
        header.extend([tag, 0, 0, 0]);
        self.submit(header);
    }

    fn out(&mut self, what: &str) {
        let number = |name: &str| -> &str {
            let at = what.find(name).map(|at| at + name.len());
            at.and_then(|at| what.get(at..))
                .and_then(|rest| rest.split(' ').next())
                .unwrap_or_default()
        };
        if what.starts_with("header") {
            let length = number("len=").parse().expect("a length");
            self.header(length, number("tag=").parse().expect("a tag"));
        } else if !number("fnv=").is_empty() {
            let fnv = format!("{:016x}", andon_tpu_sim::fnv1a(&self.stream));
            assert_eq!(
                fnv,
                number("fnv="),
                "hash of stream {} of {}",
                self.sent - 1,
                self.current
            );
            self.hashes += 1;
        }
    }

    fn csr(&mut self, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        let [kind, offset, _, value] = words[..] else {
            unreachable!("CSR {what}");
        };
        let offset = u32::from_str_radix(offset, 16).expect("hex");
        let value = u64::from_str_radix(value, 16).expect("hex");
        let (write, wide) = (kind.starts_with('W'), kind.ends_with("64"));
        let bytes = if wide { 8 } else { 4 };
        let setup = Setup {
            request_type: if write { 0x40 } else { 0xc0 },
            request: u8::from(!wide),
            value: u16::try_from(offset & 0xffff).expect("16 bits"),
            index: u16::try_from(offset >> 16).expect("16 bits"),
            length: bytes,
        };
        let raw = value.to_le_bytes();
        let data = if write {
            &raw[..usize::from(bytes)]
        } else {
            &[]
        };
        let got = self
            .device()
            .control(setup, data, SECOND)
            .expect("a register access");
        if !write {
            assert_eq!(got, raw[..usize::from(bytes)], "{what}");
        }
    }

    fn emit(&mut self, what: &str) {
        let deadline = self.host.now() + SECOND;
        let packet = self.device().speed().packet_bytes();
        if let Some(rest) = what.strip_prefix("emit output ") {
            let bytes: usize = rest
                .split(' ')
                .next()
                .unwrap_or_default()
                .parse()
                .expect("a length");
            let mut got = 0;
            while got < bytes {
                self.device().submit(0x81, vec![0; packet]);
                let done = self.device().completion(deadline).expect("an output");
                assert_eq!((done.endpoint, done.status), (0x81, Ok(())));
                got += done.transferred;
            }
            assert_eq!(got, bytes);
        } else if what.starts_with("emit event") {
            self.device().submit(0x82, vec![0; packet]);
            let done = self.device().completion(deadline).expect("an event");
            assert_eq!(
                (done.endpoint, done.status, done.transferred),
                (0x82, Ok(()), 16)
            );
            assert_eq!(done.buffer[12] & 0xf, 4);
        }
    }
}

fn replay(name: &str) {
    let Some(reference) = reference(name) else {
        return;
    };
    let mut registry = Registry::default();
    for entry in std::fs::read_dir(reference.join("models")).expect("models") {
        let path = entry.expect("an entry").path();
        if path.to_string_lossy().ends_with("_edgetpu.tflite") {
            registry.add_file(&path).expect("a model");
        }
    }
    let programs: BTreeMap<String, _> = registry
        .programs()
        .iter()
        .map(|program| (program.label(), std::sync::Arc::clone(program)))
        .collect();
    let trace = lines(&reference.join("traces").join(format!("{name}.txt")));
    // One port per session: a trace may change the speed, which a port does not.
    let mut sessions: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (index, line) in trace.iter().enumerate() {
        let opens = line.1.starts_with("open (app)")
            && trace.get(index + 1).is_some_and(|l| l.1 == "reset_device");
        if opens && index > 0 {
            sessions.push(Vec::new());
        }
        sessions.last_mut().expect("one").push(line.clone());
    }
    let mut hashes = 0;
    for session in &sessions {
        hashes += replay_session(session, registry.clone(), &programs);
    }
    let wanted = trace
        .iter()
        .filter(|(_, rest)| rest.contains("fnv="))
        .count();
    assert_eq!(hashes, wanted, "every hash of the trace was compared");
}

fn replay_session(
    trace: &[(String, String)],
    registry: Registry,
    programs: &BTreeMap<String, std::sync::Arc<Program>>,
) -> usize {
    let chunk = trace
        .iter()
        .find(|(_, r)| r.starts_with("W64 4c058"))
        .expect("a chunk size");
    let config = Config {
        speed: if chunk.1.ends_with("80") {
            Speed::Super
        } else {
            Speed::High
        },
        starts_in_dfu: trace[0].1.contains("dfu"),
        resets: ResetValues::Zero,
        power_polls: 0,
        record: true,
        ..Config::default()
    };
    let host = SimulatedHost::new(VirtualClock::new());
    host.add("1-1", SimulatedEdgeTpu::new(config, registry));
    let mut replay = Replay {
        host: host.clone(),
        device: None,
        programs,
        firmware: firmware(),
        current: String::new(),
        sent: 0,
        stream: Vec::new(),
        gone: 0,
        hashes: 0,
    };
    for (index, (word, rest)) in trace.iter().enumerate() {
        match word.as_str() {
            "USB" => replay.usb(rest),
            "DFU" => {
                let firmware = replay.firmware.clone();
                download(replay.device(), &firmware);
            }
            "CSR" => replay.csr(rest),
            "OUT" => {
                // Which executable it is stands a few lines below its first header.
                if rest.starts_with("header") && rest.contains("tag=0") {
                    let matched = trace[index..]
                        .iter()
                        .find_map(|(_, r)| r.strip_prefix("matched executable "));
                    replay.current = matched.expect("a match").to_owned();
                    replay.sent = 0;
                }
                replay.out(rest);
            }
            "DEV" => replay.emit(rest),
            other => unreachable!("{other}"),
        }
    }
    let hashes = replay.hashes;
    drop(replay);
    host.assert_clean();
    // The record has the same lines; but for the moment at which the device says it has matched.
    let text = host
        .with("1-1", |device, _| device.record().text())
        .expect("the port");
    let mut got: Vec<&str> = text.lines().collect();
    let wanted: Vec<String> = trace
        .iter()
        .map(|(word, rest)| format!("{word}  {rest}"))
        .collect();
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let position = got.iter().zip(&wanted).position(|(a, b)| a != b);
    if let Some(at) = position {
        eprintln!(
            "first difference at line {at}: {:?} instead of {:?}",
            got.get(at),
            wanted.get(at)
        );
    }
    assert_eq!(got.len(), wanted.len());
    got.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(got, wanted);
    assert_eq!(position, None);
    hashes
}

#[test]
fn firmware_bring_up_and_a_cocompiled_pair_replay() {
    replay("dfu-init-cocompiled-classifier");
}

#[test]
fn the_same_weights_under_another_token_replay() {
    replay("single-then-cocompiled");
}

#[test]
fn several_and_tiled_outputs_replay() {
    replay("tiled-multi-output");
}
