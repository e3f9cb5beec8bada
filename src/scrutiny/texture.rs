//! Covered lens: how much of the picture shows any structure at all.
//!
//! A lens cap, a hand, a cloth, a white-out or a lens far out of focus leaves a picture without
//! edges, whatever its brightness. Noise and a smooth fall-off of light are not structure.

use super::map::{COLUMNS, LumaMap, ROWS};

/// Cells of the map that make one here, each way: structure has to survive the averaging over about
/// 10×10 pixels at 768×576, which noise does not.
const COARSE: usize = 2;
const WIDTH: usize = COLUMNS / COARSE;
const HEIGHT: usize = ROWS / COARSE;
/// Cells of a block, each way; 8×6 blocks.
const BLOCK: usize = 10;
/// Blocks of a picture.
pub(super) const BLOCKS: usize = (WIDTH / BLOCK) * (HEIGHT / BLOCK);

/// Measures texture; keeps its work space.
#[derive(Clone, Debug)]
pub(super) struct TextureMeter {
    /// Sums of `COARSE`² cells.
    coarse: Box<[f32]>,
    blocks: [f32; BLOCKS],
}

impl TextureMeter {
    pub(super) fn new() -> Self {
        Self {
            coarse: vec![0.0; WIDTH * HEIGHT].into(),
            blocks: [0.0; BLOCKS],
        }
    }

    /// Share of the blocks, 0..=1, whose texture is at least `texture_min` grey levels.
    pub(super) fn textured_share(&mut self, map: &LumaMap, texture_min: f32) -> f32 {
        self.shrink(map);
        for (number, texture) in self.blocks.iter_mut().enumerate() {
            let (left, top) = (
                number % (WIDTH / BLOCK) * BLOCK,
                number / (WIDTH / BLOCK) * BLOCK,
            );
            *texture = texture_of(&self.coarse, left, top);
        }
        let textured = self.blocks.iter().filter(|t| **t >= texture_min).count();
        #[allow(clippy::cast_precision_loss, reason = "at most 48")]
        let share = textured as f32 / BLOCKS as f32;
        share
    }

    fn shrink(&mut self, map: &LumaMap) {
        let rows = map.cells().chunks_exact(COLUMNS * COARSE);
        for (row, cells) in self.coarse.chunks_exact_mut(WIDTH).zip(rows) {
            let (upper, lower) = cells.split_at(COLUMNS);
            let pairs = upper.chunks_exact(COARSE).zip(lower.chunks_exact(COARSE));
            for (cell, (above, below)) in row.iter_mut().zip(pairs) {
                let sum: u16 = above.iter().chain(below).map(|c| u16::from(*c)).sum();
                *cell = f32::from(sum) / 4.0;
            }
        }
    }
}

/// Standard deviation of the differences between neighbouring cells, both ways together, in grey
/// levels: an even slope has none. The neighbours to the right and below may belong to the next
/// block, so that an edge between two blocks is not lost.
fn texture_of(coarse: &[f32], left: usize, top: usize) -> f32 {
    let (mut sums, mut squares) = ([0.0_f32; 2], 0.0_f32);
    for y in top..top + BLOCK {
        let below = (y + 1).min(HEIGHT - 1);
        for x in left..left + BLOCK {
            let right = (x + 1).min(WIDTH - 1);
            let cell = coarse[y * WIDTH + x];
            let differences = [coarse[y * WIDTH + right], coarse[below * WIDTH + x]];
            for (sum, other) in sums.iter_mut().zip(differences) {
                *sum += other - cell;
                squares += (other - cell) * (other - cell);
            }
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "100")]
    let count = (BLOCK * BLOCK) as f32;
    let [across, down] = sums.map(|sum| sum / count);
    (squares / count - across * across - down * down)
        .max(0.0)
        .sqrt()
}
