//! What bad input gets: one clear message that names the object and says what to do, and the right
//! exit code. Nothing panics, nothing runs with half of what it was told.

mod support;

use std::fs;

use support::{RUN, argument, complaint, run};

const USAGE: i32 = 2;
const INPUT: i32 = 3;
const ENGINE: i32 = 4;
const DISPLAY: i32 = 5;

/// Runs, expects the exit code and every one of `words` in the complaint.
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let output = run(arguments);
    let text = complaint(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{text}");
    for word in words {
        assert!(
            text.contains(word),
            "`{word}` is not in the complaint of {arguments:?}:\n{text}"
        );
    }
    assert!(!text.contains("panicked"), "{text}");
    assert!(text.lines().count() < 30, "not a clear message:\n{text}");
}

/// `run` without picture, four frames, with more arguments.
fn refused_run(more: &[&str], code: i32, words: &[&str]) {
    let mut arguments = vec![
        "run",
        "--display",
        "none",
        "--pace",
        "asap",
        "--frames",
        "4",
        "--engine",
        "cpu",
    ];
    arguments.extend(more);
    refused(&arguments, code, words);
}

/// A temporary folder with one file of the given content.
fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    let path = argument(&path).to_owned();
    (folder, path)
}

#[test]
fn videos() {
    refused_run(
        &["--worker-safety-input", "no/such.mp4"],
        INPUT,
        &["no/such.mp4"],
    );
    let clip = fs::read(support::WORKER_SAFETY).expect("the bundled clip");
    for (what, content) in [
        ("empty", &b""[..]),
        ("text", b"this is no video at all, whatever its name says"),
        ("headless", &clip[clip.len() / 2..]),
    ] {
        let (_folder, path) = file(&format!("{what}.mp4"), content);
        refused_run(
            &["--worker-safety-input", &path],
            INPUT,
            &[&format!("{what}.mp4")],
        );
    }
    let empty = tempfile::tempdir().expect("a temporary folder");
    refused_run(
        &["--visual-inspection-input", argument(empty.path())],
        INPUT,
        &[".png"],
    );
    refused_run(
        &["--worker-safety-input", "pattern:nonsense"],
        INPUT,
        &["nonsense"],
    );
    refused_run(
        &["--worker-safety-input", "/dev/video99"],
        INPUT,
        &["/dev/video99"],
    );
}

#[test]
fn a_clip_cut_short_is_a_fault_not_an_end() {
    let clip = fs::read(support::WORKER_SAFETY).expect("the bundled clip");
    let (folder, path) = file("short.mp4", &clip[..clip.len() * 3 / 4]);
    let report = folder.path().join("report.jsonl");
    let more = [
        "--worker-safety-input",
        &path,
        "--report",
        argument(&report),
    ];
    let output = run(&[&RUN[..], &more].concat());
    let text = complaint(&output);
    assert_eq!(output.status.code(), Some(INPUT), "{text}");
    assert!(text.contains("short.mp4"), "{text}");
}

#[test]
fn models() {
    refused_run(
        &["--detection-model", "no-such-model"],
        ENGINE,
        &["no-such-model"],
    );
    refused_run(
        &["--detection-model", "no/such.tflite"],
        ENGINE,
        &["no/such.tflite"],
    );
    let (_folder, path) = file("garbage.tflite", &[0x5a; 4096]);
    refused_run(&["--classifier-model", &path], ENGINE, &["garbage.tflite"]);
    let folder = fs::read_dir("models").expect("models");
    let shipped = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "tflite"))
        .expect("a shipped model");
    let model = fs::read(shipped).expect("a shipped model");
    for (name, length) in [("cut.tflite", model.len() / 2), ("stub.tflite", 40)] {
        let (_folder, path) = file(name, &model[..length]);
        refused_run(&["--detection-model", &path], ENGINE, &[name]);
    }
}

#[test]
fn a_wrong_model_in_the_right_place() {
    refused_run(
        &["--detection-model", classifier_name().as_str()],
        ENGINE,
        &["detect"],
    );
}

