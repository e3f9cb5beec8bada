//! One physical part passes through many frames: it is counted once and rejected once. Pure.
//!
//! Detections are joined into tracks from frame to frame: a track expects its part where its speed
//! has carried it, and takes the detection that overlaps best or, failing that, lies nearest. A new
//! track starts with the belt's speed as learned from the others. A part has left, and is decided,
//! when it was not seen for [`LOST_AFTER`]; a detector that misses it briefly does no harm.
//!
//! The decision is the majority of the votes of its frames. While a part touches the edge of the
//! picture only a piece of it was graded; such votes count only if there are no others. No majority
//! means [`Disposition::Unsure`].
//!
//! Known limits: parts that move further between two frames than half the distance to their
//! neighbour look like parts that move the other way (the wagon-wheel effect), and parts hidden for
//! longer than [`LOST_AFTER`] are counted twice.

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::geometry::{Normalised, Rect};
use crate::message::{Disposition, ITEMS_MAX, ItemVerdict};
use crate::units::MonotonicTime;

/// A part not seen for longer than this has left.
pub const LOST_AFTER: Duration = Duration::from_millis(500);

/// A part has been seen at least this often; less is a flicker of the detector.
pub const SIGHTINGS_MIN: u32 = 2;

/// Most parts followed at once: those in view and those just missed.
const TRACKS_MAX: usize = 2 * ITEMS_MAX;

/// Two boxes of one frame that share this much of the smaller one are the same part: the detector's
/// suppression of doubles works per class and at a fixed overlap, and lets some pass.
const SAME_PART_SHARE: f32 = 0.7;

/// Boxes nearer to the picture's edge than this touch it: detectors draw boxes with about 1 % noise.
const EDGE: f32 = 0.01;

/// A part that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedPart {
    /// What becomes of it.
    pub disposition: Disposition,
    /// When the last picture of it was taken: at most one frame interval before it left the picture.
    pub seen_at: MonotonicTime,
}

/// Parts decided by one frame.
pub type DecidedParts = ArrayVec<DecidedPart, TRACKS_MAX>;

/// Follows the parts of one stream.
#[derive(Clone, Debug, Default)]
pub struct PartTracker {
    tracks: ArrayVec<Track, TRACKS_MAX>,
    /// Learned from the parts seen so far.
    belt: Option<Speed>,
    /// Frames shown so far.
    frames: u64,
}

impl PartTracker {
    /// Nothing in view.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the parts of a frame taken at `at`, highest score first; gives the parts that have left.
    /// Frames that could not be judged are not shown to the tracker.
    pub fn observe(&mut self, at: MonotonicTime, items: &[ItemVerdict]) -> DecidedParts {
        self.frames += 1;
        let mut fresh = without_doubles(items);
        self.join(at, &mut fresh);
        let mut decided = DecidedParts::new();
        let frame = self.frames;
        self.tracks.retain(|track| {
            let left = track.seen_in != frame && at.saturating_since(track.seen_at) > LOST_AFTER;
            if left {
                decided.extend(track.verdict());
            }
            !left
        });
        for item in fresh {
            let track = Track::new(at, frame, &item, self.belt);
            if self.tracks.try_push(track).is_err() {
                // More parts than places: those already followed keep theirs.
                break;
            }
        }
        decided
    }

    /// The source has ended: decides every part still in view.
    pub fn finish(&mut self) -> DecidedParts {
        self.tracks
            .drain(..)
            .filter_map(|track| track.verdict())
            .collect()
    }

