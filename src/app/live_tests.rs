//! What the main thread makes of changed files, with mailboxes that nobody empties but the test.

use std::fs;
use std::path::PathBuf;

use rtrb::{Producer, RingBuffer};

use super::*;
use crate::config::attempt;
use crate::inference::Labels;
use crate::sync::Signal;

const MAIN: &str = "\
[worker_safety]
input = \"pattern:black\"
[visual_inspection]
input = \"pattern:bars\"
[models]
directory = \"models\"
detector = \"ssd\"
classifier = \"apples\"
";

const KEEPOUT: &str = "\
[[zone]]
name = \"press\"
points = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]
";

struct Bench {
    folder: tempfile::TempDir,
    live: Live,
    news: Latest<Attempt>,
    decide: Latest<Box<Configure>>,
    retire: Producer<Box<Configure>>,
    infer: Latest<InferCommand>,
    ui: Latest<UiUpdate>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("andon.toml"), MAIN).expect("written");
        fs::write(folder.path().join("keepout.toml"), KEEPOUT).expect("written");
        let main = folder.path().join("andon.toml");
        let loaded = attempt(&main, &Overrides::default()).result.expect("valid");
        let labels = |text: &str| Labels::parse(Path::new("labels"), text).expect("labels");
        let labels = LabelSet::new(labels("person\napple"), labels("fresh_apple\nrotten_apple"));
        let signal = Signal::new();
        let (decide, infer) = (Latest::new(&signal), Latest::new(&signal));
        let ui = Latest::new(&signal);
        let (retire, spent) = RingBuffer::new(16);
        let controls = Controls {
            decide: decide.clone(),
            spent,
            infer: infer.clone(),
            ui: Some(ui.clone()),
        };
        let news = Latest::new(&signal);
        let thread = std::thread::spawn(|| ());
        let live = Live::new(&loaded, labels, controls, news.clone(), thread);
        Self {
            folder,
            live,
            news,
            decide,
            retire,
            infer,
            ui,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes both files and has them read.
    fn edit(&mut self, main: &str, keepout: &str) -> Option<ConfigurationChange> {
        fs::write(self.path("andon.toml"), main).expect("written");
        fs::write(self.path("keepout.toml"), keepout).expect("written");
        let attempt = attempt(&self.path("andon.toml"), &Overrides::default());
        self.news.put(attempt);
        self.live.poll()
    }

    fn decide(&self) -> Option<Box<Configure>> {
        match self.decide.take() {
            Taken::Value(configure) => Some(configure),
            Taken::Empty | Taken::Closed => None,
        }
    }

    fn infer(&self) -> Option<InferCommand> {
        match self.infer.take() {
            Taken::Value(command) => Some(command),
            Taken::Empty | Taken::Closed => None,
        }
    }

    fn notice(&self) -> Option<String> {
        match self.ui.take() {
            Taken::Value(update) => update.notice,
            Taken::Empty | Taken::Closed => None,
        }
    }
}

fn wider() -> String {
    KEEPOUT.replace("0.5, 0.9", "0.5, 1.0")
}

#[test]
fn a_moved_zone_goes_to_both_threads_and_is_told_once_it_counts() {
    let mut bench = Bench::new();
    assert_eq!(bench.edit(MAIN, &wider()), None, "not in force yet");
    let configure = bench.decide().expect("a command");
    assert_eq!(configure.impact, Impact::SafetyRelevant);
    assert_eq!(configure.generation, Generation(1));
    let handed_on = bench.infer().expect("a command").configure;
    assert_eq!(handed_on.generation, configure.generation);
    bench.retire.push(configure).expect("room");
    assert_eq!(bench.live.poll(), None);
    assert_eq!(bench.retire.slots(), 16, "what was in force is freed here");
    let applied = bench.live.applied(Generation(1));
    assert_eq!(applied.len(), 1, "told once");
    let Applied { change, config } = &applied[0];
    assert_eq!(change.outcome, ConfigurationOutcome::Applied);
    assert_eq!(change.changed, ["zone.press.points"]);
    assert_eq!(change.old.main, change.new.main);
    assert_ne!(change.old.keepout, change.new.keepout);
    assert_eq!(config.zones[0].name, "press");
    assert!(bench.live.applied(Generation(1)).is_empty());
}

