//! Grades become dispositions: what happens to a part. Pure.

use crate::config::{GradeAction, VisualInspectionConfig};
use crate::message::{Disposition, Findings, Grade, InspectionVerdict, ItemVerdict};
use crate::units::{LabelId, Score, StreamId};

/// How grades are read, from the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Grading {
    threshold: Score,
    grade_threshold: Score,
    /// By [`LabelId`]; `None` for a label the configuration does not mention.
    actions: Vec<Option<GradeAction>>,
}

impl Grading {
    /// Reads the configuration against the classifier's label file, in the order of the file.
    #[must_use]
    pub fn new(config: &VisualInspectionConfig, classifier_labels: &[String]) -> Self {
        let action_of = |label: &String| {
            let named = config.grades.iter().find(|(name, _)| name == label);
            named.map(|(_, action)| *action)
        };
        Self {
            threshold: config.threshold,
            grade_threshold: config.grade_threshold,
            actions: classifier_labels.iter().map(action_of).collect(),
        }
    }

    /// What happens to a part with this grade. A grade below the threshold, or one that the
    /// configuration does not mention, is [`Disposition::Unsure`].
    #[must_use]
    pub fn disposition(&self, grade: Grade) -> Disposition {
        if grade.score < self.grade_threshold {
            return Disposition::Unsure;
        }
        match self.action(grade.label) {
            Some(GradeAction::Good) => Disposition::Good,
            Some(GradeAction::Reject) => Disposition::Reject,
            None => Disposition::Unsure,
        }
    }

    /// The verdict on one frame: every part at or above the threshold with its disposition.
    /// Findings that are not about parts count as a frame that could not be judged.
    #[must_use]
    pub fn judge(&self, findings: &Findings) -> InspectionVerdict {
        let mut verdict = InspectionVerdict::default();
        match findings {
            Findings::Items(items) => {
                let seen = items
                    .iter()
                    .filter(|item| item.detection.score >= self.threshold);
                verdict.items.extend(seen.map(|item| ItemVerdict {
                    item: *item,
                    disposition: self.disposition(item.grade),
                }));
            }
            Findings::Failed(reason) => verdict.failure = Some(reason.clone()),
            Findings::Persons(_) => {
                let stream = StreamId::VisualInspection;
                let reason = format!("{stream}: inference looked for people, not for parts");
                verdict.failure = Some(reason.into());
            }
        }
        verdict
    }

    fn action(&self, label: LabelId) -> Option<GradeAction> {
        self.actions.get(usize::from(label.0)).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CameraConfig, InputSpec};
    use crate::geometry::Rect;
    use crate::message::{Detection, Detections, GradedItem};

    fn score(value: f32) -> Score {
        Score::new(value).unwrap()
    }

    fn grading() -> Grading {
        let config = VisualInspectionConfig {
            camera: CameraConfig::default(),
            input: InputSpec::Pattern("none".to_owned()),
            threshold: score(0.5),
            part_labels: vec!["apple".to_owned()],
            crop_margin: 0.0,
            grade_threshold: score(0.8),
            grades: vec![
                ("rotten_apple".to_owned(), GradeAction::Reject),
                ("fresh_apple".to_owned(), GradeAction::Good),
            ],
            reject_delay: None,
            reject_pulse: VisualInspectionConfig::REJECT_PULSE_DEFAULT,
        };
        let labels = ["fresh_apple", "rotten_apple", "leaf"].map(str::to_owned);
        Grading::new(&config, &labels)
    }

    fn item(detection_score: f32, label: u16, grade_score: f32) -> GradedItem {
        GradedItem {
            detection: Detection {
                label: LabelId(52),
                score: score(detection_score),
                bbox: Rect::FULL,
            },
            grade: Grade {
                label: LabelId(label),
                score: score(grade_score),
            },
        }
    }

    #[test]
    fn a_grade_means_what_the_configuration_says_of_its_label() {
        let dispositions = [0, 1, 2, 3].map(|label| {
            let label = LabelId(label);
            grading().disposition(Grade {
                label,
                score: Score::ONE,
            })
        });
        use Disposition::{Good, Reject, Unsure};
        assert_eq!(dispositions, [Good, Reject, Unsure, Unsure]);
    }

    #[test]
    fn below_the_grade_threshold_nothing_is_sure() {
        let label = LabelId(1);
        let with = |value| {
            grading().disposition(Grade {
                label,
                score: score(value),
            })
        };
        assert_eq!(with(0.8), Disposition::Reject);
        assert_eq!(with(0.799), Disposition::Unsure);
    }

    #[test]
    fn parts_below_the_threshold_are_ignored() {
        let items = [item(0.9, 0, 0.9), item(0.5, 1, 0.9), item(0.499, 1, 0.9)];
        let verdict = grading().judge(&Findings::Items(items.into_iter().collect()));
        let got: Vec<_> = verdict.items.iter().map(|part| part.disposition).collect();
        assert_eq!(got, [Disposition::Good, Disposition::Reject]);
        assert_eq!(verdict.failure, None);
    }

    #[test]
    fn a_frame_without_a_judgement_says_why() {
        for findings in [
            Findings::Failed("classifier".into()),
            Findings::Persons(Detections::new()),
        ] {
            let verdict = grading().judge(&findings);
            assert!(verdict.failure.is_some());
            assert!(verdict.items.is_empty());
        }
    }
}
