//! The real program while somebody edits its files: what it does with the run permission, and what it
//! writes into the event log.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{WORKER_SAFETY, andon, argument, complaint, of_type, report, run};

/// Longest wait for something that must happen; the machine may be busy.
const LONG: Duration = Duration::from_secs(120);

/// Where nobody of the clip ever is.
const CORNER: &str = "[[0.0, 0.0], [0.02, 0.0], [0.0, 0.02]]";
const OTHER_CORNER: &str = "[[1.0, 0.0], [1.0, 0.02], [0.98, 0.0]]";
/// Where everybody is.
const EVERYWHERE: &str = "[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]";

fn zone(name: &str, points: &str) -> String {
    format!("[[zone]]\nname = \"{name}\"\nanchor = \"whole-box\"\npoints = {points}\n")
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(keepout: &str) -> Self {
        let site = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        site.write("andon.toml", &site.main(""));
        site.write("keepout.toml", keepout);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An `andon.toml` with patient timing and a quick operator, and `more` in `[display]`.
    fn main(&self, more: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let clip = root.join(WORKER_SAFETY);
        let models = root.join("models");
        let events = self.path("events");
        format!(
            "[worker_safety]\ninput = {clip:?}\n\
             [visual_inspection]\ninput = \"pattern:bars?size=64x64\"\n\
             [safety]\nclear_after = 2\nmax_age_ms = 10000\nfault_after_ms = 60000\n\
             [models]\ndirectory = {models:?}\ndetector = \"detector_coco_ssd_300_int8\"\n\
             classifier = \"classifier_apple_224_int8\"\n\
             [output]\noperator_reset_after_ms = 200\n\
             [events]\ndirectory = {events:?}\n\
             [display]\n{more}\n"
        )
    }

    /// As an editor saves: another file, renamed over the old one.
    fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("written");
        fs::rename(&new, self.path(name)).expect("renamed");
    }

    fn start(&self) -> Running<'_> {
        let log = fs::File::create(self.path("log")).expect("created");
        let child = andon()
            .args(["run", "--loop", "--pace", "realtime", "--engine", "cpu"])
            .args(["--config", argument(&self.path("andon.toml"))])
            .args(["--report", argument(&self.path("report.jsonl"))])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Running { site: self, child }
    }

    fn events(&self) -> Vec<Value> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path("events"))
            .map(|entries| entries.map(|entry| entry.expect("read").path()).collect())
            .unwrap_or_default();
        files.sort();
        let mut events = Vec::new();
        for file in files {
            let text = fs::read_to_string(file).expect("text");
            // A line without its end is still being written.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            events.extend(whole.lines().map(|line| {
                serde_json::from_str::<Value>(line).unwrap_or_else(|_| Value::from(line))
            }));
        }
        events
    }
}

struct Running<'a> {
    site: &'a Site,
    child: Child,
}

