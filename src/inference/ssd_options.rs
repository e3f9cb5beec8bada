//! The options of `TFLite_Detection_PostProcess`, read and checked.

use crate::flat::flexbuffer::{Map, Number};

/// Counts above this are damage: no detector has as many anchors.
const COUNT_MAX: i64 = 65_535;

/// TFLite's own, where the option is missing.
const PER_CLASS_DEFAULT: usize = 100;

/// How overlapping boxes are thinned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suppression {
    /// Once over all anchors, each with its best class (`use_regular_nms = false`).
    Fast,
    /// Once per class.
    Regular,
}

/// What an SSD's post-process step is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Options {
    /// Most anchors that become detections, 1 or more.
    pub(super) detections_max: usize,
    /// Most anchors of one class that become detections, 1 or more; in the regular mode.
    pub(super) detections_per_class: usize,
    /// Best classes of each that are put out, 1 or more; in the fast mode.
    pub(super) classes_per_detection: usize,
    /// Classes, the background not counted, 1 or more.
    pub(super) classes: usize,
    /// Anchors whose best score is lower are left out; below 1, or nothing would ever be found.
    pub(super) score_threshold: f32,
    /// Of two boxes with a larger intersection over union only the better stays; over 0, up to 1.
    pub(super) iou_threshold: f32,
    /// What raw y, x, height and width are divided by: finite, not 0.
    pub(super) scales: [f32; 4],
    /// Fast or regular.
    pub(super) suppression: Suppression,
}

impl Options {
    /// Reads them from an operator's flexbuffer.
    ///
    /// # Errors
    ///
    /// Not a flexbuffer map, an option missing, or one that no model can mean; says which.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let map =
            Map::root(bytes).map_err(|error| format!("its options cannot be read: {error}"))?;
        let find = |key: &str| {
            map.number(key)
                .map_err(|error| format!("its options cannot be read: {error}"))
        };
        let needed = |key: &str| find(key)?.ok_or_else(|| format!("its option {key} is missing"));
        let count = |key: &str| match needed(key)? {
            Number::Int(value @ 1..=COUNT_MAX) => {
                usize::try_from(value).map_err(|error| format!("its option {key}: {error}"))
            }
            Number::Int(value) => Err(format!("its option {key} is {value}, not 1 to {COUNT_MAX}")),
            Number::Float(value) => Err(format!("its option {key} is {value}, not a whole number")),
        };
        let float = |key: &str| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "TFLite keeps them as f32, too"
            )]
            let value = match needed(key)? {
                Number::Int(value) => value as f32,
                Number::Float(value) => value as f32,
            };
            if value.is_finite() {
                Ok(value)
            } else {
                Err(format!("its option {key} is {value}"))
            }
        };
        let scale = |key: &str| match float(key)? {
            0.0 => Err(format!("its option {key} is 0")),
            value => Ok(value),
        };
        let suppression = match find("use_regular_nms")? {
            None | Some(Number::Int(0)) => Suppression::Fast,
            Some(Number::Int(_)) => Suppression::Regular,
            Some(Number::Float(value)) => {
                return Err(format!(
                    "its option use_regular_nms is {value}, not a truth value"
                ));
            }
        };
        // Read by the regular mode alone; TFLite reads it in any case.
        let detections_per_class = match find("detections_per_class")? {
            Some(_) => count("detections_per_class")?,
            None => PER_CLASS_DEFAULT,
        };
        let options = Self {
            detections_max: count("max_detections")?,
            detections_per_class,
            classes_per_detection: count("max_classes_per_detection")?,
            classes: count("num_classes")?,
            score_threshold: float("nms_score_threshold")?,
            iou_threshold: float("nms_iou_threshold")?,
            scales: [
                scale("y_scale")?,
                scale("x_scale")?,
                scale("h_scale")?,
                scale("w_scale")?,
            ],
            suppression,
        };
        if options.score_threshold >= 1.0 {
            return Err(format!(
                "its option nms_score_threshold is {}; nothing would ever be found",
                options.score_threshold
            ));
        }
        if !(options.iou_threshold > 0.0 && options.iou_threshold <= 1.0) {
            return Err(format!(
                "its option nms_iou_threshold is {}, not over 0 and up to 1",
                options.iou_threshold
            ));
        }
        Ok(options)
    }
}
