//! What of a picture depends on whom it is shown to: size, magnification, page, buttons.

use std::time::Duration;

use crate::config::{PageSet, ShownStreams, StatusPage, TextScale};
use crate::geometry::{Normalised, Point, Rect, ScreenPixels, Size};
use crate::units::StreamId;

use super::status::{Machine, Status};

/// Text that has to be read is at least so high (its font size), millimetres: legible at arm's length
/// and a step away (ISO 9241-303 asks for 20 to 22 minutes of arc, 3 mm of capital letter at half a
/// metre).
const TEXT_MM_MIN: f32 = 3.6;

/// The smallest text of a 1280x720 picture, pixels.
const TEXT_PX: f32 = 15.0;

/// Beyond this the frames would have no room.
const FACTOR_MAX: f32 = 2.0;

/// A monitor wider than this, or with pixels of another shape than about square, tells nonsense of
/// its size, as projectors and cheap adapters do.
const WIDTH_MM: std::ops::RangeInclusive<u32> = 40..=4000;

/// A monitor's picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dimensions {
    /// In pixels.
    pub size: Size,
    /// Width and height of the visible area in millimetres, as the connector tells; `None` where it
    /// does not, as for a picture that is kept.
    pub millimetres: Option<(u32, u32)>,
}

impl Dimensions {
    /// How much larger text and buttons are drawn than the number of pixels says.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes and millimetres are far below 2^24"
    )]
    pub fn factor(self, scale: TextScale) -> f32 {
        let percent = match scale {
            TextScale::Auto => None,
            TextScale::Percent(percent) => Some(percent),
        };
        if let Some(percent) = percent {
            return f32::from(percent) / 100.0;
        }
        let Some((wide, tall)) = self.millimetres else {
            return 1.0;
        };
        let Size { width, height } = self.size;
        if !WIDTH_MM.contains(&wide) || tall == 0 || width == 0 || height == 0 {
            return 1.0;
        }
        let (across, down) = (width as f32 / wide as f32, height as f32 / tall as f32);
        if !(0.8..=1.25).contains(&(across / down)) {
            return 1.0;
        }
        let upright = height > width;
        let (least, most) = if upright {
            (width as f32 / 720.0, height as f32 / 1280.0)
        } else {
            (width as f32 / 1280.0, height as f32 / 720.0)
        };
        let text = TEXT_PX * least.min(most);
        (TEXT_MM_MIN * across / text).clamp(1.0, FACTOR_MAX)
    }
}

/// Which page is shown. The banner is on all of them.
///
/// A page for editing zones would be one more: pointer events on what a page draws reach it as
/// [`Target::Video`] with the place in the frame (see `ui::kiosk`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The cameras.
    #[default]
    Cameras,
    /// Figures.
    Status(StatusPage),
}

impl Page {
    /// The camera page, and the status pages of a set.
    pub fn all(pages: PageSet) -> impl Iterator<Item = Self> {
        std::iter::once(Self::Cameras).chain(pages.iter().map(Self::Status))
    }
}

/// What can be pressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// A page's button.
    Page(Page),
    /// The button that says that everything was seen.
    Acknowledge,
    /// The reset button.
    Reset,
    /// A stream's frame.
    Video(StreamId),
}

/// The reset button on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetControl {
    /// There is none: a real one is wired, or nobody may reset here.
    #[default]
    Absent,
    /// Nobody touches it.
    Up,
    /// A finger is on it.
    Down,
}

/// The picture as somebody operates it.
#[derive(Clone, Debug, Default)]
pub struct KioskView {
    /// The page that is shown.
    pub page: Page,
    /// The status pages that there are.
    pub pages: Option<PageSet>,
    /// The reset button.
    pub reset: ResetControl,
    /// Events that nobody has acknowledged.
    pub unacknowledged: usize,
    /// The button, other than reset, that a finger is on.
    pub pressed: Option<Page>,
    /// A finger is on the acknowledging button.
    pub acknowledging: bool,
    /// Where the mouse is, while it is used.
    pub pointer: Option<Point<ScreenPixels>>,
    /// One line that answers what the operator did.
    pub answer: Option<String>,
    /// What the program knows of itself.
    pub status: Status,
    /// What it knows of the machine.
    pub machine: Machine,
}

/// How a snapshot is shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Of the picture.
    pub size: Size,
    /// Of text and buttons, as [`Dimensions::factor`] gives it.
    pub factor: f32,
    /// On the camera page.
    pub streams: ShownStreams,
    /// `None` where nobody operates it: a film, a snapshot.
    pub kiosk: Option<&'a KioskView>,
    /// How old the snapshot is when the picture is drawn.
    pub age: Duration,
}

