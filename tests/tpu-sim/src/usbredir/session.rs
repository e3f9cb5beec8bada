//! One connection: what the peer asks of the device, and what the device answers.
//!
//! Works on any writer; bytes that arrive are handed in. [`Session::pump`] sends what has become due.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::protocol::{Decoder, Packet, ProtocolError, capability, kind, status};
use crate::descriptor;
use crate::device::Setup;
use crate::endpoint::{Completion, TransferError};
use crate::host::{Listed, OpenDevice, SimulatedHost};
use crate::latency::Speed;

const INTERRUPT_IN: u8 = 0x83;

/// Longest control transfer: as long as a guest's kernel waits for one.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// A bulk transfer that the peer waits for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: u64,
    stream: u32,
}

/// One connection.
#[derive(Debug)]
pub struct Session<W: Write> {
    out: W,
    decoder: Decoder,
    host: SimulatedHost,
    port: String,
    /// The peer's capabilities, once it has said hello.
    peer: Option<u32>,
    open: Option<OpenDevice>,
    /// What the peer was last told is plugged in.
    told: Option<Listed>,
    /// The peer has not yet acknowledged that the last device is gone.
    awaiting_ack: bool,
    asked: BTreeMap<u64, Asked>,
    interrupts: bool,
    interrupt_id: u64,
}

