//! Wiring, threads, shutdown; the only place that spawns.
//!
//! [`run::run`] opens sources, models and outputs, starts one thread per stage (`docs/architecture.md`
//! has the table), follows their events on the main thread and joins them. Files of this folder named
//! `*_thread.rs` hold the body of one thread each; the rest is what the main thread does.

mod board;
mod capture_thread;
pub mod clash;
mod config_thread;
mod day_clock;
mod decide_thread;
mod describe_display;
mod describe_ground;
mod desk;
mod event_thread;
mod gauge;
mod infer_thread;
mod input_thread;
mod line_file;
mod live;
mod picture;
mod pipeline;
mod progress;
mod reconfigured;
pub mod report;
pub mod run;
pub mod summary;
mod supervisor;
mod ui_thread;
mod unjudged;
mod watchdog_thread;

pub use ui_thread::SnapshotRequest;
pub mod bench;
pub mod bench_models;
pub mod bench_preprocess;
#[cfg(feature = "tpu-sim")]
pub mod bench_tpu;
pub mod describe;
pub mod events;
pub mod gpu_preprocess;
pub mod import_config;
pub mod infer;
pub mod keepout;
pub mod models;
pub mod outputs;
pub mod reference;
pub mod replay;
pub mod response_time;
pub mod system;

use std::io;

use crate::sys::StopFlag;

/// A stop flag that SIGINT, SIGTERM and SIGHUP raise. Whoever does not want to wait finds the terminal put back.
///
/// # Errors
///
/// The handlers cannot be installed.
pub fn stop_on_signals() -> io::Result<StopFlag> {
    StopFlag::on_signals(crate::ui::kms::restore_terminal)
}
