//! How a camera was held: the eight ways to turn and mirror a picture, and the copy that does it.

use crate::geometry::Size;

/// What the container's matrix asks for. The picture is transposed first, then mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Rows become columns.
    transposed: bool,
    /// The source's columns are read from right to left.
    from_right: bool,
    /// The source's rows are read from bottom to top.
    from_bottom: bool,
}

impl Orientation {
    /// Takes the upper left 2×2 of a transformation matrix (ISO/IEC 14496-12, 8.3.2.3: a point
    /// (x, y) goes to (a·x + c·y, b·x + d·y)); `None` where it shears or turns by other than quarter
    /// turns. Scale is ignored: the pixels stay as they are.
    pub(super) const fn from_matrix(a: i64, b: i64, c: i64, d: i64) -> Option<Self> {
        if b == 0 && c == 0 && a != 0 && d != 0 {
            return Some(Self {
                transposed: false,
                from_right: a < 0,
                from_bottom: d < 0,
            });
        }
        if a == 0 && d == 0 && b != 0 && c != 0 {
            return Some(Self {
                transposed: true,
                from_right: b < 0,
                from_bottom: c < 0,
            });
        }
        None
    }

    /// Size of a picture once it is upright.
    pub(super) const fn size(self, size: Size) -> Size {
        if self.transposed {
            Size {
                width: size.height,
                height: size.width,
            }
        } else {
            size
        }
    }

    /// For people: `rotated by 90°`; empty for an upright picture.
    pub(super) const fn describe(self) -> &'static str {
        match (self.transposed, self.from_right, self.from_bottom) {
            (false, false, false) => "",
            (false, true, true) => ", rotated by 180°",
            (true, false, true) => ", rotated by 90°",
            (true, true, false) => ", rotated by 270°",
            (false, true, false) | (false, false, true) => ", mirrored",
            (true, true, true) | (true, false, false) => ", rotated and mirrored",
        }
    }

    /// Copies one plane of `width` × `height` bytes into `to`, upright and packed tightly.
    pub(super) fn copy(
        self,
        from: &[u8],
        stride: usize,
        width: usize,
        height: usize,
        to: &mut [u8],
    ) {
        if width == 0 || height == 0 {
            return;
        }
        if self == Self::default() {
            for (row, target) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
                target.copy_from_slice(row.split_at(width).0);
            }
            return;
        }
        let column = |x: usize| if self.from_right { width - 1 - x } else { x };
        let line = |y: usize| if self.from_bottom { height - 1 - y } else { y };
        if self.transposed {
            for (x, target) in to.chunks_exact_mut(height).enumerate() {
                let x = column(x);
                for (y, byte) in target.iter_mut().enumerate() {
                    *byte = from[line(y) * stride + x];
                }
            }
        } else {
            for (y, target) in to.chunks_exact_mut(width).enumerate() {
                let row = &from[line(y) * stride..];
                for (x, byte) in target.iter_mut().enumerate() {
                    *byte = row[column(x)];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three wide, two high, stride four.
    const PICTURE: [u8; 8] = [1, 2, 3, 0, 4, 5, 6, 0];

    fn turned(a: i64, b: i64, c: i64, d: i64) -> [u8; 6] {
        let orientation = Orientation::from_matrix(a, b, c, d).expect("quarter turn");
        let mut upright = [0; 6];
        orientation.copy(&PICTURE, 4, 3, 2, &mut upright);
        upright
    }

    #[test]
    fn quarter_turns_and_mirrors_are_what_they_say() {
        assert_eq!(turned(1, 0, 0, 1), [1, 2, 3, 4, 5, 6]);
        // Clockwise: the left column, from the bottom, becomes the top row.
        assert_eq!(turned(0, 1, -1, 0), [4, 1, 5, 2, 6, 3]);
        assert_eq!(turned(-1, 0, 0, -1), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turned(0, -1, 1, 0), [3, 6, 2, 5, 1, 4]);
        assert_eq!(turned(-1, 0, 0, 1), [3, 2, 1, 6, 5, 4]);
        assert_eq!(turned(1, 0, 0, -1), [4, 5, 6, 1, 2, 3]);
        assert_eq!(turned(0, 1, 1, 0), [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn a_matrix_puts_each_pixel_where_the_standard_says() {
        for (a, b, c, d) in [
            (0, 1, -1, 0),
            (0, -1, 1, 0),
            (0, -1, -1, 0),
            (0, 1, 1, 0),
            (-1, 0, 0, -1),
            (-1, 0, 0, 1),
        ] {
            let upright = turned(a, b, c, d);
            let width = if a == 0 { 2 } else { 3 };
            for y in 0..2_i64 {
                for x in 0..3_i64 {
                    // Translated so that the picture's corner lies in the origin again.
                    let to_x = a * x + c * y - (a * 2).min(0) - c.min(0);
                    let to_y = b * x + d * y - (b * 2).min(0) - d.min(0);
                    let to = usize::try_from(to_y * width + to_x).expect("inside");
                    let from = usize::try_from(y * 4 + x).expect("inside");
                    assert_eq!(upright[to], PICTURE[from], "{a} {b} {c} {d}: {x} {y}");
                }
            }
        }
    }

    #[test]
    fn shear_and_other_angles_are_refused() {
        for (a, b, c, d) in [(1, 1, 0, 1), (0, 0, 0, 0), (1, 1, -1, 1), (1, 0, 0, 0)] {
            assert_eq!(Orientation::from_matrix(a, b, c, d), None);
        }
    }
}
