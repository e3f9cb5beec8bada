#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use proptest::prelude::*;

fn labels() -> Vec<String> {
    ["person", "bicycle", "car"].map(str::to_owned).to_vec()
}

fn wanted(threshold: f32) -> Wanted {
    Wanted {
        labels: vec![LabelId(0), LabelId(2)],
        threshold: Score::new(threshold).unwrap(),
    }
}

fn read_all(boxes: &[[f32; 4]], classes: &[f32], scores: &[f32]) -> Result<Detections, String> {
    let rows = Rows {
        boxes,
        classes,
        scores,
    };
    read(rows, &labels(), &wanted(0.3))
}

const BOX: [f32; 4] = [0.1, 0.2, 0.3, 0.4];

#[test]
fn wanted_labels_above_the_threshold_come_out_by_score() {
    let found = read_all(
        &[BOX; 5],
        &[0.0, 1.0, 2.0, 0.0, 0.0],
        &[0.5, 0.9, 0.7, 0.29, 0.3],
    )
    .unwrap();
    let seen: Vec<(u16, f32)> = found.iter().map(|d| (d.label.0, d.score.get())).collect();
    assert_eq!(seen, [(2, 0.7), (0, 0.5), (0, 0.3)]);
    assert_eq!(found[0].bbox, Rect::new(0.2, 0.1, 0.4, 0.3).unwrap());
}

#[test]
fn equal_scores_keep_the_models_order() {
    let second = [0.5, 0.5, 0.6, 0.6];
    let found = read_all(&[BOX, second], &[0.0, 2.0], &[0.5, 0.5]).unwrap();
    assert_eq!([found[0].label, found[1].label], [LabelId(0), LabelId(2)]);
}

#[test]
fn garbage_fails_the_frame_even_where_nobody_asked_for_the_row() {
    let nan = f32::NAN;
    for (boxes, class, score) in [
        ([nan, 0.0, 1.0, 1.0], 0.0, 0.9),
        ([0.0, 0.0, f32::INFINITY, 1.0], 0.0, 0.9),
        ([0.5, 0.5, 0.4, 0.6], 0.0, 0.9),
        ([0.5, 0.6, 0.6, 0.5], 0.0, 0.9),
        (BOX, nan, 0.9),
        (BOX, 3.0, 0.9),
        (BOX, -1.0, 0.9),
        (BOX, 0.5, 0.9),
        (BOX, 1e30, 0.9),
        (BOX, 0.0, nan),
        (BOX, 1.0, f32::INFINITY),
    ] {
        let error = read_all(&[BOX, boxes], &[0.0, class], &[0.9, score]).unwrap_err();
        assert!(
            error.contains("detection 1"),
            "{boxes:?} {class} {score}: {error}"
        );
    }
}

#[test]
fn a_box_outside_the_frame_is_kept_on_its_edge() {
    let found = read_all(&[[1.2, -0.5, 1.9, 0.5]], &[0.0], &[0.9]).unwrap();
    assert_eq!(found[0].bbox, Rect::new(0.0, 1.0, 0.5, 1.0).unwrap());
}

#[test]
fn a_count_that_cannot_be_is_refused() {
    for bad in [f32::NAN, -1.0, 50.5, 51.0, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(whole_number(bad, 50), None, "{bad}");
    }
    assert_eq!(whole_number(50.0, 50), Some(50));
    assert_eq!(whole_number(-0.0, 50), Some(0));
}

proptest! {
    #[test]
    fn any_bits_give_boxes_inside_the_frame_or_an_error(
        rows in proptest::collection::vec((any::<[u32; 4]>(), any::<u32>(), any::<u32>()), 0..30),
    ) {
        let boxes: Vec<[f32; 4]> = rows.iter().map(|row| row.0.map(f32::from_bits)).collect();
        let classes: Vec<f32> = rows.iter().map(|row| f32::from_bits(row.1)).collect();
        let scores: Vec<f32> = rows.iter().map(|row| f32::from_bits(row.2)).collect();
        if let Ok(found) = read_all(&boxes, &classes, &scores) {
            for detection in found {
                prop_assert_eq!(detection.bbox.intersection(Rect::FULL), Some(detection.bbox));
            }
        }
    }

    #[test]
    fn nothing_wanted_is_ever_lost(
        rows in proptest::collection::vec((
            (-0.5_f32..1.5, -0.5_f32..1.5, 0.0_f32..1.0, 0.0_f32..1.0), 0_u8..3, 0.0_f32..1.0), 0..60),
    ) {
        let boxes: Vec<[f32; 4]> = rows.iter().map(|((y, x, h, w), ..)| [*y, *x, y + h, x + w]).collect();
        let classes: Vec<f32> = rows.iter().map(|(_, class, _)| f32::from(*class)).collect();
        let scores: Vec<f32> = rows.iter().map(|(.., score)| *score).collect();
        let found = read_all(&boxes, &classes, &scores).unwrap();
        let expected = rows.iter().filter(|(_, class, score)| *class != 1 && *score >= 0.3).count();
        prop_assert_eq!(found.len(), expected);
        prop_assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    }
}
