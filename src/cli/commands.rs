//! What each subcommand does, on top of `app`.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    BenchArgs, Cli, Command, ConfigArgs, Exit, ImportConfigArgs, ImportKeepoutArgs, ModelsCommand,
    OutputsCommand, ReferenceCommand, ReplayArgs, ResponseTimeArgs, RunArgs, events, measure,
};
use crate::app::clash::{self, ClashError, Named};
use crate::app::describe::Unusable;
use crate::app::import_config::Trust;
use crate::app::keepout::ImportError;
use crate::app::reference::ReferenceFileError;
use crate::app::response_time::{ResponseError, ResponsePlan};
use crate::app::run::{RunError, RunOptions};
use crate::app::{self, SnapshotRequest};
use crate::config::{InputSpec, Loaded, OutputBackend, Pace, ZoneEdit};
use crate::geometry::{ParseSizeError, Size};

/// Why a command failed, and how the process ends.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{message}"))
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match &error {
            RunError::Capture(_) => Exit::Input,
            RunError::Inference(_) | RunError::Unjudged(_) => Exit::Engine,
            RunError::Picture(_) | RunError::Report(_) => Exit::Display,
            RunError::Clash(_) | RunError::Reference(_) => Exit::Usage,
            RunError::Thread { .. } => Exit::Defect,
            RunError::Output(_) | RunError::Line(_) | RunError::Watchdog { .. } => Exit::Line,
        };
        Self::new(exit, error)
    }
}

/// Says what went wrong, once.
pub(super) fn complain(failure: &Failure) {
    let mut text = failure.error.to_string();
    for cause in failure.error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

pub(super) fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(&args),
        Some(Command::CheckConfig(args)) => check_config(&args),
        Some(Command::Probe(args)) => probe(&args),
        Some(Command::Bench(args)) => match &args.what {
            Some(measure::BenchCommand::Models(models)) => measure::bench_models(models),
            Some(measure::BenchCommand::Preprocess(one)) => measure::bench_preprocess(one),
            #[cfg(feature = "tpu-sim")]
            Some(measure::BenchCommand::Tpu(tpu)) => measure::bench_tpu(tpu),
            None => bench(&args),
        },
        Some(Command::Infer(args)) => measure::infer(&args),
        Some(Command::Models { command }) => models(&command),
        Some(Command::ImportKeepout(args)) => import_keepout(&args),
        Some(Command::ImportConfig(args)) => import_config(&args),
        Some(Command::Replay(args)) => replay(&args),
        Some(Command::Outputs {
            command: OutputsCommand::Off(args),
        }) => outputs_off(&args),
        Some(Command::ResponseTime(args)) => response_time(&args),
        Some(Command::Events(args)) => events::events(&args),
        Some(Command::Reference { command }) => reference(&command),
    }
}

/// Folder of everything a run without arguments writes.
const OUT: &str = "out";

fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let loaded = args.config.load()?;
    let mut options = RunOptions {
        pace: args.pace.map_or_else(|| default_pace(&loaded), Pace::from),
        frames: args.frames,
        repeat: args.repeat,
        report: args.report.clone(),
        record: args.record.clone(),
        summary: None,
        snapshots: args
            .snapshot
            .iter()
            .map(|text| super::overrides::snapshot(text))
            .collect::<Result<Vec<SnapshotRequest>, Failure>>()?,
        progress: true,
        follow: Some(args.config.overrides()),
    };
    let nothing_asked = options.report.is_none()
        && options.record.is_none()
        && options.snapshots.is_empty()
        && args.config.display.is_none()
        // A configuration of one's own, as on the appliance, says itself what is written and shown.
        && args.config.config.is_none();
    if nothing_asked {
        let out = Path::new(OUT);
        options.report = Some(out.join("report.jsonl"));
        options.record = Some(out.join("andon.mp4"));
        options.summary = Some(out.join("summary.txt"));
        std::fs::create_dir_all(out)
            .map_err(|error| Failure::usage(format!("cannot create {OUT}/: {error}")))?;
    }
    let stop = app::stop_on_signals()
        .map_err(|error| Failure::usage(format!("cannot watch for signals: {error}")))?;
    let outcome = app::run::run(&loaded, &options, &stop)?;
    let table = outcome.summary.table();
    print(&table);
    let film = options.record.filter(|_| outcome.summary.recorded > 0);
    for (what, path) in [("report", &options.report), ("film", &film)] {
        if let Some(path) = path {
            print(&format!("{what}: {}\n", path.display()));
        }
    }
    let kept = match &options.summary {
        Some(path) => write_new(path, &table, Overwrite::Yes),
        None => Ok(()),
    };
    match (outcome.error, kept) {
        (None, Ok(())) => Ok(Exit::Done),
        (None, Err(failure)) => Err(failure),
        (Some(error), Ok(())) => Err(error.into()),
        (Some(error), Err(failure)) => {
            complain(&failure);
            Err(error.into())
        }
    }
}

