//! `andon bench preprocess`: the detector's input by the CPU and by the graphics device, on frames as
//! the configured inputs give them, and which of the two to configure on this machine.
//!
//! Wall times are of the calling thread, which is what a frame waits. CPU time is the thread's and the
//! whole process's: a software renderer works in threads of its own, and a driver may.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::gpu_preprocess::GpuPreprocess;
use super::report::millis;
use super::run::RunError;
use crate::capture;
use crate::config::{Loaded, PreprocessChoice};
use crate::frame::Frame;
use crate::geometry::{Rect, Size};
use crate::health::{Latencies, LatencySummary};
use crate::inference::{self, Detector};
use crate::preprocess::{Means, PreprocessError, Preprocessor, TensorMut};
use crate::sys::{monotonic_now, process_usage, thread_cpu_time};
use crate::units::StreamId;

/// Frames of each input before those that count: drivers compile, buffers grow.
const WARM_UP: u64 = 5;

/// Largest difference of a value in both tensors that is rounding, of 255: the CPU converts colours in
/// whole numbers, within three of the exact conversion. `tests/gpu_preprocess.rs` holds the two to it.
const DIFFERENCE_MAX: u8 = 4;

/// The device may keep a frame waiting this much longer than the CPU would, for the CPU time it spares:
/// a small part of the time between two frames.
const LONGER_MAX: Duration = Duration::from_millis(2);

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchPreprocessError {
    /// An input or the model cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The CPU cannot make the input.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// An input has no frame.
    #[error("{0} gives no frame")]
    NoFrame(StreamId),
}

/// What one way of making the input costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Until the tensor is there, the two parts together.
    wall: LatencySummary,
    /// Until nothing is left to do but to wait; zeros for the CPU, which does it all at once.
    begin: LatencySummary,
    /// From there.
    wait: LatencySummary,
    /// CPU time of the thread per frame.
    thread_cpu: Duration,
    /// CPU time of all threads per frame.
    process_cpu: Duration,
}

/// How far the two tensors are apart, in levels of 255.
#[derive(Clone, Copy, Debug, Default)]
struct Difference {
    largest: u8,
    sum: u64,
    values: u64,
}

impl Difference {
    fn add(&mut self, one: &[u8], other: &[u8]) {
        for (one, other) in one.iter().zip(other) {
            let apart = one.abs_diff(*other);
            self.largest = self.largest.max(apart);
            self.sum += u64::from(apart);
        }
        self.values += one.len() as u64;
    }

    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn mean(&self) -> f64 {
        self.sum as f64 / self.values.max(1) as f64
    }
}

/// A stream's figures.
#[derive(Clone, Debug)]
struct StreamFigures {
    stream: StreamId,
    frames: String,
    cpu: Cost,
    gpu: Option<(Cost, Difference)>,
}

/// Figures of the bench.
#[derive(Clone, Debug)]
pub struct PreprocessFigures {
    target: Size,
    /// The renderer, or why there is none.
    device: Result<String, String>,
    streams: Vec<StreamFigures>,
}

/// Makes the configured detector's input of `frames` frames of each configured input, both ways.
///
/// # Errors
///
/// An input or the model cannot be had. A missing or failing graphics device is a figure, not an error.
pub fn run_bench_preprocess(
    loaded: &Loaded,
    frames: u64,
) -> Result<PreprocessFigures, BenchPreprocessError> {
    let config = &loaded.config;
    let models = &config.models;
    let file = inference::load_model(&models.directory, &models.detector);
    let detector = file.and_then(|file| Detector::new(file, &inference::CpuEngine::new(1)));
    let target = detector.map_err(RunError::from)?.input_size();
    let mut renderer = GpuPreprocess::new(target);
    let mut device = renderer.connect().map_err(|error| error.to_string());
    let mut gpu = device.is_ok().then(|| {
        let mut preprocessor = Preprocessor::new(target);
        preprocessor.render_by(Box::new(renderer));
        preprocessor
    });
    let mut streams = Vec::new();
    for stream in StreamId::ALL {
        streams.push(measure(loaded, stream, frames, target, gpu.as_mut())?);
        let failure = gpu.as_mut().and_then(Preprocessor::take_failure);
        if let Some(failure) = failure {
            device = Err(failure);
            gpu = None;
        }
    }
    Ok(PreprocessFigures {
        target,
        device,
        streams,
    })
}

/// Adds up what one way costs.
#[derive(Debug, Default)]
struct Meter {
    begin: Latencies,
    wait: Latencies,
    wall: Latencies,
    thread_cpu: Duration,
    process_cpu: Duration,
    frames: u32,
}