fn error(error: ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn status_of(result: Result<(), TransferError>) -> u8 {
    match result {
        Ok(()) => status::SUCCESS,
        Err(TransferError::Cancelled) => status::CANCELLED,
        Err(TransferError::Stall) => status::STALL,
        Err(TransferError::TimedOut) => status::TIMEOUT,
        Err(TransferError::Disconnected | TransferError::Broken) => status::IO_ERROR,
    }
}

impl<W: Write> Session<W> {
    /// Says hello.
    ///
    /// # Errors
    ///
    /// The peer cannot be written to.
    pub fn new(out: W, host: SimulatedHost, port: &str) -> io::Result<Self> {
        let mut session = Self {
            out,
            decoder: Decoder::default(),
            host,
            port: port.to_owned(),
            peer: None,
            open: None,
            told: None,
            awaiting_ack: false,
            asked: BTreeMap::new(),
            interrupts: false,
            interrupt_id: 0,
        };
        let mut body = b"andon-tpu-sim".to_vec();
        body.resize(64, 0);
        body.extend(capability::OURS.to_le_bytes());
        session.send(kind::HELLO, 0, body)?;
        Ok(session)
    }

    fn both(&self, bit: u32) -> bool {
        self.peer
            .is_some_and(|peer| peer & capability::OURS & bit != 0)
    }

    fn send(&mut self, kind: u32, id: u64, body: Vec<u8>) -> io::Result<()> {
        let wide = kind != kind::HELLO && self.both(capability::IDS_64_BIT);
        let bytes = Packet { kind, id, body }.encode(wide);
        self.out.write_all(&bytes)
    }

    /// Bytes from the peer.
    ///
    /// # Errors
    ///
    /// The peer breaks the protocol or cannot be written to.
    pub fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.decoder.push(bytes);
        loop {
            let wide = self.both(capability::IDS_64_BIT);
            let Some(packet) = self.decoder.next(wide).map_err(error)? else {
                return Ok(());
            };
            self.packet(&packet)?;
        }
    }

    fn packet(&mut self, packet: &Packet) -> io::Result<()> {
        let id = packet.id;
        match packet.kind {
            kind::HELLO => {
                // Old peers send no capabilities.
                let capabilities = packet.body.get(64..68);
                let bytes = capabilities.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
                self.peer = Some(bytes.map_or(0, u32::from_le_bytes));
                self.pump()
            }
            kind::RESET => self.reset(),
            kind::SET_CONFIGURATION => {
                let ([value], _) = packet.head().map_err(error)?;
                let good = value <= 1;
                let body = vec![if good { status::SUCCESS } else { status::STALL }, value];
                self.send(kind::CONFIGURATION_STATUS, id, body)
            }
            kind::GET_CONFIGURATION => {
                self.send(kind::CONFIGURATION_STATUS, id, vec![status::SUCCESS, 1])
            }
            kind::SET_ALT_SETTING => {
                let ([interface, alternate], _) = packet.head().map_err(error)?;
                let good = interface == 0 && alternate == 0;
                let status = if good { status::SUCCESS } else { status::STALL };
                let body = vec![status, interface, alternate];
                self.send(kind::ALT_SETTING_STATUS, id, body)
            }
            kind::GET_ALT_SETTING => {
                let ([interface], _) = packet.head().map_err(error)?;
                let body = vec![status::SUCCESS, interface, 0];
                self.send(kind::ALT_SETTING_STATUS, id, body)
            }
            kind::START_INTERRUPT => {
                let ([endpoint], _) = packet.head().map_err(error)?;
                self.interrupts = true;
                self.listen_for_interrupts();
                let body = vec![status::SUCCESS, endpoint];
                self.send(kind::INTERRUPT_STATUS, id, body)
            }
            kind::STOP_INTERRUPT => {
                let ([endpoint], _) = packet.head().map_err(error)?;
                self.interrupts = false;
                if let Some(open) = &mut self.open {
                    open.cancel(INTERRUPT_IN);
                }
                let body = vec![status::SUCCESS, endpoint];
                self.send(kind::INTERRUPT_STATUS, id, body)
            }
            kind::CANCEL => {
                let number = self.asked.iter().find(|(_, a)| a.id == id).map(|(n, _)| *n);
                if let (Some(number), Some(open)) = (number, &mut self.open) {
                    open.cancel_one(number);
                }
                self.pump()
            }
            kind::DISCONNECT_ACK => {
                self.awaiting_ack = false;
                self.pump()
            }
            kind::CONTROL => self.control(packet),
            kind::BULK => self.bulk(packet),
            // Filters and the like ask for nothing.
            _ => Ok(()),
        }
    }

    fn listen_for_interrupts(&mut self) {
        if let (true, Some(open)) = (self.interrupts, &mut self.open) {
            let buffer = vec![0; usize::from(descriptor::INTERRUPT_PACKET)];
            let number = open.submit(INTERRUPT_IN, buffer);
            // Not asked for one by one.
            self.asked.remove(&number);
        }
    }

    fn reset(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            let _ = open.reset();
        }
        self.pump()?;
        // A device that is still the same goes on under a new opening.
        if let Some(told) = self.told.clone() {
            self.reopen(&told);
        }
        Ok(())
    }

    fn reopen(&mut self, listed: &Listed) {
        self.open = self.host.open(listed);
        if let Some(open) = &mut self.open {
            let _ = open.claim(0);
        }
        self.listen_for_interrupts();
    }

    /// Sends what has become due.
    ///
    /// # Errors
    ///
    /// The peer cannot be written to.
    pub fn pump(&mut self) -> io::Result<()> {
        if self.peer.is_none() {
            return Ok(());
        }
        self.completions()?;
        let now = self
            .host
            .devices()
            .into_iter()
            .find(|listed| listed.port == self.port);
        if now == self.told {
            return Ok(());
        }
        if self.told.take().is_some() {
            self.completions()?;
            self.open = None;
            self.asked.clear();
            self.interrupts = false;
            self.awaiting_ack = self.both(capability::DISCONNECT_ACK);
            self.send(kind::DEVICE_DISCONNECT, 0, Vec::new())?;
        }
        match now {
            Some(listed) if !self.awaiting_ack => self.connect(listed),
            Some(_) | None => Ok(()),
        }
    }

    fn connect(&mut self, listed: Listed) -> io::Result<()> {
        self.reopen(&listed);
        let Some(speed) = self.open.as_ref().map(OpenDevice::speed) else {
            return Ok(());
        };
        let dfu = listed.presence.product == 0x089a;
        // One interface: number, class, subclass and protocol, each in a table of 32.
        let mut body = 1u32.to_le_bytes().to_vec();
        let class = if dfu {
            [0, 0xfe, 1, 2]
        } else {
            [0, 0xff, 0, 0]
        };
        for value in class {
            let mut table = [0u8; 32];
            if let Some(first) = table.first_mut() {
                *first = value;
            }
            body.extend(table);
        }
        self.send(kind::INTERFACE_INFO, 0, body)?;
        let body = self.endpoint_info(dfu, speed);
        self.send(kind::EP_INFO, 0, body)?;
        let number = match speed {
            Speed::High => 2,
            Speed::Super => 3,
        };
        let mut body = vec![number, 0, 0, 0];
        body.extend(listed.presence.vendor.to_le_bytes());
        body.extend(listed.presence.product.to_le_bytes());
        if self.both(capability::CONNECT_DEVICE_VERSION) {
            body.extend(0x0100u16.to_le_bytes());
        }
        self.send(kind::DEVICE_CONNECT, 0, body)?;
        self.told = Some(listed);
        Ok(())
    }

    /// Type, interval, interface and largest packet of each of 32 endpoints: 16 OUT, 16 IN.
    fn endpoint_info(&self, dfu: bool, speed: Speed) -> Vec<u8> {
        const NONE: u8 = 255;
        let (mut kinds, mut intervals, mut packets) = ([NONE; 32], [0u8; 32], [0u16; 32]);
        let mut set = |address: u8, kind: u8, interval: u8, packet: u16| {
            let index = usize::from(address & 0x0f) + if address & 0x80 == 0 { 0 } else { 16 };
            if let (Some(k), Some(i), Some(p)) = (
                kinds.get_mut(index),
                intervals.get_mut(index),
                packets.get_mut(index),
            ) {
                (*k, *i, *p) = (kind, interval, packet);
            }
        };
        let control = if speed == Speed::Super { 512 } else { 64 };
        set(0x00, 0, 0, control);
        set(0x80, 0, 0, control);
        if !dfu {
            let bulk = u16::try_from(speed.packet_bytes()).unwrap_or(512);
            for (address, kind, interval) in descriptor::endpoints() {
                let packet = if kind == 2 {
                    bulk
                } else {
                    descriptor::INTERRUPT_PACKET
                };
                set(address, kind, interval, packet);
            }
        }
        let mut body = kinds.to_vec();
        body.extend(intervals);
        body.extend([0u8; 32]);
        if self.both(capability::EP_INFO_MAX_PACKET_SIZE) {
            body.extend(packets.iter().flat_map(|packet| packet.to_le_bytes()));
        }
        body
    }

    fn completions(&mut self) -> io::Result<()> {
        loop {
            let now = self.host.now();
            let Some(done) = self.open.as_mut().and_then(|open| open.completion(now)) else {
                return Ok(());
            };
            if done.endpoint == INTERRUPT_IN {
                self.interrupt(&done)?;
                continue;
            }
            let Some(asked) = self.asked.remove(&done.id) else {
                continue;
            };
            let count = u32::try_from(done.transferred).unwrap_or(u32::MAX);
            let mut body = bulk_header(done.endpoint, status_of(done.status), count, asked.stream);
            if done.endpoint & 0x80 != 0 {
                body.extend(&done.buffer);
            }
            self.send(kind::BULK, asked.id, body)?;
        }
    }

    fn interrupt(&mut self, done: &Completion) -> io::Result<()> {
        if done.status == Err(TransferError::Cancelled) {
            return Ok(());
        }
        let length = u16::try_from(done.buffer.len()).unwrap_or(u16::MAX);
        let mut body = vec![done.endpoint, status_of(done.status)];
        body.extend(length.to_le_bytes());
        body.extend(&done.buffer);
        let id = self.interrupt_id;
        self.interrupt_id += 1;
        self.send(kind::INTERRUPT, id, body)?;
        if done.status.is_ok() {
            self.listen_for_interrupts();
        }
        Ok(())
    }

    fn bulk(&mut self, packet: &Packet) -> io::Result<()> {
        let ([endpoint, _, l0, l1, s0, s1, s2, s3, h0, h1], data) = packet.head().map_err(error)?;
        let length = u32::from_le_bytes([l0, l1, h0, h1]);
        let stream = u32::from_le_bytes([s0, s1, s2, s3]);
        let buffer = if endpoint & 0x80 == 0 {
            data.to_vec()
        } else if length <= 4 << 20 {
            vec![0; length as usize]
        } else {
            let length = length as usize;
            let kind = kind::BULK;
            return Err(error(ProtocolError::Short { kind, length }));
        };
        let Some(open) = &mut self.open else {
            let body = bulk_header(endpoint, status::IO_ERROR, 0, stream);
            return self.send(kind::BULK, packet.id, body);
        };
        let number = open.submit(endpoint, buffer);
        let id = packet.id;
        self.asked.insert(number, Asked { id, stream });
        self.pump()
    }

    fn control(&mut self, packet: &Packet) -> io::Result<()> {
        let ([endpoint, request, request_type, _, v0, v1, i0, i1, l0, l1], data) =
            packet.head().map_err(error)?;
        let setup = Setup {
            request_type,
            request,
            value: u16::from_le_bytes([v0, v1]),
            index: u16::from_le_bytes([i0, i1]),
            length: u16::from_le_bytes([l0, l1]),
        };
        let input = request_type & 0x80 != 0;
        let result = match &mut self.open {
            None => Err(TransferError::Disconnected),
            Some(open) if request_type & 0x60 == 0 => standard(open, &self.host, &self.port, setup),
            Some(open) => open.control(setup, data, CONTROL_TIMEOUT),
        };
        let mut reply = result.as_ref().cloned().unwrap_or_default();
        reply.truncate(usize::from(setup.length));
        let count = match (&result, input) {
            (Ok(_), true) => u16::try_from(reply.len()).unwrap_or(u16::MAX),
            (Ok(_), false) => setup.length,
            (Err(_), _) => 0,
        };
        let mut body = vec![
            endpoint,
            request,
            request_type,
            status_of(result.map(|_| ())),
        ];
        body.extend(setup.value.to_le_bytes());
        body.extend(setup.index.to_le_bytes());
        body.extend(count.to_le_bytes());
        if input {
            body.extend(reply);
        }
        self.send(kind::CONTROL, packet.id, body)?;
        self.pump()
    }
}