fn classifier_name() -> String {
    let text = fs::read_to_string("models/models.toml").expect("models.toml");
    let value: toml::Value = toml::from_str(&text).expect("valid TOML");
    let models = value["model"].as_array().expect("models");
    let classifier = models
        .iter()
        .find(|model| model["task"].as_str() == Some("classification"));
    classifier.expect("a classifier")["name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

#[test]
fn thresholds_and_numbers() {
    for (flag, value) in [
        ("--worker-threshold", "1.5"),
        ("--worker-threshold", "-0.1"),
        ("--worker-threshold", "NaN"),
        ("--inspection-threshold", "2"),
        ("--threads", "0"),
        ("--width", "0"),
    ] {
        refused_run(
            &[&format!("{flag}={value}")],
            USAGE,
            &[flag.trim_start_matches('-')],
        );
    }
    refused_run(&["--no-such-flag"], USAGE, &["--no-such-flag"]);
    refused_run(&["--snapshot", "picture.png"], USAGE, &["picture.png", "@"]);
}

#[test]
fn zones() {
    let zone = |points: &str| {
        format!(
            "[[zone]]\nname = \"press\"\ncamera = \"worker_safety\"\nkind = \"stop\"\npoints = {points}\n"
        )
    };
    for (content, word) in [
        (
            zone("[[0.1, 0.1], [0.5, 0.5]]"),
            "has 2 points; a zone needs at least 3",
        ),
        (
            zone("[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]"),
            "cross",
        ),
        (zone("[[0.1, 0.1], [1.2, 0.1], [0.5, 0.9]]"), "1.2"),
        (zone("[[0.1, nan], [0.9, 0.1], [0.5, 0.9]]"), "nan"),
        (
            zone("[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]").repeat(2),
            "is the name of zone 1 already",
        ),
        ("[[zone]\nname=".to_owned(), "zones.toml:1:"),
        (String::new(), "has no [[zone]]"),
    ] {
        let (_folder, path) = file("zones.toml", content.as_bytes());
        refused_run(&["--keepout", &path], USAGE, &["zones.toml", word]);
    }
    refused_run(&["--keepout", "no/zones.toml"], USAGE, &["no/zones.toml"]);
    let (_folder, path) = file("zones.toml", &[0xff, 0xfe, 0x00, 0x01]);
    refused_run(&["--keepout", &path], USAGE, &["zones.toml", "UTF-8"]);
}

#[test]
fn configuration() {
    refused_run(&["--config", "no/andon.toml"], USAGE, &["no/andon.toml"]);
    let (_folder, path) = file("andon.toml", b"[safety]\ntrip_aftr = 1\n");
    refused_run(&["--config", &path], USAGE, &["andon.toml", "trip_aftr"]);
}

#[test]
fn the_same_camera_twice() {
    refused_run(
        &[
            "--worker-safety-input",
            "/dev/video0",
            "--visual-inspection-input",
            "/dev/video0",
        ],
        USAGE,
        &["/dev/video0"],
    );
}

#[test]
fn outputs_that_cannot_be_written() {
    refused_run(
        &["--report", "/proc/no/report.jsonl"],
        DISPLAY,
        &["/proc/no"],
    );
    refused_run(
        &["--record", "/proc/no/film.mp4"],
        DISPLAY,
        &["/proc/no/film.mp4"],
    );
}

#[test]
fn an_edge_tpu_that_is_not_there_is_never_replaced_silently() {
    refused(
        &[
            "run",
            "--display",
            "none",
            "--frames",
            "4",
            "--engine",
            "edgetpu",
        ],
        ENGINE,
        &["Edge TPU"],
    );
}

#[test]
fn a_csv_with_a_bad_line() {
    let (_folder, path) = file("points.csv", b"x,y\n585,390\n720,oops\n420,205\n");
    refused(
        &["import-keepout", &path],
        USAGE,
        &["points.csv", "line 3 is `720,oops`"],
    );
}

#[test]
fn a_name_that_no_zone_may_have() {
    let (folder, path) = file("points.csv", b"585,390\n720,335\n420,205\n");
    let out = folder.path().join("keepout.toml");
    let long = "x".repeat(40);
    for name in ["", " a", &long] {
        let arguments = ["import-keepout", &path, "--name", name, "--output"];
        let arguments = [&arguments[..], &[argument(&out)]].concat();
        refused(&arguments, USAGE, &["--name", "1 to 32 characters"]);
        assert!(!out.exists(), "{name:?}");
    }
}

#[test]
fn an_output_that_would_destroy_something() {
    let clip = fs::read(support::WORKER_SAFETY).expect("the bundled clip");
    let (folder, path) = file("hall.mp4", &clip);
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(&path, at("link.mp4")).expect("a link");
    for flag in ["--record", "--report"] {
        for output in ["hall.mp4", "link.mp4"] {
            let output = at(output);
            let arguments = ["--worker-safety-input", &path, flag, argument(&output)];
            refused_run(&arguments, USAGE, &["is also the worker-safety input"]);
            assert!(
                fs::read(&path).expect("still there") == clip,
                "{flag} changed it"
            );
        }
    }
    let both = at("both");
    let arguments = ["--report", argument(&both), "--record", argument(&both)];
    refused_run(&arguments, USAGE, &["the film", "is also the report"]);
    assert!(!both.exists());
    let snapshot = format!("{}@0", argument(&both));
    let arguments = ["--report", argument(&both), "--snapshot", &snapshot];
    refused_run(&arguments, USAGE, &["the snapshot", "is also the report"]);
    let keepout = at("zones.toml");
    fs::copy("config/keepout.toml", &keepout).expect("a copy");
    let arguments = [
        "--keepout",
        argument(&keepout),
        "--report",
        argument(&keepout),
    ];
    refused_run(
        &arguments,
        USAGE,
        &["the report", "is also the keepout file"],
    );
    for arguments in [
        &["bench", "--json"][..],
        &["response-time", "--json"],
        &["reference", "take", "--output"],
    ] {
        let input = ["--worker-safety-input", &path];
        let link = at("link.mp4");
        let arguments = [arguments, &[argument(&link)], &input].concat();
        refused(&arguments, USAGE, &["is also the worker-safety input"]);
    }
    assert!(fs::read(&path).expect("still there") == clip);
    let report = at("report.jsonl");
    fs::write(&report, "{\"type\":\"header\"}\n").expect("a report");
    let arguments = ["replay", argument(&report), "--output", argument(&report)];
    refused(&arguments, USAGE, &["is also the report that was read"]);
    assert!(fs::metadata(&report).is_ok_and(|file| file.len() == 18));
}

#[test]
fn a_refused_run_leaves_the_report_before_alone() {
    let (_folder, path) = file("report.jsonl", b"old");
    refused(
        &[
            "run",
            "--display",
            "none",
            "--engine",
            "edgetpu",
            "--report",
            &path,
        ],
        ENGINE,
        &["Edge TPU"],
    );
    assert_eq!(fs::read(&path).expect("still there"), b"old");
}

#[test]
fn pictures_of_frames_that_never_come() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let picture = format!("{}@999", argument(&folder.path().join("x.png")));
    refused_run(
        &["--snapshot", &picture],
        DISPLAY,
        &["x.png", "before frame 999"],
    );
    let film = folder.path().join("z.mp4");
    let arguments = ["run", "--frames", "0", "--record", argument(&film)];
    refused(&arguments, USAGE, &["--frames"]);
    assert!(!film.exists());
}

#[test]
fn a_probe_that_finds_something_missing_says_so_in_its_exit_code() {
    for (arguments, code) in [
        (&[][..], 0),
        (&["--worker-safety-input", "no/such.mp4"], INPUT),
        (&["--detection-model", "no-such-model"], ENGINE),
    ] {
        let output = run(&[&["probe", "--engine", "cpu"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{}", complaint(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(code == 0 || text.contains("unusable"), "{text}");
    }
}

#[test]
fn a_report_with_more_persons_than_a_frame_can_have() {
    let person = r#"{"score":0.9,"box":[0.1,0.1,0.2,0.2]},"#.repeat(101);
    let persons = person.trim_end_matches(',');
    let line =
        format!("{{\"type\":\"safety\",\"frame\":0,\"t_ms\":0.0,\"persons\":[{persons}]}}\n");
    let (_folder, path) = file("report.jsonl", line.as_bytes());
    refused(
        &["replay", &path],
        INPUT,
        &["line 1", "more than 100 persons"],
    );
}

#[test]
fn the_csv_of_the_original_demo_becomes_a_zone() {
    let (folder, path) = file("points.csv", b"x,y\n585,390\n720,335\n420,205\n305,235\n");
    let out = folder.path().join("keepout.toml");
    let arguments = [
        "import-keepout",
        &path,
        "--size",
        "960x540",
        "--output",
        argument(&out),
    ];
    let output = run(&arguments);
    assert!(output.status.success(), "{}", complaint(&output));
    let check = run(&["check-config", "--keepout", argument(&out)]);
    assert!(check.status.success(), "{}", complaint(&check));
    let text = fs::read_to_string(&out).expect("the TOML");
    assert!(text.contains("0.609375"), "585 / 960 is in {text}");
    refused(&arguments, USAGE, &["keepout.toml", "exists"]);
}

#[test]
fn check_config_compares_labels_with_the_models() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let config = |directory: &str, grade: &str| {
        format!(
            "[worker_safety]\ninput = \"/dev/video0\"\n\
             [visual_inspection]\ninput = \"/dev/video2\"\ngrades = {{ {grade} = \"reject\" }}\n\
             [models]\ndirectory = \"{directory}\"\n\
             detector = \"detector_coco_ssd_300_int8\"\nclassifier = \"classifier_apple_224_int8\"\n\
             [keepout]\nfile = \"keepout.toml\"\n"
        )
    };
    let zone = "[[zone]]\nname = \"press\"\ncamera = \"worker_safety\"\npoints = [[0, 0], [1, 0], [1, 1]]\n";
    let check = |directory: &str, grade: &str| {
        let (folder, path) = file("andon.toml", config(directory, grade).as_bytes());
        fs::write(folder.path().join("keepout.toml"), zone).expect("a file");
        let output = run(&["check-config", "--config", &path]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said + &complaint(&output))
    };
    let (code, said) = check(models, "rotten_apple");
    assert!(
        code == Some(0) && said.contains("grades fresh_apple, rotten_apple"),
        "{said}"
    );
    let (code, said) = check(models, "rotten_pear");
    assert_eq!(code, Some(ENGINE), "{said}");
    assert!(
        said.contains("rotten_pear") && said.contains("apple_labels.txt"),
        "{said}"
    );
    // On a machine that is not the box.
    let (code, said) = check("/no/such/models", "rotten_pear");
    assert!(
        code == Some(0) && said.contains("not compared with the models"),
        "{said}"
    );
}

#[test]
fn a_clip_with_damaged_pictures_in_it_ends_as_a_fault() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut clip = fs::read(root.join(support::WORKER_SAFETY)).expect("the clip");
    // In the middle of the pictures, where every byte is one of them.
    let middle = clip.len() / 2;
    for byte in &mut clip[middle..middle + 4_000] {
        *byte ^= 0x5a;
    }
    let (folder, path) = file("damaged.mp4", &clip);
    let report = folder.path().join("report.jsonl");
    let more = [
        "--worker-safety-input",
        &path,
        "--report",
        argument(&report),
    ];
    refused(
        &[&RUN[..], &more].concat(),
        INPUT,
        &["damaged.mp4", "could not be decoded", "copy the file again"],
    );
    let lines = support::report(&report);
    assert!(
        support::of_type(&lines, "safety").len() > 100,
        "what could be decoded was judged"
    );
}

#[test]
fn the_report_of_a_run_that_cannot_begin_is_that_of_the_run_before() {
    let (_folder, path) = file("report.jsonl", b"of the run before\n");
    let arguments = [
        "run",
        "--display",
        "headless",
        "--pace",
        "asap",
        "--engine",
        "cpu",
    ];
    let more = ["--report", &path, "--record", "/no/such/film.mp4"];
    refused(&[&arguments[..], &more].concat(), DISPLAY, &["film.mp4"]);
    let kept = fs::read_to_string(&path).expect("the report");
    assert_eq!(kept, "of the run before\n");
}

#[test]
fn a_threshold_below_zero_is_told_as_one() {
    refused_run(
        &["--worker-threshold", "-0.1"],
        USAGE,
        &["threshold", "-0.1", "0 to 1"],
    );
}