    /// Gives every track its detection, best pair first; leaves the detections that are new parts.
    fn join(&mut self, at: MonotonicTime, fresh: &mut ArrayVec<ItemVerdict, ITEMS_MAX>) {
        loop {
            let mut best: Option<(f32, usize, usize)> = None;
            for (t, track) in self.tracks.iter().enumerate() {
                if track.seen_in == self.frames {
                    continue;
                }
                for (i, item) in fresh.iter().enumerate() {
                    let affinity = track.affinity(at, item.item.detection.bbox);
                    if affinity > best.map_or(0.0, |(most, _, _)| most) {
                        best = Some((affinity, t, i));
                    }
                }
            }
            let Some((_, t, i)) = best else { return };
            let (Some(track), Some(item)) = (self.tracks.get_mut(t), fresh.pop_at(i)) else {
                return;
            };
            if let Some(measured) = track.see(at, self.frames, &item) {
                self.belt = Some(Speed::learn(self.belt, measured));
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Votes {
    good: u32,
    reject: u32,
    unsure: u32,
}

impl Votes {
    const fn count(&mut self, disposition: Disposition) {
        match disposition {
            Disposition::Good => self.good += 1,
            Disposition::Reject => self.reject += 1,
            Disposition::Unsure => self.unsure += 1,
        }
    }

    const fn total(self) -> u32 {
        self.good + self.reject + self.unsure
    }

    const fn majority(self) -> Disposition {
        if self.reject > self.good + self.unsure {
            Disposition::Reject
        } else if self.good > self.reject + self.unsure {
            Disposition::Good
        } else {
            Disposition::Unsure
        }
    }
}

/// Shares of the picture's width and height per second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Speed {
    x: f32,
    y: f32,
}

impl Speed {
    /// Halfway to the new measurement: boxes jitter, belts change their speed slowly.
    fn learn(known: Option<Self>, measured: Self) -> Self {
        known.map_or(measured, |known| Self {
            x: f32::midpoint(known.x, measured.x),
            y: f32::midpoint(known.y, measured.y),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Track {
    bbox: Rect<Normalised>,
    seen_at: MonotonicTime,
    /// Number of the frame it was last seen in.
    seen_in: u64,
    speed: Option<Speed>,
    sightings: u32,
    /// Votes of frames in which the whole part was in view.
    whole: Votes,
    /// Votes of frames in which it touched the edge.
    cut: Votes,
}

impl Track {
    fn new(at: MonotonicTime, frame: u64, item: &ItemVerdict, belt: Option<Speed>) -> Self {
        let mut track = Self {
            bbox: item.item.detection.bbox,
            seen_at: at,
            seen_in: frame,
            speed: belt,
            sightings: 0,
            whole: Votes::default(),
            cut: Votes::default(),
        };
        track.vote(item);
        track
    }

    /// Takes a sighting; gives the speed, if it could be measured well: both boxes wholly in view.
    fn see(&mut self, at: MonotonicTime, frame: u64, item: &ItemVerdict) -> Option<Speed> {
        let bbox = item.item.detection.bbox;
        let seconds = at.saturating_since(self.seen_at).as_secs_f32();
        let cut = touches_edge(self.bbox) || touches_edge(bbox);
        let measured = (seconds > 0.0).then(|| {
            let (dx, dy) = if cut {
                moved_behind_edge(self.bbox, bbox)
            } else {
                moved(self.bbox, bbox)
            };
            Speed {
                x: dx / seconds,
                y: dy / seconds,
            }
        });
        match measured {
            Some(measured) if !cut => self.speed = Some(Speed::learn(self.speed, measured)),
            // A rough measure, but better than none.
            Some(measured) if self.speed.is_none() => self.speed = Some(measured),
            Some(_) | None => {}
        }
        self.bbox = bbox;
        self.seen_at = at;
        self.seen_in = frame;
        self.vote(item);
        measured.filter(|_| !cut)
    }

    fn vote(&mut self, item: &ItemVerdict) {
        self.sightings = self.sightings.saturating_add(1);
        if touches_edge(item.item.detection.bbox) {
            self.cut.count(item.disposition);
        } else {
            self.whole.count(item.disposition);
        }
    }

    /// Where the part is expected; it stops at the edge of the picture, where its last piece is seen.
    fn expected(&self, at: MonotonicTime) -> Option<Rect<Normalised>> {
        let Some(speed) = self.speed else {
            return Some(self.bbox);
        };
        let seconds = at.saturating_since(self.seen_at).as_secs_f32();
        let dx = (speed.x * seconds).clamp(-self.bbox.right(), 1.0 - self.bbox.left());
        let dy = (speed.y * seconds).clamp(-self.bbox.bottom(), 1.0 - self.bbox.top());
        Rect::new(
            self.bbox.left() + dx,
            self.bbox.top() + dy,
            self.bbox.right() + dx,
            self.bbox.bottom() + dy,
        )
    }

    /// How well a box fits: above 1 where it overlaps the expected one, else from 1 down to 0 where
    /// it lies the size of a part away.
    fn affinity(&self, at: MonotonicTime, bbox: Rect<Normalised>) -> f32 {
        let Some(expected) = self.expected(at) else {
            return 0.0;
        };
        let shared = shared_area(expected, bbox);
        if shared > 0.0 {
            return 1.0 + shared / (area(expected) + area(bbox) - shared);
        }
        let (width, height) = (
            expected.width().max(bbox.width()),
            expected.height().max(bbox.height()),
        );
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let (dx, dy) = moved(expected, bbox);
        let away = (dx.abs() / width).max(dy.abs() / height);
        (1.0 - away).max(0.0)
    }

    /// What becomes of the part; `None` where it was but a flicker.
    fn verdict(&self) -> Option<DecidedPart> {
        let votes = if self.whole.total() > 0 {
            self.whole
        } else {
            self.cut
        };
        (self.sightings >= SIGHTINGS_MIN).then(|| DecidedPart {
            disposition: votes.majority(),
            seen_at: self.seen_at,
        })
    }
}

/// The items without second boxes of the same part; the first, which has the higher score, stays.
fn without_doubles(items: &[ItemVerdict]) -> ArrayVec<ItemVerdict, ITEMS_MAX> {
    let mut kept: ArrayVec<ItemVerdict, ITEMS_MAX> = ArrayVec::new();
    for item in items.iter().take(ITEMS_MAX) {
        let bbox = item.item.detection.bbox;
        let double = kept.iter().any(|other| {
            let other = other.item.detection.bbox;
            let smaller = area(other).min(area(bbox));
            smaller > 0.0 && shared_area(other, bbox) >= SAME_PART_SHARE * smaller
        });
        if !double {
            kept.push(*item);
        }
    }
    kept
}

fn area(bbox: Rect<Normalised>) -> f32 {
    bbox.width() * bbox.height()
}

fn shared_area(a: Rect<Normalised>, b: Rect<Normalised>) -> f32 {
    a.intersection(b).map_or(0.0, area)
}

fn centre(bbox: Rect<Normalised>) -> (f32, f32) {
    (
        f32::midpoint(bbox.left(), bbox.right()),
        f32::midpoint(bbox.top(), bbox.bottom()),
    )
}

/// How far a box has moved.
fn moved(from: Rect<Normalised>, to: Rect<Normalised>) -> (f32, f32) {
    let ((from_x, from_y), (to_x, to_y)) = (centre(from), centre(to));
    (to_x - from_x, to_y - from_y)
}

/// How far a part has moved of which only a piece is in view: the picture's edge holds one side of
/// the box, the other side moves with the part.
fn moved_behind_edge(from: Rect<Normalised>, to: Rect<Normalised>) -> (f32, f32) {
    let further = |a: f32, b: f32| if a.abs() > b.abs() { a } else { b };
    (
        further(to.left() - from.left(), to.right() - from.right()),
        further(to.top() - from.top(), to.bottom() - from.bottom()),
    )
}

fn touches_edge(bbox: Rect<Normalised>) -> bool {
    bbox.left() <= EDGE
        || bbox.top() <= EDGE
        || bbox.right() >= 1.0 - EDGE
        || bbox.bottom() >= 1.0 - EDGE
}

#[cfg(test)]
mod tests;
