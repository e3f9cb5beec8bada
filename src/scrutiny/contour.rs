//! Moved camera: are the contours of the reference where they belong?
//!
//! The reference is the still background on the coarse grid. Blocks of it with structure in both
//! directions (Shi and Tomasi's measure: an edge alone slides along itself unnoticed) are looked for
//! in each picture, a few cells around their place, by the normalised correlation of the gradient
//! vectors. Gradients do not care about the level of light and the normalisation does not care
//! about contrast, so that slow changes of light pass; people hide a few blocks and no more.
//!
//! What counts is the share of blocks found in place. A camera turned away far finds none, which
//! needs no search: "not found" and "found elsewhere" are the same verdict. CCTV literature calls
//! this the edge disappearance rate (Lee, Lee and Lim, Sensors 15, 2015); safety camera systems look
//! for reference marks in the same way.

use super::map::{CELLS, COLUMNS, LumaMap, ROWS};
use crate::geometry::Size;

/// Cells of a block, each way.
const BLOCK: usize = 16;
const BLOCKS_ACROSS: usize = 9;
const BLOCKS_DOWN: usize = 7;
/// Blocks of a picture.
pub(super) const BLOCKS: usize = BLOCKS_ACROSS * BLOCKS_DOWN;
/// Cells outside the blocks at the left and at the top; the right and the bottom have as many.
const MARGIN_X: usize = (COLUMNS - BLOCKS_ACROSS * BLOCK) / 2;
const MARGIN_Y: usize = (ROWS - BLOCKS_DOWN * BLOCK) / 2;

/// Farthest displacement that is tried, in cells, each way.
const REACH: usize = 3;
const SIDE: usize = 2 * REACH + 1;
const CENTRE: usize = REACH * SIDE + REACH;

/// Fewest blocks with contours that make a reference. Fewer could be hidden by one person.
pub(super) const CONTOURS_MIN: usize = 6;

/// Least contour of a block: root of the smaller eigenvalue of its mean structure tensor, in grey
/// levels over two cells. The noise of a bad camera reaches 2 at 768×576.
const CONTOUR_STRENGTH_MIN: f32 = 4.0;

/// Least correlation, of -1..=1, for a block to count as found.
const CORRELATION_MIN: f32 = 0.5;

/// A block whose gradients have less than this share of the reference's energy shows nothing any
/// more: a quarter of the contrast, squared.
const FLAT_ENERGY: f32 = 1.0 / 16.0;

/// Grey levels by which a cell of the reference follows the picture, per frame, in each quarter of
/// the time of learning: at first far enough to forget who stood in the first picture (180 levels in
/// 50 frames), at last so little that a passer-by leaves no trace.
const LEARN_STEPS: [u8; 4] = [8, 4, 2, 1];

/// What became of the reference's blocks in a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contours {
    /// Blocks that the reference has.
    pub(super) known: usize,
    /// Found where they belong.
    pub(super) in_place: usize,
    /// There is next to no contour in their place.
    pub(super) flat: usize,
    /// Found elsewhere, or something else is there.
    pub(super) displaced: usize,
}

impl Contours {
    /// Whether there are enough blocks for a verdict.
    pub(super) const fn is_reference(self) -> bool {
        self.known >= CONTOURS_MIN
    }

    /// Share of the blocks in place, 0..=1; 0 without a reference.
    pub(super) fn in_place_share(self) -> f32 {
        if !self.is_reference() {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "at most 63")]
        let share = self.in_place as f32 / self.known as f32;
        share
    }
}

/// Gradient vectors of a map, and the sums of their energy.
#[derive(Clone, Debug)]
struct Gradients {
    /// Across and down of each cell in turn, so that a row of a block is one run of numbers, whose
    /// products are added by one instruction of every SIMD unit.
    vectors: Box<[i16]>,
    /// Summed-area table of the energies, one more each way. `u32`: 19 200 cells of at most
    /// 2·255² stay below 2³².
    energy: Box<[u32]>,
}

/// Numbers in a row of vectors of the map.
const LINE: usize = 2 * COLUMNS;
/// Cells in a row of the table of energies.
const ENERGY_LINE: usize = COLUMNS + 1;

/// Position of a block's first cell.
#[derive(Clone, Copy, Debug)]
struct Corner {
    x: usize,
    y: usize,
}

impl Gradients {
    fn new() -> Self {
        Self {
            vectors: vec![0; 2 * CELLS].into(),
            energy: vec![0; ENERGY_LINE * (ROWS + 1)].into(),
        }
    }

