//! Points, rectangles, polygons and the maps between coordinate spaces. Pure.
//!
//! Each coordinate carries its [`Space`] as a type, so that a box in the model's input cannot be
//! tested against a zone in the frame. x grows to the right, y downwards, the origin is top left;
//! only the floor has axes of its own.
//!
//! `ground` maps the picture to the floor and back, `floor` has the zones drawn on the floor, and
//! `matrix` the little algebra that both need.

mod floor;
mod ground;
mod matrix;
mod polygon;
#[cfg(test)]
mod test_camera;

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

pub use floor::{FLOOR_CORNERS_MAX, FloorPolygon, FloorPolygonError, Projected, ProjectionError};
pub use ground::{
    AxisOrder, Floor, GROUND_POINTS_MAX, GroundError, GroundFit, GroundPoint, Homography, Place,
    REACH_MAX_M, Residual,
};
pub use polygon::{POLYGON_POINTS_MAX, Polygon, PolygonError};

/// A coordinate space; only a label.
pub trait Space: Copy + std::fmt::Debug + Default + PartialEq + Send + Sync + 'static {}

/// The full frame, 0..=1 both ways, whatever its aspect ratio. Zones, boxes and the report use it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Normalised;
impl Space for Normalised {}

/// Pixels of a frame, 0..width and 0..height.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FramePixels;
impl Space for FramePixels {}

/// Pixels of the rendered picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScreenPixels;
impl Space for ScreenPixels {}

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a size is written as width x height in pixels, such as 1280x720")]
pub struct ParseSizeError;

impl FromStr for Size {
    type Err = ParseSizeError;

    /// Reads `1280x720`; neither number may be 0.
    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let (width, height) = text.split_once(['x', 'X']).ok_or(ParseSizeError)?;
        let pixels = |text: &str| match text.trim().parse::<u32>() {
            Ok(pixels) if pixels > 0 => Ok(pixels),
            Ok(_) | Err(_) => Err(ParseSizeError),
        };
        Ok(Self {
            width: pixels(width)?,
            height: pixels(height)?,
        })
    }
}

/// A point of space `S`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point<S: Space> {
    /// To the right.
    pub x: f32,
    /// Downwards.
    pub y: f32,
    space: PhantomData<S>,
}

impl<S: Space> Point<S> {
    /// The point (x, y).
    #[must_use]
    pub const fn new(x: f32, y: f32) -> Self {
        Self {
            x,
            y,
            space: PhantomData,
        }
    }

    /// Whether both coordinates are numbers.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

/// An axis-aligned rectangle of space `S`; `left <= right`, `top <= bottom`, all finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect<S: Space> {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
    space: PhantomData<S>,
}

impl<S: Space> Rect<S> {
    /// The rectangle between two corners; `None` where a coordinate is not finite or the corners
    /// are the wrong way round. Zero width or height is allowed.
    #[must_use]
    pub fn new(left: f32, top: f32, right: f32, bottom: f32) -> Option<Self> {
        let finite = [left, top, right, bottom].iter().all(|v| v.is_finite());
        (finite && left <= right && top <= bottom).then_some(Self {
            left,
            top,
            right,
            bottom,
            space: PhantomData,
        })
    }

    /// Left edge.
    #[must_use]
    pub const fn left(self) -> f32 {
        self.left
    }

    /// Top edge.
    #[must_use]
    pub const fn top(self) -> f32 {
        self.top
    }

    /// Right edge.
    #[must_use]
    pub const fn right(self) -> f32 {
        self.right
    }

    /// Bottom edge.
    #[must_use]
    pub const fn bottom(self) -> f32 {
        self.bottom
    }

    /// Width, never negative.
    #[must_use]
    pub const fn width(self) -> f32 {
        self.right - self.left
    }

    /// Height, never negative.
    #[must_use]
    pub const fn height(self) -> f32 {
        self.bottom - self.top
    }

    /// The part inside `bounds`; `None` where they do not even touch.
    #[must_use]
    pub fn intersection(self, bounds: Self) -> Option<Self> {
        Self::new(
            self.left.max(bounds.left),
            self.top.max(bounds.top),
            self.right.min(bounds.right),
            self.bottom.min(bounds.bottom),
        )
    }
}

impl Rect<Normalised> {
    /// The whole frame.
    pub const FULL: Self = Self {
        left: 0.0,
        top: 0.0,
        right: 1.0,
        bottom: 1.0,
        space: PhantomData,
    };

    /// The same rectangle in pixels of a frame of `size`.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    pub const fn to_frame(self, size: Size) -> Rect<FramePixels> {
        let (w, h) = (size.width as f32, size.height as f32);
        Rect {
            left: self.left * w,
            top: self.top * h,
            right: self.right * w,
            bottom: self.bottom * h,
            space: PhantomData,
        }
    }

    /// The same rectangle inside the screen rectangle the frame is drawn into.
    #[must_use]
    pub fn to_screen(self, viewport: Rect<ScreenPixels>) -> Rect<ScreenPixels> {
        let (a, b) = (
            Point::<Normalised>::new(self.left, self.top).to_screen(viewport),
            Point::<Normalised>::new(self.right, self.bottom).to_screen(viewport),
        );
        Rect {
            left: a.x,
            top: a.y,
            right: b.x,
            bottom: b.y,
            space: PhantomData,
        }
    }
}

impl Point<FramePixels> {
    /// The same point as shares of a frame of `size`; not finite where `size` is empty.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    pub const fn to_normalised(self, size: Size) -> Point<Normalised> {
        Point::new(self.x / size.width as f32, self.y / size.height as f32)
    }
}

