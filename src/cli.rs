//! The command line: raw arguments become a valid configuration or a clear complaint.
//!
//! Underscore spellings of the original Coral demo (`--worker_safety_input`) are accepted: every
//! long option is read with its underscores turned into hyphens.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

mod commands;
mod events;
mod measure;
mod overrides;

/// Exit codes, as documented in `andon --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A thread of the program died: a defect.
    Defect = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// An input cannot be read.
    Input = 3,
    /// A model or the engine cannot be used.
    Engine = 4,
    /// The picture, the film or the report cannot be made, or not all of it.
    Display = 5,
    /// An output or input line, or the watchdog, cannot be used or was lost.
    Line = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Watches a danger zone and grades parts on a conveyor.
#[derive(Debug, Parser)]
#[command(name = "andon", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
    /// Say more; twice for a line per frame.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

const AFTER_HELP: &str = "Exit codes: 0 done, 1 a defect of andon, 2 command line or configuration, \
3 input, 4 model or engine, 5 picture, film or report, \
6 output or input line, watchdog.\nWithout arguments `andon run` works on the inputs of config/andon.toml \
and writes out/andon.mp4, out/report.jsonl and out/summary.txt.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline (the default).
    Run(RunArgs),
    /// Check the configuration and say what it means.
    CheckConfig(ConfigArgs),
    /// Say what this machine offers: inputs, engine, models, EGL, gpiochips.
    Probe(ConfigArgs),
    /// Measure each stage and the whole pipeline; a table and a JSON file. `bench models` compares models,
    /// `bench preprocess` the ways to make their input.
    Bench(BenchArgs),
    /// Show pictures to one model, with the pipeline's own decoding, resizing and post-processing.
    Infer(measure::InferArgs),
    /// Look after model files.
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Turn a keepout CSV of the original demo (x,y in pixels) into a keepout TOML.
    ImportKeepout(ImportKeepoutArgs),
    /// Take over a signed configuration, such as from a stick.
    ImportConfig(ImportConfigArgs),
    /// Measure how long from somebody stepping in until the run permission is OFF.
    ResponseTime(ResponseTimeArgs),
    /// Decide the persons of a report again, with other zones.
    Replay(ReplayArgs),
    /// Switch output lines by hand.
    Outputs {
        #[command(subcommand)]
        command: OutputsCommand,
    },
    /// Show the event log: trips, resets, faults, changes of the configuration, start and stop.
    Events(EventsArgs),
    /// Look after the picture that the guarding camera's place is held against.
    Reference {
        #[command(subcommand)]
        command: ReferenceCommand,
    },
}

