//! Points, rectangles, polygons and the maps between coordinate spaces. Pure.
//!
//! Each coordinate carries its [`Space`] as a type, so that a box in the model's input cannot be
//! tested against a zone in the frame. x grows to the right, y downwards, the origin is top left.

mod polygon;

use std::marker::PhantomData;

pub use polygon::{Polygon, PolygonError};

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

impl Point<Normalised> {
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
