//! A simulated belt: how many parts are counted, and as what.

use proptest::prelude::*;

use super::*;
use crate::message::{Detection, Grade, GradedItem};
use crate::units::{LabelId, Score};
use Disposition::{Good, Reject, Unsure};

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

fn dispositions(decided: &DecidedParts) -> Vec<Disposition> {
    decided.iter().map(|part| part.disposition).collect()
}

fn seen([left, top, right, bottom]: [f32; 4], disposition: Disposition) -> ItemVerdict {
    let grade = Grade {
        label: LabelId(0),
        score: Score::ONE,
    };
    let detection = Detection {
        label: LabelId(52),
        score: Score::ONE,
        bbox: Rect::new(left, top, right, bottom).unwrap(),
    };
    ItemVerdict {
        item: GradedItem { detection, grade },
        disposition,
    }
}

/// A part of size 0.2 × 0.3 with its left edge at `x`, as far as it is in view.
fn part_at(x: f32, disposition: Disposition) -> Option<ItemVerdict> {
    let (left, right) = (x.max(0.0), (x + 0.2).min(1.0));
    (right - left > 0.04).then(|| seen([left, 0.3, right, 0.6], disposition))
}

/// A part on a belt: when its left edge passes x = 0, and what every frame says of it.
#[derive(Clone, Copy, Debug)]
struct Part {
    enters_ms: u64,
    disposition: Disposition,
}

/// Shares of the picture per second.
const BELT: f32 = 0.8;

/// What one frame of the belt shows.
#[allow(clippy::cast_precision_loss, reason = "a short story")]
fn belt(parts: &[Part], ms: u64) -> Vec<ItemVerdict> {
    let visible = parts.iter().filter_map(|part| {
        let x = (ms as f32 - part.enters_ms as f32) / 1000.0 * BELT - 0.2;
        part_at(x, part.disposition)
    });
    visible.collect()
}

/// Runs the belt at a frame period until long after the last part; `hide` says which detections of
/// which frame are missed.
fn count(
    parts: &[Part],
    period_ms: u64,
    mut hide: impl FnMut(u64, usize) -> bool,
) -> Vec<Disposition> {
    let mut tracker = PartTracker::new();
    let mut decided = Vec::new();
    let end = parts.iter().map(|part| part.enters_ms).max().unwrap_or(0) + 4000;
    for frame in 0..end / period_ms {
        let items: Vec<ItemVerdict> = belt(parts, frame * period_ms)
            .into_iter()
            .enumerate()
            .filter_map(|(n, item)| (!hide(frame, n)).then_some(item))
            .collect();
        decided.extend(dispositions(
            &tracker.observe(at(frame * period_ms), &items),
        ));
    }
    assert!(tracker.finish().is_empty(), "everything has left");
    decided
}

#[test]
fn a_part_that_passes_is_decided_once() {
    let parts = [Part {
        enters_ms: 100,
        disposition: Reject,
    }];
    assert_eq!(count(&parts, 33, |_, _| false), [Reject]);
    assert_eq!(count(&parts, 100, |_, _| false), [Reject]);
}

#[test]
fn two_parts_at_once_are_two() {
    let parts = [
        Part {
            enters_ms: 0,
            disposition: Good,
        },
        Part {
            enters_ms: 400,
            disposition: Reject,
        },
        Part {
            enters_ms: 800,
            disposition: Unsure,
        },
    ];
    assert_eq!(count(&parts, 33, |_, _| false), [Good, Reject, Unsure]);
    assert_eq!(count(&parts, 100, |_, _| false), [Good, Reject, Unsure]);
}

#[test]
fn parts_that_touch_each_other_are_two() {
    // 0.25 s at 0.8 per second: the next part begins where this one ends.
    let parts = [
        Part {
            enters_ms: 0,
            disposition: Good,
        },
        Part {
            enters_ms: 250,
            disposition: Reject,
        },
    ];
    assert_eq!(count(&parts, 33, |_, _| false), [Good, Reject]);
}

#[test]
fn two_parts_side_by_side_are_two() {
    let mut tracker = PartTracker::new();
    for n in 0..20_u16 {
        let x = 0.05 + f32::from(n) * 0.03;
        let upper = seen([x, 0.1, x + 0.2, 0.4], Good);
        let lower = seen([x, 0.45, x + 0.2, 0.75], Reject);
        assert!(
            tracker
                .observe(at(u64::from(n) * 40), &[upper, lower])
                .is_empty()
        );
    }
    assert_eq!(dispositions(&tracker.finish()), [Good, Reject]);
}

