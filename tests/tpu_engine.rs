//! `andon run --engine edgetpu:sim`: the whole program on a simulated Edge TPU, with the shipped detector
//! and classifier packed as compiled models.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use andon_tpu_sim::pack::{Options, pack, twin_path};
use serde_json::Value;
use support::{CONVEYOR, WORKER_SAFETY, andon, argument, complaint, of_type, report};

/// The shipped models: as they are, and packed as the compiler names them.
struct Models {
    folder: tempfile::TempDir,
}

const DETECTOR: (&str, &str) = ("detector_coco_ssd_300_int8", "coco_labels.txt");
const CLASSIFIER: (&str, &str) = ("classifier_apple_224_int8", "apple_labels.txt");

impl Models {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        for (name, labels) in [DETECTOR, CLASSIFIER] {
            let bytes = fs::read(shipped.join(format!("{name}.tflite"))).expect("a model");
            let packed = pack(&bytes, &Options::default()).expect("it packs");
            let path = |name: String| folder.path().join(name);
            let compiled = path(format!("{name}_edgetpu.tflite"));
            fs::write(twin_path(&compiled), &packed.twin).expect("written");
            fs::write(&compiled, &packed.model).expect("written");
            fs::write(path(format!("{name}.tflite")), &bytes).expect("written");
            for name in [name.to_owned(), format!("{name}_edgetpu")] {
                let to = path(format!("{name}_labels.txt"));
                fs::copy(shipped.join(labels), to).expect("copied");
            }
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on models of this ending.
    fn run(&self, engine: &str, ending: &str, more: &[&str]) -> (Command, PathBuf) {
        let out = self.path(&format!("report{ending}.jsonl"));
        let mut command = andon();
        command.args(["run", "--display", "none", "--engine", engine]);
        for (flag, (name, _)) in [
            ("--detection-model", DETECTOR),
            ("--classifier-model", CLASSIFIER),
        ] {
            let file = self.path(&format!("{name}{ending}.tflite"));
            command.args([flag, argument(&file)]);
        }
        command.args(["--report", argument(&out)]).args(more);
        (command, out)
    }

    /// A configuration with a firmware file and `on_tpu_loss`.
    fn configuration(&self, on_loss: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let [safety, inspection] = [WORKER_SAFETY, CONVEYOR].map(|clip| root.join(clip));
        let models = root.join("models");
        let firmware = self.path("firmware.bin");
        fs::write(&firmware, [0x5a; 1_000]).expect("written");
        let keepout = self.path("keepout.toml");
        let corner =
            "[[zone]]\nname = \"corner\"\npoints = [[0.0, 0.0], [0.02, 0.0], [0.0, 0.02]]\n";
        fs::write(&keepout, corner).expect("written");
        let main = format!(
            "[worker_safety]\ninput = {safety:?}\n\
             [visual_inspection]\ninput = {inspection:?}\n\
             [safety]\nclear_after = 2\nmax_age_ms = 10000\nfault_after_ms = 60000\n\
             [models]\ndirectory = {models:?}\ndetector = \"{}\"\nclassifier = \"{}\"\n\
             [engine]\non_tpu_loss = \"{on_loss}\"\ntpu_firmware = {firmware:?}\n\
             [output]\noperator_reset_after_ms = 100\n\
             [events]\ndirectory = {:?}\n",
            DETECTOR.0,
            CLASSIFIER.0,
            self.path("events"),
        );
        let path = self.path(&format!("{on_loss}.toml"));
        fs::write(&path, main).expect("written");
        path
    }
}

fn finished(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn assert_no_breach(output: &Output) {
    let complaint = complaint(output);
    assert!(
        !complaint.contains("broke the Edge TPU's protocol"),
        "{complaint}"
    );
    assert!(complaint.contains("simulated Edge TPU: "), "{complaint}");
}

/// What a report says of the frames, without what it says of its engine, and of the time it took.
fn findings(report: &[Value]) -> Vec<&Value> {
    let about = |line: &&Value| line["type"] != "header" && line["type"] != "summary";
    report.iter().filter(about).collect()
}

#[test]
fn the_report_is_that_of_the_cpu_engine() {
    let models = Models::new();
    let more = ["--pace", "asap", "--frames", "60"];
    let (mut simulated, theirs) = models.run("edgetpu:sim", "_edgetpu", &more);
    let output = finished(&mut simulated);
    assert!(output.status.success(), "{}", complaint(&output));
    assert_no_breach(&output);
    let (mut cpu, ours) = models.run("cpu", "", &more);
    let output = finished(&mut cpu);
    assert!(output.status.success(), "{}", complaint(&output));
    let (theirs, ours) = (report(&theirs), report(&ours));
    let engine = theirs[0]["engine"].as_str().expect("an engine");
    assert!(engine.starts_with("SIMULATED Edge TPU, USB 3"), "{engine}");
    assert_eq!(of_type(&theirs, "safety").len(), 60);
    let graded = of_type(&theirs, "inspection");
    assert!(
        graded
            .iter()
            .any(|line| line["items"] != Value::Array(vec![]))
    );
    let (theirs, ours) = (findings(&theirs), findings(&ours));
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
}

/// Runs in real time while the plug is pulled and put back; the report and the event log.
fn unplugged(models: &Models, on_loss: &str) -> (Output, Vec<Value>, String) {
    let faults = models.path("faults.txt");
    fs::write(&faults, "inference 60 unplug 500\n").expect("written");
    let config = models.configuration(on_loss);
    let config = ["--config", argument(&config), "--pace", "realtime"];
    let more = [&config[..], &["--frames", "150", "--loop"]].concat();
    let (mut command, out) = models.run("edgetpu:sim", "_edgetpu", &more);
    let output = finished(command.env("ANDON_TPU_SIM_FAULTS", &faults));
    let mut log = String::new();
    for entry in fs::read_dir(models.path("events")).expect("a folder") {
        log += &fs::read_to_string(entry.expect("a file").path()).unwrap_or_default();
    }
    (output, report(&out), log)
}

/// Run permission: each state it took.
fn permissions(report: &[Value]) -> Vec<(&str, &str)> {
    let outputs = of_type(report, "output").into_iter();
    outputs
        .filter(|line| line["name"] == "run_permission")
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default();
            (text("state"), text("cause"))
        })
        .collect()
}

