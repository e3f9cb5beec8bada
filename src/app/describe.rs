//! What `andon check-config` and `andon probe` say.

use std::fmt::Write as _;

use super::models;
use super::outputs;
use super::{describe_display, describe_ground, gpu_preprocess};
use crate::capture::{self, FrameSource};
use crate::config::{
    CameraChecksConfig, CameraConfig, Config, DisplayChoice, EngineConfig, InputSpec, KioskConfig,
    Loaded, PreprocessChoice, Restart, StatusPage, TextScale,
};
use crate::inference::{self, Inferencer};
use crate::message::DetectorTest;
use crate::ui::headless::HeadlessRenderer;
use crate::units::StreamId;

/// The configuration in words, with the files it comes from.
#[must_use]
pub fn configuration(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut text = String::new();
    for file in [&loaded.main, &loaded.keepout] {
        let _ = writeln!(
            text,
            "{} is valid (sha256 {})",
            file.path.display(),
            file.sha256
        );
    }
    text.push('\n');
    for stream in StreamId::ALL {
        text += &input(config, stream);
    }
    let _ = writeln!(text, "\nzones");
    for zone in &config.zones {
        let _ = writeln!(
            text,
            "  {:<20} {:<5} {:<12} {} corners, {}",
            zone.name,
            zone.kind.name(),
            zone.anchor.name(),
            zone.polygon.points().len(),
            zone.camera,
        );
    }
    text.push_str(&describe_ground::floor(config));
    let safety = &config.safety;
    let restart = match safety.restart {
        Restart::Manual => "by an operator's reset",
        Restart::Automatic => "BY ITSELF",
    };
    let _ = writeln!(
        text,
        "\nthe run permission goes after {} occupied frame(s), after {} ms without a fresh result \
         (a fault after {} ms),\nand returns after {} clear frame(s), {restart}",
        safety.trip_after,
        safety.max_age.as_millis(),
        safety.fault_after.as_millis(),
        safety.clear_after,
    );
    let _ = writeln!(text, "\n{}", engine(&config.engine));
    let _ = writeln!(text, "\n{}", camera_checks(&config.camera_checks));
    for check in config.camera_checks.switched_off() {
        let _ = writeln!(
            text,
            "WARNING: camera_checks.{check} = false: a {check} camera goes unnoticed"
        );
    }
    let _ = writeln!(text, "\n{}", describe_display::display(&config.display));
    let _ = writeln!(text, "\n{}", outputs::describe(config));
    if config.display.display == DisplayChoice::Kms {
        let _ = writeln!(text, "\n{}", kiosk(config));
    }
    text
}

/// What is to run the models, and what makes the detector's input.
fn engine(config: &EngineConfig) -> String {
    let input = match config.preprocess {
        PreprocessChoice::Cpu => "the CPU makes the detector's input",
        PreprocessChoice::Gpu => {
            "the GPU makes the detector's input, the CPU from then on where it fails"
        }
    };
    let (engine, threads) = (config.engine.name(), config.threads);
    format!("engine {engine}, {threads} CPU thread(s) per inference; {input}")
}

/// What an operator can do at the monitor.
fn kiosk(config: &Config) -> String {
    let KioskConfig {
        scale,
        streams,
        pages,
        touch,
        reset: _,
    } = config.display.kiosk;
    let scale = match scale {
        TextScale::Auto => "as large as the monitor asks for".to_owned(),
        TextScale::Percent(percent) => format!("at {percent} % of what the picture's size says"),
    };
    let mut text = format!("the monitor shows {} streams, text {scale}", streams.name());
    if touch {
        let pages: Vec<&str> = pages.iter().map(StatusPage::name).collect();
        let pages = if pages.is_empty() {
            "none".to_owned()
        } else {
            pages.join(", ")
        };
        let reset = if config.screen_may_reset() {
            "A PRESS AT THE SCREEN RESETS"
        } else {
            "there is no reset at the screen"
        };
        let _ = write!(
            text,
            "\ntouch screens, mice and keyboards operate it; pages of figures: {pages}; {reset}"
        );
    } else {
        text.push_str("\nnobody can operate it");
    }
    text
}

/// Where a stream's frames come from; of a camera also whether it is there, and what is asked of it.
fn input(config: &Config, stream: StreamId) -> String {
    let (spec, camera) = config.input(stream);
    let mut text = format!("{:<18} {spec}\n", stream.name());
    let InputSpec::Camera(path) = spec else {
        return text;
    };
    let mut line = |words: &str| {
        let _ = writeln!(text, "{:<18}   {words}", "");
    };
    line(&capture::presence(path));
    let CameraConfig {
        size,
        frame_rate,
        format,
        exposure_us,
        gain,
        power_line,
        controls,
    } = camera;
    let asked = [
        size.map(|size| format!("size {size}")),
        frame_rate.map(|rate| format!("at least {rate} fps")),
        format.map(|format| format!("format {}", String::from_utf8_lossy(&format))),
        exposure_us.map(|us| format!("exposure {us} µs")),
        gain.map(|gain| format!("gain {gain}")),
        power_line.map(|frequency| format!("power line {}", frequency.name())),
    ];
    let controls = controls
        .iter()
        .map(|(name, value)| format!("{name} {value}"));
    let asked: Vec<String> = asked.into_iter().flatten().chain(controls).collect();
    if !asked.is_empty() {
        line(&format!("asked for: {}", asked.join(", ")));
    }
    text
}

