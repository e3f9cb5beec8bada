//! The section `[output]` as people write it, with the words it is answered with.

#![allow(clippy::panic, reason = "a test that cannot go on stops")]

use std::fs;
use std::path::Path;

use super::*;
use crate::config::{Overrides, load};

const MAIN: &str = r#"[worker_safety]
input = "people.mp4"
[visual_inspection]
input = "belt.mp4"
[models]
directory = "models"
detector = "ssd"
classifier = "apples"
"#;

const KEEPOUT: &str = r#"[[zone]]
name = "press"
points = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]
"#;

const WIRED: &str = r#"[output]
backend = "gpio"
[output.lines.run_permission]
chip = "relays"
line = "PERMIT"
[output.inputs.reset]
chip = "/dev/gpiochip3"
line = 7
active_low = true
"#;

fn read(text: &str) -> Result<OutputConfig, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("andon.toml");
    fs::write(&path, text).expect("written");
    fs::write(folder.path().join("keepout.toml"), KEEPOUT).expect("written");
    let loaded = load(&path, &Overrides::default());
    loaded
        .map(|loaded| loaded.config.output)
        .map_err(|error| error.to_string())
}

fn output(section: &str) -> OutputConfig {
    read(&format!("{MAIN}{section}")).unwrap_or_else(|error| panic!("{error}"))
}

fn gpio(section: &str) -> GpioConfig {
    match output(section).backend {
        OutputBackend::Gpio(gpio) => *gpio,
        other @ OutputBackend::Simulated { .. } => panic!("{other:?}"),
    }
}

/// The messages, without places and excerpts.
fn complaints(section: &str) -> Vec<String> {
    let error = read(&format!("{MAIN}{section}")).expect_err("is refused");
    let lines = error.lines().filter(|line| line.contains("andon.toml:"));
    let message = |line: &str| line.splitn(4, ':').nth(3).unwrap_or("").trim().to_owned();
    lines.map(message).collect()
}

/// `WIRED` with more keys in `[output]`.
fn with(keys: &str) -> String {
    WIRED.replace("[output]\n", &format!("[output]\n{keys}\n"))
}

#[test]
fn nothing_said_is_simulated_and_nobody_resets() {
    assert_eq!(output(""), OutputConfig::simulated(None));
    let output = output("[output]\nheartbeat_half_period_ms = 50\n");
    assert_eq!(output.heartbeat_half_period, Duration::from_millis(50));
    assert_eq!(output.mute_limit(), None);
}

#[test]
fn lines_are_read_by_label_or_device_and_by_name_or_offset() {
    let gpio = gpio(WIRED);
    assert_eq!(
        gpio.run_permission,
        LineSpec {
            chip: ChipSpec::Label("relays".to_owned()),
            line: LineName::Name("PERMIT".to_owned()),
            polarity: Polarity::ActiveHigh,
        }
    );
    assert_eq!(
        gpio.reset,
        Some(LineSpec {
            chip: ChipSpec::Path("/dev/gpiochip3".into()),
            line: LineName::Offset(7),
            polarity: Polarity::ActiveLow,
        })
    );
    assert_eq!((gpio.warning, gpio.heartbeat, gpio.edm), (None, None, None));
    assert_eq!(gpio.edm_within, GpioConfig::EDM_WITHIN_DEFAULT);
    assert_eq!(gpio.debounce, GpioConfig::DEBOUNCE_DEFAULT);
    assert_eq!(gpio.mute_limit, None);
}

#[test]
fn the_example_in_the_shipped_file_is_valid() {
    let shipped = fs::read_to_string("config/andon.toml").expect("there");
    let (_, rest) = shipped
        .split_once("# --- example of wired outputs")
        .expect("begins");
    let (example, _) = rest.split_once("# --- end of the example").expect("ends");
    let (_, example) = example.split_once('\n').expect("lines");
    let uncommented = |line: &str| line.strip_prefix("#| ").map(str::to_owned);
    let lines: Vec<String> = example.lines().filter_map(uncommented).collect();
    let gpio = gpio(&format!("{}\n", lines.join("\n")));
    let wired = [
        &gpio.warning,
        &gpio.reject,
        &gpio.fault,
        &gpio.heartbeat,
        &gpio.reset,
        &gpio.edm,
        &gpio.mute,
    ];
    assert!(wired.iter().all(|line| line.is_some()), "{gpio:?}");
    assert_eq!(
        gpio.edm_within,
        GpioConfig::EDM_WITHIN_DEFAULT,
        "the default"
    );
    assert_eq!(gpio.debounce, GpioConfig::DEBOUNCE_DEFAULT, "the default");
}

#[test]
fn a_simulated_operator_cannot_reset_a_real_machine() {
    assert_eq!(
        complaints(&with("operator_reset_after_ms = 2000")),
        [
            "output.operator_reset_after_ms cannot be used with backend = \"gpio\": on a real machine a reset is a person's decision"
        ]
    );
}