#[test]
fn a_bad_file_reaches_nobody_but_the_operator() {
    let mut bench = Bench::new();
    let change = bench.edit(MAIN, &KEEPOUT.replace("0.9]]", "9.0]]"));
    let change = change.expect("told at once");
    assert_eq!(change.outcome, ConfigurationOutcome::Refused);
    assert!(change.problems[0].contains("keepout.toml:3:"), "{change:?}");
    assert!(bench.decide().is_none() && bench.infer().is_none());
    let notice = bench.notice().expect("a notice");
    assert!(
        notice.starts_with("configuration refused: keepout.toml:3:"),
        "{notice}"
    );
    // Put right again: nothing to apply, and the notice goes.
    let change = bench.edit(MAIN, KEEPOUT).expect("told at once");
    assert_eq!(change.outcome, ConfigurationOutcome::InForce);
    assert!(bench.decide().is_none());
    assert_eq!(bench.notice(), None);
}

#[test]
fn a_label_that_the_models_do_not_have_is_refused() {
    let mut bench = Bench::new();
    let main = MAIN.replace("[visual", "person_label = \"ghost\"\n[visual");
    let change = bench.edit(&main, KEEPOUT).expect("told at once");
    assert_eq!(change.outcome, ConfigurationOutcome::Refused);
    assert!(change.problems[0].contains("ghost"), "{change:?}");
    assert!(bench.decide().is_none());
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
    let mut bench = Bench::new();
    let main = format!("{MAIN}[engine]\nthreads = 2\n");
    let change = bench.edit(&main, KEEPOUT).expect("told at once");
    assert_eq!(change.outcome, ConfigurationOutcome::NeedsRestart);
    assert_eq!(change.pending, ["engine.threads"]);
    assert!(change.changed.is_empty());
    assert!(bench.decide().is_none());
    let notice = bench.notice();
    assert_eq!(notice.as_deref(), Some("restart to apply: engine.threads"));
    // A zone moves as well: it counts, and the restart is still due.
    assert_eq!(bench.edit(&main, &wider()), None);
    let configure = bench.decide().expect("a command");
    let applied = bench.live.applied(configure.generation);
    assert_eq!(applied[0].config.engine.threads, 1);
    assert_eq!(
        applied[0].change.outcome,
        ConfigurationOutcome::NeedsRestart
    );
    assert_eq!(applied[0].change.changed, ["zone.press.points"]);
    assert_eq!(applied[0].change.pending, ["engine.threads"]);
}

#[test]
fn a_cosmetic_change_is_marked_as_one() {
    let mut bench = Bench::new();
    let main = format!("{MAIN}[display]\nanonymize = true\n");
    assert_eq!(bench.edit(&main, KEEPOUT), None);
    assert_eq!(bench.decide().expect("a command").impact, Impact::Cosmetic);
    let shown = bench.ui.take();
    let masked = matches!(&shown, Taken::Value(update) if update.anonymize);
    assert!(masked, "{shown:?}");
}

#[test]
fn a_thread_that_takes_nothing_holds_nobody_up_and_loses_no_command() {
    let mut bench = Bench::new();
    assert_eq!(bench.edit(MAIN, &wider()), None);
    let cosmetic = format!("{MAIN}[display]\nanonymize = true\n");
    assert_eq!(bench.edit(&cosmetic, &wider()), None);
    assert_eq!(bench.live.poll(), None);
    // The safety-relevant one has not been overwritten; the cosmetic one follows it.
    let first = bench.decide().expect("a command");
    assert_eq!(
        (first.generation, first.impact),
        (Generation(1), Impact::SafetyRelevant)
    );
    assert_eq!(bench.live.poll(), None);
    let second = bench.decide().expect("a command");
    assert_eq!(
        (second.generation, second.impact),
        (Generation(2), Impact::Cosmetic)
    );
    assert_eq!(
        bench.infer().expect("a command").configure.generation,
        Generation(1)
    );
    assert_eq!(bench.live.poll(), None);
    assert_eq!(
        bench.infer().expect("a command").configure.generation,
        Generation(2)
    );
}

#[test]
fn the_end_of_the_watching_thread_is_shown() {
    let mut bench = Bench::new();
    bench.news.close();
    assert_eq!(bench.live.poll(), None);
    assert_eq!(bench.notice().as_deref(), Some("CONFIGURATION NOT WATCHED"));
    bench.live.show_log(true);
    let notice = bench.notice().expect("both");
    assert_eq!(notice, "CONFIGURATION NOT WATCHED · EVENT LOG NOT WRITTEN");
}
