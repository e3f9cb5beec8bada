//! `andon-tpu-sim`: pack a CPU model as a compiled one, look into a compiled one, or be a device for
//! QEMU.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use andon_tpu_sim::clock::RealClock;
use andon_tpu_sim::device::{Config, SimulatedEdgeTpu};
use andon_tpu_sim::dump::dump;
use andon_tpu_sim::fault::Script;
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::latency::{Latency, Speed};
use andon_tpu_sim::model::Model;
use andon_tpu_sim::pack::{Layout, Options, pack, twin_path};
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::usbredir;

const USAGE: &str = "\
andon-tpu-sim pack IN.tflite OUT.tflite [--token HEX] [--cached-bytes N] [--instruction-bytes N]
                   [--layout tiles|slices] [--seed N]
    Wraps a model for the CPU as if it were compiled for the Edge TPU; writes OUT.twin.tflite beside it.
andon-tpu-sim dump MODEL.tflite...
    Shows packages, executables, hints and layers.
andon-tpu-sim serve SOCKET --model FILE... [--usb2] [--coral-latency] [--application] [--faults FILE]
                   [--record FILE]
    Is an Edge TPU behind a Unix socket, for QEMU:
      -chardev socket,id=tpu,path=SOCKET -device usb-redir,chardev=tpu
    Ends when QEMU does. Exit status 1 when the driver broke the protocol; each breach is printed.";

#[allow(clippy::print_stderr, reason = "a command's errors go there")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) => match command.as_str() {
            "pack" => run_pack(rest),
            "dump" => run_dump(rest),
            "serve" => run_serve(rest),
            _ => Err(USAGE.to_owned()),
        },
        None => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "a command's answer goes there")]
fn say(text: &str) {
    println!("{text}");
}

/// Positional arguments and options; an option takes a value unless it is in `flags`.
struct Arguments {
    plain: Vec<String>,
    options: Vec<(String, String)>,
}

impl Arguments {
    fn parse(arguments: &[String], flags: &[&str]) -> Result<Self, String> {
        let mut parsed = Self {
            plain: Vec::new(),
            options: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if !argument.starts_with("--") {
                parsed.plain.push(argument.clone());
                continue;
            }
            let value = if flags.contains(&argument.as_str()) {
                String::new()
            } else {
                let value = rest.next();
                value
                    .cloned()
                    .ok_or_else(|| format!("{argument} wants a value\n{USAGE}"))?
            };
            parsed.options.push((argument.clone(), value));
        }
        Ok(parsed)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &String> {
        self.options
            .iter()
            .filter(move |(option, _)| option == name)
            .map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| option == name)
    }