/// Files are processed as fast as possible unless somebody watches them live or a machine is wired.
fn default_pace(loaded: &Loaded) -> Pace {
    let config = &loaded.config;
    let camera = [&config.worker_safety.input, &config.visual_inspection.input]
        .into_iter()
        .any(|input| matches!(input, InputSpec::Camera(_)));
    let live = config.display.display == crate::config::DisplayChoice::Kms;
    let wired = matches!(config.output.backend, OutputBackend::Gpio(_));
    if camera || live || wired {
        Pace::Realtime
    } else {
        Pace::Asap
    }
}

fn check_config(args: &ConfigArgs) -> Result<Exit, Failure> {
    let loaded = args.load()?;
    print(&app::describe::configuration(&loaded));
    let labels = app::models::check_labels(&loaded.config);
    let labels = labels.map_err(|error| Failure::new(Exit::Engine, error))?;
    print(&format!("\n{labels}\n"));
    Ok(Exit::Done)
}

fn probe(args: &ConfigArgs) -> Result<Exit, Failure> {
    let loaded = args.load()?;
    let machine = app::describe::machine(&loaded);
    print(&machine.text);
    Ok(match machine.unusable {
        None => Exit::Done,
        Some(Unusable::Input) => Exit::Input,
        Some(Unusable::Engine) => Exit::Engine,
        Some(Unusable::Picture) => Exit::Display,
    })
}

fn outputs_off(args: &ConfigArgs) -> Result<Exit, Failure> {
    let loaded = args.load()?;
    let done = app::outputs::outputs_off(&loaded.config);
    print(&done.text);
    match done.errors.as_slice() {
        [] => Ok(Exit::Done),
        errors => {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let error = anyhow::anyhow!("{}", texts.join("\nerror: "));
            Err(Failure::new(Exit::Line, error))
        }
    }
}

fn bench(args: &BenchArgs) -> Result<Exit, Failure> {
    let loaded = args.config.load()?;
    refuse_clashes(&clash::read_by(&loaded), "the table of figures", &args.json)?;
    let figures = app::bench::run_bench(&loaded, args.frames)?;
    print(&figures.table());
    write_new(&args.json, &figures.to_json(), Overwrite::Yes)?;
    print(&format!("figures: {}\n", args.json.display()));
    Ok(Exit::Done)
}

fn response_time(args: &ResponseTimeArgs) -> Result<Exit, Failure> {
    if !(1.0..=240.0).contains(&args.fps) {
        let message = format!("--fps {}: it must be a number from 1 to 240", args.fps);
        return Err(Failure::usage(message));
    }
    let loaded = args.config.load()?;
    if let Some(path) = &args.json {
        refuse_clashes(&clash::read_by(&loaded), "the table of figures", path)?;
    }
    let plan = ResponsePlan {
        trials: args.trials,
        frame_rate: args.fps,
        stopping_time: Duration::from_millis(u64::from(args.stopping_time)),
        approach_speed_mm_s: args.approach_speed,
        supplement_mm: args.supplement,
    };
    let figures = app::response_time::measure(&loaded, plan).map_err(|error| match error {
        ResponseError::Run(error) => Failure::from(error),
        ResponseError::NoPicture { .. } | ResponseError::TooFew { .. } => {
            Failure::new(Exit::Input, error)
        }
    })?;
    print(&figures.table());
    if let Some(path) = &args.json {
        write_new(path, &figures.to_json(), Overwrite::Yes)?;
        print(&format!("figures: {}\n", path.display()));
    }
    Ok(Exit::Done)
}

fn models(command: &ModelsCommand) -> Result<Exit, Failure> {
    let of = |directory: &Option<PathBuf>| match directory {
        Some(directory) => Ok(directory.clone()),
        None => Ok::<_, Failure>(ConfigArgs::default().load()?.config.models.directory),
    };
    let outcome = match command {
        ModelsCommand::Verify { directory } => app::models::verify(&of(directory)?),
        ModelsCommand::Fetch { directory, .. } => app::models::fetch_coral(&of(directory)?),
        ModelsCommand::Info { files } if files.is_empty() => {
            let loaded = ConfigArgs::default().load()?;
            app::models::info(&app::models::configured(&loaded.config))
        }
        ModelsCommand::Info { files } => app::models::info(files),
    };
    let outcome = outcome.map_err(|error| Failure::new(Exit::Engine, error))?;
    print(&outcome.text);
    if outcome.failed == 0 {
        return Ok(Exit::Done);
    }
    let failed = outcome.failed;
    Err(Failure::new(
        Exit::Engine,
        anyhow::anyhow!("{failed} of the models above failed"),
    ))
}

