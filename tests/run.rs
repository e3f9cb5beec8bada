//! `andon run` on the bundled clips: the report adds up, twice the same, and agrees with an
//! independent opinion.

mod support;

use serde_json::Value;
use support::{P, argument, complaint, numbers, of_type, report, run, run_clips, touches};

/// The zones of a header: name, kind, whole box, corners.
fn zones(header: &Value) -> Vec<(String, String, bool, Vec<P>)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let zones = header["zones"].as_array().expect("zones in the header");
    zones
        .iter()
        .map(|zone| {
            let points = zone["points"].as_array().expect("points");
            let points = points
                .iter()
                .map(|p| (numbers(p)[0], numbers(p)[1]))
                .collect();
            let whole = zone["anchor"] == "whole-box";
            (text(&zone["name"]), text(&zone["kind"]), whole, points)
        })
        .collect()
}

/// Checks every safety line against the zones of the header; returns (occupied, clear) frames.
fn check_zones(report: &[Value]) -> (usize, usize) {
    let zones = zones(&report[0]);
    let (mut occupied, mut clear) = (0, 0);
    for line in of_type(report, "safety") {
        let mut any_stop = false;
        for person in line["persons"].as_array().expect("persons") {
            let bbox: [f64; 4] = numbers(&person["box"]).try_into().expect("four numbers");
            let expected: Vec<&str> = zones
                .iter()
                .filter(|(.., whole, points)| touches(points, bbox, *whole))
                .map(|(name, ..)| name.as_str())
                .collect();
            assert_eq!(person["zones"], Value::from(expected.clone()), "{line}");
            any_stop |= zones
                .iter()
                .any(|z| z.1 == "stop" && expected.contains(&z.0.as_str()));
        }
        assert_eq!(line["occupied"], any_stop, "{line}");
        if any_stop { occupied += 1 } else { clear += 1 }
    }
    (occupied, clear)
}

#[test]
fn the_report_agrees_with_an_independent_zone_test() {
    let report = run_clips(&[]);
    let (occupied, clear) = check_zones(&report);
    assert!(
        occupied >= 20 && clear >= 20,
        "{occupied} occupied, {clear} clear frames"
    );
    let whole = run_clips(&["--safety-check-whole-box", "--frames", "60"]);
    check_zones(&whole);
}

#[test]
fn every_frame_has_its_line_and_the_summary_counts_them() {
    let report = run_clips(&[]);
    assert_eq!(report[0]["type"], "header");
    let summary = report.last().expect("lines");
    assert_eq!(summary["type"], "summary");
    for (kind, stream) in [
        ("safety", "worker_safety"),
        ("inspection", "visual_inspection"),
    ] {
        let lines = of_type(&report, kind);
        assert!(lines.len() > 100, "{} {kind} lines", lines.len());
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(line["frame"], index, "{kind}");
        }
        let figures = &summary["streams"][stream];
        assert_eq!(figures["frames"], lines.len(), "{kind}");
        assert_eq!(figures["dropped"], 0, "{kind}");
    }
}

#[test]
fn the_run_permission_is_never_on_while_the_zone_is_occupied() {
    let report = run_clips(&[]);
    let mut on = false;
    let (mut edges, mut on_frames) = (0, 0);
    let mut pending_occupied = false;
    for line in &report {
        match line["type"].as_str() {
            Some("output") if line["name"] == "run_permission" => {
                let state = line["state"] == "on";
                edges += usize::from(state != on);
                on = state;
                if state {
                    assert!(!pending_occupied, "ON in an occupied frame: {line}");
                } else {
                    pending_occupied = false;
                }
            }
            Some("safety") => {
                assert!(
                    !(pending_occupied && on),
                    "still ON after an occupied frame: {line}"
                );
                pending_occupied = line["occupied"] == true;
                on_frames += usize::from(on);
            }
            _ => {}
        }
    }
    assert!(edges >= 2, "the permission came and went {edges} times");
    assert!(
        on_frames > 10,
        "the permission was ON for {on_frames} frames"
    );
    assert!(!on, "a run ends with the permission OFF");
}

#[test]
fn people_are_found_and_every_apple_gets_its_grade() {
    let report = run_clips(&[]);
    let safety = of_type(&report, "safety");
    let peopled = safety
        .iter()
        .filter(|line| line["persons"] != Value::Array(vec![]))
        .count();
    assert!(
        peopled * 10 > safety.len() * 9,
        "{peopled} of {} frames",
        safety.len()
    );
    let inspection = of_type(&report, "inspection");
    let (mut shown, mut found, mut wrong) = (0, 0, 0);
    for apple in apples() {
        for frame in apple.frames.clone() {
            let items = inspection[frame]["items"].as_array().expect("items");
            let its = items.iter().find(|item| apple.overlap(frame, item) > 0.5);
            shown += 1;
            found += usize::from(its.is_some());
            wrong += usize::from(its.is_some_and(|item| item["grade"] != apple.grade));
        }
    }
    assert!(
        shown > 900 && found * 100 >= shown * 99 && wrong * 200 <= found,
        "{shown} apples whole in the picture, {found} found, {wrong} of them with the wrong grade"
    );
}

