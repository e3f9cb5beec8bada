//! Configurations as people write them, with the words they are answered with.

#![allow(clippy::panic, reason = "a test that cannot go on stops")]

use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::super::source::FILE_BYTES_MAX;
use super::*;
use crate::config::{
    CameraConfig, ControlValue, DisplayChoice, EngineChoice, InputSpec, ModelRef, OutputConfig,
    PowerLine, Restart,
};
use crate::units::{Score, ZoneKind};

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

struct Site(tempfile::TempDir);

impl Site {
    fn new(main: impl AsRef<[u8]>, keepout: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("andon.toml"), main).expect("written");
        fs::write(folder.path().join("keepout.toml"), keepout).expect("written");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, overrides: &Overrides) -> Result<Loaded, ConfigError> {
        load(&self.path("andon.toml"), overrides)
    }

    /// What is said, with the folder left out.
    fn complaint(&self, overrides: &Overrides) -> String {
        let error = self.load(overrides).expect_err("is refused");
        let folder = format!("{}/", self.0.path().display());
        error.to_string().replace(&folder, "")
    }
}

fn complaint(main: &str, keepout: &str) -> String {
    Site::new(main, keepout).complaint(&Overrides::default())
}

fn with(section: &str, line: &str) -> String {
    if MAIN.contains(section) {
        MAIN.replace(section, &format!("{section}\n{line}"))
    } else {
        format!("{MAIN}{section}\n{line}\n")
    }
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let site = Site::new(MAIN, KEEPOUT);
    let config = site.load(&Overrides::default()).expect("valid").config;
    let shipped = load(Path::new("config/andon.toml"), &Overrides::default());
    let mut shipped = shipped.expect("config/andon.toml is valid").config;
    assert_eq!(
        shipped.output,
        OutputConfig::simulated(Some(Duration::from_millis(2000)))
    );
    // But for the required keys, the zones and the simulated operator the shipped file says what
    // is default anyway.
    shipped.worker_safety.input = InputSpec::Video(site.path("people.mp4"));
    shipped.visual_inspection.input = InputSpec::Video(site.path("belt.mp4"));
    shipped.models.directory = site.path("models");
    shipped.models.detector = ModelRef::Named("ssd".to_owned());
    shipped.models.classifier = ModelRef::Named("apples".to_owned());
    shipped.output = OutputConfig::simulated(None);
    shipped.zones.clone_from(&config.zones);
    assert_eq!(shipped, config);
}

#[test]
fn the_shipped_files_are_valid_and_name_what_is_in_the_repository() {
    let loaded = load(Path::new("config/andon.toml"), &Overrides::default()).expect("valid");
    let config = loaded.config;
    let InputSpec::Video(people) = &config.worker_safety.input else {
        panic!("a video")
    };
    let InputSpec::Video(belt) = &config.visual_inspection.input else {
        panic!("a video")
    };
    assert!(
        people.is_file() && belt.is_file(),
        "{} {}",
        people.display(),
        belt.display()
    );
    assert!(config.models.directory.is_dir());
    assert!(config.zones.iter().any(|zone| zone.kind == ZoneKind::Stop));
    assert_eq!(loaded.keepout.path, Path::new("config/keepout.toml"));
    assert_eq!(loaded.main.sha256.len(), 64);
}

#[test]
fn files_are_recorded_with_their_hash() {
    let site = Site::new(MAIN, KEEPOUT);
    let loaded = site.load(&Overrides::default()).expect("valid");
    assert_eq!(loaded.main.path, site.path("andon.toml"));
    // printf 'abc' | sha256sum
    fs::write(site.path("abc"), "abc").expect("written");
    let problems = Problems::default();
    let mut seen = Vec::new();
    Source::read(&site.path("abc"), "", &problems, &mut seen).expect("text");
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let file = seen.first().and_then(config_file);
    assert_eq!(file.expect("a hash").sha256, expected);
}

#[test]
fn the_command_line_lies_over_the_files() {
    let site = Site::new(MAIN, KEEPOUT);
    let other = site.path("other.toml");
    fs::write(&other, KEEPOUT.replace("press", "robot")).expect("written");
    let overrides = Overrides {
        keepout: Some(other.clone()),
        worker_safety_input: Some("pattern:bars".to_owned()),
        visual_inspection_input: Some("here.mp4".to_owned()),
        detection_model: Some("other_ssd".to_owned()),
        classifier_model: Some("dir/c.tflite".to_owned()),
        engine: Some(EngineChoice::Cpu),
        threads: Some(2),
        display: Some(DisplayChoice::Headless),
        width: Some(640),
        height: Some(480),
        worker_threshold: Some(0.25),
        inspection_threshold: Some(1.0),
        safety_check_whole_box: true,
        anonymize: true,
    };
    let loaded = site.load(&overrides).expect("valid");
    let config = loaded.config;
    assert_eq!(loaded.keepout.path, other);
    assert_eq!(config.zones[0].name, "robot");
    assert_eq!(config.zones[0].anchor, Anchor::WholeBox);
    assert_eq!(
        config.worker_safety.input,
        InputSpec::Pattern("bars".to_owned())
    );
    assert_eq!(
        config.visual_inspection.input,
        InputSpec::Video("here.mp4".into())
    );
    assert_eq!(
        config.models.detector,
        ModelRef::Named("other_ssd".to_owned())
    );
    assert_eq!(
        config.models.classifier,
        ModelRef::File("dir/c.tflite".into())
    );
    assert_eq!(
        (config.engine.engine, config.engine.threads),
        (EngineChoice::Cpu, 2)
    );
    assert_eq!(config.display.display, DisplayChoice::Headless);
    assert_eq!(
        config.display.size,
        Size {
            width: 640,
            height: 480
        }
    );
    assert_eq!(config.worker_safety.threshold, Score::percent(25));
    assert_eq!(config.visual_inspection.threshold, Score::ONE);
    assert!(config.display.anonymize);
}

