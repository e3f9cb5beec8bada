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
                verdict.failure = Some(reason);
            }
        }
        verdict
    }

    fn action(&self, label: LabelId) -> Option<GradeAction> {
        self.actions.get(usize::from(label.0)).copied().flatten()
    }
}