/// An apple of the bundled clip, as the script that made it wrote down.
struct Apple {
    grade: String,
    /// In which it is whole.
    frames: std::ops::RangeInclusive<usize>,
    /// Left, top, width, height in pixels in the first of them.
    place: [f64; 4],
    /// Pixels to the right with each frame.
    speed: f64,
}

fn apples() -> Vec<Apple> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/media/conveyor_apples.csv"
    );
    let text = std::fs::read_to_string(path).expect("the list of apples");
    let apple = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<f64>().expect("a number");
        let frame = |at: usize| fields[at].parse::<usize>().expect("a frame");
        Apple {
            grade: fields[1].to_owned(),
            frames: frame(2)..=frame(3),
            place: [4, 5, 6, 7].map(number),
            speed: number(8),
        }
    };
    text.lines().skip(1).map(apple).collect()
}

impl Apple {
    /// Intersection over union with a box of the report.
    fn overlap(&self, frame: usize, item: &Value) -> f64 {
        let [x, y, width, height] = self.place;
        #[allow(clippy::cast_precision_loss, reason = "frames of a short clip")]
        let x = x + self.speed * (frame - self.frames.start()) as f64;
        let share = |at: usize| item["box"][at].as_f64().expect("a corner");
        let [x0, y0, x1, y1] = [
            share(0) * 640.0,
            share(1) * 480.0,
            share(2) * 640.0,
            share(3) * 480.0,
        ];
        let across = (x1.min(x + width) - x0.max(x)).max(0.0);
        let down = (y1.min(y + height) - y0.max(y)).max(0.0);
        let both = across * down;
        both / ((x1 - x0) * (y1 - y0) + width * height - both)
    }
}

/// Everything but what depends on the clock and on the engine's thread count.
fn timeless(report: &[Value]) -> Vec<Value> {
    let mut lines = report.to_vec();
    lines[0]["engine"] = Value::Null;
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["type"], "summary");
    lines
}

#[test]
fn two_runs_and_any_number_of_threads_give_the_same_report() {
    let frames = ["--frames", "80"];
    let first = timeless(&run_clips(&frames));
    assert!(first.len() > 160);
    assert_eq!(first, timeless(&run_clips(&frames)), "a second run differs");
    let two = timeless(&run_clips(&["--frames", "80", "--threads", "2"]));
    assert_eq!(first, two, "two threads differ");
}

#[test]
fn a_looped_file_goes_on_counting() {
    let report = run_clips(&[
        "--loop",
        "--frames",
        "25",
        "--worker-safety-input",
        "pattern:moving?frames=10&size=320x240",
        "--visual-inspection-input",
        "pattern:bars?frames=10&size=320x240",
    ]);
    let frames: Vec<u64> = of_type(&report, "safety")
        .iter()
        .filter_map(|line| line["frame"].as_u64())
        .collect();
    assert_eq!(frames, (0..25).collect::<Vec<_>>());
}

#[test]
fn the_shorter_input_ends_and_the_other_goes_on() {
    // A corner where nobody of the clip ever walks, so that nothing but the end takes the permission.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keepout = folder.path().join("keepout.toml");
    let zone = "[[zone]]\nname = \"corner\"\nkind = \"stop\"\npoints = [[0.0, 0.0], [0.04, 0.0], [0.0, 0.04]]\n";
    std::fs::write(&keepout, zone).expect("a keepout file");
    let report = run_clips(&[
        "--keepout",
        argument(&keepout),
        "--visual-inspection-input",
        "pattern:bars?frames=320&fps=10&size=320x240",
    ]);
    assert_eq!(of_type(&report, "safety").len(), 300);
    assert_eq!(of_type(&report, "inspection").len(), 320);
    let outputs = of_type(&report, "output");
    let edges: Vec<(&str, &str)> = outputs
        .iter()
        .filter(|line| line["name"] == "run_permission")
        .map(|line| {
            let text = |name: &str| line[name].as_str().expect("text");
            (text("state"), text("cause"))
        })
        .collect();
    let ended = "fault: worker_safety has ended";
    assert_eq!(edges, [("off", "start"), ("on", "reset"), ("off", ended)]);
}

