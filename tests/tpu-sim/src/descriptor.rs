//! USB descriptors of the device in both of its states.

use crate::dfu::TRANSFER_BYTES;
use crate::latency::Speed;

/// Endpoints of the application: address, transfer type, interval.
const ENDPOINTS: [(u8, u8, u8); 4] = [(0x01, 2, 0), (0x81, 2, 0), (0x82, 2, 0), (0x83, 3, 4)];

/// Largest packet of the interrupt endpoint.
pub(crate) const INTERRUPT_PACKET: u16 = 64;

fn with_length(mut descriptor: Vec<u8>) -> Vec<u8> {
    let total = u16::try_from(descriptor.len())
        .unwrap_or(u16::MAX)
        .to_le_bytes();
    for (at, byte) in [(2, total[0]), (3, total[1])] {
        if let Some(place) = descriptor.get_mut(at) {
            *place = byte;
        }
    }
    descriptor
}

/// The device descriptor.
pub(crate) fn device(dfu: bool, speed: Speed) -> Vec<u8> {
    let (vendor, product): (u16, u16) = if dfu {
        (0x1a6e, 0x089a)
    } else {
        (0x18d1, 0x9302)
    };
    let (release, packet0): (u16, u8) = match speed {
        Speed::High => (0x0200, 64),
        Speed::Super => (0x0300, 9),
    };
    let mut bytes = vec![18, 1];
    bytes.extend(release.to_le_bytes());
    bytes.extend([0, 0, 0, packet0]);
    bytes.extend(vendor.to_le_bytes());
    bytes.extend(product.to_le_bytes());
    bytes.extend(0x0100u16.to_le_bytes());
    bytes.extend([0, 0, 0, 1]);
    bytes
}

/// The configuration descriptor with all that belongs to it.
pub(crate) fn configuration(dfu: bool, speed: Speed) -> Vec<u8> {
    // bmAttributes: bus powered; bMaxPower: 500 mA, in units of 2 mA or 8 mA.
    let power = match speed {
        Speed::High => 250,
        Speed::Super => 62,
    };
    let mut bytes = vec![9, 2, 0, 0, 1, 1, 0, 0x80, power];
    if dfu {
        bytes.extend([9, 4, 0, 0, 0, 0xfe, 1, 2, 0]);
        // Attributes: download, upload, manifestation tolerant; detach timeout 1000 ms.
        bytes.extend([9, 0x21, 0x07]);
        bytes.extend(1000u16.to_le_bytes());
        bytes.extend(TRANSFER_BYTES.to_le_bytes());
        bytes.extend(0x0110u16.to_le_bytes());
        return with_length(bytes);
    }
    bytes.extend([9, 4, 0, 0, 4, 0xff, 0, 0, 0]);
    for (address, kind, interval) in ENDPOINTS {
        let packet = match kind {
            2 => u16::try_from(speed.packet_bytes()).unwrap_or(512),
            _ => INTERRUPT_PACKET,
        };
        bytes.extend([7, 5, address, kind]);
        bytes.extend(packet.to_le_bytes());
        bytes.push(interval);
        if speed == Speed::Super {
            // SuperSpeed companion: no burst beyond one packet.
            let per_interval = if kind == 3 { INTERRUPT_PACKET } else { 0 };
            bytes.extend([6, 0x30, 0, 0]);
            bytes.extend(per_interval.to_le_bytes());
        }
    }
    with_length(bytes)
}

/// The binary object store: what a SuperSpeed device says of its links. `None` for USB 2.
pub(crate) fn capabilities(speed: Speed) -> Option<Vec<u8>> {
    if speed != Speed::Super {
        return None;
    }
    let mut bytes = vec![5, 15, 0, 0, 2];
    // USB 2 extension: no link power management.
    bytes.extend([7, 16, 2, 0, 0, 0, 0]);
    // SuperSpeed: full, high and super speed; all of it works from high speed on; exit latencies.
    bytes.extend([10, 16, 3, 0, 0x0e, 0, 1, 10, 0xff, 0x07]);
    Some(with_length(bytes))
}

/// Endpoints for other front ends: address, type, interval.
pub(crate) fn endpoints() -> [(u8, u8, u8); 4] {
    ENDPOINTS
}