#[test]
fn inputs_and_models_of_the_command_line_need_not_be_in_the_file() {
    let site = Site::new("[models]\ndirectory = \"m\"\n", KEEPOUT);
    let overrides = Overrides {
        worker_safety_input: Some("a.mp4".to_owned()),
        visual_inspection_input: Some("a.mp4".to_owned()),
        detection_model: Some("ssd".to_owned()),
        classifier_model: Some("apples".to_owned()),
        ..Overrides::default()
    };
    assert!(
        site.load(&overrides).is_ok(),
        "one file may serve both streams"
    );
}

#[test]
fn everything_wrong_is_said_at_once_in_order() {
    let main = "\
[worker_safety]
treshold = 0.5
input = \"people.mp4\"
threshold = 1.5
[safty]
trip_after = 1
[visual_inspection]
input = 7
[models]
directory = \"models\"
detector = \"ssd\"
classifier = \"apples\"
";
    let keepout = "\
[[zone]]
name = \"press\"
points = [[0.1, 0.1], [640, 0.1], [0.5, nan]]
[[zone]]
name = \"press\"
kind = \"halt\"
points = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]
";
    let site = Site::new(main, keepout);
    let overrides = Overrides {
        threads: Some(0),
        ..Overrides::default()
    };
    let expected = "\
andon.toml:2:1: worker_safety has no key treshold
    2 | treshold = 0.5
      | ^^^^^^^^
      = did you mean threshold?
andon.toml:4:13: worker_safety.threshold is 1.5; it must be a number from 0 to 1
    4 | threshold = 1.5
      |             ^^^
andon.toml:5:2: safty is not a known table or key
    5 | [safty]
      |  ^^^^^
      = did you mean safety?
andon.toml:8:9: visual_inspection.input is 7; it must be a text of 1 to 1024 characters in quotes, without control characters or blanks at its ends
    8 | input = 7
      |         ^
keepout.toml:3:23: zone 1 \"press\": point 2 lies outside the frame; x and y are shares of the frame's width and height, 0 to 1
    3 | points = [[0.1, 0.1], [640, 0.1], [0.5, nan]]
      |                       ^^^^^^^^^^
      = `andon import-keepout` turns pixels into shares
keepout.toml:3:35: zone 1 \"press\": point 3 is not a pair of finite numbers
    3 | points = [[0.1, 0.1], [640, 0.1], [0.5, nan]]
      |                                   ^^^^^^^^^^
keepout.toml:5:8: zone 2: name \"press\" is the name of zone 1 already
    5 | name = \"press\"
      |        ^^^^^^^
keepout.toml:6:8: zone 2 \"press\": kind is \"halt\"; it must be \"stop\" or \"warn\"
    6 | kind = \"halt\"
      |        ^^^^^^
keepout.toml:7:35: zone 2 \"press\": edge 1 (points 1-2) and edge 3 (points 3-4) cross or touch
    7 | points = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]
      |                                   ^^^^^^^^^^
--threads: 0 threads; it must be a whole number from 1 to 16
the configuration has 10 problems";
    assert_eq!(site.complaint(&overrides), expected);
}

#[test]
fn a_camera_check_is_off_only_where_the_file_says_so() {
    let off = |line: &str| -> Vec<&str> {
        let site = Site::new(with("[camera_checks]", line), KEEPOUT);
        let config = site.load(&Overrides::default()).expect("valid").config;
        config.camera_checks.switched_off().collect()
    };
    assert_eq!(off(""), [""; 0]);
    assert_eq!(off("frozen = false"), ["frozen"]);
    assert_eq!(off("covered = false\nmoved = false"), ["covered", "moved"]);
    assert_eq!(off("moved_after_ms = 0"), [""; 0]);
}

#[test]
fn a_kept_reference_is_looked_for_beside_the_file() {
    let site = Site::new(with("[camera_checks]", "reference = \"ref.png\""), KEEPOUT);
    let config = site.load(&Overrides::default()).expect("valid").config;
    let moved = config.camera_checks.moved.expect("on");
    assert_eq!(moved.reference, Some(site.path("ref.png")));
}