#[test]
fn wired_outputs_need_a_run_permission_and_a_way_to_reset() {
    assert_eq!(
        complaints("[output]\nbackend = \"gpio\"\n"),
        [
            "output.lines.run_permission is missing",
            "output.inputs.reset is missing"
        ]
    );
    let automatic = format!(
        "[safety]\nrestart = \"automatic\"\n{}",
        WIRED.split_once("[output.inputs").expect("inputs").0
    );
    assert_eq!(gpio(&automatic).reset, None);
}

#[test]
fn lines_without_their_backend_are_refused_rather_than_ignored() {
    let lines = WIRED.replace("backend = \"gpio\"\n", "debounce_ms = 5\n");
    let needs = "needs backend = \"gpio\": with \"simulated\" nothing would be switched";
    let expected = ["output.debounce_ms", "output.lines", "output.inputs"];
    let mut told = complaints(&lines);
    told.sort();
    let mut expected = expected.map(|key| format!("{key} {needs}"));
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(
        complaints(&WIRED.replace("\"gpio\"", "\"gpoi\"")),
        ["output.backend is \"gpoi\"; it must be \"simulated\" or \"gpio\""]
    );
}

#[test]
fn one_line_for_two_purposes_is_refused() {
    let twice = "[output.lines.fault]\nchip = \"relays\"\nline = \"PERMIT\"\nactive_low = true\n";
    assert_eq!(
        complaints(&format!("{WIRED}{twice}")),
        ["output.lines.fault.line is the line of output.lines.run_permission already"]
    );
    let across = "[output.inputs.edm]\nchip = \"relays\"\nline = \"PERMIT\"\n";
    assert_eq!(
        complaints(&format!("{WIRED}{across}")),
        ["output.inputs.edm.line is the line of output.lines.run_permission already"]
    );
}

#[test]
fn muting_needs_a_sensor_and_a_limit() {
    let sensor = "[output.inputs.mute]\nchip = \"relays\"\nline = 3\n";
    assert_eq!(
        complaints(&format!("{WIRED}{sensor}")),
        ["output.mute_limit_ms is missing"]
    );
    assert_eq!(
        complaints(&with("mute_limit_ms = 5000")),
        ["output.mute_limit_ms has no use without [output.inputs.mute]; nothing can be muted"]
    );
    let both = format!("{}{sensor}", with("mute_limit_ms = 5000"));
    assert_eq!(output(&both).mute_limit(), Some(Duration::from_secs(5)));
}

#[test]
fn the_feedback_contact_needs_more_time_than_debouncing_takes() {
    let contact = "[output.inputs.edm]\nchip = \"relays\"\nline = 3\n";
    let times = |within, stable| {
        let keys = format!("edm_within_ms = {within}\ndebounce_ms = {stable}");
        format!("{}{contact}", with(&keys))
    };
    assert_eq!(
        complaints(&times(50, 50)),
        [
            "output.edm_within_ms is 50, not more than debounce_ms = 50; the contact could never follow in time"
        ]
    );
    assert_eq!(gpio(&times(51, 50)).edm_within, Duration::from_millis(51));
    assert_eq!(
        complaints(&with("edm_within_ms = 100")),
        ["output.edm_within_ms has no use without [output.inputs.edm]; no contact is watched"]
    );
}

#[test]
fn what_is_wrong_with_a_line_is_told() {
    let cases = [
        ("line = 3", "output.lines.fault.chip is missing"),
        ("chip = \"relays\"", "output.lines.fault.line is missing"),
        (
            "chip = \"relays\"\nline = -1",
            "output.lines.fault.line is -1; it must be a whole number from 0 to 65535 or a line's name in quotes",
        ),
        (
            "chip = \"relays\"\nline = 1\nactive_low = 1",
            "output.lines.fault.active_low is 1; it must be true or false",
        ),
        (
            "chip = \"relays\"\nline = 1\npolarity = 1",
            "output.lines.fault has no key polarity",
        ),
    ];
    for (keys, told) in cases {
        let section = format!("{WIRED}[output.lines.fault]\n{keys}\n");
        assert_eq!(complaints(&section), [told], "{keys}");
    }
    let unknown = format!("{WIRED}[output.lines.horn]\nchip = \"relays\"\nline = 1\n");
    assert_eq!(complaints(&unknown), ["output.lines has no key horn"]);
    let label = "a".repeat(32);
    let long = format!("{WIRED}[output.lines.fault]\nchip = \"{label}\"\nline = 1\n");
    assert_eq!(
        complaints(&long),
        ["output.lines.fault.chip is no chip's label: the kernel keeps 31 characters"]
    );
}

#[test]
fn times_have_their_ranges() {
    for (keys, range) in [
        ("heartbeat_half_period_ms = 9", "10 to 5000"),
        ("debounce_ms = 1001", "0 to 1000"),
        ("mute_limit_ms = 99", "100 to 600000"),
        ("edm_within_ms = 19", "20 to 10000"),
    ] {
        let told = complaints(&with(keys));
        let found = told.iter().any(|told| told.contains(range));
        assert!(found, "{keys}: {told:?}");
    }
    assert!(Path::new("config/andon.toml").exists());
}