fn import_keepout(args: &ImportKeepoutArgs) -> Result<Exit, Failure> {
    let size: Size = args.size.parse().map_err(|_ignored: ParseSizeError| {
        Failure::usage(format!(
            "--size {}: write WIDTHxHEIGHT, for instance 1280x720",
            args.size
        ))
    })?;
    let text = std::fs::read_to_string(&args.csv).map_err(|error| {
        Failure::usage(format!(
            "cannot read {}: {error}; check the path",
            args.csv.display()
        ))
    })?;
    if let Some(path) = &args.into {
        let edit = app::keepout::import_into(&text, size, &args.name, path)
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        let done = match edit {
            ZoneEdit::Replaced => "replaced in",
            ZoneEdit::Added => "added to",
        };
        print(&format!("zone `{}` {done} {}\n", args.name, path.display()));
        return Ok(Exit::Done);
    }
    let toml = app::keepout::import(&text, size, &args.name).map_err(|error| match error {
        ImportError::Name(_) => Failure::new(Exit::Usage, error),
        ImportError::Csv(_) | ImportError::Polygon(_) => {
            Failure::usage(format!("{}: {error}", args.csv.display()))
        }
    })?;
    match &args.output {
        Some(path) => {
            write_new(path, &toml, Overwrite::No)?;
            print(&format!(
                "zone `{}` written to {}\n",
                args.name,
                path.display()
            ));
        }
        None => print(&toml),
    }
    Ok(Exit::Done)
}

/// Where the public key for configurations is looked for: the installation's own, then the image's.
const IMPORT_KEYS: [&str; 2] = ["/etc/andon/import.pub", "/usr/share/andon/import.pub"];

fn import_config(args: &ImportConfigArgs) -> Result<Exit, Failure> {
    let trust = if args.unsigned {
        Trust::Anybody
    } else if args.public_key.is_empty() {
        Trust::Keys(IMPORT_KEYS.map(PathBuf::from).to_vec())
    } else {
        Trust::Keys(args.public_key.clone())
    };
    let imported = app::import_config::import(&args.from, &args.into, &trust)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let number = imported.sequence.map_or_else(
        || ", not signed".to_owned(),
        |number| format!(", number {number}"),
    );
    print(&format!(
        "taken over into {}{number}: {}\n",
        imported.folder.display(),
        imported.files.join(", ")
    ));
    Ok(Exit::Done)
}

fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let loaded = args.config.load()?;
    let report = std::fs::read(&args.report).map_err(|error| {
        Failure::new(
            Exit::Input,
            anyhow::anyhow!(
                "cannot read {}: {error}; check the path",
                args.report.display()
            ),
        )
    })?;
    let replayed = app::replay::replay(&report, &loaded).map_err(|error| {
        Failure::new(
            Exit::Input,
            anyhow::anyhow!("{}: {error}", args.report.display()),
        )
    })?;
    match &args.output {
        Some(path) => {
            let mut read = clash::read_by(&loaded);
            read.push(Named::new("the report that was read", &args.report));
            refuse_clashes(&read, "the new report", path)?;
            write_new(path, &replayed.lines, Overwrite::Yes)?;
            print(&replayed.summary);
        }
        None => print(&replayed.lines),
    }
    Ok(Exit::Done)
}

fn reference(command: &ReferenceCommand) -> Result<Exit, Failure> {
    let ReferenceCommand::Take(args) = command;
    let loaded = args.config.load()?;
    if let Some(path) = &args.output {
        refuse_clashes(&clash::read_by(&loaded), "the reference", path)?;
    }
    let taken = app::reference::take(&loaded.config, args.output.as_deref()).map_err(|error| {
        let exit = match error {
            ReferenceFileError::Capture(_) | ReferenceFileError::NotLearnt { .. } => Exit::Input,
            ReferenceFileError::Read { .. }
            | ReferenceFileError::Unfit { .. }
            | ReferenceFileError::Write { .. }
            | ReferenceFileError::NoPath
            | ReferenceFileError::Off => Exit::Usage,
        };
        Failure::new(exit, error)
    })?;
    print(&format!(
        "reference of {} pictures, {} of 63 parts with contours: {}\nlook at it: it must show the scene as the zones were drawn on it\n",
        taken.frames,
        taken.contours,
        taken.path.display()
    ));
    Ok(Exit::Done)
}

pub(super) fn refuse_clashes(
    read: &[Named],
    what: &'static str,
    path: &Path,
) -> Result<(), Failure> {
    clash::check(read, &[Named::new(what, path)])
        .map_err(|error: ClashError| Failure::new(Exit::Usage, error))
}

/// Whether an existing file may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overwrite {
    Yes,
    No,
}

pub(super) fn write_new(path: &Path, text: &str, overwrite: Overwrite) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let path = path.display();
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::usage(format!("{path} exists already; name another file"))
        } else {
            Failure::usage(format!("cannot write {path}: {error}"))
        }
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    match overwrite {
        Overwrite::Yes => options.write(true).create(true).truncate(true),
        Overwrite::No => options.write(true).create_new(true),
    };
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
pub(super) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
