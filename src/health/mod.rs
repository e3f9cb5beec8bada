//! Figures of a run (latencies per stage, frames per second, CPU time, memory), the pipeline's signs
//! of life, and the event log.
//!
//! Figures take fixed memory, however long the run; the main thread folds events into them. The
//! event log is written by a thread of its own, because a disk may stall.

mod beat;
mod event_lines;
mod event_log;
mod metrics;

pub use beat::{Beat, LONG_MAX, PipelinePulse};
pub use event_lines::{EventKind, EventLine, Stamp, configuration, lines};
pub use event_log::{EventLog, EventLogError, LINE_BYTES_MAX, LastLine, ReadLine, read};
pub use metrics::{Latencies, LatencySummary, RateMeter, StreamMetrics};
