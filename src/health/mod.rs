//! Figures of a run: latencies per stage, frames per second, CPU time, memory.
//!
//! Fixed memory, however long the run. Owned by the main thread, which folds events into it.

mod metrics;

pub use metrics::{Latencies, LatencySummary, RateMeter, StreamMetrics};