#[test]
fn what_is_asked_of_a_camera_is_read() {
    let keys = "\
size = \"640x480\"
fps = 12.5
format = \"YUYV\"
exposure_us = 8000
gain = 16
power_line_frequency = \"50 Hz\"
controls = { brightness = -16, \"Auto Focus\" = false, scene = \"night\" }";
    let site = Site::new(with("[visual_inspection.camera]", keys), KEEPOUT);
    let config = site.load(&Overrides::default()).expect("valid").config;
    assert_eq!(config.worker_safety.camera, CameraConfig::default());
    let expected = CameraConfig {
        size: Some("640x480".parse().expect("a size")),
        frame_rate: Some(12.5),
        format: Some(*b"YUYV"),
        exposure_us: Some(8000),
        gain: Some(16),
        power_line: Some(PowerLine::Hz50),
        controls: vec![
            ("brightness".to_owned(), ControlValue::Integer(-16)),
            ("Auto Focus".to_owned(), ControlValue::Boolean(false)),
            ("scene".to_owned(), ControlValue::Text("night".to_owned())),
        ],
    };
    assert_eq!(config.visual_inspection.camera, expected);
}

#[test]
fn each_wrong_value_asked_of_a_camera_is_named() {
    let value = "it must be a whole number, true, false or the name of a menu's item";
    for (line, expected) in [
        ("size = \"0x480\"", "size is \"0x480\"; ".to_owned()),
        (
            "size = \"99999x480\"",
            "size is \"99999x480\"; each side must be 1 to 16384 pixels".to_owned(),
        ),
        (
            "fps = 0",
            "fps is 0; it must be a number from 0.1 to 1000 frames per second".to_owned(),
        ),
        ("fps = nan", "fps is nan; ".to_owned()),
        (
            "format = \"H264\"",
            "format is \"H264\"; it must be \"NV12\" or \"NM12\" or ".to_owned(),
        ),
        (
            "exposure_us = 0",
            "exposure_us is 0; it must be a whole number from 1 to 10000000 microseconds"
                .to_owned(),
        ),
        ("gain = -1", "gain is -1; ".to_owned()),
        (
            "power_line_frequency = 50",
            "power_line_frequency is 50; it must be \"off\" or \"50 Hz\" or \"60 Hz\" or \"auto\""
                .to_owned(),
        ),
        (
            "controls = 7",
            "controls is 7; it must be a table".to_owned(),
        ),
        (
            "controls = { hue = 1.5 }",
            format!("controls.hue is 1.5; {value}"),
        ),
        (
            "controls = { hue = [] }",
            format!("controls.hue is []; {value}"),
        ),
        (
            "controls = { hue = \"\" }",
            format!("controls.hue is \"\"; {value}"),
        ),
        (
            "controls = { hue = 99999999999999999999 }",
            format!("controls.hue is 99999999999999999999; {value}"),
        ),
        (
            "controls = { \"Auto Focus\" = true, auto_focus = false }",
            "controls has \"auto_focus\" twice".to_owned(),
        ),
        ("exposure = 5", "has no key exposure".to_owned()),
    ] {
        let text = complaint(&with("[worker_safety.camera]", line), KEEPOUT);
        let first = text.lines().next().expect("a line").to_owned();
        let stop = if expected.starts_with("has no") {
            " "
        } else {
            "."
        };
        let wanted = format!("worker_safety.camera{stop}{expected}");
        assert!(first.contains(&wanted), "`{wanted}` is not in {first}");
    }
}

/// One wrong line in a section of `andon.toml`, and the first line of the answer.
#[test]
fn each_wrong_value_of_the_main_file_is_named() {
    let text =
        "a text of 1 to 64 characters in quotes, without control characters or blanks at its ends";
    let number = "it must be a number from 0 to 1";
    for (section, line, expected) in [
        ("[worker_safety]", "threshold = nan", format!("worker_safety.threshold is nan; {number}")),
        ("[worker_safety]", "threshold = -inf", format!("worker_safety.threshold is -inf; {number}")),
        ("[worker_safety]", "threshold = -0.01", format!("worker_safety.threshold is -0.01; {number}")),
        ("[worker_safety]", "threshold = 40", format!("worker_safety.threshold is 40; {number}")),
        ("[worker_safety]", "threshold = \"0.4\"", format!("worker_safety.threshold is \"0.4\"; {number}")),
        ("[worker_safety]", "threshold = 1e999", format!("worker_safety.threshold is 1e999; {number}")),
        ("[worker_safety]", "person_label = \"\"", format!("worker_safety.person_label is \"\"; it must be {text}")),
        ("[visual_inspection]", "threshold = 1.01", format!("visual_inspection.threshold is 1.01; {number}")),
        ("[visual_inspection]", "grade_threshold = 2", format!("visual_inspection.grade_threshold is 2; {number}")),
        ("[visual_inspection]", "crop_margin = -1", format!("visual_inspection.crop_margin is -1; {number}")),
        ("[visual_inspection]", "part_labels = []",
            "visual_inspection.part_labels is []; it must be a list of texts, such as [\"apple\"]".into()),
        ("[visual_inspection]", "part_labels = \"apple\"",
            "visual_inspection.part_labels is \"apple\"; it must be a list of texts, such as [\"apple\"]".into()),
        ("[visual_inspection]", "part_labels = [\"a\", \"a\"]",
            "visual_inspection.part_labels is \"a\"; it must be named once only".into()),
        ("[visual_inspection]", "part_labels = [\" a\"]",
            format!("visual_inspection.part_labels is \" a\"; it must be {text}")),
        ("[visual_inspection]", "grades = {}",
            "visual_inspection.grades is {}; it must be a table with at least one entry".into()),
        ("[visual_inspection]", "grades.rotten = \"bad\"",
            "visual_inspection.grades.rotten is \"bad\"; it must be \"good\" or \"reject\"".into()),
        ("[visual_inspection]", "grades.\"\" = \"good\"",
            format!("visual_inspection.grades: a key here must be {text}")),
        ("[safety]", "trip_after = 0",
            "safety.trip_after is 0; it must be a whole number from 1 to 10 frames".into()),
        ("[safety]", "trip_after = 1.0",
            "safety.trip_after is 1.0; it must be a whole number from 1 to 10 frames".into()),
        ("[safety]", "trip_after = 5\nclear_after = 4",
            "safety.clear_after is 4, less than trip_after = 5; a zone must not clear faster than it trips".into()),
        ("[safety]", "clear_after = 99999999999999999999",
            "safety.clear_after is 99999999999999999999; it must be a whole number from 1 to 10000 frames".into()),
        ("[safety]", "max_age_ms = -5",
            "safety.max_age_ms is -5; it must be a whole number from 20 to 10000 milliseconds".into()),
        ("[safety]", "max_age_ms = 900\nfault_after_ms = 800",
            "safety.fault_after_ms is 800, less than max_age_ms = 900; a frame is late before it is a fault".into()),
        ("[safety]", "restart = \"auto\"",
            "safety.restart is \"auto\"; it must be \"manual\" or \"automatic\"".into()),
        ("[camera_checks]", "frozen_after_ms = 0",
            "camera_checks.frozen_after_ms is 0; it must be a whole number from 100 to 10000 milliseconds".into()),
        ("[camera_checks]", "texture_min = 0",
            "camera_checks.texture_min is 0; it must be a number from 0.5 to 50 grey levels".into()),
        ("[camera_checks]", "texture_share_min = 0.0",
            "camera_checks.texture_share_min is 0.0; it must be a number from 0.02 to 0.95".into()),
        ("[camera_checks]", "shift_max = nan",
            "camera_checks.shift_max is nan; it must be a number from 0.003 to 0.0125 of the picture's width".into()),
        ("[camera_checks]", "moved = \"off\"", "camera_checks.moved is \"off\"; it must be true or false".into()),
        ("[engine]", "engine = \"gpu\"",
            "engine.engine is \"gpu\"; it must be \"auto\" or \"cpu\" or \"edgetpu\" or \"edgetpu:usb\" or \"edgetpu:pcie\"".into()),
        ("[engine]", "preprocess = \"npu\"",
            "engine.preprocess is \"npu\"; it must be \"cpu\" or \"gpu\"".into()),
        ("[engine]", "on_tpu_loss = \"go on\"",
            "engine.on_tpu_loss is \"go on\"; it must be \"stop\" or \"cpu\"".into()),
        ("[engine]", "tpu_clock = \"1 GHz\"",
            "engine.tpu_clock is \"1 GHz\"; it must be \"std\" or \"max\"".into()),
        ("[engine]", "threads = 17", "engine.threads is 17; it must be a whole number from 1 to 16".into()),
        ("[output]", "backend = \"relays\"", "output.backend is \"relays\"; it must be \"simulated\" or \"gpio\"".into()),
        ("[display]", "display = true",
            "display.display is true; it must be \"none\" or \"headless\" or \"kms\"".into()),
        ("[display]", "size = \"961x540\"",
            "display.size is 961x540; width and height must be an even number of pixels from 64 to 3840".into()),
        ("[display]", "size = \"large\"",
            "display.size is \"large\"; a size is written as width x height in pixels, such as 1280x720".into()),
        ("[display]", "anonymize = \"yes\"", "display.anonymize is \"yes\"; it must be true or false".into()),
        ("[display]", "card = \"dri/card0\"",
            "display.card is \"dri/card0\"; it must be a device such as \"/dev/dri/card0\", or its name \"card0\"".into()),
        ("[display]", "connector = \"HDMI\"",
            "display.connector is \"HDMI\"; it must be a connector's name such as \"HDMI-A-1\"; andon probe lists them".into()),
        ("[display]", "mode = \"1080p\"",
            "display.mode is \"1080p\"; it must be \"preferred\", or a size such as \"1920x1080\" or \"1920x1080@60\"".into()),
        ("[display]", "mode = \"1920x1080@0\"",
            "display.mode is \"1920x1080@0\"; it must be \"preferred\", or a size such as \"1920x1080\" or \"1920x1080@60\"".into()),
        ("[display]", "vt = \"7\"",
            "display.vt is \"7\"; it must be \"auto\", \"off\" or a virtual terminal such as \"/dev/tty1\"".into()),
        ("[display]", "import = 1", "display.import is 1; it must be true or false".into()),
        ("[keepout]", "file = \"\"",
            "keepout.file is \"\"; it must be a text of 1 to 1024 characters in quotes, without control characters or blanks at its ends".into()),
    ] {
        let said = complaint(&with(section, line), KEEPOUT);
        let first = said.lines().next().unwrap_or_default();
        let (_, message) = first.split_once(": ").unwrap_or_default();
        assert_eq!(message, expected, "{section} {line}\n{said}");
        assert!(said.ends_with("has 1 problem"), "{line}: {said}");
    }
}

/// A replacement in the good `andon.toml`, and the whole answer.
#[test]
fn missing_and_misplaced_parts_of_the_main_file_are_named() {
    for (from, to, expected) in [
        ("input = \"people.mp4\"", "", "\
andon.toml:1:1: worker_safety.input is missing
    1 | [worker_safety]
      | ^^^^^^^^^^^^^^^
      = write input = \"file.mp4\", a folder of stills, \"/dev/videoN\" or \"pattern:NAME\", or give --worker-safety-input
the configuration has 1 problem"),
        ("input = \"belt.mp4\"", "input = \"rtsp://camera\"", "\
andon.toml:4:9: visual_inspection.input is a network address; only local files and cameras are read
    4 | input = \"rtsp://camera\"
      |         ^^^^^^^^^^^^^^^
the configuration has 1 problem"),
        ("detector = \"ssd\"", "", "\
andon.toml:5:1: models.detector is missing
    5 | [models]
      | ^^^^^^^^
      = write a name in models.toml or a path that ends in .tflite, or give --detection-model
the configuration has 1 problem"),
        ("directory = \"models\"", "", "\
andon.toml:5:1: models.directory is missing
    5 | [models]
      | ^^^^^^^^
      = write the path of the folder with models.toml
the configuration has 1 problem"),
        ("\"apples\"", "\"models/apples\"", "\
andon.toml:8:14: models.classifier is no model; it must be a name in models.toml or a path that ends in .tflite
    8 | classifier = \"models/apples\"
      |              ^^^^^^^^^^^^^^^
the configuration has 1 problem"),
        ("[worker_safety]\ninput = \"people.mp4\"", "worker_safety = \"people.mp4\"", "\
andon.toml:1:17: worker_safety is \"people.mp4\"; it must be a table: write [worker_safety] and its keys below
    1 | worker_safety = \"people.mp4\"
      |                 ^^^^^^^^^^^^
andon.toml:1:17: worker_safety.input is missing
    1 | worker_safety = \"people.mp4\"
      |                 ^^^^^^^^^^^^
      = write input = \"file.mp4\", a folder of stills, \"/dev/videoN\" or \"pattern:NAME\", or give --worker-safety-input
the configuration has 2 problems"),
        ("input = \"people.mp4\"", "input = \"people.mp4\ntrip_after = 1", "\
andon.toml:2:20: not valid TOML: invalid basic string, expected `\"`
    2 | input = \"people.mp4
      |                    ^
the configuration has 1 problem"),
        ("input = \"people.mp4\"", "input = \"people.mp4\"\ninput = \"b.mp4\"", "\
andon.toml:3:1: not valid TOML: duplicate key
    3 | input = \"b.mp4\"
      | ^^^^^
the configuration has 1 problem"),
    ] {
        assert_eq!(complaint(&MAIN.replace(from, to), KEEPOUT), expected, "{to}");
    }
}

#[test]
fn an_empty_main_file_is_asked_for_everything_it_needs() {
    let said = complaint("", KEEPOUT);
    for key in [
        "worker_safety.input",
        "visual_inspection.input",
        "models.directory",
        "models.detector",
        "models.classifier",
    ] {
        assert!(said.contains(&format!("{key} is missing")), "{key}: {said}");
    }
}

#[test]
fn zones_that_are_none_are_named() {
    let outside = "x and y are shares of the frame's width and height, 0 to 1";
    let square = "[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]";
    for (points, expected) in [
        (
            "[[0.1, 0.1], [0.2, 0.2]]".to_owned(),
            "has 2 points; a zone needs at least 3".to_owned(),
        ),
        (
            "[]".to_owned(),
            "has 0 points; a zone needs at least 3".to_owned(),
        ),
        (
            "[[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]".to_owned(),
            "the outline folds back on itself at point 1".to_owned(),
        ),
        (
            format!("[{square}, [0.1, 0.1]]"),
            "point 5 repeats point 1; leave it out, a zone closes by itself".to_owned(),
        ),
        (
            format!("[{square}, [1.0001, 0.1]]"),
            format!("point 5 lies outside the frame; {outside}"),
        ),
        (
            format!("[{square}, [0.5, -1]]"),
            format!("point 5 lies outside the frame; {outside}"),
        ),
        (
            format!("[{square}, [inf, 0.5]]"),
            "point 5 is not a pair of finite numbers".to_owned(),
        ),
        (
            format!("[{square}, [0.5]]"),
            "point 5 is [0.5]; it must be [x, y], two numbers".to_owned(),
        ),
        (
            format!("[{square}, [0.5, 0.5, 0.5]]"),
            "point 5 is [0.5, 0.5, 0.5]; it must be [x, y], two numbers".to_owned(),
        ),
        (
            format!("[{square}, 0.5]"),
            "point 5 is 0.5; it must be [x, y], two numbers".to_owned(),
        ),
        (
            format!("[{square}, [\"a\", 0.5]]"),
            "point 5 is [\"a\", 0.5]; it must be [x, y], two numbers".to_owned(),
        ),
        (
            "0.5".to_owned(),
            "points is 0.5; it must be a list of points, [[x, y], [x, y], ...]".to_owned(),
        ),
    ] {
        let keepout = format!("[[zone]]\nname = \"a b\"\npoints = {points}\n");
        let said = complaint(MAIN, &keepout);
        let first = said.lines().next().unwrap_or_default();
        assert!(
            first.ends_with(&format!(": zone 1 \"a b\": {expected}")),
            "{points}\n{said}"
        );
        assert!(said.ends_with("has 1 problem"), "{said}");
    }
}

#[test]
fn keepout_files_that_guard_nobody_are_refused() {
    let warn = KEEPOUT.replace("points", "kind = \"warn\"\npoints");
    for (keepout, expected) in [
        (
            String::new(),
            "keepout.toml: has no [[zone]]: nobody would be guarded",
        ),
        (
            warn,
            "keepout.toml: has no zone of kind \"stop\": nobody would be guarded",
        ),
    ] {
        let said = complaint(MAIN, &keepout);
        let expected = format!(
            "{expected}\n   = write at least one stop zone, as config/keepout.toml shows\nthe configuration has 1 problem"
        );
        assert_eq!(said, expected);
    }
}

/// A replacement in the good keepout file, and the first line of the answer.
#[test]
fn wrong_zone_keys_are_named() {
    let rule = "it must be a text of 1 to 32 characters in quotes, without control characters or blanks at its ends";
    let long = "x".repeat(33);
    for (from, to, expected) in [
        ("name = \"press\"", "", "keepout.toml:1:1: zone 1: name is missing".to_owned()),
        ("\"press\"", "\"\"", format!("keepout.toml:2:8: zone 1: name is \"\"; {rule}")),
        ("\"press\"", &format!("\"{long}\""), format!("keepout.toml:2:8: zone 1: name is \"{long}\"; {rule}")),
        ("\"press\"", "\"a\\u001b[2J\"", format!("keepout.toml:2:8: zone 1: name is \"a\\u001b[2J\"; {rule}")),
        ("\"press\"", "\"a\\nb\"", format!("keepout.toml:2:8: zone 1: name is \"a\\nb\"; {rule}")),
        ("\"press\"", "5", format!("keepout.toml:2:8: zone 1: name is 5; {rule}")),
        ("points = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]", "", "keepout.toml:1:1: zone 1 \"press\": points is missing".to_owned()),
        ("points", "camera = \"worker_saftey\"\npoints",
            "keepout.toml:3:10: zone 1 \"press\": camera is \"worker_saftey\"; it must be \"worker_safety\"".to_owned()),
        ("points", "camera = \"visual_inspection\"\npoints",
            "keepout.toml:3:10: zone 1 \"press\": camera is \"visual_inspection\"; it must be \"worker_safety\"".to_owned()),
        ("points", "anchor = \"feet\"\npoints",
            "keepout.toml:3:10: zone 1 \"press\": anchor is \"feet\"; it must be \"bottom-edge\" or \"whole-box\"".to_owned()),
        ("points", "colour = 1\npoints", "keepout.toml:3:1: zone 1 \"press\" has no key colour".to_owned()),
        ("[[zone]]", "[zone]",
            "keepout.toml:1:1: zone is [zone]; it must be a list: write [[zone]] with two brackets, once for each".to_owned()),
        ("[[zone]]", "[[zones]]", "keepout.toml:1:3: zones is not a known table or key".to_owned()),
    ] {
        let said = complaint(MAIN, &KEEPOUT.replace(from, to));
        assert_eq!(said.lines().next().unwrap_or_default(), expected, "{said}");
        assert!(said.ends_with("has 1 problem"), "{said}");
    }
}

#[test]
fn sixty_four_zones_are_fine_and_one_more_is_not() {
    let zones = |count: usize| -> String {
        (0..count)
            .map(|n| KEEPOUT.replace("press", &format!("z{n}")))
            .collect()
    };
    assert!(
        Site::new(MAIN, zones(64))
            .load(&Overrides::default())
            .is_ok()
    );
    let said = complaint(MAIN, &zones(65));
    assert!(
        said.starts_with("keepout.toml:193:1: zone 65: there are 65 zones; the most is 64"),
        "{said}"
    );
}

#[test]
fn one_camera_for_both_streams_is_refused_by_any_name() {
    let main = MAIN
        .replace("people.mp4", "/dev/null")
        .replace("belt.mp4", "camera");
    let site = Site::new(&main, KEEPOUT);
    std::os::unix::fs::symlink("/dev/null", site.path("camera")).expect("linked");
    let said = site.complaint(&Overrides::default());
    let expected = "\
andon.toml:4:9: /dev/null and camera are the same camera
    4 | input = \"camera\"
      |         ^^^^^^^^
      = give each stream a camera of its own
the configuration has 1 problem";
    assert_eq!(said, expected);
    let overrides = Overrides {
        worker_safety_input: Some("/dev/video9".to_owned()),
        visual_inspection_input: Some("/dev/video9".to_owned()),
        ..Overrides::default()
    };
    let said = site.complaint(&overrides);
    let expected = "--visual-inspection-input: /dev/video9 is the camera of both streams";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn wrong_options_are_named() {
    let site = Site::new(MAIN, KEEPOUT);
    let overrides = Overrides {
        worker_safety_input: Some(String::new()),
        visual_inspection_input: Some("pattern:".to_owned()),
        detection_model: Some("a/b".to_owned()),
        classifier_model: Some(String::new()),
        threads: Some(200),
        width: Some(7),
        height: Some(541),
        worker_threshold: Some(f64::NAN),
        inspection_threshold: Some(-0.5),
        ..Overrides::default()
    };
    let expected = "\
--worker-safety-input: names no source; write a video file, a folder of stills, /dev/videoN or pattern:NAME
--worker-threshold: NaN is not a threshold; it must be a number from 0 to 1
--visual-inspection-input: names no pattern; write pattern:NAME
--inspection-threshold: -0.5 is not a threshold; it must be a number from 0 to 1
--detection-model: \"a/b\" is no model; it must be a name in models.toml or a path that ends in .tflite
--classifier-model: \"\" is no model; it must be a name in models.toml or a path that ends in .tflite
--threads: 200 threads; it must be a whole number from 1 to 16
--width: 7 pixels; it must be an even number of pixels from 64 to 3840
--height: 541 pixels; it must be an even number of pixels from 64 to 3840
the configuration has 9 problems";
    assert_eq!(site.complaint(&overrides), expected);
}

#[test]
fn a_missing_keepout_file_is_an_error_and_not_a_picture_of_green_people() {
    let site = Site::new(MAIN, KEEPOUT);
    fs::remove_file(site.path("keepout.toml")).expect("removed");
    let expected = "\
keepout.toml: cannot be read: No such file or directory (os error 2)
   = a line is not guarded without zones: write the file as config/keepout.toml shows, or name another with --keepout
the configuration has 1 problem";
    assert_eq!(site.complaint(&Overrides::default()), expected);
}

#[test]
fn files_that_cannot_be_a_configuration_are_refused() {
    let site = Site::new(MAIN, KEEPOUT);
    let none = Overrides::default();
    fs::remove_file(site.path("andon.toml")).expect("removed");
    let said = site.complaint(&none);
    assert!(
        said.starts_with("andon.toml: cannot be read: No such file"),
        "{said}"
    );
    assert!(said.contains("name another file with --config"), "{said}");

    fs::create_dir(site.path("andon.toml")).expect("made");
    assert!(
        site.complaint(&none)
            .starts_with("andon.toml: is a folder, not a file")
    );
    fs::remove_dir(site.path("andon.toml")).expect("removed");

    std::os::unix::fs::symlink("/dev/zero", site.path("andon.toml")).expect("linked");
    assert!(
        site.complaint(&none)
            .starts_with("andon.toml: is not a regular file")
    );
    fs::remove_file(site.path("andon.toml")).expect("removed");

    let huge = usize::try_from(FILE_BYTES_MAX + 1).expect("fits");
    fs::write(site.path("andon.toml"), vec![b'#'; huge]).expect("written");
    let said = site.complaint(&none);
    assert!(
        said.starts_with("andon.toml: is larger than 1024 KiB"),
        "{said}"
    );

    fs::write(
        site.path("andon.toml"),
        b"[worker_safety]\ninput = \"\xff.mp4\"\n",
    )
    .expect("written");
    let expected = "\
andon.toml:2:10: byte 25 is not UTF-8 text
    2 | input = \"\u{fffd}.mp4\"
      |          ^
      = save the file as UTF-8; is it a configuration at all?
the configuration has 1 problem";
    assert_eq!(site.complaint(&none), expected);
}

#[test]
fn a_broken_main_file_does_not_hide_what_is_wrong_with_a_named_keepout_file() {
    let site = Site::new("= 1", "[[zone]]\n");
    let overrides = Overrides {
        keepout: Some(site.path("keepout.toml")),
        ..Overrides::default()
    };
    let said = site.complaint(&overrides);
    assert!(said.contains("andon.toml:1:1: not valid TOML"), "{said}");
    assert!(said.contains("zone 1: name is missing") && said.contains("zone 1: points is missing"));
}

#[test]
fn a_csv_of_the_original_demo_is_a_keepout_file_too() {
    let site = Site::new(MAIN, KEEPOUT);
    let overrides = Overrides {
        keepout: Some(site.path("cell 1.csv")),
        width: Some(640),
        height: Some(480),
        ..Overrides::default()
    };
    fs::write(site.path("cell 1.csv"), "x,y\n160,120\n480,120\n320,480\n").expect("written");
    let config = site.load(&overrides).expect("valid").config;
    let zone = &config.zones[0];
    assert_eq!((zone.name.as_str(), zone.kind), ("cell 1", ZoneKind::Stop));
    assert_eq!(
        zone.polygon.points()[2],
        crate::geometry::Point::new(0.5, 1.0)
    );

    fs::write(site.path("cell 1.csv"), "160,120\n480\n320,480\n").expect("written");
    let expected = "\
cell 1.csv:2:1: line 2 is `480`; it must be `x,y`, two numbers of pixels
    2 | 480
      | ^^^
the configuration has 1 problem";
    assert_eq!(site.complaint(&overrides), expected);
    fs::write(site.path("cell 1.csv"), "160,120\n480,120\n").expect("written");
    assert!(
        site.complaint(&overrides)
            .starts_with("cell 1.csv: has 2 points; a zone needs at least 3")
    );
    let overrides = Overrides {
        width: None,
        ..overrides
    };
    let expected = "\
cell 1.csv: is a CSV of pixels, and nothing says of what size the picture was
   = give --width and --height, or turn it into a TOML with `andon import-keepout`
the configuration has 1 problem";
    assert_eq!(site.complaint(&overrides), expected);
}

#[test]
fn lines_of_any_kind_and_a_byte_order_mark_are_read() {
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let site = Site::new(windows(MAIN), windows(KEEPOUT));
    assert!(site.load(&Overrides::default()).is_ok());
    let broken = windows(&MAIN.replace("people.mp4", ""));
    let said = complaint(&broken, KEEPOUT);
    assert!(
        said.starts_with("andon.toml:2:9: worker_safety.input is \"\""),
        "{said}"
    );
}

#[test]
fn keys_a_later_section_needs_are_not_read_from_another() {
    let main = with("[worker_safety]", "restart = \"automatic\"");
    let said = complaint(&main, KEEPOUT);
    assert!(
        said.starts_with("andon.toml:2:1: worker_safety has no key restart"),
        "{said}"
    );
    let config = Site::new(with("[safety]", "restart = \"automatic\""), KEEPOUT);
    let config = config.load(&Overrides::default()).expect("valid").config;
    assert_eq!(config.safety.restart, Restart::Automatic);
}

#[test]
fn a_flood_of_mistakes_stays_small_and_quick() {
    let junk = "]\n".repeat(500_000);
    let said = complaint(&junk, KEEPOUT);
    assert!(said.lines().count() < 40, "{said}");
    let nested = format!("a = {}", "[".repeat(500_000));
    assert!(complaint(&nested, KEEPOUT).contains("not valid TOML"));
    let keys: String = (0..50_000).map(|n| format!("k{n} = 1\n")).collect();
    let said = complaint(&keys, KEEPOUT);
    assert!(said.contains("more\n") && said.lines().count() < 200);
    let points = format!(
        "[[zone]]\nname = \"a\"\npoints = [{}]\n",
        "[0.5, 0.5],".repeat(50_000)
    );
    assert!(complaint(MAIN, &points).contains("has 50000 points; the most is 256"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        main in prop::collection::vec(any::<u8>(), 0..200),
        keepout in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let site = Site::new(main, keepout);
        prop_assert!(site.load(&Overrides::default()).is_err());
    }

    /// A good file with a few bytes replaced: whatever comes of it, it ends and it is sayable.
    #[test]
    fn no_damage_makes_it_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut main = fs::read("config/andon.toml").expect("shipped");
        let mut keepout = fs::read("config/keepout.toml").expect("shipped");
        for (index, byte) in damage {
            let at = index.index(main.len() + keepout.len());
            let length = main.len();
            if at < length { main[at] = byte } else { keepout[at - length] = byte }
        }
        let site = Site::new(main, keepout);
        if let Err(error) = site.load(&Overrides::default()) {
            let text = error.to_string();
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", text);
        }
    }
}
