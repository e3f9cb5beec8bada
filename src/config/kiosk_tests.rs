//! The operator's keys of `[display]` as people write them, with the words they are answered with.

use std::fs;

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

const RELAY: &str = r#"[output]
backend = "gpio"
[output.lines.run_permission]
chip = "relays"
line = "PERMIT"
"#;

const BUTTON: &str = r#"[output.inputs.reset]
chip = "relays"
line = 7
"#;

fn read(text: &str, overrides: &Overrides) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("andon.toml");
    fs::write(&path, format!("{MAIN}{text}")).expect("written");
    fs::write(folder.path().join("keepout.toml"), KEEPOUT).expect("written");
    let loaded = load(&path, overrides);
    loaded
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string())
}

fn good(text: &str) -> Config {
    match read(text, &Overrides::default()) {
        Ok(config) => config,
        Err(error) => unreachable!("{error}"),
    }
}

fn display(keys: &str) -> KioskConfig {
    good(&format!("[display]\n{keys}")).display.kiosk
}

#[test]
fn without_keys_everything_but_reset_is_there() {
    let kiosk = display("");
    assert_eq!(kiosk, KioskConfig::default());
    assert_eq!(kiosk.pages.iter().count(), 5);
    assert!(kiosk.touch && !kiosk.reset);
}

#[test]
fn keys_are_read() {
    assert_eq!(display("scale = \"auto\"").scale, TextScale::Auto);
    assert_eq!(display("scale = 1.25").scale, TextScale::Percent(125));
    assert_eq!(display("scale = 2").scale, TextScale::Percent(200));
    let only = display("streams = \"worker_safety\"").streams;
    assert_eq!(only, ShownStreams::Only(StreamId::WorkerSafety));
    let pages = display("pages = [\"events\", \"inputs\"]").pages;
    let pages: Vec<StatusPage> = pages.iter().collect();
    assert_eq!(pages, [StatusPage::Inputs, StatusPage::Events]);
    assert_eq!(display("pages = []").pages, PageSet::NONE);
    assert!(!display("touch = false").touch);
}

#[test]
fn what_is_wrong_is_said() {
    for (line, expected) in [
        (
            "scale = 5",
            "display.scale is 5; it must be a number from 0.5 to 3 or \"auto\"",
        ),
        (
            "scale = \"big\"",
            "display.scale is \"big\"; it must be \"auto\"",
        ),
        (
            "streams = \"left\"",
            "display.streams is \"left\"; it must be \"both\" or \"worker_safety\" or \"visual_inspection\"",
        ),
        (
            "pages = [\"inputs\", \"weather\"]",
            "display.pages is \"weather\"; it must be \"inputs\" or \"engine\" or \"system\" or \"counters\" or \"events\"",
        ),
        (
            "pages = \"inputs\"",
            "display.pages is \"inputs\"; it must be a list of \"inputs\", \"engine\", \"system\", \"counters\", \"events\"",
        ),
        ("touch = 1", "display.touch is 1; it must be true or false"),
    ] {
        let said = read(&format!("[display]\n{line}"), &Overrides::default()).expect_err(line);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn the_screen_resets_only_where_it_is_asked_to_and_nothing_else_does() {
    let asked = "[display]\ndisplay = \"kms\"\nreset = true\n";
    assert!(good(asked).screen_may_reset());
    assert!(good(&format!("{RELAY}{asked}")).screen_may_reset());
    assert!(!good("[display]\ndisplay = \"kms\"\n").screen_may_reset());
    let only = "streams = \"worker_safety\"\n";
    assert!(good(&format!("{asked}{only}")).screen_may_reset());
    let wired = format!("{RELAY}{BUTTON}");
    assert!(!good(&wired).screen_may_reset());
}

#[test]
fn two_places_to_reset_from_and_a_button_that_nobody_reaches_are_refused() {
    let kms = "[display]\ndisplay = \"kms\"\nreset = true\n";
    for (text, expected) in [
        (
            format!("{RELAY}{BUTTON}{kms}"),
            "display.reset is true, and a reset button is wired in output.inputs.reset",
        ),
        (
            format!("[output]\noperator_reset_after_ms = 100\n{kms}"),
            "display.reset is true, and output.operator_reset_after_ms has a simulated operator",
        ),
        (
            "[display]\nreset = true\n".to_owned(),
            "display.reset is true, and display.display is \"none\": nobody sees a button",
        ),
        (
            format!("{kms}touch = false\n"),
            "display.reset is true, and display.touch is false: nobody can press",
        ),
        (
            format!("{kms}streams = \"visual_inspection\"\n"),
            "whoever resets does not see the stop zone \"press\" of worker_safety",
        ),
    ] {
        let said = read(&text, &Overrides::default()).expect_err("is refused");
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("andon.toml:"), "{said}");
    }
    // The command line counts, too.
    let headless = Overrides {
        display: Some(DisplayChoice::Headless),
        ..Overrides::default()
    };
    let said = read(kms, &headless).expect_err("is refused");
    assert!(
        said.contains("\"headless\": nobody sees a button"),
        "{said}"
    );
}

#[test]
fn without_any_place_to_reset_from_a_wired_machine_is_refused() {
    let said = read(RELAY, &Overrides::default()).expect_err("is refused");
    assert!(said.contains("output.inputs.reset"), "{said}");
    assert!(said.contains("display.reset = true"), "{said}");
}