/// What every command that reads the configuration takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration [default: config/andon.toml, then /etc/andon/andon.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keepout zones (.toml, or a .csv of pixels of --width × --height).
    #[arg(long, value_name = "FILE", alias = "keepout-points-path")]
    keepout: Option<PathBuf>,
    /// Where worker-safety frames come from: file.mp4, folder of stills, /dev/videoN, pattern:NAME.
    #[arg(long, value_name = "SRC")]
    worker_safety_input: Option<String>,
    /// Where visual-inspection frames come from.
    #[arg(long, value_name = "SRC")]
    visual_inspection_input: Option<String>,
    /// Detector: a name in models.toml or a .tflite file.
    #[arg(long, value_name = "MODEL")]
    detection_model: Option<String>,
    /// Classifier: a name in models.toml or a .tflite file.
    #[arg(long, value_name = "MODEL")]
    classifier_model: Option<String>,
    /// Engine that runs the models.
    #[arg(long, value_enum)]
    engine: Option<EngineArg>,
    /// CPU threads per inference.
    #[arg(long, value_name = "N")]
    threads: Option<u8>,
    /// Where the picture goes.
    #[arg(long, value_enum)]
    display: Option<DisplayArg>,
    /// Width of the picture, pixels.
    #[arg(long, value_name = "PIXELS")]
    width: Option<u32>,
    /// Height of the picture, pixels.
    #[arg(long, value_name = "PIXELS")]
    height: Option<u32>,
    /// Persons below this score are ignored, 0..1.
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    worker_threshold: Option<f64>,
    /// Parts below this score are ignored, 0..1.
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    inspection_threshold: Option<f64>,
    /// Test the whole box of a person against every zone, not its bottom edge (overhead cameras).
    #[arg(long)]
    safety_check_whole_box: bool,
    /// Mask persons in every picture.
    #[arg(long)]
    anonymize: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the film here.
    #[arg(long, value_name = "FILE.mp4")]
    record: Option<PathBuf>,
    /// Write the picture of worker-safety frame FRAME here; may be given several times.
    #[arg(long, value_name = "FILE.png@FRAME")]
    snapshot: Vec<String>,
    /// Write the report (JSON lines) here.
    #[arg(long, value_name = "FILE.jsonl")]
    report: Option<PathBuf>,
    /// How fast files are played [default: asap for files without a live display]. With realtime the
    /// configuration files are followed while the program runs; asap reads them once, so that two runs
    /// are the same.
    #[arg(long, value_enum)]
    pace: Option<PaceArg>,
    /// Stop after this many frames of each input.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Start files again when they end.
    #[arg(long = "loop")]
    repeat: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: Option<measure::BenchCommand>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Frames of each input per measurement.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    frames: u64,
    /// Write the figures here.
    #[arg(long, value_name = "FILE.json", default_value = "out/bench.json")]
    json: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Check hashes, tensors and labels of every model in models.toml.
    Verify {
        /// Folder with models.toml [default: as configured].
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Show what models hold and what they cost an Edge TPU: memory on the chip, traffic, times.
    Info {
        /// Model files [default: those of the configuration].
        files: Vec<PathBuf>,
    },
    /// Download models that are not shipped and verify them.
    Fetch {
        /// Which: `coral` (MobileDet and classifier of Coral's manufacturing demo).
        #[arg(value_parser = ["coral"])]
        collection: String,
        /// Folder with models.toml; the files go there [default: as configured].
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutputsCommand {
    /// Drive every configured output line inactive: for the time after the program has ended.
    Off(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportKeepoutArgs {
    /// The CSV file.
    csv: PathBuf,
    /// Size of the picture that the pixels belong to.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "960x540")]
    size: String,
    /// Name of the zone.
    #[arg(long, default_value = "keepout")]
    name: String,
    /// Write the TOML here instead of to the terminal; never overwrites.
    #[arg(long, value_name = "FILE", conflicts_with = "into")]
    output: Option<PathBuf>,
    /// Put the zone into this keepout file: other corners for the zone of that name, or a new stop zone.
    /// Everything else in it stays, comments too.
    #[arg(long, value_name = "FILE.toml")]
    into: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportConfigArgs {
    /// Folder with andon-config.txt, andon-config.sig and the files that they sign.
    from: PathBuf,
    /// Folder of the configuration in force.
    #[arg(long, value_name = "DIR", default_value = "/etc/andon")]
    into: PathBuf,
    /// Ed25519 public key in PEM that it must be signed with; of several files the first that exists
    /// [default: /etc/andon/import.pub, then /usr/share/andon/import.pub].
    #[arg(long, value_name = "FILE", conflicts_with = "unsigned")]
    public_key: Vec<PathBuf>,
    /// Take over what nobody has signed: for a person with a shell, who could edit the files as well.
    #[arg(long)]
    unsigned: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Folder of the event log [default: as configured].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Configuration that names the folder [default: config/andon.toml, then /etc/andon/andon.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only what happened since then: 2026-05-04T13:00:00Z, or 90s, 15m, 2h or 3d before now.
    #[arg(long, value_name = "TIME|SPAN")]
    since: Option<String>,
    /// Only these kinds: start, stop, permission, trip, reset, reset-refused, fault, line-lost,
    /// fault-gone, camera-lost, camera-back, display-lost, display-back, configuration, lost.
    #[arg(long, value_name = "KIND,KIND")]
    kind: Option<String>,
    /// The lines of the log as they are.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReferenceCommand {
    /// Learn it from the worker-safety input and write it to a PNG.
    Take(ReferenceTakeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReferenceTakeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the PNG here [default: camera_checks.reference of the configuration].
    #[arg(long, value_name = "FILE.png")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ResponseTimeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How often somebody steps in.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    trials: u32,
    /// Frames per second of the camera that is played, 1 to 240.
    #[arg(long, value_name = "RATE", default_value_t = 30.0)]
    fps: f64,
    /// Time from the run permission OFF until the machine stands still, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    stopping_time: u32,
    /// Approach speed, millimetres per second (ISO 13855: 1600 walking, 2000 hands).
    #[arg(long, value_name = "MM_PER_S", default_value_t = 1600)]
    approach_speed: u32,
    /// Supplementary distance C, millimetres.
    #[arg(long, value_name = "MM", default_value_t = 0)]
    supplement: u32,
    /// Write the figures here.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The report to read.
    report: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the new report here instead of to the terminal.
    #[arg(long, value_name = "FILE.jsonl")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineArg {
    Auto,
    Cpu,
    Edgetpu,
    #[value(name = "edgetpu:usb")]
    EdgetpuUsb,
    #[value(name = "edgetpu:pcie")]
    EdgetpuPcie,
    /// A simulated one (test builds only), whose outputs come from the models' CPU twins.
    #[cfg(feature = "tpu-sim")]
    #[value(name = "edgetpu:sim")]
    EdgetpuSim,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DisplayArg {
    Kms,
    Headless,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PaceArg {
    Realtime,
    Asap,
}

/// Turns `--some_flag` into `--some-flag`; values are left alone.
fn hyphenated(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else {
        return argument;
    };
    let Some(flag) = text.strip_prefix("--") else {
        return argument;
    };
    match flag.split_once('=') {
        Some((name, value)) => format!("--{}={value}", name.replace('_', "-")).into(),
        None => format!("--{}", flag.replace('_', "-")).into(),
    }
}

/// Reads the command line. Options of `run` stand behind the subcommand where one is named: before
/// it they would say nothing.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(arguments.map(hyphenated))?;
    if let (Some(subcommand), Some(option)) =
        (matches.subcommand_name(), misplaced(&command, &matches))
    {
        let message = format!(
            "--{option} stands before the subcommand; write `andon {subcommand} --{option} ...`"
        );
        return Err(command.error(ErrorKind::ArgumentConflict, message));
    }
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// An option given at the top that is not for every subcommand.
fn misplaced<'a>(command: &'a clap::Command, matches: &ArgMatches) -> Option<&'a str> {
    let given = |argument: &&clap::Arg| {
        let id = argument.get_id().as_str();
        matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let local = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set());
    local.filter(given).find_map(clap::Arg::get_long)
}

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    init_log(cli.verbose);
    match commands::dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            commands::complain(&failure);
            failure.exit.into()
        }
    }
}

fn init_log(verbose: u8) {
    let level = match verbose {
        0 => "warn,andon=info",
        1 => "info,andon=debug",
        _ => "debug,andon=trace",
    };
    let environment = env_logger::Env::default().filter_or("ANDON_LOG", level);
    env_logger::Builder::from_env(environment)
        .format_timestamp_millis()
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parsed(arguments: &[&str]) -> Result<Cli, String> {
        parse(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn verbosity_may_stand_before_and_behind_the_subcommand() {
        for arguments in [
            &["andon", "-v", "check-config"][..],
            &["andon", "check-config", "-v"],
            &["andon", "-v"],
        ] {
            let verbose = parsed(arguments).map(|cli| cli.verbose);
            assert_eq!(verbose, Ok(1), "{arguments:?}");
        }
        assert_eq!(
            parsed(&["andon", "run", "-vv"]).map(|cli| cli.verbose),
            Ok(2)
        );
    }

    #[test]
    fn an_option_before_the_subcommand_that_would_say_nothing_is_refused() {
        let refused = parsed(&["andon", "--report", "r.jsonl", "run"]).map(|_| ());
        let text = refused.expect_err("the report would not be written");
        assert!(text.contains("andon run --report"), "{text}");
        assert!(parsed(&["andon", "run", "--report", "r.jsonl"]).is_ok());
        assert!(parsed(&["andon", "--report", "r.jsonl"]).is_ok());
    }

    #[test]
    fn a_run_of_no_frames_is_refused() {
        assert!(parsed(&["andon", "--frames", "0"]).is_err());
        assert!(parsed(&["andon", "bench", "--frames", "0"]).is_err());
        assert!(parsed(&["andon", "--frames", "1"]).is_ok());
    }

    #[test]
    fn spellings_of_the_original_demo_are_read() {
        for flag in [
            "--worker_safety_input=a.mp4",
            "--visual_inspection_input=b_c.mp4",
            "--safety_check_whole_box",
            "--keepout_points_path=points.csv",
            "--detection_model=d.tflite",
            "--classifier_model=c.tflite",
            "--width=960",
            "--height=540",
            "--worker_threshold=0.3",
            "--inspection_threshold=0.7",
            "--anonymize",
        ] {
            assert!(parsed(&["andon", flag]).is_ok(), "{flag}");
        }
        let value = hyphenated("--visual_inspection_input=b_c.mp4".into());
        assert_eq!(value, "--visual-inspection-input=b_c.mp4");
    }
}
