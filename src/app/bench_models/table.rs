//! The table as text and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{CpuCost, Fits, ModelRow, ModelsTable, ON_CHIP_BYTES_OF_TWO, OnChip, PairRow};
use crate::app::report::millis;

impl ModelsTable {
    /// For people. `~` marks estimates, `†` published figures.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("engine: {}\n\n", self.engine);
        let _ = writeln!(
            text,
            "{:<40} {:>9} {:>9} {:>22} {:>20} {:>7}",
            "model", "input", "file", "on chip", "CPU ms (threads)", "TPU ms"
        );
        for model in &self.models {
            let _ = writeln!(text, "{}", line(model));
        }
        let [safety, inspection] = self.rates;
        let mark = |assumed: bool| if assumed { " (assumed)" } else { "" };
        let _ = writeln!(
            text,
            "\ncameras: {:.0}{} and {:.0}{} frames per second, {} part(s) per inspection frame",
            safety.fps,
            mark(safety.assumed),
            inspection.fps,
            mark(inspection.assumed),
            self.crops
        );
        let _ = writeln!(
            text,
            "{:<68} {:>22} {:>5} {:>12} {:>9} {:>6}",
            "pair", "on chip", "fits", "inferences/s", "CPU core", "TPU"
        );
        for pair in &self.pairs {
            let _ = writeln!(text, "{}", pair_line(pair));
        }
        text.push_str("\n~ estimated from the file's size   † published, not measured here");
        text.push_str("\nA detector computes and searches all its classes here; at work, only those that are asked for.");
        if self.pairs.iter().any(|pair| pair.fits == Fits::Apart) {
            text.push_str(
                "\napart: compiled, but not in one call: each evicts the other's weights at every switch",
            );
        }
        let mut costs = self.models.iter().flat_map(|model| &model.cpu);
        if costs.any(CpuCost::disturbed) {
            text.push_str(
                "\n! the machine had other things to do: the fastest inference took less than half of this",
            );
        }
        for model in &self.models {
            if let Some(source) = model.tpu.as_ref().and_then(|tpu| tpu.published.as_ref()) {
                let _ = write!(text, "\n† {}: {source}", model.name);
            }
        }
        text.push('\n');
        text
    }

    /// For programs; `andon-models table` draws it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let models: Vec<Value> = self.models.iter().map(model_json).collect();
        let pairs: Vec<Value> = self.pairs.iter().map(pair_json).collect();
        let cameras: Vec<Value> = self
            .rates
            .iter()
            .map(|rate| json!({ "fps": rate.fps, "assumed": rate.assumed }))
            .collect();
        let table = json!({
            "engine": self.engine, "cameras": cameras, "crops_per_frame": self.crops,
            "models": models, "pairs": pairs,
        });
        format!("{table:#}\n")
    }
}

fn line(model: &ModelRow) -> String {
    let costs = model.cpu.iter();
    let costs: Vec<String> = costs
        .map(|cost| {
            let mark = if cost.disturbed() { "!" } else { "" };
            format!("{:.1}{mark} ({})", millis(cost.inference), cost.threads)
        })
        .collect();
    let cpu = model.cpu_reason.clone().unwrap_or_else(|| costs.join(" "));
    let tpu = model.tpu.as_ref().map_or_else(
        || "–".to_owned(),
        |tpu| {
            let mark = if tpu.published.is_some() { "†" } else { "" };
            format!("{:.1}{mark}", tpu.milliseconds)
        },
    );
    let accuracy = model.accuracy.as_ref().map_or_else(
        || "–".to_owned(),
        |found| {
            let range = found.low.zip(found.high);
            let range = range.map_or_else(String::new, |(low, high)| {
                format!(" ({low:.2} to {high:.2})")
            });
            format!(
                "{:.3}{range} {}, {}, n {}",
                found.value, found.metric, found.set, found.count
            )
        },
    );
    let [height, width] = model.input;
    #[allow(
        clippy::cast_precision_loss,
        reason = "sizes of model files, far below 2^53"
    )]
    let megabytes = model.bytes as f64 / 1e6;
    let trained = model.training_set.as_deref().unwrap_or("–");
    format!(
        "{:<40} {:>9} {megabytes:>6.1} MB {:>22} {cpu:>20} {tpu:>7}\n    trained on {trained}; accuracy {accuracy}",
        model.name,
        format!("{width}×{height}"),
        chip(model.on_chip),
    )
}

const fn word(fits: Fits) -> &'static str {
    match fits {
        Fits::Yes => "yes",
        Fits::No => "no",
        Fits::Apart => "apart",
    }
}

fn pair_line(pair: &PairRow) -> String {
    let percent = |share: Option<f64>, mark: &str| {
        share.map_or_else(
            || "–".to_owned(),
            |share| format!("{:.0} %{mark}", 100.0 * share),
        )
    };
    let published = pair.tpu_load.is_some_and(|load| load.published);
    format!(
        "{:<68} {:>22} {:>5} {:>12.0} {:>9} {:>6}",
        format!("{} + {}", pair.detector, pair.classifier),
        chip(pair.on_chip),
        word(pair.fits),
        pair.inferences_per_second,
        percent(pair.cpu_load, ""),
        percent(
            pair.tpu_load.map(|load| load.share),
            if published { "†" } else { "" }
        ),
    )
}

fn chip(on_chip: OnChip) -> String {
    let mark = if on_chip.estimate { "~" } else { "" };
    let streamed = match on_chip.streamed_bytes {
        0 => String::new(),
        bytes => format!(" + {:.2}", mebibytes(bytes)),
    };
    format!("{mark}{:.2}{streamed} MiB", mebibytes(on_chip.bytes))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sizes of model files, far below 2^53"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn model_json(model: &ModelRow) -> Value {
    let cpu: Vec<Value> = model
        .cpu
        .iter()
        .map(|cost| {
            json!({
                "threads": cost.threads, "p50_ms": millis(cost.inference),
                "fastest_ms": millis(cost.fastest), "preprocess_p50_ms": millis(cost.preprocess),
            })
        })
        .collect();
    json!({
        "name": model.name, "task": model.task, "training_set": model.training_set, "input": model.input,
        "bytes": model.bytes, "on_chip": chip_json(model.on_chip), "cpu": cpu, "cpu_reason": model.cpu_reason,
        "tpu": model.tpu.as_ref().map(|tpu| json!({
            "ms": tpu.milliseconds, "published": tpu.published.is_some(), "source": tpu.published,
        })),
        "accuracy": model.accuracy.as_ref().map(|found| json!({
            "set": found.set, "metric": found.metric, "value": found.value, "low": found.low,
            "high": found.high, "count": found.count,
        })),
    })
}

fn pair_json(pair: &PairRow) -> Value {
    json!({
        "detector": pair.detector, "classifier": pair.classifier, "on_chip": chip_json(pair.on_chip),
        "fits": word(pair.fits), "room_bytes": ON_CHIP_BYTES_OF_TWO,
        "inferences_per_second": pair.inferences_per_second,
        "cpu_load": pair.cpu_load.map(|share| json!({ "share": share })),
        "tpu_load": pair.tpu_load.map(|load| json!({ "share": load.share, "published": load.published })),
    })
}

fn chip_json(on_chip: OnChip) -> Value {
    json!({
        "bytes": on_chip.bytes, "streamed_bytes": on_chip.streamed_bytes, "estimate": on_chip.estimate,
    })
}
