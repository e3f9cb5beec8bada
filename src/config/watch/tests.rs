//! Real files in real folders; nobody waits but for the watcher's own answer.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::config::load;

/// Longest wait for an answer that must come.
const LONG: Duration = Duration::from_secs(20);

/// Longer than settling and looking together: what has not come by then does not come.
const QUIET: Duration = Duration::from_millis(400);

const TIMING: Timing = Timing {
    settle: Duration::from_millis(40),
    at_most: Duration::from_millis(400),
    look_every: Duration::from_millis(150),
};

const MAIN: &str = "\
[worker_safety]
input = \"people.mp4\"
[visual_inspection]
input = \"belt.mp4\"
[models]
directory = \"models\"
detector = \"ssd\"
classifier = \"apples\"
";

fn zones(y: &str) -> String {
    format!("[[zone]]\nname = \"press\"\npoints = [[0.1, 0.1], [0.9, 0.1], [0.5, {y}]]\n")
}

struct Site {
    folder: tempfile::TempDir,
    main: PathBuf,
    keepout: PathBuf,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [main, keepout] = ["andon.toml", "keepout.toml"].map(|name| folder.path().join(name));
        fs::write(&main, MAIN).expect("written");
        fs::write(&keepout, zones("0.9")).expect("written");
        Self {
            folder,
            main,
            keepout,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn watcher(&self) -> Watcher {
        self.watcher_with(TIMING)
    }

    fn watcher_with(&self, timing: Timing) -> Watcher {
        let overrides = Overrides::default();
        let loaded = load(&self.main, &overrides).expect("valid");
        let mut watcher = Watcher::new(&loaded, &overrides, timing);
        assert_eq!(watcher.next(QUIET), None, "nothing has changed yet");
        watcher
    }
}

fn good(watcher: &mut Watcher) -> Loaded {
    let attempt = watcher.next(LONG).expect("a change is noticed");
    attempt.result.expect("the files are good")
}

fn bad(watcher: &mut Watcher) -> String {
    let attempt = watcher.next(LONG).expect("a change is noticed");
    attempt.result.expect_err("a file is bad").to_string()
}

/// The lowest corner of the only zone.
fn lowest(loaded: &Loaded) -> f32 {
    let points = loaded.config.zones[0].polygon.points();
    points.iter().map(|point| point.y).fold(0.0, f32::max)
}

#[track_caller]
fn assert_lowest(loaded: &Loaded, expected: f32) {
    assert!(
        (lowest(loaded) - expected).abs() < 1e-6,
        "{}",
        lowest(loaded)
    );
}

#[test]
fn a_file_written_in_place_is_loaded_with_its_hash() {
    let site = Site::new();
    let mut watcher = site.watcher();
    assert_eq!(watcher.limitation(), None);
    fs::write(&site.keepout, zones("0.8")).expect("written");
    let loaded = good(&mut watcher);
    assert_lowest(&loaded, 0.8);
    let again = load(&site.main, &Overrides::default()).expect("valid");
    assert_eq!(loaded, again, "the same code as for check-config");
    assert_eq!(watcher.next(QUIET), None, "told once");
}

#[test]
fn a_file_renamed_over_the_old_one_is_loaded() {
    let site = Site::new();
    let mut watcher = site.watcher();
    for y in ["0.8", "0.7"] {
        let new = site.path(".keepout.toml.swp");
        fs::write(&new, zones(y)).expect("written");
        fs::rename(&new, &site.keepout).expect("renamed");
        assert_lowest(&good(&mut watcher), y.parse().expect("a number"));
    }
}

#[test]
fn an_editor_that_moves_the_old_file_away_first_is_followed() {
    let site = Site::new();
    let mut watcher = site.watcher();
    fs::rename(&site.main, site.path("andon.toml~")).expect("renamed");
    fs::write(&site.main, format!("{MAIN}[safety]\nclear_after = 7\n")).expect("written");
    assert_eq!(good(&mut watcher).config.safety.clear_after, 7);
}

#[test]
fn touching_and_rewriting_the_same_changes_nothing() {
    let site = Site::new();
    let mut watcher = site.watcher();
    fs::write(&site.keepout, zones("0.9")).expect("written");
    fs::copy(&site.main, site.path("copy")).expect("copied");
    fs::rename(site.path("copy"), &site.main).expect("renamed");
    let file = fs::File::open(&site.main).expect("opened");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("touched");
    assert_eq!(watcher.next(QUIET), None);
}

#[test]
fn other_files_of_the_folder_do_not_matter() {
    let site = Site::new();
    let mut watcher = site.watcher();
    fs::write(site.path("notes.txt"), "x").expect("written");
    assert!(!watcher.notices.wait(Duration::from_millis(50)));
    assert_eq!(watcher.next(QUIET), None);
}

#[test]
fn a_bad_file_is_told_with_its_place_and_putting_it_right_is_told_too() {
    let site = Site::new();
    let mut watcher = site.watcher();
    fs::write(&site.keepout, zones("1.9")).expect("written");
    let text = bad(&mut watcher);
    assert!(text.contains("keepout.toml:3:"), "{text}");
    assert_eq!(watcher.next(QUIET), None, "told once");
    fs::write(&site.keepout, zones("0.9")).expect("written");
    assert_lowest(&good(&mut watcher), 0.9);
}

#[test]
fn both_files_are_told_at_once() {
    let site = Site::new();
    let mut watcher = site.watcher();
    fs::write(&site.main, format!("{MAIN}[safety]\ntrip_after = 0\n")).expect("written");
    fs::write(&site.keepout, zones("nan")).expect("written");
    let text = bad(&mut watcher);
    assert!(text.contains("andon.toml:10:"), "{text}");
    assert!(text.contains("keepout.toml:3:"), "{text}");
}

#[test]
fn a_deleted_file_is_bad_and_its_return_is_noticed() {
    let site = Site::new();
    let mut watcher = site.watcher();
    fs::remove_file(&site.keepout).expect("removed");
    let text = bad(&mut watcher);
    assert!(text.contains("keepout.toml: cannot be read"), "{text}");
    fs::write(&site.keepout, zones("0.8")).expect("written");
    assert_lowest(&good(&mut watcher), 0.8);
}

#[test]
fn a_deleted_folder_is_bad_and_its_return_is_noticed() {
    let site = Site::new();
    let inner = site.path("inner");
    fs::create_dir(&inner).expect("made");
    fs::rename(&site.keepout, inner.join("zones.toml")).expect("moved");
    fs::write(
        &site.main,
        format!("[keepout]\nfile = \"inner/zones.toml\"\n{MAIN}"),
    )
    .expect("ok");
    let mut watcher = site.watcher();
    fs::remove_dir_all(&inner).expect("removed");
    let text = bad(&mut watcher);
    assert!(text.contains("zones.toml: cannot be read"), "{text}");
    fs::create_dir(&inner).expect("made");
    fs::write(inner.join("zones.toml"), zones("0.8")).expect("written");
    assert_lowest(&good(&mut watcher), 0.8);
    fs::write(inner.join("zones.toml"), zones("0.7")).expect("written");
    assert_lowest(&good(&mut watcher), 0.7);
}

#[test]
fn a_folder_a_pipe_and_a_huge_or_binary_file_are_bad_and_harmless() {
    let site = Site::new();
    let mut watcher = site.watcher();
    let away = || {
        let _ = fs::remove_file(&site.keepout);
        let _ = fs::remove_dir(&site.keepout);
    };
    away();
    fs::create_dir(&site.keepout).expect("made");
    let text = bad(&mut watcher);
    assert!(text.contains("is a folder"), "{text}");
    away();
    mkfifo(&site.keepout, Mode::S_IRWXU).expect("made");
    let text = bad(&mut watcher);
    assert!(text.contains("not a regular file"), "{text}");
    away();
    fs::write(&site.keepout, "#".repeat((1 << 20) + 1)).expect("written");
    let text = bad(&mut watcher);
    assert!(text.contains("larger than 1024 KiB"), "{text}");
    away();
    let binary: Vec<u8> = (0..=255).cycle().take(5000).collect();
    fs::write(&site.keepout, binary).expect("written");
    let text = bad(&mut watcher);
    assert!(text.contains("not UTF-8"), "{text}");
    away();
    fs::write(&site.keepout, zones("0.8")).expect("written");
    assert_lowest(&good(&mut watcher), 0.8);
}

#[test]
fn a_file_torn_inside_a_letter_is_bad_until_the_rest_comes() {
    let site = Site::new();
    let text = zones("0.8").replace("press", "Pre\u{df}werk \u{1f6d1}");
    let tear = text.find('\u{1f6d1}').expect("there") + 2;
    let mut watcher = site.watcher();
    let mut file = fs::File::create(&site.keepout).expect("created");
    file.write_all(&text.as_bytes()[..tear]).expect("written");
    let problem = bad(&mut watcher);
    assert!(problem.contains("not UTF-8"), "{problem}");
    file.write_all(&text.as_bytes()[tear..]).expect("written");
    assert_lowest(&good(&mut watcher), 0.8);
}

#[test]
fn a_swapped_link_on_the_way_is_noticed() {
    let site = Site::new();
    // As Kubernetes lays out a ConfigMap: file -> ..data/file, and ..data is swapped.
    for (version, y) in [("..v1", "0.9"), ("..v2", "0.8"), ("..v3", "0.7")] {
        fs::create_dir(site.path(version)).expect("made");
        fs::write(site.path(version).join("keepout.toml"), zones(y)).expect("written");
        fs::write(site.path(version).join("andon.toml"), MAIN).expect("written");
    }
    symlink("..v1", site.path("..data")).expect("linked");
    for name in ["andon.toml", "keepout.toml"] {
        fs::remove_file(site.path(name)).expect("removed");
        symlink(format!("..data/{name}"), site.path(name)).expect("linked");
    }
    let mut watcher = site.watcher();
    for (version, y) in [("..v2", 0.8), ("..v3", 0.7)] {
        symlink(version, site.path("..data_tmp")).expect("linked");
        fs::rename(site.path("..data_tmp"), site.path("..data")).expect("swapped");
        assert_lowest(&good(&mut watcher), y);
    }
    // The file behind the links, written in place.
    fs::write(site.path("..v3").join("keepout.toml"), zones("0.6")).expect("written");
    assert_lowest(&good(&mut watcher), 0.6);
}

#[test]
fn another_keepout_file_is_watched_once_andon_toml_names_it() {
    let site = Site::new();
    let mut watcher = site.watcher();
    let other = site.path("elsewhere/other.toml");
    fs::write(
        &site.main,
        format!("[keepout]\nfile = \"elsewhere/other.toml\"\n{MAIN}"),
    )
    .expect("written");
    let text = bad(&mut watcher);
    assert!(text.contains("other.toml: cannot be read"), "{text}");
    fs::create_dir(site.path("elsewhere")).expect("made");
    fs::write(&other, zones("0.8")).expect("written");
    assert_lowest(&good(&mut watcher), 0.8);
    fs::write(&site.keepout, zones("0.1")).expect("written");
    assert_eq!(watcher.next(QUIET), None, "the old one does not matter");
}

#[test]
fn rapid_rewriting_ends_in_the_last_content_and_is_read_seldom() {
    let site = Site::new();
    let mut watcher = site.watcher();
    let path = site.keepout.clone();
    let writer = std::thread::spawn(move || {
        for round in 0..3000_u32 {
            let y = f64::from(round % 80) / 100.0 + 0.15;
            fs::write(&path, zones(&format!("{y}"))).expect("written");
        }
        fs::write(&path, zones("0.99")).expect("written");
    });
    let started = Instant::now();
    let mut told = 0_u32;
    loop {
        let attempt = watcher.next(LONG).expect("the last content comes");
        told += 1;
        if attempt.result.is_ok_and(|loaded| lowest(&loaded) > 0.98) {
            break;
        }
    }
    writer.join().expect("written");
    let rounds = started.elapsed().as_secs_f64() / TIMING.at_most.as_secs_f64();
    assert!(f64::from(told) <= rounds + 2.0, "{told} in {rounds} rounds");
    assert_eq!(watcher.next(QUIET), None);
}

#[test]
fn a_file_that_never_rests_is_read_all_the_same() {
    let site = Site::new();
    // It never settles: only the longest wait can have it read.
    let mut watcher = site.watcher_with(Timing {
        settle: Duration::from_secs(3600),
        at_most: Duration::from_millis(100),
        ..TIMING
    });
    fs::write(&site.keepout, zones("0.8")).expect("written");
    assert_lowest(&good(&mut watcher), 0.8);
}

#[test]
fn without_notices_of_the_kernel_looking_finds_the_change() {
    let site = Site::new();
    let mut watcher = site.watcher();
    watcher.notices.inotify = None;
    let new = site.path("new");
    fs::write(&new, zones("0.8")).expect("written");
    fs::rename(&new, &site.keepout).expect("renamed");
    assert_lowest(&good(&mut watcher), 0.8);
}

#[test]
fn with_notices_nobody_has_to_look() {
    let site = Site::new();
    let mut watcher = site.watcher_with(Timing {
        look_every: Duration::from_secs(3600),
        ..TIMING
    });
    for y in ["0.8", "0.7"] {
        let new = site.path("new");
        fs::write(&new, zones(y)).expect("written");
        fs::rename(&new, &site.keepout).expect("renamed");
        assert_lowest(&good(&mut watcher), y.parse().expect("a number"));
    }
}

#[test]
fn what_changed_before_watching_began_is_noticed() {
    let site = Site::new();
    let overrides = Overrides::default();
    let loaded = load(&site.main, &overrides).expect("valid");
    fs::write(&site.keepout, zones("0.8")).expect("written");
    let mut watcher = Watcher::new(&loaded, &overrides, TIMING);
    assert_lowest(&good(&mut watcher), 0.8);
}