impl Running<'_> {
    /// Waits for the first event from number `from` on that `is` looked for; its number.
    #[track_caller]
    fn wait_for(&mut self, what: &str, from: usize, is: impl Fn(&Value) -> bool) -> usize {
        let deadline = Instant::now() + LONG;
        loop {
            let events = self.site.events();
            let found = events.iter().skip(from).position(&is);
            if let Some(position) = found {
                return from + position;
            }
            let ended = self.child.try_wait().expect("known");
            let log = || fs::read_to_string(self.site.path("log")).unwrap_or_default();
            assert!(ended.is_none(), "no {what}: the program ended\n{}", log());
            assert!(
                Instant::now() < deadline,
                "no {what}: {events:#?}\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the program as a service manager does.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        let killed = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(killed.expect("kill runs").success());
        let status = self.child.wait().expect("the program ends");
        let log = fs::read_to_string(self.site.path("log")).expect("text");
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_on(event: &Value) -> bool {
    event["type"] == "permission" && event["state"] == "on"
}

fn is_off(event: &Value) -> bool {
    event["type"] == "permission" && event["state"] == "off"
}

fn is_configuration(outcome: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "configuration" && event["outcome"] == outcome
}

#[test]
fn editing_the_files_of_a_running_program() {
    let site = Site::new(&zone("corner", CORNER));
    let mut running = site.start();
    let on = running.wait_for("reset", 0, is_on);

    // A zone moves: OFF first, then a reset, then ON again.
    site.write("keepout.toml", &zone("other corner", OTHER_CORNER));
    let applied = running.wait_for("change", on, is_configuration("applied"));
    let first_change = applied;
    let off = running.wait_for("OFF", on, is_off);
    assert_eq!(site.events()[off]["cause"], "configuration changed");
    assert!(off < applied, "OFF comes before the new zones count");
    let event = &site.events()[applied];
    assert_eq!(
        event["changed"],
        serde_json::json!(["zone.corner", "zone.other corner", "zone"])
    );
    assert_ne!(event["old"], event["new"]);
    let on = running.wait_for("ON", applied, is_on);
    assert_eq!(site.events()[on]["cause"], "reset");

    // Broken, half written, put right again, masked, in need of a restart: all without an edge.
    let text = zone("third", CORNER);
    site.write("keepout.toml", &text.replace("[0.02", "[2.0"));
    let refused = running.wait_for("refusal", on, is_configuration("refused"));
    let problem = site.events()[refused]["problems"][0].to_string();
    assert!(problem.contains("keepout.toml:4:"), "{problem}");
    fs::write(site.path("keepout.toml"), &text[..text.len() - 5]).expect("written");
    let torn = running.wait_for("refusal", refused + 1, is_configuration("refused"));
    site.write("keepout.toml", &zone("other corner", OTHER_CORNER));
    let in_force = running.wait_for("return", torn, is_configuration("in-force"));
    site.write("andon.toml", &site.main("anonymize = true"));
    let masked = running.wait_for("change", in_force, is_configuration("applied"));
    assert_eq!(
        site.events()[masked]["changed"],
        serde_json::json!(["display.anonymize"])
    );
    site.write(
        "andon.toml",
        &site.main("anonymize = true\nsize = \"64x64\""),
    );
    let restart = running.wait_for("change", masked, is_configuration("needs-restart"));
    assert_eq!(
        site.events()[restart]["pending"],
        serde_json::json!(["display.size"])
    );
    let edges = site
        .events()
        .into_iter()
        .skip(on + 1)
        .filter(|e| is_off(e) || is_on(e))
        .count();
    assert_eq!(edges, 0, "{:#?}", site.events());

    // A zone that everybody of the clip is in.
    site.write("keepout.toml", &zone("hall", EVERYWHERE));
    running.wait_for("change", restart + 1, is_configuration("needs-restart"));
    running.wait_for("OFF", restart, is_off);
    running.stop();

    let events = site.events();
    assert_eq!(events[0]["type"], "start");
    assert_eq!(events[0]["files"], events[first_change]["old"]);
    let last = events.last().expect("events");
    assert_eq!(
        (&last["type"], &last["reason"]),
        (&"stop".into(), &"signal".into())
    );
    let times: Vec<f64> = events
        .iter()
        .filter_map(|e| e["mono_ms"].as_f64())
        .collect();
    assert!(
        times.len() == events.len() && times.is_sorted(),
        "{times:?}"
    );
    check_report(&report(&site.path("report.jsonl")));
}

/// Every safety line goes by the zones of the last line that named zones.
fn check_report(report: &[Value]) {
    let mut known = zone_names(&report[0]);
    let mut seen = std::collections::BTreeSet::new();
    for line in report {
        if line["type"] == "configuration" && line["zones"] != Value::Null {
            known = zone_names(line);
        }
        if line["type"] != "safety" {
            continue;
        }
        for person in line["persons"].as_array().expect("persons") {
            for zone in person["zones"].as_array().expect("zones") {
                assert!(known.contains(zone), "{zone} is not in {known:?}");
                seen.insert(zone.to_string());
            }
        }
    }
    assert_eq!(known, ["hall"]);
    assert!(seen.is_subset(&["\"hall\"".to_owned()].into()), "{seen:?}");
    let summary = report.last().expect("lines");
    assert_eq!(summary["events_lost"], 0);
    assert_eq!(of_type(report, "configuration").len(), 7);
}

fn zone_names(line: &Value) -> Vec<Value> {
    let zones = line["zones"].as_array().expect("zones");
    zones.iter().map(|zone| zone["name"].clone()).collect()
}

/// A short run on patterns with its events in `directory`.
fn short_run(site: &Site, directory: &Path) -> Vec<Value> {
    let events = site.path("events");
    let main = site.main("");
    let main = main.replace(&format!("{events:?}"), &format!("{directory:?}"));
    site.write("andon.toml", &main);
    let (config, out) = (site.path("andon.toml"), site.path("report.jsonl"));
    let output = run(&[
        "run",
        "--pace",
        "asap",
        "--engine",
        "cpu",
        "--config",
        argument(&config),
        "--worker-safety-input",
        "pattern:black?frames=4&size=64x64",
        "--visual-inspection-input",
        "pattern:black?frames=4&size=64x64",
        "--report",
        argument(&out),
    ]);
    assert!(output.status.success(), "{}", complaint(&output));
    report(&out)
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_and_is_counted() {
    let site = Site::new(&zone("corner", CORNER));
    site.write("blocker", "");
    let report = short_run(&site, &site.path("blocker/events"));
    let summary = report.last().expect("lines");
    assert!(summary["events_lost"].as_u64() >= Some(2), "{summary}");
    let faults = summary["faults"].to_string();
    assert!(faults.contains("missing from the event log"), "{faults}");
    assert_eq!(of_type(&report, "safety").len(), 4);
}

#[test]
fn the_log_goes_on_behind_a_torn_line_and_is_shown() {
    let site = Site::new(&zone("corner", CORNER));
    let directory = site.path("events");
    short_run(&site, &directory);
    let first = site.events();
    assert_eq!(first.last().expect("events")["reason"], "inputs ended");
    let file = directory.join("events-00000001.jsonl");
    let torn = fs::read_to_string(&file).expect("text") + "{\"time\":\"20";
    fs::write(&file, torn).expect("written");
    short_run(&site, &directory);
    let config = site.path("andon.toml");
    let shown = run(&[
        "events",
        "--config",
        argument(&config),
        "--kind",
        "start,stop",
    ]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let kinds: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(kinds, ["start", "stop", "start", "stop"], "{text}");
    assert!(
        complaint(&shown).contains("1 damaged line"),
        "{}",
        complaint(&shown)
    );
    let shown = run(&[
        "events",
        "--directory",
        argument(&directory),
        "--json",
        "--since",
        "1d",
    ]);
    let lines = String::from_utf8_lossy(&shown.stdout).lines().count();
    assert_eq!(lines, 2 * first.len());
}

#[test]
fn wrong_questions_to_the_log_are_answered_with_what_would_be_right() {
    for (arguments, hint) in [
        (["--directory", "x", "--kind", "tripp"], "fault-gone"),
        (["--directory", "x", "--since", "tomorrow"], "15m"),
        (["--directory", "/nowhere/x", "--since", "1d"], "/nowhere/x"),
    ] {
        let output = run(&[&["events"][..], &arguments[..]].concat());
        assert!(!output.status.success());
        let text = complaint(&output);
        assert!(text.contains(hint), "{text}");
    }
}

#[test]
fn a_zone_is_imported_into_a_file_with_comments() {
    let site = Site::new(&zone("corner", CORNER));
    let before = format!("# mine\n{}# end\n", zone("corner", CORNER));
    site.write("keepout.toml", &before);
    site.write("points.csv", "10,10\n90,10\n50,90\n");
    let (csv, keepout) = (site.path("points.csv"), site.path("keepout.toml"));
    let import = |name: &str| {
        let output = run(&[
            "import-keepout",
            argument(&csv),
            "--size",
            "100x100",
            "--name",
            name,
            "--into",
            argument(&keepout),
        ]);
        (output.status.success(), complaint(&output))
    };
    assert_eq!(import("corner"), (true, String::new()));
    let corners = "[\n    [0.1, 0.1],\n    [0.9, 0.1],\n    [0.5, 0.9],\n]";
    let text = fs::read_to_string(&keepout).expect("text");
    assert_eq!(text, before.replace(CORNER, corners));
    site.write("points.csv", "10,10\n20,10\n");
    let (imported, text) = import("corner");
    assert!(!imported && text.contains("points"), "{text}");
    assert_eq!(
        fs::read_to_string(&keepout).expect("text"),
        before.replace(CORNER, corners)
    );
}
