//! Where people are covered when the picture is anonymised.
//!
//! A detector loses a person for a frame now and then. A cover therefore stays for a while where a
//! person was, and is larger than the box by more than a person moves between two frames.

use std::collections::VecDeque;
use std::time::Duration;

use crate::geometry::{Normalised, Rect};
use crate::message::{StreamView, Verdict};
use crate::units::MonotonicTime;

/// How long a place stays covered: five frames at 10 fps, twelve at 25.
const HOLD: Duration = Duration::from_millis(500);

/// A cover is the box grown by this share of its size on each side. Boxes of an SSD detector sit
/// within about 10 % of the person's outline.
const MARGIN: f32 = 0.12;

/// Places where people were in the last half second.
#[derive(Clone, Debug, Default)]
pub struct MaskMemory {
    frames: VecDeque<(MonotonicTime, Vec<Rect<Normalised>>)>,
}

impl MaskMemory {
    /// Remembers the people of a frame of the worker-safety stream.
    pub(super) fn observe(&mut self, view: &StreamView) {
        let Verdict::Safety(verdict) = &view.verdict else {
            return;
        };
        let now = view.frame.meta.timestamp;
        match self.frames.back() {
            Some((last, _)) if *last == now => return,
            // The clock started again: what was remembered has no place in time any more.
            Some((last, _)) if *last > now => self.frames.clear(),
            Some(_) | None => {}
        }
        while let Some((seen, _)) = self.frames.front() {
            if now.saturating_since(*seen) <= HOLD {
                break;
            }
            self.frames.pop_front();
        }
        let places = verdict
            .persons
            .iter()
            .map(|person| grown(person.detection.bbox))
            .collect();
        self.frames.push_back((now, places));
    }

    /// The remembered places, oldest first.
    pub(super) fn places(&self) -> impl Iterator<Item = Rect<Normalised>> {
        self.frames.iter().flat_map(|(_, places)| places).copied()
    }
}

/// The box with its margin, inside the frame.
pub(super) fn grown(bbox: Rect<Normalised>) -> Rect<Normalised> {
    let (dx, dy) = (bbox.width() * MARGIN, bbox.height() * MARGIN);
    Rect::new(
        bbox.left() - dx,
        bbox.top() - dy,
        bbox.right() + dx,
        bbox.bottom() + dy,
    )
    .and_then(|grown| grown.intersection(Rect::FULL))
    .unwrap_or(Rect::FULL)
}