    /// Central differences; the outermost cells have none.
    fn fill(&mut self, cells: &[u8]) {
        let rows = cells.chunks_exact(COLUMNS);
        let triples = rows.clone().zip(rows.clone().skip(1)).zip(rows.skip(2));
        let targets = self.vectors.chunks_exact_mut(LINE).skip(1);
        for (target, ((above, row), below)) in targets.zip(triples) {
            let across = row.iter().zip(&row[2..]);
            let down = above[1..].iter().zip(&below[1..]);
            let vectors = target[2..].chunks_exact_mut(2);
            for (vector, ((left, right), (above, below))) in vectors.zip(across.zip(down)) {
                vector[0] = i16::from(*right) - i16::from(*left);
                vector[1] = i16::from(*below) - i16::from(*above);
            }
        }
        for (y, vectors) in self.vectors.chunks_exact(LINE).enumerate() {
            let (before, after) = self.energy.split_at_mut((y + 1) * ENERGY_LINE);
            let above = &before[y * ENERGY_LINE + 1..];
            let mut line = 0_u32;
            for ((sum, above), vector) in after[1..].iter_mut().zip(above).zip(vectors.chunks(2)) {
                line += dot(vector, vector).unsigned_abs();
                *sum = above + line;
            }
        }
    }

    /// Energy of the block at `corner`.
    fn energy(&self, corner: Corner) -> u32 {
        let at = |x: usize, y: usize| self.energy[y * ENERGY_LINE + x];
        let Corner { x, y } = corner;
        at(x + BLOCK, y + BLOCK) + at(x, y) - at(x + BLOCK, y) - at(x, y + BLOCK)
    }

    /// The rows of vectors of the block at `corner`.
    fn rows(&self, corner: Corner) -> impl Iterator<Item = &[i16]> {
        let from = (corner.y * COLUMNS + corner.x) * 2;
        let rows = self.vectors[from..].chunks(LINE).take(BLOCK);
        rows.map(|row| &row[..2 * BLOCK])
    }
}

