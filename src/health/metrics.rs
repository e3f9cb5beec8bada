//! Latency histograms and rates.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::message::Decided;
use crate::units::MonotonicTime;

/// Longest latency told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// A histogram of durations, precise to 1 % from 1 µs to one minute; longer ones count as a minute.
#[derive(Clone, Debug)]
pub struct Latencies(Option<Histogram<u64>>);

/// What a histogram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencySummary {
    /// Number of durations.
    pub count: u64,
    /// Median.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Longest.
    pub max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, micros(LATENCY_MAX), 2).ok())
    }
}

impl Latencies {
    /// Adds one duration.
    pub fn record(&mut self, latency: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros(latency).max(1));
        }
    }

    /// Median, 99th percentile and maximum so far.
    #[must_use]
    pub fn summary(&self) -> LatencySummary {
        self.0
            .as_ref()
            .map_or_else(LatencySummary::default, |histogram| LatencySummary {
                count: histogram.len(),
                p50: Duration::from_micros(histogram.value_at_quantile(0.5)),
                p99: Duration::from_micros(histogram.value_at_quantile(0.99)),
                max: Duration::from_micros(histogram.max()),
            })
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Figures of one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamMetrics {
    /// Frames decided.
    pub frames: u64,
    /// Frames whose inference failed.
    pub failed: u64,
    /// Inferences run.
    pub inferences: u64,
    /// Waiting for the engine.
    pub queued: Latencies,
    /// Preprocessing.
    pub preprocess: Latencies,
    /// The engine's own time.
    pub inference: Latencies,
    /// Arrival to decision.
    pub latency: Latencies,
}

impl StreamMetrics {
    /// Adds a decided frame.
    pub fn record(&mut self, decided: &Decided) {
        self.frames += 1;
        self.failed += u64::from(decided.verdict.failure().is_some());
        self.inferences += u64::from(decided.timing.inferences);
        self.queued.record(decided.timing.queued);
        self.preprocess.record(decided.timing.preprocess);
        self.inference.record(decided.timing.inference);
        self.latency.record(decided.latency);
    }
}

/// Events per second over the last second or so.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateMeter {
    since: Option<MonotonicTime>,
    count: u32,
    rate: f32,
}

impl RateMeter {
    /// Counts one event at `now` and says the rate.
    pub fn tick(&mut self, now: MonotonicTime) -> f32 {
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        let span = now.saturating_since(since);
        if span >= Duration::from_secs(1) || (self.rate <= 0.0 && self.count > 1) {
            let seconds = span.as_secs_f32();
            if seconds > 0.0 {
                #[allow(clippy::cast_precision_loss, reason = "counts of one second are small")]
                let events = (self.count - 1) as f32;
                self.rate = events / seconds;
            }
        }
        if span >= Duration::from_secs(1) {
            (self.since, self.count) = (Some(now), 1);
        }
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_one_percent() {
        let mut latencies = Latencies::default();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let LatencySummary {
            count,
            p50,
            p99,
            max,
        } = latencies.summary();
        assert_eq!(count, 100);
        for (got, want) in [(p50, 50.0), (p99, 99.0), (max, 100.0)] {
            let ms = got.as_secs_f64() * 1e3;
            assert!((ms - want).abs() <= want * 0.01, "{ms} for {want}");
        }
    }

    #[test]
    fn a_rate_is_events_per_second() {
        let mut meter = RateMeter::default();
        let mut rate = 0.0;
        for frame in 0..100_u64 {
            let now = MonotonicTime::from_duration(Duration::from_millis(frame * 40));
            rate = meter.tick(now);
        }
        assert!((rate - 25.0).abs() < 0.01, "{rate}");
    }
}