#[test]
fn a_detector_that_misses_a_part_briefly_does_no_harm() {
    let parts = [
        Part {
            enters_ms: 0,
            disposition: Good,
        },
        Part {
            enters_ms: 500,
            disposition: Reject,
        },
    ];
    // Ten frames of 33 ms in a row: 0.27 of the picture, more than the part's width.
    let counted = count(&parts, 33, |frame, _| (12..22).contains(&frame));
    assert_eq!(counted, [Good, Reject]);
    let flickering = count(&parts, 33, |frame, n| (frame + n as u64).is_multiple_of(2));
    assert_eq!(flickering, [Good, Reject]);
}

#[test]
fn a_part_is_gone_when_it_was_not_seen_for_lost_after_and_not_before() {
    let part = || seen([0.4, 0.3, 0.6, 0.6], Good);
    let mut tracker = PartTracker::new();
    tracker.observe(at(0), &[part()]);
    tracker.observe(at(100), &[part()]);
    assert!(tracker.observe(at(600), &[]).is_empty());
    let decided = tracker.observe(at(601), &[]);
    assert_eq!(dispositions(&decided), [Good]);
    assert_eq!(decided[0].seen_at, at(100), "its last picture");
    assert!(tracker.observe(at(602), &[]).is_empty());
}

#[test]
fn a_slow_camera_is_not_a_lost_part() {
    let part = || seen([0.4, 0.3, 0.6, 0.6], Good);
    let mut tracker = PartTracker::new();
    for second in 0..10 {
        assert!(tracker.observe(at(second * 1000), &[part()]).is_empty());
    }
    assert_eq!(dispositions(&tracker.finish()), [Good]);
}

#[test]
fn a_flicker_of_the_detector_is_no_part() {
    let mut tracker = PartTracker::new();
    tracker.observe(at(0), &[seen([0.4, 0.3, 0.6, 0.6], Reject)]);
    assert!(tracker.observe(at(600), &[]).is_empty());
    assert!(tracker.finish().is_empty());
}

#[test]
fn the_source_ending_decides_what_is_still_in_view() {
    let mut tracker = PartTracker::new();
    for n in 0..3_u64 {
        tracker.observe(at(n * 40), &[seen([0.4, 0.3, 0.6, 0.6], Reject)]);
    }
    assert_eq!(dispositions(&tracker.finish()), [Reject]);
    assert!(tracker.finish().is_empty());
}

#[test]
fn the_same_timestamp_twice_makes_no_second_part() {
    let mut tracker = PartTracker::new();
    for _ in 0..3 {
        tracker.observe(at(0), &[seen([0.4, 0.3, 0.6, 0.6], Good)]);
    }
    assert_eq!(dispositions(&tracker.finish()), [Good]);
}

fn majority(votes: &[Disposition]) -> Disposition {
    let mut counted = Votes::default();
    for vote in votes {
        counted.count(*vote);
    }
    counted.majority()
}

#[test]
fn the_majority_of_all_votes_decides_and_a_tie_does_not() {
    assert_eq!(majority(&[Reject, Reject, Good]), Reject);
    assert_eq!(majority(&[Good, Reject, Good]), Good);
    assert_eq!(majority(&[Good, Reject]), Unsure);
    assert_eq!(majority(&[Reject, Unsure]), Unsure);
    assert_eq!(majority(&[Good, Unsure]), Unsure);
    assert_eq!(majority(&[Reject, Reject, Reject, Unsure, Good]), Reject);
    assert_eq!(majority(&[Good, Good, Good, Unsure, Reject]), Good);
    assert_eq!(majority(&[Reject, Reject, Unsure, Good]), Unsure);
    assert_eq!(majority(&[]), Unsure);
}