impl Point<Normalised> {
    /// The same point in pixels of a frame of `size`.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    pub const fn to_frame(self, size: Size) -> Point<FramePixels> {
        Point::new(self.x * size.width as f32, self.y * size.height as f32)
    }

    /// The same point inside the screen rectangle the frame is drawn into.
    #[must_use]
    pub const fn to_screen(self, viewport: Rect<ScreenPixels>) -> Point<ScreenPixels> {
        Point::new(
            viewport.left + self.x * viewport.width(),
            viewport.top + self.y * viewport.height(),
        )
    }
}

/// The largest rectangle of `content`'s aspect ratio that fits into `bounds`, centred: where a
/// frame is drawn so that nothing is cut off or distorted. Empty content gives `bounds` itself.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
pub fn fit(content: Size, bounds: Rect<ScreenPixels>) -> Rect<ScreenPixels> {
    if content.width == 0 || content.height == 0 {
        return bounds;
    }
    let (w, h) = (content.width as f32, content.height as f32);
    let scale = (bounds.width() / w).min(bounds.height() / h);
    let left = bounds.left + (bounds.width() - w * scale) / 2.0;
    let top = bounds.top + (bounds.height() - h * scale) / 2.0;
    Rect {
        left,
        top,
        right: left + w * scale,
        bottom: top + h * scale,
        space: PhantomData,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn screen(left: f32, top: f32, right: f32, bottom: f32) -> Rect<ScreenPixels> {
        Rect::new(left, top, right, bottom).expect("corners in order")
    }

    #[test]
    fn a_rectangle_is_never_inside_out_and_never_nan() {
        assert!(Rect::<Normalised>::new(0.2, 0.2, 0.2, 0.2).is_some());
        assert!(Rect::<Normalised>::new(0.3, 0.2, 0.2, 0.4).is_none());
        assert!(Rect::<Normalised>::new(0.1, 0.5, 0.2, 0.4).is_none());
        assert!(Rect::<Normalised>::new(f32::NAN, 0.1, 0.2, 0.4).is_none());
        assert!(Rect::<Normalised>::new(0.1, 0.1, f32::INFINITY, 0.4).is_none());
    }

    #[test]
    fn intersection_of_touching_rectangles_is_their_common_edge() {
        let left = Rect::<Normalised>::new(0.0, 0.0, 0.5, 1.0).expect("valid");
        let right = Rect::new(0.5, 0.25, 1.0, 0.75).expect("valid");
        assert_eq!(left.intersection(right), Rect::new(0.5, 0.25, 0.5, 0.75));
        let far = Rect::new(0.6, 0.0, 1.0, 1.0).expect("valid");
        assert_eq!(left.intersection(far), None);
    }

    #[test]
    fn a_frame_of_any_shape_is_fitted_whole_and_centred() {
        let bounds = screen(100.0, 0.0, 1060.0, 540.0);
        let four_thirds = Size {
            width: 640,
            height: 480,
        };
        assert_eq!(fit(four_thirds, bounds), screen(220.0, 0.0, 940.0, 540.0));
        let cinema = Size {
            width: 1920,
            height: 800,
        };
        assert_eq!(fit(cinema, bounds), screen(100.0, 70.0, 1060.0, 470.0));
        let portrait = Size {
            width: 540,
            height: 960,
        };
        let fitted = fit(portrait, bounds);
        assert!((fitted.width() / fitted.height() - 540.0 / 960.0).abs() < 1e-4);
        assert_eq!(fit(Size::default(), bounds), bounds);
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        let size = Size {
            width: 1280,
            height: 720,
        };
        for text in ["1280x720", "1280X720", " 1280 x 720 ", &size.to_string()] {
            assert_eq!(text.parse(), Ok(size), "{text}");
        }
        for text in [
            "",
            "1280",
            "x",
            "0x720",
            "-1x2",
            "1280x720x3",
            "4294967296x1",
        ] {
            assert_eq!(text.parse::<Size>(), Err(ParseSizeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn frame_pixels_and_shares_round_trip(
            x in 0.0_f32..=1.0, y in 0.0_f32..=1.0, width in 1_u32..8192, height in 1_u32..8192,
        ) {
            let size = Size { width, height };
            let back = Point::<Normalised>::new(x, y).to_frame(size).to_normalised(size);
            // One rounding each way.
            prop_assert!((back.x - x).abs() <= f32::EPSILON && (back.y - y).abs() <= f32::EPSILON);
        }

        #[test]
        fn corners_of_a_rectangle_and_points_go_to_the_same_place(
            a in 0.0_f32..=0.5, b in 0.5_f32..=1.0, width in 1_u32..4096, height in 1_u32..4096,
        ) {
            let size = Size { width, height };
            let rect = Rect::<Normalised>::new(a, a, b, b).expect("in order");
            let (corner, frame) = (Point::<Normalised>::new(b, b).to_frame(size), rect.to_frame(size));
            prop_assert_eq!((frame.right(), frame.bottom()), (corner.x, corner.y));
            let viewport = fit(size, screen(0.0, 0.0, 960.0, 540.0));
            let (corner, drawn) = (Point::<Normalised>::new(b, b).to_screen(viewport), rect.to_screen(viewport));
            prop_assert_eq!((drawn.right(), drawn.bottom()), (corner.x, corner.y));
            prop_assert!(drawn.right() <= 960.01 && drawn.bottom() <= 540.01);
        }
    }
}
