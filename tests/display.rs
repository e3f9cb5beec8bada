//! A run with a monitor that is not there: the picture is missing, and nothing else.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{WORKER_SAFETY, argument, complaint, of_type, report, run};

/// No machine has this many cards.
const NO_CARD: &str = "/dev/dri/card99";

/// An `andon.toml` with a monitor on a card that is not there, and `more` in `[display]`.
fn configuration(folder: &Path, more: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let clip = root.join(WORKER_SAFETY);
    let [models, keepout] = ["models", "config/keepout.toml"].map(|name| root.join(name));
    let events = folder.join("events");
    let text = format!(
        "[worker_safety]\ninput = {clip:?}\n\
         [visual_inspection]\ninput = \"pattern:bars?size=64x64\"\n\
         [keepout]\nfile = {keepout:?}\n\
         [models]\ndirectory = {models:?}\ndetector = \"detector_coco_ssd_300_int8\"\n\
         classifier = \"classifier_apple_224_int8\"\n\
         [events]\ndirectory = {events:?}\n\
         [display]\ndisplay = \"kms\"\ncard = \"{NO_CARD}\"\n{more}\n"
    );
    let path = folder.join("andon.toml");
    fs::write(&path, text).expect("written");
    argument(&path).to_owned()
}

#[test]
fn the_run_does_not_depend_on_the_monitor() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = configuration(folder.path(), "");
    let path = folder.path().join("report.jsonl");
    let picture = folder.path().join("picture.png");
    let output = run(&[
        "run",
        "--config",
        &config,
        "--engine",
        "cpu",
        "--pace",
        "asap",
        "--frames",
        "4",
        "--report",
        argument(&path),
        "--snapshot",
        &format!("{}@1", argument(&picture)),
    ]);
    let said = complaint(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    for words in [
        "no picture: cannot open /dev/dri/card99: ",
        "the run goes on",
        "display.card",
        "picture.png was not written",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert!(!picture.exists());
    let lines = report(&path);
    let frames = of_type(&lines, "safety");
    assert_eq!(frames.len(), 4);
    let summary = of_type(&lines, "summary");
    assert_eq!(summary[0]["display_losses"], 1);
    let log = fs::read_to_string(folder.path().join("events/events-00000001.jsonl"));
    let events: Vec<Value> = log
        .expect("the event log")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let lost: Vec<&Value> = events
        .iter()
        .filter(|e| e["type"] == "display-lost")
        .collect();
    assert_eq!(lost.len(), 1, "{events:?}");
    let reason = lost[0]["reason"].as_str().expect("a text");
    assert!(reason.contains(NO_CARD), "{reason}");
}

#[test]
fn a_terminal_that_is_configured_has_to_be_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = configuration(folder.path(), "vt = \"/dev/tty9999\"");
    let output = run(&[
        "run", "--config", &config, "--engine", "cpu", "--frames", "4",
    ]);
    let said = complaint(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.contains("cannot switch /dev/tty9999 to graphics"),
        "{said}"
    );
    assert!(said.contains("display.vt"), "{said}");
}

#[test]
fn probe_says_that_there_is_no_card_and_check_config_what_is_wanted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = configuration(
        folder.path(),
        "connector = \"HDMI-A-2\"\nmode = \"1280x720@50\"",
    );
    let output = run(&["probe", "--config", &config, "--engine", "cpu"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("/dev/dri/card99    unusable: cannot be opened"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(5), "{said}");
    let output = run(&["check-config", "--config", &config]);
    let said = String::from_utf8_lossy(&output.stdout);
    let wanted = "picture on a monitor: /dev/dri/card99, connector HDMI-A-2, mode 1280x720@50, \
                  virtual terminal auto";
    assert!(said.contains(wanted), "{said}");
}
