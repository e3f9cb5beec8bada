//! `andon infer`, `andon bench models` and `andon bench preprocess`: one thing at a time.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::commands::{Failure, Overwrite, print, refuse_clashes, write_new};
use super::{ConfigArgs, EngineArg, Exit};
use crate::app::bench_models::{self, BenchModelsPlan};
use crate::app::bench_preprocess::{self, BenchPreprocessError};
use crate::app::clash;
use crate::app::infer::{self, InferError, InferPlan, Inspector};
use crate::config::{EngineChoice, EngineConfig, ModelRef};
use crate::units::Score;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compare the models: latency, accuracy, training set, size, what fits together.
    Models(BenchModelsArgs),
    /// Compare the detector's input by the CPU and by the graphics device, and say which to configure.
    Preprocess(BenchPreprocessArgs),
    /// Measure the Edge TPU driver on a simulated device with Coral's latencies.
    #[cfg(feature = "tpu-sim")]
    Tpu(BenchTpuArgs),
}

#[cfg(feature = "tpu-sim")]
#[derive(Debug, Args)]
pub(crate) struct BenchTpuArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Seconds per measurement.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// The device is connected with USB 2.
    #[arg(long)]
    usb2: bool,
    /// Write the figures here, too.
    #[arg(long, value_name = "FILE.json", default_value = "out/tpu.json")]
    json: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BenchModelsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Inferences per model and number of threads.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Parts per inspection frame, for what the cameras need.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    crops: f64,
    /// Write the table here, too (`andon-models table` draws it).
    #[arg(long, value_name = "FILE.json", default_value = "out/models.json")]
    json: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BenchPreprocessArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Frames of each input.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    frames: u64,
    /// Write the figures here, too.
    #[arg(long, value_name = "FILE.json", default_value = "out/preprocess.json")]
    json: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct InferArgs {
    /// A name in models.toml or a .tflite file with its labels beside it.
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// A picture, or a folder of .png and .jpg with its subfolders.
    #[arg(long, value_name = "PATH", required_unless_present = "list")]
    images: Option<PathBuf>,
    /// A text file that names pictures, one a line.
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    list: Option<PathBuf>,
    /// Findings of a detector below this score are left out, 0..1.
    #[arg(long, value_name = "SCORE", default_value_t = 0.4)]
    threshold: f32,
    /// Engine that runs the model.
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineArg,
    /// CPU threads per inference.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    threads: u8,
    /// Configuration that names the folder of models.toml, for a model by name [default:
    /// config/andon.toml, then /etc/andon/andon.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object a line, the first about the model.
    #[arg(long)]
    json: bool,
}

pub(super) fn infer(args: &InferArgs) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    let pictures = match (&args.list, &args.images) {
        (Some(list), _) => infer::listed(list),
        (None, Some(path)) => infer::pictures(path),
        (None, None) => return Err(Failure::usage("name pictures with --images or --list")),
    }
    .map_err(failed)?;
    let mut inspector = Inspector::new(&plan).map_err(|error| Failure::new(Exit::Engine, error))?;
    let title = if args.json {
        inspector.header().to_string()
    } else {
        inspector.title()
    };
    let mut told = say(&title)?;
    for picture in &pictures {
        if told == Told::Gone {
            break;
        }
        let row = inspector.look(picture).map_err(failed)?;
        let labels = inspector.labels();
        told = say(&if args.json {
            row.to_json(labels).to_string()
        } else {
            row.text(labels)
        })?;
    }
    Ok(Exit::Done)
}

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Heard,
    /// The reader went away (`| head`): no error.
    Gone,
}

fn say(line: &str) -> Result<Told, Failure> {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => Ok(Told::Heard),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Told::Gone),
        Err(error) => Err(failed(InferError::Write(error))),
    }
}

fn plan(args: &InferArgs) -> Result<InferPlan, Failure> {
    let threshold = Score::new(args.threshold).ok_or_else(|| {
        Failure::usage(format!(
            "--threshold {}: write a number from 0 to 1",
            args.threshold
        ))
    })?;
    let is_file = PathBuf::from(&args.model)
        .extension()
        .is_some_and(|extension| extension == "tflite");
    let (model, directory) = if is_file {
        let path = PathBuf::from(&args.model);
        let directory = path.parent().unwrap_or_else(|| "".as_ref()).to_owned();
        (ModelRef::File(path), directory)
    } else {
        let config = ConfigArgs {
            config: args.config.clone(),
            ..ConfigArgs::default()
        };
        let directory = config.load()?.config.models.directory;
        (ModelRef::Named(args.model.clone()), directory)
    };
    Ok(InferPlan {
        directory,
        model,
        engine: EngineConfig {
            engine: EngineChoice::from(args.engine),
            threads: args.threads,
            ..EngineConfig::default()
        },
        threshold,
    })
}

fn failed(error: InferError) -> Failure {
    let exit = match &error {
        InferError::NoPicture { .. } | InferError::Read { .. } | InferError::Capture(_) => {
            Exit::Input
        }
        InferError::Inference(_) => Exit::Engine,
        InferError::Write(_) => Exit::Display,
    };
    Failure::new(exit, error)
}

pub(super) fn bench_models(args: &BenchModelsArgs) -> Result<Exit, Failure> {
    if !(0.0..=100.0).contains(&args.crops) {
        return Err(Failure::usage(format!(
            "--crops {}: it must be a number from 0 to 100",
            args.crops
        )));
    }
    let loaded = args.config.load()?;
    refuse_clashes(&clash::read_by(&loaded), "the table of models", &args.json)?;
    let plan = BenchModelsPlan {
        runs: args.runs,
        crops: args.crops,
    };
    let table = bench_models::measure(&loaded, plan)?;
    print(&table.table());
    write_new(&args.json, &table.to_json(), Overwrite::Yes)?;
    print(&format!("figures: {}\n", args.json.display()));
    Ok(Exit::Done)
}

pub(super) fn bench_preprocess(args: &BenchPreprocessArgs) -> Result<Exit, Failure> {
    let loaded = args.config.load()?;
    refuse_clashes(&clash::read_by(&loaded), "the table of figures", &args.json)?;
    let figures = bench_preprocess::run_bench_preprocess(&loaded, args.frames);
    let figures = figures.map_err(|error| match error {
        BenchPreprocessError::Run(error) => Failure::from(error),
        error @ BenchPreprocessError::Preprocess(_) => Failure::new(Exit::Engine, error),
        error @ BenchPreprocessError::NoFrame(_) => Failure::new(Exit::Input, error),
    })?;
    print(&figures.table());
    write_new(&args.json, &figures.to_json(), Overwrite::Yes)?;
    print(&format!("figures: {}\n", args.json.display()));
    Ok(Exit::Done)
}

#[cfg(feature = "tpu-sim")]
pub(super) fn bench_tpu(args: &BenchTpuArgs) -> Result<Exit, Failure> {
    use crate::app::bench_tpu::{BenchTpuPlan, run_bench_tpu};
    let loaded = args.config.load()?;
    refuse_clashes(&clash::read_by(&loaded), "the table of figures", &args.json)?;
    let plan = BenchTpuPlan {
        length: std::time::Duration::from_secs(u64::from(args.seconds)),
        usb2: args.usb2,
    };
    let figures = run_bench_tpu(&loaded, plan);
    let figures = figures.map_err(|error| Failure::new(Exit::Engine, error))?;
    print(&figures.table());
    write_new(&args.json, &figures.to_json(), Overwrite::Yes)?;
    print(&format!("figures: {}\n", args.json.display()));
    Ok(Exit::Done)
}