impl Meter {
    /// Makes a tensor.
    fn run(
        &mut self,
        preprocessor: &mut Preprocessor,
        frame: &Frame,
        tensor: &mut [u8],
    ) -> Result<(), PreprocessError> {
        let whole = Rect::FULL.to_frame(frame.size());
        let (thread, process) = (thread_cpu_time(), process_usage().cpu);
        let start = monotonic_now();
        preprocessor.begin(frame, whole);
        let begun = monotonic_now();
        preprocessor.fill(frame, whole, TensorMut::U8(tensor))?;
        let done = monotonic_now();
        self.thread_cpu += thread_cpu_time().saturating_sub(thread);
        self.process_cpu += process_usage().cpu.saturating_sub(process);
        self.begin.record(begun.saturating_since(start));
        self.wait.record(done.saturating_since(begun));
        self.wall.record(done.saturating_since(start));
        self.frames += 1;
        Ok(())
    }

    fn cost(&self) -> Cost {
        let frames = self.frames.max(1);
        Cost {
            wall: self.wall.summary(),
            begin: self.begin.summary(),
            wait: self.wait.summary(),
            thread_cpu: self.thread_cpu / frames,
            process_cpu: self.process_cpu / frames,
        }
    }
}

fn measure(
    loaded: &Loaded,
    stream: StreamId,
    frames: u64,
    target: Size,
    mut gpu: Option<&mut Preprocessor>,
) -> Result<StreamFigures, BenchPreprocessError> {
    log::info!("frames of {stream}");
    let mut source = capture::open_input(&loaded.config, stream).map_err(RunError::from)?;
    let mut cpu = Preprocessor::new(target);
    let length = 3 * target.width as usize * target.height as usize;
    let [mut expected, mut rendered] = [(); 2].map(|()| vec![0; length]);
    let [mut cpu_meter, mut gpu_meter] = [(); 2].map(|()| Meter::default());
    let mut difference = Difference::default();
    let mut described = None;
    let mut done = 0;
    while done < WARM_UP + frames {
        if done == WARM_UP {
            [cpu_meter, gpu_meter] = [(); 2].map(|()| Meter::default());
        }
        let next = capture::next_within(source.as_mut(), capture::CAMERA_WAIT_MAX);
        let frame = match next.map_err(RunError::from)? {
            Some(frame) => frame,
            None if done > 0 => {
                source.rewind().map_err(RunError::from)?;
                continue;
            }
            None => break,
        };
        described.get_or_insert_with(|| describe(&frame));
        cpu_meter.run(&mut cpu, &frame, &mut expected)?;
        if let Some(gpu) = gpu
            .as_deref_mut()
            .filter(|gpu| gpu.means() == Means::Renderer)
        {
            gpu_meter.run(gpu, &frame, &mut rendered)?;
            difference.add(&expected, &rendered);
        }
        done += 1;
    }
    // Where the device failed, the CPU's tensors are among those that were compared.
    let lasted = gpu.is_some_and(|gpu| gpu.means() == Means::Renderer);
    Ok(StreamFigures {
        stream,
        frames: described.ok_or(BenchPreprocessError::NoFrame(stream))?,
        cpu: cpu_meter.cost(),
        gpu: lasted.then(|| (gpu_meter.cost(), difference)),
    })
}

fn describe(frame: &Frame) -> String {
    let (size, format) = (frame.size(), frame.format().pixel_format);
    let memory = if frame.dmabuf(0).is_some() {
        "in the camera's memory"
    } else {
        "copied to the device"
    };
    format!("{format:?} {size}, {memory}")
}

impl PreprocessFigures {
    /// What to configure here, and why.
    fn advice(&self) -> (PreprocessChoice, String) {
        use PreprocessChoice::{Cpu, Gpu};
        let mut compared = Vec::new();
        for figures in &self.streams {
            let Some(gpu) = figures.gpu else {
                let why = self.device.as_ref().err();
                let why = why.map_or("it was not measured", String::as_str);
                return (Cpu, format!("there is no graphics device for it ({why})"));
            };
            compared.push((figures.stream, figures.cpu, gpu));
        }
        let [mut with_cpu, mut with_gpu] = [Duration::ZERO; 2];
        for (stream, cpu, (gpu, difference)) in compared {
            if difference.largest > DIFFERENCE_MAX {
                let largest = difference.largest;
                let why = format!("the device's pictures of {stream} differ by {largest} levels");
                return (Cpu, why);
            }
            let [cpu_p99, gpu_p99] = [cpu.wall.p99, gpu.wall.p99].map(millis);
            if gpu.wall.p99 > cpu.wall.p99 + LONGER_MAX {
                let why = format!(
                    "a frame of {stream} waits {gpu_p99:.1} ms for the device at the 99th percentile, {cpu_p99:.1} ms for the CPU"
                );
                return (Cpu, why);
            }
            with_cpu += cpu.process_cpu;
            with_gpu += gpu.process_cpu;
        }
        let [cpu, gpu] = [with_cpu, with_gpu].map(millis);
        let why = format!(
            "a pair of frames costs {gpu:.2} ms of CPU time with the device, {cpu:.2} ms without"
        );
        (if with_gpu < with_cpu { Gpu } else { Cpu }, why)
    }

