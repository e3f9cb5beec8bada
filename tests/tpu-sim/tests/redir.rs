//! The usbredir server, asked by a scripted peer that plays QEMU's part.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use andon_tpu_sim::clock::RealClock;
use andon_tpu_sim::device::{Config, SimulatedEdgeTpu};
use andon_tpu_sim::fault::{Fault, Trigger};
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::latency::{Latency, Speed};
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::usbredir::{Decoder, Packet, serve_stream};

const HELLO: u32 = 0;
const CONNECT: u32 = 1;
const DISCONNECT: u32 = 2;
const RESET: u32 = 3;
const ACK: u32 = 24;
const CONTROL: u32 = 100;
const BULK: u32 = 101;
const INTERRUPT: u32 = 103;

/// The other side.
struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    wide: bool,
    next_id: u64,
}

impl Peer {
    fn send(&mut self, kind: u32, body: Vec<u8>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_as(id, kind, body);
        id
    }

    fn send_as(&mut self, id: u64, kind: u32, body: Vec<u8>) {
        let wide = self.wide && kind != HELLO;
        let bytes = Packet { kind, id, body }.encode(wide);
        self.stream.write_all(&bytes).expect("sent");
    }

    fn receive(&mut self) -> Packet {
        loop {
            let wide = self.wide;
            if let Some(packet) = self.decoder.next(wide).expect("sound") {
                return packet;
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).expect("bytes in time");
            assert!(count > 0, "the server is there");
            self.decoder.push(&buffer[..count]);
        }
    }

    /// Packets up to the first of a kind.
    fn until(&mut self, kind: u32) -> Packet {
        loop {
            let packet = self.receive();
            if packet.kind == kind {
                return packet;
            }
        }
    }

    /// A control transfer: status and data.
    fn control(
        &mut self,
        kind: u8,
        request: u8,
        value: u16,
        index: u16,
        data: &[u8],
        length: u16,
    ) -> (u8, Vec<u8>) {
        let mut body = vec![kind & 0x80, request, kind, 0];
        for number in [value, index, length] {
            body.extend(number.to_le_bytes());
        }
        body.extend(data);
        let id = self.send(CONTROL, body);
        let reply = self.until(CONTROL);
        assert_eq!(reply.id, id);
        (reply.body[3], reply.body[10..].to_vec())
    }

    fn bulk(&mut self, endpoint: u8, data: &[u8], length: u32) -> u64 {
        let [l0, l1, h0, h1] = length.to_le_bytes();
        let mut body = vec![endpoint, 0, l0, l1, 0, 0, 0, 0, h0, h1];
        body.extend(data);
        self.send(BULK, body)
    }
}

fn start(config: Config) -> (SimulatedHost, Peer, thread::JoinHandle<()>) {
    let host = SimulatedHost::new(RealClock::new());
    host.add("1-1", SimulatedEdgeTpu::new(config, Registry::default()));
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let served = host.clone();
    let server = thread::spawn(move || {
        serve_stream(theirs, &served, "1-1").expect("served to the end");
    });
    let mut peer = Peer {
        stream: ours,
        decoder: Decoder::default(),
        wide: false,
        next_id: 1,
    };
    let hello = peer.receive();
    assert_eq!((hello.kind, hello.body.len()), (HELLO, 68));
    let mut body = vec![0; 64];
    // Device version, disconnect acknowledgement, packet sizes, wide identifiers, long bulk.
    body.extend((1u32 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6).to_le_bytes());
    peer.send(HELLO, body);
    peer.wide = true;
    (host, peer, server)
}

fn config(dfu: bool) -> Config {
    Config {
        starts_in_dfu: dfu,
        latency: Latency {
            enumeration: Duration::from_millis(20),
            ..Latency::default()
        },
        ..Config::default()
    }
}

