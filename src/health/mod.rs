//! Counters and figures of a run.
