//! Instructions as the chip receives them: the package's, with addresses filled in by the driver.
//!
//! The simulator does not patch; it takes received bytes apart. With every field set to zero they
//! must equal the package's, and the fields must spell addresses that make sense.

use crate::package::{Executable, Half, Target};

/// Addresses on a device without an MMU of ours are at least this aligned (the chip's
/// `minimum_alignment_bytes`).
const ALIGNMENT: u64 = 8;

/// Reads 32 bits at any bit offset, least significant first.
#[must_use]
pub fn field_value(bytes: &[u8], bit: usize) -> u32 {
    let mut value = 0u64;
    let first = bit / 8;
    for i in 0..5 {
        let byte = bytes.get(first + i).copied().unwrap_or(0);
        value |= u64::from(byte) << (8 * i);
    }
    u32::try_from((value >> (bit % 8)) & 0xffff_ffff).unwrap_or(0)
}

/// Writes 32 bits at any bit offset, and leaves the bits around them.
pub fn set_field(bytes: &mut [u8], bit: usize, value: u32) {
    let shift = bit % 8;
    let mask = 0xffff_ffffu64 << shift;
    let shifted = u64::from(value) << shift;
    for i in 0..5 {
        let keep = (mask >> (8 * i)).to_le_bytes()[0];
        let put = (shifted >> (8 * i)).to_le_bytes()[0];
        if let Some(byte) = bytes.get_mut(bit / 8 + i) {
            *byte = (*byte & !keep) | (put & keep);
        }
    }
}

/// The chunks of an executable with all fields zero, ready to be compared.
#[derive(Clone, Debug)]
pub struct Template {
    chunks: Vec<Chunk>,
    /// Every buffer that has a field, and its size.
    targets: Vec<(Target, usize)>,
}

#[derive(Clone, Debug)]
struct Chunk {
    masked: Vec<u8>,
    fields: Vec<(usize, Half, usize)>,
}

/// Halves of the addresses seen so far in one run.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Vec<[Option<u32>; 2]>);

impl Addresses {
    /// Forgets what was seen.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Template {
    /// Prepares an executable's chunks.
    #[must_use]
    pub fn new(executable: &Executable) -> Self {
        let mut targets: Vec<(Target, usize)> = Vec::new();
        let chunks = executable
            .bitstreams
            .iter()
            .map(|stream| {
                let mut masked = stream.bytes.clone();
                let fields = stream
                    .fields
                    .iter()
                    .map(|field| {
                        set_field(&mut masked, field.bit, 0);
                        let known = targets.iter().position(|(t, _)| *t == field.target);
                        let index = known.unwrap_or_else(|| {
                            let size = executable.buffer_bytes(&field.target).unwrap_or(0);
                            targets.push((field.target.clone(), size));
                            targets.len() - 1
                        });
                        (index, field.half, field.bit)
                    })
                    .collect();
                Chunk { masked, fields }
            })
            .collect();
        Self { chunks, targets }
    }

    /// Bytes of the chunks with every field zero.
    pub fn masked(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| chunk.masked.as_slice())
    }

    /// Compares a received chunk. Says at which byte it differs; a length difference counts as the
    /// first byte that only one has.
    ///
    /// # Errors
    ///
    /// The first byte that differs.
    pub fn compare(
        &self,
        index: usize,
        received: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), usize> {
        let Some(chunk) = self.chunks.get(index) else {
            return Err(0);
        };
        if received.len() != chunk.masked.len() {
            return Err(received.len().min(chunk.masked.len()));
        }
        scratch.clear();
        scratch.extend_from_slice(received);
        for (_, _, bit) in &chunk.fields {
            set_field(scratch, *bit, 0);
        }
        if *scratch == chunk.masked {
            return Ok(());
        }
        Err(scratch
            .iter()
            .zip(&chunk.masked)
            .position(|(a, b)| a != b)
            .unwrap_or(0))
    }

    /// Takes the addresses out of a received chunk. Says what is wrong with them.
    pub fn collect(
        &self,
        index: usize,
        received: &[u8],
        seen: &mut Addresses,
        mut wrong: impl FnMut(String),
    ) {
        seen.0.resize(self.targets.len(), [None; 2]);
        let Some(chunk) = self.chunks.get(index) else {
            return;
        };
        for (target, half, bit) in &chunk.fields {
            let value = field_value(received, *bit);
            let slot = match half {
                Half::Low => 0,
                Half::High => 1,
            };
            let Some(entry) = seen.0.get_mut(*target).and_then(|pair| pair.get_mut(slot)) else {
                continue;
            };
            match entry {
                None => *entry = Some(value),
                Some(first) if *first != value => {
                    let name = self.targets.get(*target).map(|(t, _)| t);
                    wrong(format!(
                        "{half:?} half of {name:?} is {value:#x} at bit {bit} of chunk {index} and {first:#x} elsewhere"
                    ));
                }
                Some(_) => {}
            }
        }
    }

    /// Judges the addresses of a run whose chunks have all been collected.
    pub fn judge(&self, seen: &Addresses, mut wrong: impl FnMut(String)) {
        let address = |index: usize| -> Option<u64> {
            let [low, high] = seen.0.get(index)?;
            Some(u64::from((*low)?) | (u64::from((*high)?) << 32))
        };
        for (index, (target, size)) in self.targets.iter().enumerate() {
            let pair = seen.0.get(index).copied().unwrap_or_default();
            let Some(start) = address(index) else {
                if pair != [None; 2] {
                    wrong(format!("{target:?} has only half of an address"));
                }
                continue;
            };
            if *size == 0 {
                continue;
            }
            if start == 0 {
                wrong(format!("{target:?} is at address 0"));
            }
            if start % ALIGNMENT != 0 {
                wrong(format!(
                    "{target:?} is at {start:#x}, not a multiple of {ALIGNMENT}"
                ));
            }
            let Some(end) = start.checked_add(*size as u64) else {
                wrong(format!("{target:?} at {start:#x} wraps around"));
                continue;
            };
            for (other, (other_target, other_size)) in
                self.targets.iter().enumerate().skip(index + 1)
            {
                if let Some(other_start) = address(other)
                    && *other_size > 0
                    && start < other_start.saturating_add(*other_size as u64)
                    && other_start < end
                {
                    wrong(format!(
                        "{target:?} at {start:#x} (+{size}) overlaps {other_target:?} at {other_start:#x} (+{other_size})"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip_at_every_bit_and_leave_their_neighbours() {
        for bit in 0..64 {
            for background in [0u8, 0xff, 0x5a] {
                let mut bytes = vec![background; 16];
                set_field(&mut bytes, bit, 0xdead_beef);
                assert_eq!(field_value(&bytes, bit), 0xdead_beef);
                for i in 0..128 {
                    if i < bit || i >= bit + 32 {
                        let was = background >> (i % 8) & 1;
                        assert_eq!(bytes[i / 8] >> (i % 8) & 1, was, "bit {i} around {bit}");
                    }
                }
            }
        }
    }
}