    fn sentence(&self) -> String {
        let (choice, why) = self.advice();
        format!(
            "configure engine.preprocess = \"{}\" here: {why}",
            choice.name()
        )
    }

    /// The figures as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let device = match &self.device {
            Ok(name) => name.clone(),
            Err(why) => format!("none: {why}"),
        };
        let mut text = format!("graphics device: {device}\ntensor: {} RGB\n", self.target);
        for figures in &self.streams {
            let _ = writeln!(
                text,
                "\n{} ({})\n{:<8} {:>9} {:>9} {:>10} {:>9} {:>14} {:>15}",
                figures.stream,
                figures.frames,
                "by",
                "p50 ms",
                "p99 ms",
                "begin p50",
                "wait p50",
                "thread CPU ms",
                "process CPU ms",
            );
            let mut row = |name: &str, cost: &Cost| {
                let [p50, p99] = [cost.wall.p50, cost.wall.p99].map(millis);
                let [begin, wait] = [cost.begin.p50, cost.wait.p50].map(millis);
                let [thread, process] = [cost.thread_cpu, cost.process_cpu].map(millis);
                let _ = writeln!(
                    text,
                    "{name:<8} {p50:>9.2} {p99:>9.2} {begin:>10.2} {wait:>9.2} {thread:>14.2} {process:>15.2}"
                );
            };
            row("CPU", &figures.cpu);
            if let Some((cost, difference)) = &figures.gpu {
                row("GPU", cost);
                let _ = writeln!(
                    text,
                    "difference: {} of 255 at most, {:.3} on average",
                    difference.largest,
                    difference.mean()
                );
            }
        }
        let _ = writeln!(text, "\n{}", self.sentence());
        text
    }

    /// The figures as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let streams: Vec<Value> = self.streams.iter().map(StreamFigures::to_json).collect();
        let (choice, _) = self.advice();
        let document = json!({
            "device": self.device.as_ref().ok(), "no_device": self.device.as_ref().err(),
            "tensor": [self.target.width, self.target.height], "streams": streams,
            "preprocess": choice.name(), "why": self.sentence(),
        });
        format!("{document:#}\n")
    }
}

impl StreamFigures {
    fn to_json(&self) -> Value {
        let spread = |cost: &LatencySummary| json!({ "p50_ms": millis(cost.p50), "p99_ms": millis(cost.p99), "max_ms": millis(cost.max) });
        let cost = |cost: &Cost| {
            json!({
                "calls": cost.wall.count, "wall": spread(&cost.wall), "begin": spread(&cost.begin),
                "wait": spread(&cost.wait), "thread_cpu_ms": millis(cost.thread_cpu),
                "process_cpu_ms": millis(cost.process_cpu),
            })
        };
        let gpu = self.gpu.as_ref();
        json!({
            "stream": self.stream.name(), "frames": self.frames, "cpu": cost(&self.cpu),
            "gpu": gpu.map(|(figures, _)| cost(figures)),
            "difference": gpu.map(|(_, difference)| json!({
                "largest": difference.largest, "mean": difference.mean(),
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(wall_ms: u64, cpu_ms: u64) -> Cost {
        let wall = LatencySummary {
            p99: Duration::from_millis(wall_ms),
            ..LatencySummary::default()
        };
        Cost {
            wall,
            begin: wall,
            wait: wall,
            thread_cpu: Duration::ZERO,
            process_cpu: Duration::from_millis(cpu_ms),
        }
    }

    fn advice(gpu: Option<Cost>, largest: u8) -> (PreprocessChoice, String) {
        let difference = Difference {
            largest,
            ..Difference::default()
        };
        let device = match gpu {
            Some(_) => Ok("a device".to_owned()),
            None => Err("no driver".to_owned()),
        };
        let figures = StreamId::ALL.map(|stream| StreamFigures {
            stream,
            frames: String::new(),
            cpu: cost(3, 3),
            gpu: gpu.map(|gpu| (gpu, difference)),
        });
        let figures = PreprocessFigures {
            target: Size::default(),
            device,
            streams: figures.into(),
        };
        assert!(figures.table().contains(figures.advice().0.name()));
        figures.advice()
    }

    #[test]
    fn the_device_is_advised_where_it_spares_cpu_time_and_is_neither_late_nor_wrong() {
        use PreprocessChoice::{Cpu, Gpu};
        for (gpu, largest, expected, part) in [
            (Some(cost(4, 1)), 2, Gpu, "2.00 ms of CPU time"),
            (Some(cost(4, 3)), 2, Cpu, "6.00 ms of CPU time"),
            (Some(cost(6, 1)), 2, Cpu, "waits 6.0 ms"),
            (Some(cost(4, 1)), 5, Cpu, "differ by 5"),
            (None, 0, Cpu, "no driver"),
        ] {
            let (choice, why) = advice(gpu, largest);
            assert_eq!(choice, expected, "{why}");
            assert!(why.contains(part), "{why}");
        }
    }
}
