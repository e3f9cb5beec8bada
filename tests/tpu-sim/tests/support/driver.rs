//! The least driver that works: it does one thing after the other, by the vendor driver's sequence.
//! It exists to try the simulator, so it can also do things wrong on purpose.

use std::time::Duration;

use andon_tpu_sim::device::Setup;
use andon_tpu_sim::endpoint::{Completion, TransferError};
use andon_tpu_sim::host::{OpenDevice, SimulatedHost};
use andon_tpu_sim::latency::Speed;
use andon_tpu_sim::layout::flip;
use andon_tpu_sim::link::set_field;
use andon_tpu_sim::package::{Direction, Executable, Half, Hint, Target};

const SECOND: Duration = Duration::from_secs(1);

/// An open device and what a driver knows of it.
pub(crate) struct Driver {
    pub(crate) device: OpenDevice,
    pub(crate) host: SimulatedHost,
}

/// Plain outputs in the chip's order, one per output layer.
pub(crate) type Outputs = Vec<Vec<u8>>;

impl Driver {
    /// Opens and claims what is plugged in first.
    pub(crate) fn open(host: &SimulatedHost) -> Self {
        let listed = host.devices();
        let first = listed.first().expect("a device is plugged in");
        let mut device = host.open(first).expect("it opens");
        assert!(device.claim(0), "interface 0 can be claimed");
        Self {
            device,
            host: host.clone(),
        }
    }

    pub(crate) fn register(
        &mut self,
        write: bool,
        wide: bool,
        offset: u32,
        value: u64,
    ) -> Result<u64, TransferError> {
        let bytes = if wide { 8 } else { 4 };
        let raw = value.to_le_bytes();
        let data = if write { &raw[..bytes] } else { &[] };
        let setup = Setup {
            request_type: if write { 0x40 } else { 0xc0 },
            request: u8::from(!wide),
            value: u16::try_from(offset & 0xffff).expect("16 bits"),
            index: u16::try_from(offset >> 16).expect("16 bits"),
            length: u16::try_from(bytes).expect("a few bytes"),
        };
        let reply = self.device.control(setup, data, SECOND)?;
        let mut out = [0u8; 8];
        for (to, from) in out.iter_mut().zip(&reply) {
            *to = *from;
        }
        Ok(u64::from_le_bytes(out))
    }

    pub(crate) fn read32(&mut self, offset: u32) -> u64 {
        self.register(false, false, offset, 0).expect("a read")
    }
    pub(crate) fn write32(&mut self, offset: u32, value: u64) {
        self.register(true, false, offset, value).expect("a write");
    }
    pub(crate) fn read64(&mut self, offset: u32) -> u64 {
        self.register(false, true, offset, 0).expect("a read")
    }
    pub(crate) fn write64(&mut self, offset: u32, value: u64) {
        self.register(true, true, offset, value).expect("a write");
    }

    /// From reset to running, in the vendor driver's order.
    pub(crate) fn bring_up(&mut self) {
        let value = self.read32(0x1a30c);
        self.write32(0x1a30c, value & !(0x3f << 8));
        let _ = self.read32(0x1a314);
        let value = self.read32(0x1a318);
        self.write32(0x1a318, value | 0x00c0_0000);
        while self.read32(0x1a318) >> 8 & 3 != 2 {}
        self.write32(0x1907c, 0xf);
        self.write32(0x1907c, 0);
        let value = self.read32(0x1a318);
        self.write32(0x1a318, value & 0x0f3f_ffff | 0x0080_0000);
        while self.read32(0x1a318) >> 8 & 3 != 0 {}
        assert_eq!(self.read64(0x44018), 0);
        self.write64(0x4a000, 1);
        self.write64(0x48788, 0x7f);
        assert_eq!(self.read64(0x48788), 0x7f);
        self.write64(0x40020, 0x1e02);
        let value = self.read32(0x1a314);
        self.write32(0x1a314, value | 0x40000);
        let _ = self.read32(0x1a000);
        self.write64(0x4c148, 0xf0);
        self.write64(0x4c160, 0);
        let chunk = if self.device.speed() == Speed::Super {
            0x80
        } else {
            0x20
        };
        self.write64(0x4c058, chunk);
        for offset in [0x44018, 0x44158, 0x44198, 0x441d8, 0x44218] {
            self.write64(offset, 1);
        }
        self.write64(0x48788, 0x7f);
        assert_eq!(self.read64(0x48788), 0x7f);
        for offset in [
            0x400c0, 0x40150, 0x40110, 0x40250, 0x40298, 0x402e0, 0x40328, 0x40190, 0x401d0,
            0x40210,
        ] {
            self.write64(offset, 1);
        }
        for offset in [0x4c060, 0x4c070, 0x4c080, 0x4c090, 0x4c0a0] {
            self.write64(offset, 1);
        }
    }

    /// One bulk-out transfer, waited for.
    pub(crate) fn out(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.device.submit(0x01, bytes.to_vec());
        self.expect(0x01)?;
        Ok(())
    }

