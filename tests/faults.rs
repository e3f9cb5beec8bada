//! Faults from outside, against the whole program in real time: stopped, killed, starved.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{andon, argument, of_type};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// A zone in a corner where nobody of the clip ever walks, so that the permission stays ON.
const QUIET_ZONE: &str = "[[zone]]\nname = \"corner\"\nkind = \"stop\"\npoints = [[0.0, 0.0], [0.04, 0.0], [0.0, 0.04]]\n";

/// A running program in real time on the looped clips, with a simulated operator.
struct Running {
    child: Child,
    report: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keepout = folder.path().join("keepout.toml");
        std::fs::write(&keepout, QUIET_ZONE).expect("a keepout file");
        let report = folder.path().join("report.jsonl");
        let child = andon()
            .args(["run", "--display", "none", "--pace", "realtime", "--loop"])
            .args(["--engine", "cpu", "--keepout", argument(&keepout)])
            .args(["--report", argument(&report)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self {
            child,
            report,
            _folder: folder,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        kill(Pid::from_raw(pid), signal).expect("the process is there");
    }

    /// The whole lines of the report so far.
    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.report).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("every line is complete"))
            .collect()
    }

    /// Edges of the run permission so far: state and cause.
    fn edges(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        of_type(&self.lines(), "output")
            .into_iter()
            .filter(|line| line["name"] == "run_permission")
            .map(|line| (text(&line["state"]), text(&line["cause"])))
            .collect()
    }

    fn wait_for(&mut self, what: &str, done: impl Fn(&[(String, String)]) -> bool) {
        let started = Instant::now();
        loop {
            let edges = self.edges();
            if done(&edges) {
                return;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "ended before {what}: {ended:?}");
            assert!(started.elapsed() < DEADLINE, "never: {what}; {edges:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_on(edges: &[(String, String)]) -> bool {
    edges.last().is_some_and(|(state, _)| state == "on")
}

#[test]
fn a_stopped_process_loses_the_permission_when_it_goes_on() {
    let mut running = Running::start();
    running.wait_for("ON", is_on);
    running.signal(Signal::SIGSTOP);
    // Not a synchronisation: the time for which it stands still is the fault. Longer than
    // `fault_after_ms`, after which the source counts as lost.
    std::thread::sleep(Duration::from_millis(2500));
    running.signal(Signal::SIGCONT);
    running.wait_for("OFF", |edges| !is_on(edges));
    let edges = running.edges();
    let (_, cause) = edges.last().expect("an edge");
    assert!(
        cause.contains("late") || cause.contains("delivers nothing"),
        "{edges:?}"
    );
    running.signal(Signal::SIGTERM);
    let ended = running.child.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    let lines = running.lines();
    assert_eq!(lines.last().expect("lines")["type"], "summary");
}

#[test]
fn a_killed_process_leaves_a_report_of_whole_lines() {
    let mut running = Running::start();
    running.wait_for("ON", is_on);
    running.signal(Signal::SIGKILL);
    running.child.wait().expect("it ends");
    let lines = running.lines();
    assert_eq!(lines[0]["type"], "header");
    assert!(is_on(&running.edges()));
}

#[test]
fn a_request_to_stop_ends_with_off_before_anything_else() {
    let mut running = Running::start();
    running.wait_for("ON", is_on);
    running.signal(Signal::SIGTERM);
    assert!(running.child.wait().expect("it ends").success());
    let edges = running.edges();
    let last = edges.last().expect("edges");
    assert_eq!(*last, ("off".to_owned(), "shut down".to_owned()));
}

#[test]
fn without_file_descriptors_the_start_fails_with_a_reason_and_nothing_hangs() {
    let program = env!("CARGO_BIN_EXE_andon");
    let mut story = String::new();
    let mut refused = 0;
    for limit in [4, 5, 6, 8, 10, 12, 16, 24] {
        let command = format!(
            "ulimit -n {limit}; exec {program} run --display none --pace realtime --frames 5 --engine cpu"
        );
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .output()
            .expect("a shell");
        let complaint = String::from_utf8_lossy(&output.stderr);
        let _ = writeln!(story, "{limit}: {} {complaint}", output.status);
        assert!(!complaint.contains("panicked"), "{story}");
        if !output.status.success() {
            refused += 1;
            let code = output.status.code();
            assert!(code.is_some_and(|code| code <= 6 || code == 127), "{story}");
            assert!(!complaint.trim().is_empty(), "{story}");
        }
    }
    assert!(
        refused > 0,
        "no limit was low enough to show anything: {story}"
    );
}
