//! Figures of a run (latencies per stage, frames per second, CPU time, memory) and the pipeline's
//! signs of life.
//!
//! Fixed memory, however long the run. The figures are owned by the main thread, which folds events
//! into them.

mod beat;
mod metrics;

pub use beat::{Beat, PipelinePulse};
pub use metrics::{Latencies, LatencySummary, RateMeter, StreamMetrics};
