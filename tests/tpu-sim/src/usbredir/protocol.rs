//! Packets on the wire.

use thiserror::Error;

/// A peer that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A packet longer than any that is sensible.
    #[error("usbredir packet of type {kind} and {length} bytes")]
    Length {
        /// Its type.
        kind: u32,
        /// Its length.
        length: u32,
    },
    /// A packet shorter than its type's header.
    #[error("usbredir packet of type {kind} is cut off after {length} bytes")]
    Short {
        /// Its type.
        kind: u32,
        /// Its length.
        length: usize,
    },
}

/// Packet types.
pub(crate) mod kind {
    pub(crate) const HELLO: u32 = 0;
    pub(crate) const DEVICE_CONNECT: u32 = 1;
    pub(crate) const DEVICE_DISCONNECT: u32 = 2;
    pub(crate) const RESET: u32 = 3;
    pub(crate) const INTERFACE_INFO: u32 = 4;
    pub(crate) const EP_INFO: u32 = 5;
    pub(crate) const SET_CONFIGURATION: u32 = 6;
    pub(crate) const GET_CONFIGURATION: u32 = 7;
    pub(crate) const CONFIGURATION_STATUS: u32 = 8;
    pub(crate) const SET_ALT_SETTING: u32 = 9;
    pub(crate) const GET_ALT_SETTING: u32 = 10;
    pub(crate) const ALT_SETTING_STATUS: u32 = 11;
    pub(crate) const START_INTERRUPT: u32 = 15;
    pub(crate) const STOP_INTERRUPT: u32 = 16;
    pub(crate) const INTERRUPT_STATUS: u32 = 17;
    pub(crate) const CANCEL: u32 = 21;
    pub(crate) const DISCONNECT_ACK: u32 = 24;
    pub(crate) const CONTROL: u32 = 100;
    pub(crate) const BULK: u32 = 101;
    pub(crate) const INTERRUPT: u32 = 103;
}

/// Capabilities, by bit.
pub(crate) mod capability {
    pub(crate) const CONNECT_DEVICE_VERSION: u32 = 1 << 1;
    pub(crate) const DISCONNECT_ACK: u32 = 1 << 3;
    pub(crate) const EP_INFO_MAX_PACKET_SIZE: u32 = 1 << 4;
    pub(crate) const IDS_64_BIT: u32 = 1 << 5;
    pub(crate) const BULK_LENGTH_32_BIT: u32 = 1 << 6;
    /// Those of this server.
    pub(crate) const OURS: u32 = CONNECT_DEVICE_VERSION
        | DISCONNECT_ACK
        | EP_INFO_MAX_PACKET_SIZE
        | IDS_64_BIT
        | BULK_LENGTH_32_BIT;
}

/// Transfer statuses.
pub(crate) mod status {
    pub(crate) const SUCCESS: u8 = 0;
    pub(crate) const CANCELLED: u8 = 1;
    pub(crate) const IO_ERROR: u8 = 3;
    pub(crate) const STALL: u8 = 4;
    pub(crate) const TIMEOUT: u8 = 5;
}

/// Largest packet that is taken: a 1 MiB bulk transfer and its headers fit amply.
const MAX_LENGTH: u32 = 8 << 20;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its type.
    pub kind: u32,
    /// What answers it by.
    pub id: u64,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Packet {
    /// The first bytes of the body as an array, and the rest.
    pub(crate) fn head<const N: usize>(&self) -> Result<([u8; N], &[u8]), ProtocolError> {
        match self.body.split_first_chunk::<N>() {
            Some((head, rest)) => Ok((*head, rest)),
            None => Err(ProtocolError::Short {
                kind: self.kind,
                length: self.body.len(),
            }),
        }
    }

    /// Bytes on the wire. Identifiers are 64 bits wide once both sides have said that they can.
    #[must_use]
    pub fn encode(&self, wide_ids: bool) -> Vec<u8> {
        let mut out = self.kind.to_le_bytes().to_vec();
        let length = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        out.extend(length.to_le_bytes());
        if wide_ids {
            out.extend(self.id.to_le_bytes());
        } else {
            let [a, b, c, d, ..] = self.id.to_le_bytes();
            out.extend([a, b, c, d]);
        }
        out.extend(&self.body);
        out
    }
}

/// Cuts a stream of bytes into packets.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first byte not yet taken is.
    start: usize,
}

impl Decoder {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes a packet out, if a whole one is there.
    ///
    /// # Errors
    ///
    /// It is longer than any that is sensible.
    pub fn next(&mut self, wide_ids: bool) -> Result<Option<Packet>, ProtocolError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let header = if wide_ids { 16 } else { 12 };
        let Some(([k0, k1, k2, k3, l0, l1, l2, l3], _)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let kind = u32::from_le_bytes([*k0, *k1, *k2, *k3]);
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
        if length > MAX_LENGTH {
            return Err(ProtocolError::Length { kind, length });
        }
        let end = header + length as usize;
        let (Some(id), Some(body)) = (rest.get(8..header), rest.get(header..end)) else {
            return Ok(None);
        };
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().zip(id) {
            *to = *from;
        }
        let packet = Packet {
            kind,
            id: u64::from_le_bytes(wide),
            body: body.to_vec(),
        };
        self.start += end;
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_of_any_fragments() {
        for wide in [false, true] {
            let packets = [
                Packet {
                    kind: 100,
                    id: 7,
                    body: vec![1, 2, 3],
                },
                Packet {
                    kind: 3,
                    id: 8,
                    body: Vec::new(),
                },
                Packet {
                    kind: 101,
                    id: 0xffff_fff0,
                    body: vec![9; 300],
                },
            ];
            let bytes: Vec<u8> = packets.iter().flat_map(|p| p.encode(wide)).collect();
            for step in 1..40 {
                let mut decoder = Decoder::default();
                let mut got = Vec::new();
                for part in bytes.chunks(step) {
                    decoder.push(part);
                    while let Some(packet) = decoder.next(wide).expect("sound") {
                        got.push(packet);
                    }
                }
                assert_eq!(got, packets);
            }
        }
    }

    #[test]
    fn an_absurd_length_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[101, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(
            decoder.next(false),
            Err(ProtocolError::Length {
                kind: 101,
                length: u32::MAX
            })
        );
    }
}