    /// Waits for the next completion, which must be this endpoint's.
    pub(crate) fn expect(&mut self, endpoint: u8) -> Result<Completion, TransferError> {
        let deadline = self.host.now() + SECOND;
        let Some(completion) = self.device.completion(deadline) else {
            return Err(TransferError::TimedOut);
        };
        assert_eq!(completion.endpoint, endpoint);
        match completion.status {
            Ok(()) => Ok(completion),
            Err(error) => Err(error),
        }
    }

    /// One stream: header and payload.
    pub(crate) fn stream(&mut self, tag: u8, payload: &[u8]) -> Result<(), TransferError> {
        let mut header = [0u8; 8];
        header[..4].copy_from_slice(&u32::try_from(payload.len()).expect("fits").to_le_bytes());
        header[4] = tag;
        self.out(&header)?;
        for chunk in payload.chunks(1 << 20) {
            self.out(chunk)?;
        }
        Ok(())
    }

    /// Reads exactly so many bytes of outputs.
    pub(crate) fn outputs(&mut self, bytes: usize) -> Result<Vec<u8>, TransferError> {
        let packet = self.device.speed().packet_bytes();
        let mut all = Vec::new();
        while all.len() < bytes {
            self.device.submit(0x81, vec![0; packet]);
            all.extend(self.expect(0x81)?.buffer);
        }
        assert_eq!(all.len(), bytes);
        Ok(all)
    }

    /// Reads one event.
    pub(crate) fn event(&mut self) -> Result<Vec<u8>, TransferError> {
        let packet = self.device.speed().packet_bytes();
        self.device.submit(0x82, vec![0; packet]);
        Ok(self.expect(0x82)?.buffer)
    }

    /// Runs an executable. `inputs` are plain, in the order of the layers.
    pub(crate) fn run(
        &mut self,
        executable: &Executable,
        inputs: &[Vec<u8>],
    ) -> Result<Outputs, TransferError> {
        let padded: Vec<Vec<u8>> = executable
            .inputs
            .iter()
            .zip(inputs)
            .map(|(layer, plain)| {
                let mut chip = plain.clone();
                if layer.data_type.flipped() {
                    flip(&mut chip, layer.data_type.bytes());
                }
                chip.resize(layer.padded_bytes(), 0);
                chip
            })
            .collect();
        let mut outputs: Outputs = executable
            .outputs
            .iter()
            .map(|layer| vec![0; layer.padded_bytes()])
            .collect();
        for hint in &executable.hints {
            match hint {
                Hint::Instructions(chunk) => {
                    let linked = link(executable, *chunk);
                    self.stream(0, &linked)?;
                }
                Hint::Dma {
                    target,
                    offset,
                    bytes,
                    direction: Direction::Infeed,
                } => {
                    let (tag, source) = match target {
                        Target::Parameters => (2, &executable.parameters),
                        Target::Input { name, .. } => {
                            let at = executable.inputs.iter().position(|l| l.name == *name);
                            (1, &padded[at.expect("the layer")])
                        }
                        Target::Scratch | Target::Output { .. } => {
                            unreachable!("not in these models")
                        }
                    };
                    self.stream(tag, &source[*offset..offset + bytes])?;
                }
                Hint::Dma {
                    target,
                    offset,
                    bytes,
                    direction: Direction::Outfeed,
                } => {
                    let Target::Output { name, .. } = target else {
                        unreachable!("not in these models");
                    };
                    let at = executable.outputs.iter().position(|l| l.name == *name);
                    let data = self.outputs(*bytes)?;
                    outputs[at.expect("the layer")][*offset..offset + bytes].copy_from_slice(&data);
                }
                Hint::Interrupt(number) => {
                    let event = self.event()?;
                    assert_eq!(event.len(), 16);
                    assert_eq!(event[12] & 0xf, 4 + number);
                }
                Hint::Fence => {}
            }
        }
        Ok(outputs)
    }
}

/// A chunk with addresses filled in: each buffer on pages of its own.
pub(crate) fn link(executable: &Executable, chunk: usize) -> Vec<u8> {
    let stream = &executable.bitstreams[chunk];
    let mut targets: Vec<&Target> = Vec::new();
    for field in executable.bitstreams.iter().flat_map(|s| &s.fields) {
        if !targets.contains(&&field.target) {
            targets.push(&field.target);
        }
    }
    let mut address = 0x0000_0001_2000_0000u64;
    let mut addresses = Vec::new();
    for target in &targets {
        addresses.push(address);
        let size = executable.buffer_bytes(target).expect("a known buffer") as u64;
        address += size.div_ceil(4096).max(1) * 4096;
    }
    let mut bytes = stream.bytes.clone();
    for field in &stream.fields {
        let index = targets
            .iter()
            .position(|t| **t == field.target)
            .expect("known");
        let value = match field.half {
            Half::Low => addresses[index] & 0xffff_ffff,
            Half::High => addresses[index] >> 32,
        };
        set_field(
            &mut bytes,
            field.bit,
            u32::try_from(value).expect("32 bits"),
        );
    }
    bytes
}