#[test]
fn a_pulled_plug_stops_the_machine_and_is_recovered_from() {
    let models = Models::new();
    let (output, report, log) = unplugged(&models, "stop");
    assert_no_breach(&output);
    // Frames were not judged, which the exit code says.
    assert_eq!(output.status.code(), Some(4), "{}", complaint(&output));
    let states = permissions(&report);
    let first_on = states.iter().position(|(state, _)| *state == "on");
    let after = &states[first_on.expect("it was ON")..];
    assert_eq!(after[1].0, "off", "{states:?}");
    assert!(after[1].1.contains("could not be judged"), "{states:?}");
    assert!(
        after[2..].iter().any(|(state, _)| *state == "on"),
        "ON again: {states:?}"
    );
    for words in [
        "\"type\":\"accelerator\"",
        "disconnected",
        "measure taken: reset",
        "in service",
    ] {
        assert!(
            log.contains(words),
            "{words} is not in the event log:\n{log}"
        );
    }
}

#[test]
fn a_hiccup_while_the_models_are_loaded_does_not_end_the_program() {
    let models = Models::new();
    let config = models.configuration("stop");
    let more = ["--config", argument(&config), "--pace", "asap"];
    let more = [&more[..], &["--frames", "3"]].concat();
    let faults = models.path("faults.txt");
    for fault in [
        "bulk-out 0 stall",
        "bulk-out 3 broken",
        "bulk-out 4 unplug 300",
        "event 0 drop-event",
        "inference 1 hang",
        "bulk-out 2 stall\nbulk-out 9 stall",
    ] {
        fs::write(&faults, fault).expect("written");
        let (mut command, out) = models.run("edgetpu:sim", "_edgetpu", &more);
        let output = finished(command.env("ANDON_TPU_SIM_FAULTS", &faults));
        assert!(output.status.success(), "{fault}: {}", complaint(&output));
        assert_no_breach(&output);
        assert!(complaint(&output).contains("measure taken"), "{fault}");
        assert_eq!(of_type(&report(&out), "safety").len(), 3, "{fault}");
    }
}

#[test]
fn with_on_tpu_loss_cpu_the_work_goes_on_and_that_is_said() {
    let models = Models::new();
    let (output, report, log) = unplugged(&models, "cpu");
    assert_no_breach(&output);
    assert!(output.status.success(), "{}", complaint(&output));
    let states = permissions(&report);
    let first_on = states.iter().position(|(state, _)| *state == "on");
    let after = &states[first_on.expect("it was ON")..];
    // OFF only at the end.
    assert_eq!(after.len(), 2, "{states:?}");
    for words in [
        "runs on the CPU until an Edge TPU is back",
        "runs on an Edge TPU again",
        "disconnected",
    ] {
        assert!(
            log.contains(words),
            "{words} is not in the event log:\n{log}"
        );
    }
}

#[test]
fn without_compiled_models_the_simulated_engine_refuses() {
    let models = Models::new();
    let (mut command, _) = models.run("edgetpu:sim", "", &["--frames", "1"]);
    let output = finished(&mut command);
    assert_eq!(output.status.code(), Some(4), "{}", complaint(&output));
    assert!(
        complaint(&output).contains("not compiled"),
        "{}",
        complaint(&output)
    );
}