#[test]
fn a_piece_of_a_part_votes_only_if_the_whole_was_never_in_view() {
    let mut tracker = PartTracker::new();
    for (n, x) in [0.0, 0.0, 0.0, 0.05, 0.1].into_iter().enumerate() {
        let disposition = if x > 0.0 { Good } else { Reject };
        tracker.observe(
            at(n as u64 * 40),
            &[seen([x, 0.3, x + 0.2, 0.6], disposition)],
        );
    }
    assert_eq!(dispositions(&tracker.finish()), [Good]);
    for n in 0..3_u64 {
        tracker.observe(at(n * 40), &[seen([0.0, 0.3, 0.2, 0.6], Reject)]);
    }
    assert_eq!(dispositions(&tracker.finish()), [Reject]);
}

#[test]
fn touching_any_edge_within_the_detectors_noise_is_touching() {
    let touches = |corners| touches_edge(seen(corners, Good).item.detection.bbox);
    assert!(!touches([0.011, 0.011, 0.989, 0.989]));
    for corners in [
        [0.01, 0.5, 0.6, 0.6],
        [0.5, 0.01, 0.6, 0.6],
        [0.5, 0.5, 0.99, 0.6],
        [0.5, 0.5, 0.6, 0.99],
    ] {
        assert!(touches(corners), "{corners:?}");
    }
}

#[test]
fn a_second_box_of_the_same_part_is_not_a_second_part() {
    let whole = seen([0.4, 0.3, 0.6, 0.6], Good);
    let inner = seen([0.42, 0.32, 0.58, 0.58], Reject);
    let mut tracker = PartTracker::new();
    for n in 0..5_u64 {
        tracker.observe(at(n * 40), &[whole, inner]);
    }
    assert_eq!(dispositions(&tracker.finish()), [Good]);
}

#[test]
fn boxes_that_share_less_are_two_parts() {
    let first = [0.2, 0.3, 0.4, 0.6];
    let doubles = |second| without_doubles(&[seen(first, Good), seen(second, Good)]).len() == 1;
    assert!(doubles([0.25, 0.3, 0.45, 0.6]), "three quarters shared");
    assert!(!doubles([0.27, 0.3, 0.47, 0.6]), "0.65 shared");
    assert!(!doubles([0.4, 0.3, 0.4, 0.6]), "no area");
}

#[test]
fn boxes_without_an_area_belong_to_nothing() {
    let flat = seen([0.4, 0.3, 0.4, 0.6], Good);
    let track = Track::new(at(0), 1, &flat, None);
    assert_eq!(
        track.affinity(at(40), flat.item.detection.bbox).to_bits(),
        0.0_f32.to_bits()
    );
    let thin = seen([0.4, 0.3, 0.6, 0.3], Good);
    let track = Track::new(at(0), 1, &thin, None);
    assert_eq!(
        track.affinity(at(40), thin.item.detection.bbox).to_bits(),
        0.0_f32.to_bits()
    );
}

#[test]
fn more_parts_than_places_keep_the_tracker_whole() {
    let mut tracker = PartTracker::new();
    for frame in 0..20_u64 {
        let row = f32::from(u8::try_from(frame).unwrap()) * 0.05;
        let items: Vec<_> = (0..16_u8)
            .map(|n| {
                let x = f32::from(n) * 0.06;
                seen([x, row, x + 0.01, row + 0.01], Good)
            })
            .collect();
        tracker.observe(at(frame), &items);
    }
    assert!(tracker.finish().len() <= TRACKS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever the spacing, the camera's pace and short blindness of the detector: every part is
    /// counted once, in order, as what most frames say.
    #[test]
    fn every_part_on_the_belt_is_counted_once(
        spacings in prop::collection::vec((300_u64..2000, 0_usize..3), 1..6),
        period_ms in 20_u64..80,
        missed in prop::collection::vec(any::<u8>(), 400),
    ) {
        let mut enters_ms = 0;
        let parts: Vec<Part> = spacings
            .iter()
            .map(|(spacing, kind)| {
                enters_ms += spacing;
                Part { enters_ms, disposition: [Good, Reject, Unsure][*kind] }
            })
            .collect();
        // One detection in eight is missed, but never any for longer than 400 ms.
        let hide = |frame: u64, n: usize| {
            let index = usize::try_from(frame).unwrap() * 7 + n;
            missed[index % missed.len()] < 32 && !frame.is_multiple_of(400 / period_ms)
        };
        let expected: Vec<Disposition> = parts.iter().map(|part| part.disposition).collect();
        prop_assert_eq!(count(&parts, period_ms, hide), expected);
    }
}