/// Sum of products. `i32`: a block has 512 of at most 255².
fn dot(one: &[i16], other: &[i16]) -> i32 {
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Sum of products of two blocks of gradient vectors.
fn product(one: &Gradients, one_at: Corner, other: &Gradients, other_at: Corner) -> i32 {
    let rows = one.rows(one_at).zip(other.rows(other_at));
    rows.map(|(one, other)| dot(one, other)).sum()
}

/// Root of the smaller eigenvalue of the block's mean structure tensor, grey levels over two cells.
fn strength(gradients: &Gradients, corner: Corner) -> f32 {
    let mut sums = [0_i32; 3];
    for row in gradients.rows(corner) {
        for vector in row.chunks_exact(2) {
            let [x, y] = [vector[0], vector[1]].map(i32::from);
            sums[0] += x * x;
            sums[1] += x * y;
            sums[2] += y * y;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a measure, not a count")]
    let [xx, xy, yy] = sums.map(|sum| sum as f32 / (BLOCK * BLOCK) as f32);
    let spread = (xx - yy).hypot(2.0 * xy);
    ((xx + yy - spread) / 2.0).max(0.0).sqrt()
}

fn corner_of(block: usize) -> Corner {
    Corner {
        x: MARGIN_X + block % BLOCKS_ACROSS * BLOCK,
        y: MARGIN_Y + block / BLOCKS_ACROSS * BLOCK,
    }
}

/// Largest displacement that counts as in place, in cells each way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    x: f32,
    y: f32,
}

impl Tolerance {
    /// From a share of the picture's width.
    #[allow(clippy::cast_precision_loss, reason = "sides below 2^24")]
    pub(super) fn new(share_of_width: f32, size: Size) -> Self {
        let aspect = size.width.max(1) as f32 / size.height.max(1) as f32;
        Self {
            x: share_of_width * COLUMNS as f32,
            y: share_of_width * ROWS as f32 * aspect,
        }
    }
}

/// The reference and the work space to hold pictures against it.
#[derive(Clone, Debug)]
pub(super) struct ContourCheck {
    /// The still background as luma; empty of meaning before the first picture.
    background: Box<[u8]>,
    reference: Gradients,
    /// Which blocks of the reference have contours.
    has_contour: [bool; BLOCKS],
    picture: Gradients,
}

impl ContourCheck {
    pub(super) fn new() -> Self {
        Self {
            background: vec![0; CELLS].into(),
            reference: Gradients::new(),
            has_contour: [false; BLOCKS],
            picture: Gradients::new(),
        }
    }

    /// Takes a background as it is: the first picture, or one kept in a file.
    pub(super) fn begin(&mut self, background: &[u8]) {
        for (own, cell) in self.background.iter_mut().zip(background) {
            *own = *cell;
        }
        self.refresh();
    }

    /// Moves the background towards the picture: a running median (McFarlane and Schofield, 1995),
    /// in which people who walk leave no trace. `progress` is the share of the time of learning that
    /// has passed, 0..=1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a quarter of 0..=4; casts of floats saturate"
    )]
    pub(super) fn learn(&mut self, map: &LumaMap, progress: f32) {
        let quarter = (progress * 4.0) as usize;
        let [.., last] = LEARN_STEPS;
        let step = LEARN_STEPS.get(quarter).copied().unwrap_or(last);
        for (own, cell) in self.background.iter_mut().zip(map.cells()) {
            *own = if *own < *cell {
                own.saturating_add(step).min(*cell)
            } else {
                own.saturating_sub(step).max(*cell)
            };
        }
        self.refresh();
    }

    /// Blocks of the reference with contours.
    pub(super) fn known(&self) -> usize {
        self.has_contour.iter().filter(|has| **has).count()
    }

    /// The background as luma, row by row.
    pub(super) fn background(&self) -> &[u8] {
        &self.background
    }

    /// Holds a picture against the reference.
    pub(super) fn compare(&mut self, map: &LumaMap, tolerance: Tolerance) -> Contours {
        let mut contours = Contours {
            known: self.known(),
            ..Contours::default()
        };
        if !contours.is_reference() {
            return contours;
        }
        self.picture.fill(map.cells());
        for (block, has_contour) in self.has_contour.iter().enumerate() {
            if !has_contour {
                continue;
            }
            match self.find(corner_of(block), tolerance) {
                Place::There => contours.in_place += 1,
                Place::Flat => contours.flat += 1,
                Place::Elsewhere => contours.displaced += 1,
            }
        }
        contours
    }

    fn refresh(&mut self) {
        self.reference.fill(&self.background);
        for (block, has_contour) in self.has_contour.iter_mut().enumerate() {
            *has_contour = strength(&self.reference, corner_of(block)) >= CONTOUR_STRENGTH_MIN;
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "correlations, not counts: 24 bits are plenty"
    )]
    fn find(&self, corner: Corner, tolerance: Tolerance) -> Place {
        let energy = self.reference.energy(corner) as f32;
        if (self.picture.energy(corner) as f32) < energy * FLAT_ENERGY {
            return Place::Flat;
        }
        let mut scores = [0.0_f32; SIDE * SIDE];
        for (index, score) in scores.iter_mut().enumerate() {
            let there = Corner {
                x: corner.x + index % SIDE - REACH,
                y: corner.y + index / SIDE - REACH,
            };
            let norm = (energy * self.picture.energy(there) as f32).sqrt();
            let product = product(&self.reference, corner, &self.picture, there);
            *score = if norm > 0.0 {
                product as f32 / norm
            } else {
                0.0
            };
        }
        let (best, score) =
            scores
                .iter()
                .enumerate()
                .fold((CENTRE, scores[CENTRE]), |best, (index, score)| {
                    if *score > best.1 {
                        (index, *score)
                    } else {
                        best
                    }
                });
        let (x, y) = (best % SIDE, best / SIDE);
        let rim = x == 0 || y == 0 || x == SIDE - 1 || y == SIDE - 1;
        if score < CORRELATION_MIN || rim {
            return Place::Elsewhere;
        }
        let shift_x = (x as f32 - REACH as f32) + vertex(scores[best - 1], score, scores[best + 1]);
        let shift_y =
            (y as f32 - REACH as f32) + vertex(scores[best - SIDE], score, scores[best + SIDE]);
        if shift_x.abs() <= tolerance.x && shift_y.abs() <= tolerance.y {
            Place::There
        } else {
            Place::Elsewhere
        }
    }
}

/// Where a block of the reference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    There,
    Flat,
    Elsewhere,
}

/// Where the parabola through three neighbouring scores has its top, -0.5..=0.5 around the middle.
fn vertex(before: f32, middle: f32, after: f32) -> f32 {
    let curvature = before - 2.0 * middle + after;
    if curvature < 0.0 {
        ((before - after) / (2.0 * curvature)).clamp(-0.5, 0.5)
    } else {
        0.0
    }
}
