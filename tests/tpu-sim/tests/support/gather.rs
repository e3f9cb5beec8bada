//! From the chip's order to plain order, element by element, by the words of the format's
//! description: the check of the crate's scatter, written the other way round.

use andon_tpu_sim::package::Layer;

/// The chip's index of an element.
fn index(layer: &Layer, y: usize, x: usize, z: usize) -> usize {
    if let Some(info) = &layer.slices {
        let position = [0, 0, y, x, z];
        for slice in &info.slices {
            let inside = slice
                .ranges
                .iter()
                .zip(position)
                .all(|((start, end), p)| (*start..=*end).contains(&p));
            if inside {
                let local: usize = slice
                    .ranges
                    .iter()
                    .zip(&slice.strides)
                    .zip(position)
                    .map(|(((start, _), stride), p)| (p - start) * stride)
                    .sum();
                return slice.offset / layer.data_type.bytes() + local;
            }
        }
        unreachable!("every element is in a slice");
    }
    if layer.y == 1 && layer.x == 1 {
        return z;
    }
    let tiles = layer.tiles.as_ref().expect("maps");
    let tile = tiles.y_tile[y] + tiles.x_tile[x];
    tiles.tile_start[tile] + tiles.y_local[y] * tiles.x_row_bytes[x] + tiles.x_local[x] + z
}

/// The plain tensor of what the chip sent.
pub(crate) fn gather(layer: &Layer, chip: &[u8]) -> Vec<u8> {
    let bytes = layer.data_type.bytes();
    let mut plain = Vec::new();
    for y in 0..layer.y {
        for x in 0..layer.x {
            for z in 0..layer.z {
                let at = index(layer, y, x, z) * bytes;
                let mut element = chip[at..at + bytes].to_vec();
                if layer.data_type.flipped() {
                    element[bytes - 1] ^= 0x80;
                }
                plain.extend(element);
            }
        }
    }
    plain
}