impl View<'_> {
    /// A picture of a size that nobody operates.
    #[must_use]
    pub const fn still(size: Size) -> Self {
        Self {
            size,
            factor: 1.0,
            streams: ShownStreams::Both,
            kiosk: None,
            age: Duration::ZERO,
        }
    }

    /// Whether the decision has said nothing for so long that the picture must not pass for now.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.age > super::UNDECIDED_AFTER
    }
}

/// What can be pressed in a picture, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// What lies above comes first.
    pub places: Vec<(Rect<ScreenPixels>, Target)>,
    /// Where each stream's frame is drawn, by [`StreamId::index`].
    pub frames: [Option<Rect<ScreenPixels>>; 2],
}

impl Targets {
    /// What is under a finger.
    #[must_use]
    pub fn at(&self, point: Point<ScreenPixels>) -> Option<Target> {
        let hit = |(rect, _): &&(Rect<ScreenPixels>, Target)| {
            (rect.left()..rect.right()).contains(&point.x)
                && (rect.top()..rect.bottom()).contains(&point.y)
        };
        self.places.iter().find(hit).map(|(_, target)| *target)
    }

    /// Where in a stream's frame a point of the picture lies; `None` beside the frame.
    #[must_use]
    pub fn in_frame(
        &self,
        stream: StreamId,
        point: Point<ScreenPixels>,
    ) -> Option<Point<Normalised>> {
        let frame = self.frames[stream.index()]?;
        let share = Point::new(
            (point.x - frame.left()) / frame.width(),
            (point.y - frame.top()) / frame.height(),
        );
        let inside = (0.0..=1.0).contains(&share.x) && (0.0..=1.0).contains(&share.y);
        inside.then_some(share)
    }

    /// Where a target is.
    #[must_use]
    pub fn place_of(&self, wanted: Target) -> Option<Rect<ScreenPixels>> {
        let same = |(_, target): &&(Rect<ScreenPixels>, Target)| *target == wanted;
        self.places.iter().find(same).map(|(rect, _)| *rect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(size: (u32, u32), millimetres: Option<(u32, u32)>) -> f32 {
        let (width, height) = size;
        let screen = Dimensions {
            size: Size { width, height },
            millimetres,
        };
        screen.factor(TextScale::Auto)
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 0.02
    }

    #[test]
    fn a_small_panel_magnifies_and_a_large_monitor_does_not() {
        // 7 inch 800x480, 10 inch 1280x800, 24 inch Full HD, 55 inch 4K.
        let small = factor((800, 480), Some((154, 92)));
        assert!(near(small, 1.99), "{small}");
        let panel = factor((1280, 800), Some((217, 136)));
        assert!(near(panel, 1.42), "{panel}");
        for (size, millimetres) in [((1920, 1080), (531, 299)), ((3840, 2160), (1210, 680))] {
            let large = factor(size, Some(millimetres));
            assert!(near(large, 1.0), "{large}");
        }
        // An upright 15 inch.
        let upright = factor((1080, 1920), Some((194, 345)));
        assert!((1.0..=2.0).contains(&upright), "{upright}");
    }

    #[test]
    fn a_monitor_that_tells_nonsense_or_nothing_is_taken_as_large() {
        let full_hd = (1920, 1080);
        for millimetres in [
            None,
            Some((0, 0)),
            // An aspect ratio instead of a size.
            Some((16, 9)),
            Some((160, 90)),
            Some((1600, 200)),
            Some((5000, 2800)),
            Some((500, 0)),
        ] {
            let factor = factor(full_hd, millimetres);
            let wanted = if millimetres == Some((160, 90)) {
                1.92
            } else {
                1.0
            };
            assert!(near(factor, wanted), "{millimetres:?}: {factor}");
        }
    }

    #[test]
    fn the_configuration_goes_before_the_monitor() {
        let screen = Dimensions {
            size: Size {
                width: 800,
                height: 480,
            },
            millimetres: Some((154, 92)),
        };
        assert!(near(screen.factor(TextScale::Percent(125)), 1.25));
    }

    #[test]
    fn a_finger_hits_what_lies_above() {
        let rect = |left, right| Rect::new(left, 0.0, right, 10.0).expect("a rectangle");
        let targets = Targets {
            places: vec![
                (rect(0.0, 5.0), Target::Reset),
                (rect(0.0, 9.0), Target::Acknowledge),
            ],
            frames: [Some(rect(0.0, 8.0)), None],
        };
        let at = |x| targets.at(Point::new(x, 3.0));
        assert_eq!(at(4.9), Some(Target::Reset));
        assert_eq!(at(5.0), Some(Target::Acknowledge));
        assert_eq!(at(9.0), None);
        assert_eq!(targets.place_of(Target::Reset), Some(rect(0.0, 5.0)));
        let in_frame = |x| targets.in_frame(StreamId::WorkerSafety, Point::new(x, 5.0));
        assert_eq!(in_frame(2.0), Some(Point::new(0.25, 0.5)));
        assert_eq!(in_frame(8.5), None);
    }
}
