//! From the order that people use to the order that the chip uses: the inverse of what the driver
//! does to outputs, and the undoing of what it does to inputs.
//!
//! The driver gathers; this scatters. For every element of the plain tensor the layer's maps or
//! slices say where the chip keeps it, and runs of neighbours are moved at once.

use thiserror::Error;

use crate::package::{Layer, Slice, TileLayout};

/// What the simulator fills the holes of outputs with: bytes that no driver may hand on.
pub const OUTPUT_PADDING: u8 = 0xc3;

/// Why a layer's layout cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// A map is too short for the layer.
    #[error("layer \"{layer}\": {map} has no entry {index}")]
    Map {
        /// The layer.
        layer: String,
        /// Which map.
        map: &'static str,
        /// The entry.
        index: usize,
    },
    /// An element outside the layer's bytes.
    #[error("layer \"{layer}\": element {element} is at byte {byte} of {size}")]
    Outside {
        /// The layer.
        layer: String,
        /// The element, in plain order.
        element: usize,
        /// Where it would be.
        byte: usize,
        /// The layer's bytes.
        size: usize,
    },
    /// Two elements in one place, or an element in none.
    #[error("layer \"{layer}\": {what}")]
    NotOneToOne {
        /// The layer.
        layer: String,
        /// What is wrong.
        what: String,
    },
}

/// A run of bytes that are neighbours on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    plain: usize,
    chip: usize,
    bytes: usize,
}

/// Where an output's elements are.
#[derive(Clone, Debug)]
pub struct OutputMap {
    runs: Vec<Run>,
    plain_bytes: usize,
    chip_bytes: usize,
    element_bytes: usize,
    flipped: bool,
}

fn entry(
    layer: &Layer,
    name: &'static str,
    map: &[usize],
    index: usize,
) -> Result<usize, LayoutError> {
    map.get(index).copied().ok_or_else(|| LayoutError::Map {
        layer: layer.name.clone(),
        map: name,
        index,
    })
}

/// Element index of (y, x, 0) by the tile maps.
fn by_tiles(layer: &Layer, tiles: &TileLayout, y: usize, x: usize) -> Result<usize, LayoutError> {
    let tile =
        entry(layer, "y to tile", &tiles.y_tile, y)? + entry(layer, "x to tile", &tiles.x_tile, x)?;
    let start = entry(layer, "tile start", &tiles.tile_start, tile)?;
    let row = entry(layer, "y in tile", &tiles.y_local, y)?
        * entry(layer, "row size", &tiles.x_row_bytes, x)?;
    Ok(start + row + entry(layer, "x in tile", &tiles.x_local, x)?)
}

/// Steps through all positions of a box of inclusive ranges, the last dimension fastest.
fn next_position(position: &mut [usize], ranges: &[(usize, usize)]) -> bool {
    for (p, (start, end)) in position.iter_mut().zip(ranges).rev() {
        if *p < *end {
            *p += 1;
            return true;
        }
        *p = *start;
    }
    false
}

fn by_slices(
    layer: &Layer,
    shape: &[(usize, usize)],
    slices: &[Slice],
    bytes: usize,
) -> Result<Vec<usize>, LayoutError> {
    let mut chip = vec![usize::MAX; layer.elements()];
    for slice in slices {
        if slice.ranges.len() != shape.len() {
            return Err(LayoutError::NotOneToOne {
                layer: layer.name.clone(),
                what: "a slice has another number of dimensions".to_owned(),
            });
        }
        let mut position: Vec<usize> = slice.ranges.iter().map(|(start, _)| *start).collect();
        loop {
            let mut plain = 0;
            let mut local = 0;
            for (d, p) in position.iter().enumerate() {
                let (Some((start, end)), Some((slice_start, _)), Some(stride)) =
                    (shape.get(d), slice.ranges.get(d), slice.strides.get(d))
                else {
                    continue;
                };
                if p < start || p > end {
                    return Err(LayoutError::NotOneToOne {
                        layer: layer.name.clone(),
                        what: format!("a slice reaches outside dimension {d}"),
                    });
                }
                plain = plain * (end - start + 1) + (p - start);
                local += (p - slice_start) * stride;
            }
            if let Some(place) = chip.get_mut(plain) {
                if *place != usize::MAX {
                    return Err(LayoutError::NotOneToOne {
                        layer: layer.name.clone(),
                        what: format!("element {plain} is in two slices"),
                    });
                }
                *place = slice.offset + local * bytes;
            }
            if !next_position(&mut position, &slice.ranges) {
                break;
            }
        }
    }
    Ok(chip)
}