/// Runs for ever in the background until the report has a line of a frame, then sends these signals
/// one after the other without a pause; gives the exit code and the report.
fn signalled(signals: &[&str]) -> (Option<i32>, Vec<Value>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("r.jsonl");
    let mut child = support::andon()
        .args(["run", "--loop", "--pace", "asap", "--engine", "cpu"])
        .args(["--display", "none", "--report", argument(&path)])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\"frame\":")) {
        assert!(
            std::time::Instant::now() < deadline,
            "no line after two minutes"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    for signal in signals {
        let killed = std::process::Command::new("kill")
            .args([*signal, &pid])
            .status();
        assert!(killed.expect("kill runs").success());
    }
    let code = child.wait().expect("the program ends").code();
    (code, report(&path))
}

#[test]
fn a_signal_told_twice_is_one_request_and_so_is_a_closed_terminal() {
    for signals in [
        &["-TERM", "-TERM"][..],
        &["-INT", "-TERM", "-INT"],
        &["-HUP"],
    ] {
        let (code, report) = signalled(signals);
        assert_eq!(code, Some(0), "{signals:?}");
        let summary = report.last().expect("lines");
        assert_eq!(summary["type"], "summary", "{signals:?}");
    }
}

/// A kill cannot be noticed; what had been written until then must be of use.
#[test]
fn a_killed_run_leaves_a_report_of_whole_lines() {
    let (code, report) = signalled(&["-KILL"]);
    assert_eq!(code, None);
    assert_eq!(report[0]["type"], "header");
    assert_eq!(of_type(&report, "summary").len(), 0);
}

#[test]
fn a_replay_with_the_same_zones_repeats_the_verdicts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (folder.path().join("a.jsonl"), folder.path().join("b.jsonl"));
    let output = run(&[
        "run",
        "--display",
        "none",
        "--pace",
        "asap",
        "--frames",
        "120",
        "--engine",
        "cpu",
        "--report",
        argument(&first),
    ]);
    assert!(output.status.success(), "{}", complaint(&output));
    let output = run(&["replay", argument(&first), "--output", argument(&second)]);
    assert!(output.status.success(), "{}", complaint(&output));
    let (first, second) = (report(&first), report(&second));
    let safety = of_type(&first, "safety");
    assert!(safety.len() == 120, "{}", safety.len());
    assert_eq!(safety, of_type(&second, "safety"));
    assert_eq!(of_type(&first, "output"), of_type(&second, "output"));
}

#[test]
fn sigterm_ends_with_a_complete_report_and_a_playable_film() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, film) = (
        folder.path().join("r.jsonl"),
        folder.path().join("film.mp4"),
    );
    let mut child = support::andon()
        .args(["run", "--loop", "--pace", "asap", "--engine", "cpu"])
        .args(["--report", argument(&path), "--record", argument(&film)])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while std::fs::metadata(&film).map_or(0, |file| file.len()) < 100_000 {
        assert!(
            std::time::Instant::now() < deadline,
            "no film after two minutes"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let pid = child.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(killed.expect("kill runs").success());
    let status = child.wait().expect("the program ends");
    assert_eq!(status.code(), Some(0));
    let report = report(&path);
    let summary = report.last().expect("lines");
    assert_eq!(summary["type"], "summary");
    assert_playable(&film, summary["recorded"].as_u64().expect("a count"));
}

#[test]
fn a_full_disk_ends_the_film_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, film) = (
        folder.path().join("r.jsonl"),
        folder.path().join("film.mp4"),
    );
    // A limit on the size of files stands for the full disk: 400 KiB, which the report stays below.
    let output = std::process::Command::new("bash")
        .args(["-c", "ulimit -f 400; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_andon"))
        .args(["run", "--pace", "asap", "--engine", "cpu", "--frames", "60"])
        .args(["--report", argument(&path), "--record", argument(&film)])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    let text = complaint(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.contains("film.mp4"), "{text}");
    let report = report(&path);
    assert_eq!(
        of_type(&report, "safety").len(),
        60,
        "the pipeline went on\n{text}"
    );
    let summary = report.last().expect("lines");
    assert_playable(&film, summary["recorded"].as_u64().expect("a count"));
}

/// The film can be decoded from end to end by somebody else's decoder, and is as long as it should be.
fn assert_playable(film: &std::path::Path, pictures: u64) {
    assert!(pictures > 0, "nothing was recorded");
    let probe = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_frames"])
        .arg(film)
        .output();
    let Ok(probe) = probe else {
        eprintln!("skipped: ffprobe is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&probe.stdout);
    let counted: u64 = text
        .trim()
        .trim_end_matches(',')
        .parse()
        .expect("a number of frames");
    assert!(
        counted.abs_diff(pictures) <= 1,
        "{counted} of {pictures} pictures"
    );
    assert!(probe.stderr.is_empty(), "ffprobe complains");
}
