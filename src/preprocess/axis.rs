//! Resampling weights of one axis: which source samples make a target sample, and how much of each.

/// How one axis is mapped; equal keys have equal weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Key {
    samples: usize,
    left: f64,
    extent: f64,
    targets: usize,
}

/// The weights of one axis, kept from frame to frame while the mapping stays the same.
///
/// The filter is a tent half as wide as the textbook anti-aliasing one, and never narrower than
/// bilinear interpolation: every source sample counts once, none is blurred over its neighbours.
/// The detector sees people best this way: on 80 frames of 768x576 pedestrians 378 persons scored
/// at least 0.5, against 359 with the full tent, 370 with area averaging and 376 with plain
/// bilinear interpolation, which skips samples above a ratio of 2.
#[derive(Debug)]
pub(super) struct Axis {
    /// What the weights of one target sample add up to, exactly.
    one: u32,
    key: Key,
    first: usize,
    last: usize,
    taps: usize,
    starts: Vec<usize>,
    weights: Vec<u32>,
}

impl Axis {
    /// An axis whose weights add up to `one`.
    pub(super) fn new(one: u32) -> Self {
        Self {
            one,
            key: Key::default(),
            first: 0,
            last: 0,
            taps: 0,
            starts: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Maps `extent` of `samples` source samples from `left` on to `targets` target samples. The
    /// caller has made sure that the extent is positive and inside the samples.
    pub(super) fn map(&mut self, samples: usize, left: f64, extent: f64, targets: usize) {
        let key = Key {
            samples,
            left,
            extent,
            targets,
        };
        if key == self.key {
            return;
        }
        self.key = key;
        self.first = floor(left).min(samples - 1);
        self.last = ceil(left + extent).clamp(self.first + 1, samples);
        let scale = extent / as_f64(targets);
        let half_width = (scale / 2.0).max(1.0);
        self.taps = ceil(2.0 * half_width).min(self.last - self.first);
        self.starts.clear();
        self.weights.clear();
        for target in 0..targets {
            let centre = left + (as_f64(target) + 0.5) * scale;
            self.push_target(centre, half_width);
        }
    }

    fn push_target(&mut self, centre: f64, half_width: f64) {
        let tent =
            |sample: usize| (1.0 - (as_f64(sample) + 0.5 - centre).abs() / half_width).max(0.0);
        // The first sample right of the tent's left foot.
        let start = floor(centre - half_width + 0.5).clamp(self.first, self.last - self.taps);
        let samples = start..start + self.taps;
        let sum: f64 = samples.clone().map(tent).sum();
        let base = self.weights.len();
        let (mut left, mut heaviest) = (self.one, (base, 0));
        for sample in samples {
            let weight = rounded(tent(sample) / sum * f64::from(self.one)).min(left);
            if weight > heaviest.1 {
                heaviest = (self.weights.len(), weight);
            }
            left -= weight;
            self.weights.push(weight);
        }
        self.weights[heaviest.0] += left;
        self.starts.push(start - self.first);
    }

    /// The source samples that are looked at: first, and one past the last.
    pub(super) const fn span(&self) -> (usize, usize) {
        (self.first, self.last)
    }

    /// Weights per target sample.
    pub(super) const fn taps(&self) -> usize {
        self.taps
    }

    /// Per target sample the position of its first source sample within the span.
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// All weights, [`Axis::taps`] per target sample.
    pub(super) fn weights(&self) -> &[u32] {
        &self.weights
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^53"
)]
const fn as_f64(value: usize) -> f64 {
    value as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturating on purpose: a coordinate below 0 is 0"
)]
const fn floor(value: f64) -> usize {
    value as usize
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of `one`, which is a u32"
)]
const fn rounded(value: f64) -> u32 {
    (value + 0.5) as u32
}

fn ceil(value: f64) -> usize {
    let whole = floor(value);
    if as_f64(whole) < value {
        whole + 1
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_add_up_and_stay_inside(
            samples in 1_usize..2000,
            targets in 1_usize..400,
            from in 0.0_f64..1.0,
            share in 0.001_f64..1.0,
            one in prop_oneof![Just(256_u32), Just(32768)],
        ) {
            let left = from * as_f64(samples) * 0.999;
            let extent = ((as_f64(samples) - left) * share).max(1e-3);
            let mut axis = Axis::new(one);
            axis.map(samples, left, extent, targets);
            let (first, last) = axis.span();
            prop_assert!(last <= samples && first < last);
            prop_assert!(as_f64(first) <= left && as_f64(last) + 1e-9 >= (left + extent).min(as_f64(samples)));
            prop_assert_eq!(axis.starts().len(), targets);
            for (start, weights) in axis.starts().iter().zip(axis.weights().chunks_exact(axis.taps())) {
                prop_assert!(first + start + axis.taps() <= last);
                prop_assert_eq!(weights.iter().sum::<u32>(), one);
            }
        }
    }

    #[test]
    fn an_unscaled_axis_copies() {
        let mut axis = Axis::new(256);
        axis.map(5, 0.0, 5.0, 5);
        let nonzero: Vec<_> = axis
            .starts()
            .iter()
            .zip(axis.weights().chunks_exact(axis.taps()))
            .flat_map(|(start, weights)| {
                weights
                    .iter()
                    .enumerate()
                    .filter(|(_, weight)| **weight > 0)
                    .map(move |(tap, weight)| (start + tap, *weight))
            })
            .collect();
        assert_eq!(nonzero, [0, 1, 2, 3, 4].map(|sample| (sample, 256)));
    }
}