impl OutputMap {
    /// Works out where each element of a layer's output is.
    ///
    /// # Errors
    ///
    /// The layout leaves the layer's bytes, misses elements, or has two in one place.
    pub fn new(layer: &Layer) -> Result<Self, LayoutError> {
        let bytes = layer.data_type.bytes();
        let one = layer.elements() * bytes;
        let mut places = Vec::with_capacity(layer.elements());
        match (&layer.slices, &layer.tiles) {
            (Some(info), _) if layer.executions == 1 && !info.slices.is_empty() => {
                let shape = layer.shape.clone().unwrap_or_else(|| {
                    vec![
                        (0, 0),
                        (0, 0),
                        (0, layer.y.max(1) - 1),
                        (0, layer.x.max(1) - 1),
                        (0, layer.z.max(1) - 1),
                    ]
                });
                places = by_slices(layer, &shape, &info.slices, bytes)?;
            }
            (_, Some(tiles)) if layer.y > 1 || layer.x > 1 => {
                for y in 0..layer.y {
                    for x in 0..layer.x {
                        let first = by_tiles(layer, tiles, y, x)?;
                        places.extend((0..layer.z).map(|z| (first + z) * bytes));
                    }
                }
            }
            _ => places.extend((0..layer.elements()).map(|i| i * bytes)),
        }
        let mut runs: Vec<Run> = Vec::new();
        for execution in 0..layer.executions {
            for (element, place) in places.iter().enumerate() {
                let run = Run {
                    plain: execution * one + element * bytes,
                    chip: execution * layer.size_bytes + place,
                    bytes,
                };
                match runs.last_mut() {
                    Some(last)
                        if last.plain + last.bytes == run.plain
                            && last.chip + last.bytes == run.chip =>
                    {
                        last.bytes += bytes;
                    }
                    _ => runs.push(run),
                }
            }
        }
        let map = Self {
            runs,
            plain_bytes: layer.plain_bytes(),
            chip_bytes: layer.padded_bytes(),
            element_bytes: bytes,
            flipped: layer.data_type.flipped(),
        };
        map.check(layer)?;
        Ok(map)
    }

    fn check(&self, layer: &Layer) -> Result<(), LayoutError> {
        let mut used = vec![false; self.chip_bytes];
        for run in &self.runs {
            let Some(bytes) = run
                .chip
                .checked_add(run.bytes)
                .and_then(|end| used.get_mut(run.chip..end))
            else {
                return Err(LayoutError::Outside {
                    layer: layer.name.clone(),
                    element: run.plain / self.element_bytes.max(1),
                    byte: run.chip,
                    size: self.chip_bytes,
                });
            };
            for byte in bytes {
                if std::mem::replace(byte, true) {
                    return Err(LayoutError::NotOneToOne {
                        layer: layer.name.clone(),
                        what: format!("two elements around byte {} of the chip's order", run.chip),
                    });
                }
            }
        }
        let covered: usize = self.runs.iter().map(|run| run.bytes).sum();
        if covered != self.plain_bytes {
            return Err(LayoutError::NotOneToOne {
                layer: layer.name.clone(),
                what: format!("{covered} of {} bytes have a place", self.plain_bytes),
            });
        }
        Ok(())
    }

    /// Bytes in plain order.
    #[must_use]
    pub fn plain_bytes(&self) -> usize {
        self.plain_bytes
    }

    /// Puts a plain tensor into the chip's order, top bits flipped where the type wants it, and
    /// holes filled with [`OUTPUT_PADDING`]. `chip` is made the layer's size.
    pub fn scatter(&self, plain: &[u8], chip: &mut Vec<u8>) {
        chip.clear();
        chip.resize(self.chip_bytes, OUTPUT_PADDING);
        for run in &self.runs {
            let source = plain.get(run.plain..run.plain + run.bytes);
            let target = chip.get_mut(run.chip..run.chip + run.bytes);
            if let (Some(source), Some(target)) = (source, target) {
                target.copy_from_slice(source);
                if self.flipped {
                    flip(target, self.element_bytes);
                }
            }
        }
    }
}

/// Flips the top bit of each element.
pub fn flip(bytes: &mut [u8], element_bytes: usize) {
    for top in bytes
        .iter_mut()
        .skip(element_bytes - 1)
        .step_by(element_bytes)
    {
        *top ^= 0x80;
    }
}

/// Takes an input apart as it arrived: the padding off, the sign flip back. Says where padding is
/// not zero.
pub fn plain_input(layer: &Layer, chip: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    plain.clear();
    let one = layer.elements() * layer.data_type.bytes();
    let mut dirty = None;
    for execution in 0..layer.executions {
        let start = execution * layer.size_bytes;
        let part = chip
            .get(start..start + layer.size_bytes)
            .unwrap_or_default();
        let (data, padding) = part.split_at(one.min(part.len()));
        plain.extend_from_slice(data);
        if let Some(at) = padding.iter().position(|byte| *byte != 0) {
            dirty = dirty.or(Some(start + one + at));
        }
    }
    if layer.data_type.flipped() {
        flip(plain, layer.data_type.bytes());
    }
    dirty
}
