//! `andon bench`: what each stage and the whole pipeline cost on this machine.
//!
//! Stages are timed one after the other on one thread, so that nothing shares the caches; then the
//! pipeline runs as it does in a plant, without and with a picture, in `asap`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::gpu_preprocess;
use super::report::millis;
use super::run::{RunError, RunOptions, run};
use super::summary::Summary;
use crate::capture;
use crate::config::{DisplayChoice, Loaded, Pace};
use crate::health::{Latencies, LatencySummary};
use crate::inference::Inferencer;
use crate::sys::{StopFlag, monotonic_now};
use crate::units::StreamId;

/// One stage's cost.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What was timed.
    pub name: String,
    /// Its cost per call.
    pub cost: LatencySummary,
}

/// Figures of a bench.
#[derive(Clone, Debug)]
pub struct BenchFigures {
    engine: String,
    stages: Vec<Stage>,
    /// Name and figures of each end-to-end run.
    runs: Vec<(&'static str, Summary)>,
}

/// Measures `frames` frames of each configured input.
///
/// # Errors
///
/// An input, a model or the picture cannot be had.
pub fn run_bench(loaded: &Loaded, frames: u64) -> Result<BenchFigures, RunError> {
    let (engine, stages) = stages(loaded, frames)?;
    let mut runs = Vec::new();
    for (name, display) in [
        ("without picture", DisplayChoice::None),
        ("with picture", DisplayChoice::Headless),
    ] {
        log::info!("end to end, {name}");
        let mut loaded = loaded.clone();
        loaded.config.display.display = display;
        let options = RunOptions {
            pace: Pace::Asap,
            frames: Some(frames),
            repeat: true,
            progress: true,
            ..RunOptions::default()
        };
        let outcome = run(&loaded, &options, &StopFlag::new())?;
        if let Some(error) = outcome.error {
            return Err(error);
        }
        runs.push((name, outcome.summary));
    }
    Ok(BenchFigures {
        engine,
        stages,
        runs,
    })
}

/// Times decode, preprocessing and inference of both streams, one call after the other.
fn stages(loaded: &Loaded, frames: u64) -> Result<(String, Vec<Stage>), RunError> {
    let config = &loaded.config;
    let mut inferencer = Inferencer::new(config)?;
    gpu_preprocess::attach(config, &mut inferencer);
    let mut stages = Vec::new();
    for id in StreamId::ALL {
        log::info!("stages of {id}");
        let mut source = capture::open_input(config, id)?;
        let [mut decode, mut preprocess, mut inference] = [(); 3].map(|()| Latencies::default());
        let mut done = 0;
        while done < frames {
            let started = monotonic_now();
            let frame = match capture::next_within(source.as_mut(), capture::CAMERA_WAIT_MAX)? {
                Some(frame) => frame,
                None if done > 0 => {
                    source.rewind()?;
                    continue;
                }
                None => break,
            };
            decode.record(monotonic_now().saturating_since(started));
            let found = inferencer.run(frame, monotonic_now);
            preprocess.record(found.timing.preprocess);
            inference.record(found.timing.inference);
            done += 1;
        }
        for (stage, figures) in [
            ("decode", decode),
            ("preprocess", preprocess),
            ("inference", inference),
        ] {
            stages.push(Stage {
                name: format!("{id} {stage}"),
                cost: figures.summary(),
            });
        }
    }
    Ok((inferencer.engine_description(), stages))
}

impl BenchFigures {
    /// The figures as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("engine: {}\n\n", self.engine);
        let _ = writeln!(
            text,
            "{:<34} {:>9} {:>9} {:>9}",
            "stage, per frame, one at a time", "p50 ms", "p99 ms", "max ms"
        );
        for Stage { name, cost } in &self.stages {
            let [p50, p99, max] = [cost.p50, cost.p99, cost.max].map(millis);
            let _ = writeln!(text, "{name:<34} {p50:>9.2} {p99:>9.2} {max:>9.2}");
        }
        let _ = writeln!(
            text,
            "\n{:<20} {:>8} {:>12} {:>14} {:>18} {:>9}",
            "end to end", "pairs", "pairs/s", "CPU ms/pair", "frames/CPU second", "peak MB"
        );
        for (name, summary) in &self.runs {
            let _ = writeln!(
                text,
                "{name:<20} {:>8} {:>12.1} {:>14.2} {:>18.1} {:>9.0}",
                summary.pairs(),
                rate(summary.pairs(), summary.wall),
                summary.cpu_ms_per_pair(),
                rate(2 * summary.pairs(), summary.pipeline_cpu),
                megabytes(summary.usage.peak_rss_bytes),
            );
        }
        text
    }

    /// The figures as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let stages: Vec<Value> = self
            .stages
            .iter()
            .map(|Stage { name, cost }| {
                json!({
                    "stage": name, "calls": cost.count, "p50_ms": millis(cost.p50),
                    "p99_ms": millis(cost.p99), "max_ms": millis(cost.max),
                })
            })
            .collect();
        let runs: Vec<Value> = self
            .runs
            .iter()
            .map(|(name, summary)| {
                json!({
                    "name": name, "pairs": summary.pairs(),
                    "cpu_ms_per_pair": summary.cpu_ms_per_pair(), "summary": summary.to_json(),
                })
            })
            .collect();
        format!(
            "{:#}\n",
            json!({ "engine": self.engine, "stages": stages, "runs": runs })
        )
    }
}

fn rate(count: u64, span: Duration) -> f64 {
    let seconds = span.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let count = count as f64;
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

#[allow(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
const fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