fn bulk_header(endpoint: u8, status: u8, count: u32, stream: u32) -> Vec<u8> {
    let [l0, l1, h0, h1] = count.to_le_bytes();
    let mut body = vec![endpoint, status, l0, l1];
    body.extend(stream.to_le_bytes());
    body.extend([h0, h1]);
    body
}

/// Standard requests, which the device itself has no part in.
fn standard(
    open: &mut OpenDevice,
    host: &SimulatedHost,
    port: &str,
    setup: Setup,
) -> Result<Vec<u8>, TransferError> {
    const GET_STATUS: u8 = 0;
    const CLEAR_FEATURE: u8 = 1;
    const GET_DESCRIPTOR: u8 = 6;
    match (setup.request_type, setup.request) {
        (0x80, GET_DESCRIPTOR) => {
            let found = host.with(port, |device, _| match setup.value >> 8 {
                1 => Some(device.device_descriptor()),
                2 if setup.value & 0xff == 0 => Some(device.configuration_descriptor()),
                15 => descriptor::capabilities(device.config().speed),
                _ => None,
            });
            found.flatten().ok_or(TransferError::Stall)
        }
        (0x80..=0x82, GET_STATUS) => Ok(vec![0, 0]),
        (0x02, CLEAR_FEATURE) => {
            let [endpoint, _] = setup.index.to_le_bytes();
            open.clear_halt(endpoint).map(|()| Vec::new())
        }
        // Link states and delays of SuperSpeed, and features without a meaning here.
        (0x00..=0x02, _) => Ok(Vec::new()),
        _ => Err(TransferError::Stall),
    }
}