    fn allow(&self, known: &[&str]) -> Result<(), String> {
        match self
            .options
            .iter()
            .find(|(o, _)| !known.contains(&o.as_str()))
        {
            Some((option, _)) => Err(format!("unknown option {option}\n{USAGE}")),
            None => Ok(()),
        }
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|error| format!("no number: \"{text}\": {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn run_pack(arguments: &[String]) -> Result<(), String> {
    let arguments = Arguments::parse(arguments, &[])?;
    let known = [
        "--token",
        "--cached-bytes",
        "--instruction-bytes",
        "--layout",
        "--seed",
    ];
    arguments.allow(&known)?;
    let [input, output] = arguments.plain.as_slice() else {
        return Err(USAGE.to_owned());
    };
    let (input, output) = (PathBuf::from(input), PathBuf::from(output));
    let mut options = Options::default();
    for token in arguments.values("--token") {
        let digits = token.trim_start_matches("0x");
        options.token = u64::from_str_radix(digits, 16)
            .map_err(|error| format!("no token: \"{token}\": {error}"))?;
    }
    for text in arguments.values("--cached-bytes") {
        options.cached_bytes = number(text)?;
    }
    for text in arguments.values("--instruction-bytes") {
        options.instruction_bytes = number(text)?;
    }
    for text in arguments.values("--seed") {
        options.seed = number(text)? as u64;
    }
    for text in arguments.values("--layout") {
        options.layout = match text.as_str() {
            "tiles" => Layout::Tiles,
            "slices" => Layout::Slices,
            _ => return Err(format!("no layout: \"{text}\"")),
        };
    }
    let packed = pack(&read(&input)?, &options)
        .map_err(|error| format!("cannot pack {}: {error}", input.display()))?;
    write(&output, &packed.model)?;
    write(&twin_path(&output), &packed.twin)?;
    let model = Model::read(&packed.model).map_err(|error| error.to_string())?;
    say(dump(&model).trim_end());
    Ok(())
}

fn run_dump(arguments: &[String]) -> Result<(), String> {
    if arguments.is_empty() {
        return Err(USAGE.to_owned());
    }
    for path in arguments {
        let model =
            Model::read(&read(Path::new(path))?).map_err(|error| format!("{path}: {error}"))?;
        say(&format!("== {path}\n{}", dump(&model).trim_end()));
    }
    Ok(())
}

#[cfg(feature = "twin")]
fn executor(models: &[PathBuf]) -> Result<Box<dyn andon_tpu_sim::execute::Executor>, String> {
    let mut twins = andon_tpu_sim::twin::Twins::new();
    for model in models {
        let found = twins.add_beside(model);
        if !found.map_err(|error| format!("twin of {}: {error}", model.display()))? {
            return Err(format!(
                "{} has no twin at {}",
                model.display(),
                twin_path(model).display()
            ));
        }
    }
    Ok(Box::new(twins))
}

#[cfg(not(feature = "twin"))]
fn executor(_models: &[PathBuf]) -> Result<Box<dyn andon_tpu_sim::execute::Executor>, String> {
    say("built without the feature \"twin\": outputs follow a keyed pattern");
    Ok(Box::new(andon_tpu_sim::execute::KeyedPattern))
}

fn run_serve(arguments: &[String]) -> Result<(), String> {
    let arguments = Arguments::parse(arguments, &["--usb2", "--coral-latency", "--application"])?;
    let known = [
        "--model",
        "--usb2",
        "--coral-latency",
        "--application",
        "--faults",
        "--record",
    ];
    arguments.allow(&known)?;
    let [socket] = arguments.plain.as_slice() else {
        return Err(USAGE.to_owned());
    };
    let models: Vec<PathBuf> = arguments.values("--model").map(PathBuf::from).collect();
    let mut registry = Registry::default();
    for model in &models {
        registry
            .add_file(model)
            .map_err(|error| error.to_string())?;
    }
    let config = Config {
        speed: if arguments.has("--usb2") {
            Speed::High
        } else {
            Speed::Super
        },
        starts_in_dfu: !arguments.has("--application"),
        latency: if arguments.has("--coral-latency") {
            Latency::coral()
        } else {
            Latency::default()
        },
        record: arguments.has("--record"),
        ..Config::default()
    };
    let mut device = SimulatedEdgeTpu::new(config, registry);
    device.set_executor(executor(&models)?);
    for path in arguments.values("--faults") {
        let text = String::from_utf8_lossy(&read(Path::new(path))?).into_owned();
        *device.script_mut() = Script::parse(&text).map_err(|error| error.to_string())?;
    }
    let host = SimulatedHost::new(RealClock::new());
    host.add("1-1", device);
    usbredir::serve(Path::new(socket), &host, "1-1").map_err(|error| error.to_string())?;
    for path in arguments.values("--record") {
        let text = host.with("1-1", |device, _| device.record().text());
        write(Path::new(path), text.unwrap_or_default().as_bytes())?;
    }
    let violations = host.violations();
    if violations.is_empty() {
        say("no breach of the protocol");
        return Ok(());
    }
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(format!(
        "{} breaches of the protocol:\n{}",
        list.len(),
        list.join("\n")
    ))
}
