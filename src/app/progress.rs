//! What a person sees while a run goes on: a bar with rate and remaining time on a terminal, a plain
//! line now and then otherwise.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::message::OutputState;
use crate::sys::monotonic_now;
use crate::units::MonotonicTime;

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Progress of a run, in frames of both streams.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    frames: u64,
    total: Option<u64>,
    started: MonotonicTime,
    last_line: MonotonicTime,
    quiet: bool,
}

impl Progress {
    /// Starts at zero of `total` frames; `None` where nobody knows.
    pub(super) fn new(total: Option<u64>, show: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (show && terminal).then(|| {
            let bar = match total {
                Some(total) => ProgressBar::new(total).with_style(style(
                    "{bar:30} {pos}/{len} frames  {per_sec}  {eta} left  {msg}",
                )),
                None => ProgressBar::new_spinner()
                    .with_style(style("{spinner} {pos} frames  {per_sec}  {elapsed}  {msg}")),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar
        });
        let now = monotonic_now();
        Self {
            bar,
            frames: 0,
            total,
            started: now,
            last_line: now,
            quiet: !show,
        }
    }

    /// Counts a decided frame.
    pub(super) fn frame(&mut self) {
        self.frames += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
            return;
        }
        let now = monotonic_now();
        if !self.quiet && now.saturating_since(self.last_line) >= PLAIN_INTERVAL {
            self.last_line = now;
            self.line(now);
        }
    }

    /// Shows the run permission's new state and why it changed.
    pub(super) fn permission(&self, state: OutputState, cause: &str) {
        let word = match state {
            OutputState::Active => "ON",
            OutputState::Inactive => "OFF",
        };
        match &self.bar {
            Some(bar) => bar.set_message(format!("run permission {word} ({cause})")),
            None if self.quiet => {}
            None => log::info!("run permission {word} ({cause})"),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "frames of a run stay far below 2^53"
    )]
    fn line(&self, now: MonotonicTime) {
        let seconds = now.saturating_since(self.started).as_secs_f64();
        let rate = self.frames as f64 / seconds.max(1e-3);
        match self.total {
            Some(total) => {
                let left = total.saturating_sub(self.frames) as f64 / rate.max(1e-3);
                log::info!(
                    "{}/{total} frames, {rate:.1}/s, {left:.0} s left",
                    self.frames
                );
            }
            None => log::info!("{} frames, {rate:.1}/s", self.frames),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