fn camera_checks(checks: &CameraChecksConfig) -> String {
    let mut text = String::from("a guarding picture is not believed when it is");
    let CameraChecksConfig {
        frozen,
        covered,
        moved,
    } = checks;
    if let Some(check) = frozen {
        let _ = write!(
            text,
            "\n  frozen   the same for more than {} ms",
            check.after.as_millis()
        );
    }
    if let Some(check) = covered {
        let _ = write!(
            text,
            "\n  covered  without texture but for {:.0} % of it, for {} ms",
            check.share_min * 100.0,
            check.after.as_millis()
        );
    }
    if let Some(check) = moved {
        let reference = match &check.reference {
            Some(path) => path.display().to_string(),
            None => "learnt at each start: a camera moved before that is not noticed".to_owned(),
        };
        let _ = write!(
            text,
            "\n  moved    by more than {:.1} % of its width, for {} ms (reference: {reference})",
            check.shift_max * 100.0,
            check.after.as_millis()
        );
    }
    text
}

/// What of the configuration cannot be had here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// One of the inputs.
    Input,
    /// A model or the engine.
    Engine,
    /// The picture that the configuration asks for.
    Picture,
}

/// What this machine offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// In words: each part says what it is or why it cannot be had.
    pub text: String,
    /// The first part that is missing.
    pub unusable: Option<Unusable>,
}

/// What this machine offers for the configuration.
#[must_use]
pub fn machine(loaded: &Loaded) -> Machine {
    let config = &loaded.config;
    let mut missing = None;
    let mut text = format!("andon {}\n", super::system::system().with_version());
    // First, while nobody has any of them.
    text += &capture::describe_cameras();
    for stream in StreamId::ALL {
        let found = match capture::open_input(config, stream) {
            Ok(source) => match source.down() {
                None => source_line(source.as_ref()),
                Some(why) => {
                    missing.get_or_insert(Unusable::Input);
                    format!("unusable: {}: {why}", source.info().name)
                }
            },
            Err(error) => {
                missing.get_or_insert(Unusable::Input);
                format!("unusable: {error}")
            }
        };
        let _ = writeln!(text, "{:<18} {found}", stream.name());
    }
    let accelerators = inference::accelerators(&config.engine);
    for accelerator in &accelerators {
        let _ = writeln!(text, "{:<18} {accelerator}", "edge tpu");
    }
    if accelerators.is_empty() {
        let _ = writeln!(text, "{:<18} none connected", "edge tpu");
    }
    let models::OnEdgeTpu { costs, companions } = models::on_edge_tpu(config);
    for line in costs.lines() {
        let _ = writeln!(text, "{:<18} {line}", "");
    }
    for line in companions {
        let _ = writeln!(text, "{:<18} {line}", "models");
    }
    match Inferencer::new(config) {
        Ok(mut inferencer) => {
            gpu_preprocess::attach(config, &mut inferencer);
            let _ = writeln!(text, "{:<18} {}", "engine", inferencer.engine_description());
            for note in inferencer.engine_notes() {
                let _ = writeln!(text, "{:<18} {note}", "");
            }
            for (role, name, sha256) in inferencer.models() {
                let _ = writeln!(
                    text,
                    "{role:<18} {name} (sha256 {})",
                    &sha256[..12.min(sha256.len())]
                );
            }
            let self_test = match inferencer.self_test() {
                DetectorTest::Passed => "passed: the detector sees the person in the known picture",
                DetectorTest::Failed => {
                    missing.get_or_insert(Unusable::Engine);
                    "FAILED: the detector does not see what is in the known picture"
                }
            };
            let _ = writeln!(text, "{:<18} {self_test}", "self-test");
        }
        Err(error) => {
            missing.get_or_insert(Unusable::Engine);
            let _ = writeln!(text, "{:<18} unusable: {error}", "engine");
        }
    }
    let picture = HeadlessRenderer::new(config.display.size)
        .map(|renderer| renderer.device())
        .unwrap_or_else(|error| {
            if config.display.display == DisplayChoice::Headless {
                missing.get_or_insert(Unusable::Picture);
            }
            format!("unusable: {error}")
        });
    let _ = writeln!(text, "{:<18} {picture}", "picture");
    let (cards, shows) = describe_display::cards(&config.display);
    if !shows && config.display.display == DisplayChoice::Kms {
        missing.get_or_insert(Unusable::Picture);
    }
    text.push_str(&cards);
    let _ = write!(text, "{}", outputs::gpiochips());
    let _ = writeln!(text, "{}", outputs::describe(config));
    Machine {
        text,
        unusable: missing,
    }
}

fn source_line(source: &dyn FrameSource) -> String {
    let info = source.info();
    let rate = info
        .frame_rate
        .map_or_else(String::new, |rate| format!(", {rate:.2} fps"));
    let frames = info
        .frames
        .map_or_else(String::new, |frames| format!(", {frames} frames"));
    format!("{}: {}{rate}{frames}", info.name, info.description)
}
