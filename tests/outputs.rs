//! The outputs from outside: what the command line does where lines are wired, or cannot be had.

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use support::run as andon;

const WIRED: &str = r#"
backend = "gpio"
[output.lines]
run_permission = { chip = "andon-no-such-chip", line = 0 }
heartbeat = { chip = "andon-no-such-chip", line = 1 }
[output.inputs]
reset = { chip = "andon-no-such-chip", line = 2 }
"#;

fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// A configuration beside which the bundled files are found, with `section` as `[output]`.
fn configuration(folder: &Path, section: &str) -> PathBuf {
    let root = std::env::current_dir().expect("a directory");
    let root = root.display();
    let text = format!(
        "[keepout]\nfile = \"{root}/config/keepout.toml\"\n\
         [worker_safety]\ninput = \"pattern:black\"\n\
         [visual_inspection]\ninput = \"pattern:black\"\n\
         [models]\ndirectory = \"{root}/models\"\ndetector = \"detector_coco_ssd_300_int8\"\n\
         classifier = \"classifier_apple_224_int8\"\n\
         [output]\n{section}\n"
    );
    let path = folder.join("andon.toml");
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn switching_off_simulated_outputs_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path(), "backend = \"simulated\"");
    let output = andon(&["outputs", "off", "--config", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("nothing is wired"));
}

#[test]
fn lines_that_are_not_there_end_the_program_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path(), WIRED).display().to_string();
    let missing = "output.lines.run_permission: there is no gpiochip andon-no-such-chip;";
    for (arguments, words) in [
        (&["run", "--config"][..], &[missing][..]),
        (
            &["run", "--pace", "asap", "--config"],
            &["use --pace realtime"],
        ),
        (
            &["outputs", "off", "--config"],
            &[missing, "output.lines.heartbeat: there is no gpiochip"],
        ),
    ] {
        let arguments = [arguments, &[&file]].concat();
        let output = andon(&arguments);
        let text = told(&output);
        assert_eq!(output.status.code(), Some(6), "{arguments:?}: {text}");
        for words in words {
            assert!(text.contains(words), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn check_config_says_what_is_wired_and_what_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path(), WIRED).display().to_string();
    let output = andon(&["check-config", "--config", &file]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "  run_permission   andon-no-such-chip line 0\n",
        "  edm              not wired\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
