//! Known-answer test of the detector: a picture that is part of the program, with a person in it at
//! a known place. Run before the first frame and again and again, between frames.
//!
//! A detector whose labels know no "person" cannot be asked for one. Then only what every detector
//! has to keep is tested: the same picture gives the same detections every time.

use super::InferenceError;
use super::detection::{Detector, Wanted};
use super::engine::Processor;
use super::stage::Stopwatch;
use crate::frame::{BufferPool, Frame, FrameFormat, FrameMeta};
use crate::geometry::{Normalised, Rect, Size};
use crate::message::{Detections, DetectorTest, InferenceTiming};
use crate::preprocess::Means;
use crate::units::{MonotonicTime, Score, StreamId};

/// 320x320 pixels of `tests/media/worker_safety.mp4` with one pedestrian; NOTICE says whose it is.
const PICTURE: &[u8] = include_bytes!("../../models/self_test.jpg");

/// Where the pedestrian is: left, top, right, bottom, as the shipped detector's float original and
/// its int8 form both put it, to two digits.
const PERSON: [f32; 4] = [0.75, 0.33, 0.85, 0.59];

/// What the detector calls it.
pub(super) const PERSON_LABEL: &str = "person";

/// How well a detection has to fit: half of the union, the usual measure for "the same object".
const OVERLAP_MIN: f32 = 0.5;

/// How sure the detector has to be. The shipped one says 0.96.
const SCORE_MIN: Score = Score::percent(50);

/// The test with the picture ready to be looked at.
#[derive(Debug)]
pub(super) struct KnownAnswer {
    frame: Frame,
    wanted: Wanted,
    expected: Expected,
    /// What the first test on each processor found, by what made its input: later ones there must find
    /// the very same. On another one, or by other means, the last digits may differ.
    first: Vec<((Processor, Means), Detections)>,
    /// The last test could not be made, because the engine failed.
    is_open: bool,
}

/// What must be found.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The pedestrian.
    Person(Rect<Normalised>),
    /// Whatever was found the first time.
    Same,
}

impl KnownAnswer {
    /// Prepares the test for a detector.
    ///
    /// # Errors
    ///
    /// The picture cannot be decoded: the program itself is damaged.
    pub(super) fn new(detector: &Detector) -> Result<Self, InferenceError> {
        let frame = picture()?;
        let damaged = |reason: String| InferenceError::SelfTest { reason };
        let [left, top, right, bottom] = PERSON;
        let place = Rect::new(left, top, right, bottom);
        let place = place.ok_or_else(|| damaged("no place to look at".to_owned()))?;
        let (labels, expected) = match detector.labels().id(PERSON_LABEL) {
            Ok(person) => (vec![person], Expected::Person(place)),
            Err(_) => (detector.scored().collect(), Expected::Same),
        };
        if matches!(expected, Expected::Same) {
            log::warn!(
                "self-test: the detector's labels have no \"person\"; only repeatability is tested"
            );
        }
        Ok(Self {
            frame,
            wanted: Wanted {
                labels,
                threshold: SCORE_MIN,
            },
            expected,
            first: Vec::new(),
            is_open: false,
        })
    }

    /// Whether the last test says nothing of the detector, because the engine failed: it is to be
    /// made again as soon as that works.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Runs the detector on the picture: one inference.
    pub(super) fn run(&mut self, detector: &mut Detector) -> DetectorTest {
        let mut watch = Stopwatch::new(|| MonotonicTime::ZERO, InferenceTiming::default());
        let found = match detector.detect(&self.frame, &self.wanted, &mut watch) {
            Ok(found) => found,
            Err(error) => {
                // It is repeated soon, and often.
                let level = if self.is_open {
                    log::Level::Debug
                } else {
                    log::Level::Error
                };
                log::log!(level, "self-test: {error}");
                self.is_open = true;
                return DetectorTest::Failed;
            }
        };
        self.is_open = false;
        let seen = match self.expected {
            Expected::Person(place) => found
                .iter()
                .any(|detection| overlap(detection.bbox, place) >= OVERLAP_MIN),
            Expected::Same => true,
        };
        // After the run: a renderer that failed in it did not make the input.
        let on = (detector.stage().processor(), detector.stage().means());
        let first = self.first.iter().find(|(first_on, _)| *first_on == on);
        let same = first.is_none_or(|(_, first)| *first == found);
        // A first test that fails must not become the measure of later ones.
        if seen && first.is_none() {
            self.first.push((on, found.clone()));
        }
        if seen && same {
            return DetectorTest::Passed;
        }
        log::error!(
            "self-test: the detector {} in the known picture: {found:?}",
            if seen {
                "finds something else than the first time"
            } else {
                "does not find the person"
            }
        );
        DetectorTest::Failed
    }
}

/// The picture as a frame.
///
/// # Errors
///
/// It cannot be decoded: the program itself is damaged.
pub(super) fn picture() -> Result<Frame, InferenceError> {
    let picture = image::load_from_memory_with_format(PICTURE, image::ImageFormat::Jpeg)
        .map_err(|error| InferenceError::SelfTest {
            reason: error.to_string(),
        })?
        .to_rgb8();
    let format = FrameFormat::rgb(Size {
        width: picture.width(),
        height: picture.height(),
    });
    let mut pool = BufferPool::new();
    let mut buffer = pool.take();
    let [pixels, _, _] = buffer.prepare(&format);
    pixels.copy_from_slice(picture.as_raw());
    let meta = FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence: 0,
        media_time: std::time::Duration::ZERO,
        timestamp: MonotonicTime::ZERO,
        arrived: MonotonicTime::ZERO,
    };
    Ok(Frame::new(meta, format, buffer, &mut pool))
}

/// Intersection over union.
fn overlap(one: Rect<Normalised>, other: Rect<Normalised>) -> f32 {
    let width = one.right().min(other.right()) - one.left().max(other.left());
    let height = one.bottom().min(other.bottom()) - one.top().max(other.top());
    let shared = width.max(0.0) * height.max(0.0);
    let area = |rect: Rect<Normalised>| (rect.right() - rect.left()) * (rect.bottom() - rect.top());
    let union = area(one) + area(other) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_the_share_of_the_union() {
        let rect = |left, right| Rect::new(left, 0.0, right, 0.5).expect("a rectangle");
        let close = |value: f32, expected: f32| assert!((value - expected).abs() < 1e-6, "{value}");
        close(overlap(rect(0.0, 0.5), rect(0.0, 0.5)), 1.0);
        close(overlap(rect(0.0, 0.4), rect(0.2, 0.6)), 1.0 / 3.0);
        close(overlap(rect(0.0, 0.2), rect(0.5, 0.7)), 0.0);
    }
}