#[test]
fn firmware_through_usbredir_brings_the_application() {
    let (host, mut peer, server) = start(config(true));
    let connect = peer.until(CONNECT);
    assert_eq!(
        connect.body,
        [3, 0, 0, 0, 0x6e, 0x1a, 0x9a, 0x08, 0x00, 0x01]
    );
    let (status, device) = peer.control(0x80, 6, 0x0100, 0, &[], 18);
    assert_eq!(
        (status, device.len(), device[8..10].to_vec()),
        (0, 18, vec![0x6e, 0x1a])
    );
    let (_, configuration) = peer.control(0x80, 6, 0x0200, 0, &[], 9);
    assert_eq!(configuration.len(), 9, "cut to what was asked for");
    assert_eq!(
        peer.control(0x80, 6, 0x0301, 0, &[], 255).0,
        4,
        "no strings"
    );
    for (block, data) in [b"firm".as_slice(), b"ware", b""].into_iter().enumerate() {
        let block = u16::try_from(block).expect("small");
        let length = u16::try_from(data.len()).expect("small");
        assert_eq!(peer.control(0x21, 1, block, 0, data, length).0, 0);
        assert_eq!(peer.control(0xa1, 3, 0, 0, &[], 6).0, 0);
    }
    assert_eq!(peer.control(0xa1, 2, 0, 0, &[], 256).1, b"firmware");
    peer.send(RESET, Vec::new());
    peer.until(DISCONNECT);
    peer.send(ACK, Vec::new());
    let connect = peer.until(CONNECT);
    assert_eq!(connect.body[4..8], [0xd1, 0x18, 0x02, 0x93]);
    // A register, read and written.
    let (status, value) = peer.control(0xc0, 1, 0xa30c, 1, &[], 4);
    assert_eq!((status, value), (0, vec![0x41, 0x09, 0, 0]));
    assert_eq!(peer.control(0x40, 1, 0xa30c, 1, &[0x41, 0, 0, 0], 4).0, 0);
    assert_eq!(peer.control(0xc0, 1, 0xa30c, 1, &[], 4).1, [0x41, 0, 0, 0]);
    drop(peer);
    server.join().expect("the server ends with its peer");
    host.assert_clean();
}

#[test]
fn bulk_transfers_are_cancelled_stalled_and_cleared() {
    let (host, mut peer, server) = start(Config {
        speed: Speed::High,
        ..config(false)
    });
    let connect = peer.until(CONNECT);
    assert_eq!(connect.body[0], 2, "high speed");
    // A read that nothing comes for is withdrawn.
    let id = peer.bulk(0x82, &[], 512);
    peer.send_as(id, 21, Vec::new());
    let reply = peer.until(BULK);
    assert_eq!((reply.id, reply.body[0], reply.body[1]), (id, 0x82, 1));
    // A scripted stall of the next transfer.
    let _ = host.with("1-1", |device, _| {
        let next = device.transfers();
        device
            .script_mut()
            .push(Trigger::Transfer(next), Fault::Stall);
    });
    let id = peer.bulk(0x82, &[], 512);
    let reply = peer.until(BULK);
    assert_eq!((reply.id, reply.body[1]), (id, 4));
    let id = peer.bulk(0x82, &[], 512);
    let reply = peer.until(BULK);
    assert_eq!((reply.id, reply.body[1]), (id, 4), "still halted");
    assert_eq!(peer.control(0x02, 1, 0, 0x82, &[], 0).0, 0);
    // An interrupt, of those that QEMU asks for once and for all.
    peer.send(15, vec![0x83]);
    let started = peer.until(17);
    assert_eq!(started.body, [0, 0x83]);
    let _ = host.with("1-1", |device, now| {
        device
            .script_mut()
            .push(Trigger::Time(now), Fault::Interrupt(0x10));
    });
    let interrupt = peer.until(INTERRUPT);
    assert_eq!(interrupt.body, [0x83, 0, 4, 0, 0x10, 0, 0, 0]);
    // The plug is pulled.
    let _ = host.with("1-1", |device, now| device.unplug(now, None));
    peer.until(DISCONNECT);
    drop(peer);
    server.join().expect("the server ends with its peer");
    host.assert_clean();
}
