//! What a change of configuration means for a running line.

use super::{
    Approach, CameraChecksConfig, CameraConfig, Config, CoveredCheckConfig, DisplayConfig,
    EngineConfig, EventsConfig, FloorZone, FrozenCheckConfig, Ground, Growth, KioskConfig,
    KmsConfig, ModelsConfig, MovedCheckConfig, SafetyConfig, VisualInspectionConfig,
    WorkerSafetyConfig, Zone,
};
use crate::units::ZoneKind;

/// How a change takes effect; each is graver than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// Applied at once: what decides about the run permission stays as it is.
    Cosmetic,
    /// The run permission goes OFF first and needs a reset.
    SafetyRelevant,
    /// Takes effect at the next start.
    NeedsRestart,
}

/// One key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As in the files: `safety.trip_after`, `zone.press.points`.
    pub key: String,
    /// How it takes effect.
    pub impact: Impact,
}

/// Every key in which two configurations differ, in the order of the files; empty where they say
/// the same. The impact of the whole is the greatest of its changes.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    // Taken apart by name, so that a new field cannot be forgotten here.
    let Config {
        worker_safety,
        visual_inspection,
        zones,
        ground,
        safety,
        camera_checks,
        models,
        engine,
        output,
        events,
        display,
        watchdog,
    } = old;
    let mut changes = Changes::default();
    diff_worker_safety(&mut changes, worker_safety, &new.worker_safety);
    diff_visual_inspection(&mut changes, visual_inspection, &new.visual_inspection);
    diff_safety(&mut changes, *safety, new.safety);
    diff_camera_checks(&mut changes, camera_checks, &new.camera_checks);
    diff_models(&mut changes, models, &new.models);
    diff_engine(&mut changes, engine, &new.engine);
    changes.note("output", Impact::NeedsRestart, output == &new.output);
    diff_events(&mut changes, events, &new.events);
    diff_display(&mut changes, display, &new.display);
    changes.note("watchdog", Impact::NeedsRestart, watchdog == &new.watchdog);
    diff_ground(&mut changes, ground.as_ref(), new.ground.as_ref());
    diff_zones(&mut changes, zones, &new.zones);
    diff_floor_zones(&mut changes, old, new);
    changes.0
}

/// What can take effect of `new` while `running` runs: `new`, but with every key that needs a
/// restart as it is in `running`.
///
/// Words that the label files of the models define go with the models: where other models are
/// configured, the grades stay as well. The detector's labels always stay: it is loaded for them. What is still to come at the next start is
/// `diff(&live(running, new), new)`.
#[must_use]
pub fn live(running: &Config, new: &Config) -> Config {
    // Taken apart by name, so that a new field cannot be forgotten here.
    let Config {
        worker_safety,
        visual_inspection,
        zones,
        ground,
        safety,
        camera_checks: _,
        models,
        engine: _,
        output: _,
        events: _,
        watchdog: _,
        display,
    } = new;
    let same_models = *models == running.models;
    let labels = if same_models { new } else { running };
    Config {
        worker_safety: WorkerSafetyConfig {
            input: running.worker_safety.input.clone(),
            camera: running.worker_safety.camera.clone(),
            threshold: worker_safety.threshold,
            person_label: running.worker_safety.person_label.clone(),
        },
        visual_inspection: VisualInspectionConfig {
            input: running.visual_inspection.input.clone(),
            camera: running.visual_inspection.camera.clone(),
            threshold: visual_inspection.threshold,
            part_labels: running.visual_inspection.part_labels.clone(),
            crop_margin: visual_inspection.crop_margin,
            grade_threshold: visual_inspection.grade_threshold,
            grades: labels.visual_inspection.grades.clone(),
            reject_delay: visual_inspection.reject_delay,
            reject_pulse: visual_inspection.reject_pulse,
        },
        zones: zones.clone(),
        ground: ground.clone(),
        safety: *safety,
        camera_checks: running.camera_checks.clone(),
        models: running.models.clone(),
        engine: running.engine.clone(),
        output: running.output.clone(),
        events: running.events.clone(),
        watchdog: running.watchdog.clone(),
        display: DisplayConfig {
            display: running.display.display,
            size: running.display.size,
            anonymize: display.anonymize,
            kiosk: KioskConfig {
                scale: display.kiosk.scale,
                streams: display.kiosk.streams,
                pages: display.kiosk.pages,
                touch: running.display.kiosk.touch,
                reset: running.display.kiosk.reset,
            },
            kms: running.display.kms.clone(),
        },
    }
}

#[derive(Debug, Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn note(&mut self, key: &str, impact: Impact, same: bool) {
        if !same {
            self.0.push(Change {
                key: key.to_owned(),
                impact,
            });
        }
    }
}

fn diff_worker_safety(changes: &mut Changes, old: &WorkerSafetyConfig, new: &WorkerSafetyConfig) {
    use Impact::{NeedsRestart, SafetyRelevant};
    let WorkerSafetyConfig {
        input,
        camera,
        threshold,
        person_label,
    } = old;
    changes.note("worker_safety.input", NeedsRestart, input == &new.input);
    diff_camera(changes, "worker_safety", camera, &new.camera);
    changes.note(
        "worker_safety.threshold",
        SafetyRelevant,
        threshold == &new.threshold,
    );
    changes.note(
        "worker_safety.person_label",
        NeedsRestart,
        person_label == &new.person_label,
    );
}

fn diff_visual_inspection(
    changes: &mut Changes,
    old: &VisualInspectionConfig,
    new: &VisualInspectionConfig,
) {
    use Impact::{Cosmetic, NeedsRestart};
    let VisualInspectionConfig {
        input,
        camera,
        threshold,
        part_labels,
        crop_margin,
        grade_threshold,
        grades,
        reject_delay,
        reject_pulse,
    } = old;
    let same_margin = crop_margin.to_bits() == new.crop_margin.to_bits();
    for (key, impact, same) in [
        ("input", NeedsRestart, input == &new.input),
        ("threshold", Cosmetic, threshold == &new.threshold),
        ("part_labels", NeedsRestart, part_labels == &new.part_labels),
        ("crop_margin", Cosmetic, same_margin),
        (
            "grade_threshold",
            Cosmetic,
            grade_threshold == &new.grade_threshold,
        ),
        ("grades", Cosmetic, grades == &new.grades),
        (
            "reject_delay_ms",
            Cosmetic,
            reject_delay == &new.reject_delay,
        ),
        (
            "reject_pulse_ms",
            Cosmetic,
            reject_pulse == &new.reject_pulse,
        ),
    ] {
        changes.note(&format!("visual_inspection.{key}"), impact, same);
    }
    diff_camera(changes, "visual_inspection", camera, &new.camera);
}

// A camera is asked for these once, when it is opened.
fn diff_camera(changes: &mut Changes, section: &str, old: &CameraConfig, new: &CameraConfig) {
    let CameraConfig {
        size,
        frame_rate,
        format,
        exposure_us,
        gain,
        power_line,
        controls,
    } = old;
    let bits = |rate: &Option<f32>| rate.map(f32::to_bits);
    for (key, same) in [
        ("size", *size == new.size),
        ("fps", bits(frame_rate) == bits(&new.frame_rate)),
        ("format", *format == new.format),
        ("exposure_us", *exposure_us == new.exposure_us),
        ("gain", *gain == new.gain),
        ("power_line_frequency", *power_line == new.power_line),
        ("controls", *controls == new.controls),
    ] {
        let key = format!("{section}.camera.{key}");
        changes.note(&key, Impact::NeedsRestart, same);
    }
}

fn diff_safety(changes: &mut Changes, old: SafetyConfig, new: SafetyConfig) {
    let SafetyConfig {
        trip_after,
        clear_after,
        max_age,
        fault_after,
        restart,
    } = old;
    for (key, same) in [
        ("trip_after", trip_after == new.trip_after),
        ("clear_after", clear_after == new.clear_after),
        ("max_age_ms", max_age == new.max_age),
        ("fault_after_ms", fault_after == new.fault_after),
        ("restart", restart == new.restart),
    ] {
        changes.note(&format!("safety.{key}"), Impact::SafetyRelevant, same);
    }
}

// The checks and what they have learnt belong to the run: others take effect at the next start.
fn diff_camera_checks(changes: &mut Changes, old: &CameraChecksConfig, new: &CameraChecksConfig) {
    let CameraChecksConfig {
        frozen,
        covered,
        moved,
    } = old;
    let mut note = |key: &str, same| {
        let key = format!("camera_checks.{key}");
        changes.note(&key, Impact::NeedsRestart, same);
    };
    let equal = |one: f32, other: f32| one.to_bits() == other.to_bits();
    if let (Some(FrozenCheckConfig { after }), Some(new)) = (*frozen, new.frozen) {
        note("frozen_after_ms", after == new.after);
    } else {
        note("frozen", frozen.is_some() == new.frozen.is_some());
    }
    if let (Some(old), Some(new)) = (*covered, new.covered) {
        let CoveredCheckConfig {
            after,
            texture_min,
            share_min,
        } = old;
        note("covered_after_ms", after == new.after);
        note("texture_min", equal(texture_min, new.texture_min));
        note("texture_share_min", equal(share_min, new.share_min));
    } else {
        note("covered", covered.is_some() == new.covered.is_some());
    }
    if let (Some(old), Some(new)) = (moved, &new.moved) {
        let MovedCheckConfig {
            after,
            shift_max,
            share_min,
            learn,
            reference,
        } = old;
        note("moved_after_ms", *after == new.after);
        note("shift_max", equal(*shift_max, new.shift_max));
        note("contour_share_min", equal(*share_min, new.share_min));
        note("learn_ms", *learn == new.learn);
        // Read at the start only.
        let same = reference == &new.reference;
        changes.note("camera_checks.reference", Impact::NeedsRestart, same);
    } else {
        note("moved", moved.is_some() == new.moved.is_some());
    }
}

fn diff_models(changes: &mut Changes, old: &ModelsConfig, new: &ModelsConfig) {
    let ModelsConfig {
        directory,
        detector,
        classifier,
    } = old;
    for (key, same) in [
        ("directory", directory == &new.directory),
        ("detector", detector == &new.detector),
        ("classifier", classifier == &new.classifier),
    ] {
        changes.note(&format!("models.{key}"), Impact::NeedsRestart, same);
    }
}

fn diff_engine(changes: &mut Changes, old: &EngineConfig, new: &EngineConfig) {
    let EngineConfig {
        engine,
        threads,
        preprocess,
        on_tpu_loss,
        tpu_clock,
        tpu_firmware,
    } = old;
    for (key, same) in [
        ("engine", *engine == new.engine),
        ("threads", *threads == new.threads),
        ("preprocess", *preprocess == new.preprocess),
        ("on_tpu_loss", *on_tpu_loss == new.on_tpu_loss),
        ("tpu_clock", *tpu_clock == new.tpu_clock),
        ("tpu_firmware", *tpu_firmware == new.tpu_firmware),
    ] {
        changes.note(&format!("engine.{key}"), Impact::NeedsRestart, same);
    }
}

fn diff_events(changes: &mut Changes, old: &EventsConfig, new: &EventsConfig) {
    let EventsConfig {
        directory,
        file_bytes_max,
        files_max,
        sync,
    } = old;
    for (key, same) in [
        ("directory", *directory == new.directory),
        ("file_bytes_max", *file_bytes_max == new.file_bytes_max),
        ("files_max", *files_max == new.files_max),
        ("sync", *sync == new.sync),
    ] {
        changes.note(&format!("events.{key}"), Impact::NeedsRestart, same);
    }
}

fn diff_display(changes: &mut Changes, old: &DisplayConfig, new: &DisplayConfig) {
    use Impact::{Cosmetic, NeedsRestart};
    let DisplayConfig {
        display,
        size,
        anonymize,
        kms,
        kiosk,
    } = old;
    changes.note("display.display", NeedsRestart, *display == new.display);
    changes.note("display.size", NeedsRestart, *size == new.size);
    changes.note("display.anonymize", Cosmetic, *anonymize == new.anonymize);
    let KmsConfig {
        card,
        connector,
        mode,
        vt,
        import,
    } = kms;
    for (key, same) in [
        ("card", *card == new.kms.card),
        ("connector", *connector == new.kms.connector),
        ("mode", *mode == new.kms.mode),
        ("vt", *vt == new.kms.vt),
        ("import", *import == new.kms.import),
    ] {
        changes.note(&format!("display.{key}"), NeedsRestart, same);
    }
    let KioskConfig {
        scale,
        streams,
        pages,
        touch,
        reset,
    } = *kiosk;
    let new = new.kiosk;
    changes.note("display.scale", Cosmetic, scale == new.scale);
    changes.note("display.streams", Cosmetic, streams == new.streams);
    changes.note("display.pages", Cosmetic, pages == new.pages);
    changes.note("display.touch", NeedsRestart, touch == new.touch);
    changes.note("display.reset", NeedsRestart, reset == new.reset);
}

fn diff_ground(changes: &mut Changes, old: Option<&Ground>, new: Option<&Ground>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (Some(old), Some(new)) => (old, new),
        (Some(_), None) | (None, Some(_)) => {
            changes.note("ground", Impact::SafetyRelevant, false);
            return;
        }
    };
    let Ground {
        points,
        axes,
        fit: _,
        residual_max,
        approach,
        zones: _,
    } = old;
    let Approach {
        speed,
        response_time,
        intrusion_depth,
    } = approach;
    let same_residual = residual_max.0.to_bits() == new.residual_max.0.to_bits();
    let other = &new.approach;
    for (key, same) in [
        ("points", points == &new.points),
        ("axes", axes == &new.axes),
        ("residual_max_m", same_residual),
        ("approach_speed_mm_s", speed == &other.speed),
        ("response_time_ms", response_time == &other.response_time),
        (
            "intrusion_depth_mm",
            intrusion_depth == &other.intrusion_depth,
        ),
    ] {
        changes.note(&format!("ground.{key}"), Impact::SafetyRelevant, same);
    }
}

/// What zones of the same name say about the floor; their polygons are compared as all others are.
fn diff_floor_zones(changes: &mut Changes, old: &Config, new: &Config) {
    let floor_of = |config: &Config, name: &str| -> Option<FloorZone> {
        let ground = config.ground.as_ref()?;
        let named = |zone: &&FloorZone| {
            let zone = config.zones.get(usize::from(zone.zone.0));
            zone.is_some_and(|zone| zone.name == name)
        };
        ground.zones.iter().find(named).cloned()
    };
    for zone in &old.zones {
        if !new.zones.iter().any(|other| other.name == zone.name) {
            continue;
        }
        let both = [old, new].map(|config| floor_of(config, &zone.name));
        let [drawn, other_drawn] = both.each_ref().map(|zone| zone.as_ref().map(|z| &z.drawn));
        let [grows, other_grows] = both.each_ref().map(|zone| {
            let grows = |zone: &FloorZone| matches!(zone.growth, Growth::By(_));
            zone.as_ref().is_some_and(grows)
        });
        for (key, same) in [
            ("floor", drawn == other_drawn),
            ("grow", grows == other_grows),
        ] {
            let key = format!("zone.{}.{key}", zone.name);
            changes.note(&key, Impact::SafetyRelevant, same);
        }
    }
}

/// Zones are the same zone by their name. What touches a stop zone, before or after, is relevant.
fn diff_zones(changes: &mut Changes, old: &[Zone], new: &[Zone]) {
    let named = |zones: &[Zone], name: &str| zones.iter().find(|zone| zone.name == name).cloned();
    let of_kind = |kind| match kind {
        ZoneKind::Warn => Impact::Cosmetic,
        ZoneKind::Stop => Impact::SafetyRelevant,
    };
    for zone in old {
        let Zone {
            name,
            camera,
            kind,
            anchor,
            polygon,
            hours,
            dwell_limit,
        } = zone;
        let Some(other) = named(new, name) else {
            changes.note(&format!("zone.{name}"), of_kind(*kind), false);
            continue;
        };
        let impact = of_kind(*kind).max(of_kind(other.kind));
        for (key, same) in [
            ("camera", *camera == other.camera),
            ("kind", *kind == other.kind),
            ("anchor", *anchor == other.anchor),
            ("points", *polygon == other.polygon),
            ("active", *hours == other.hours),
            ("dwell_limit_ms", *dwell_limit == other.dwell_limit),
        ] {
            changes.note(&format!("zone.{name}.{key}"), impact, same);
        }
    }
    for zone in new.iter().filter(|zone| named(old, &zone.name).is_none()) {
        changes.note(&format!("zone.{}", zone.name), of_kind(zone.kind), false);
    }
    // The decision counts by position: a stop zone that moved in the list is another zone to it.
    let stops = |zones: &[Zone]| -> Vec<(usize, String)> {
        zones
            .iter()
            .enumerate()
            .filter(|(_, zone)| zone.kind == ZoneKind::Stop)
            .map(|(index, zone)| (index, zone.name.clone()))
            .collect()
    };
    changes.note("zone", Impact::SafetyRelevant, stops(old) == stops(new));
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{
        Anchor, DisplayChoice, EngineChoice, EventSync, GradeAction, InputSpec, ModelRef,
        OnTpuLoss, OutputConfig, Overrides, PageSet, PreprocessChoice, Restart, ShownStreams,
        TextScale, TpuClock, VtWish, load,
    };
    use crate::geometry::{Point, Polygon, Size};
    use crate::units::{Score, StreamId};
    use Impact::{Cosmetic, NeedsRestart, SafetyRelevant};

    /// A stop zone `press`, then a warning zone `aisle`.
    fn config() -> Config {
        let loaded = load(Path::new("config/andon.toml"), &Overrides::default());
        let mut config = loaded.expect("the shipped configuration").config;
        config.zones = vec![zone("press", ZoneKind::Stop), zone("aisle", ZoneKind::Warn)];
        config
    }

    fn zone(name: &str, kind: ZoneKind) -> Zone {
        Zone {
            name: name.to_owned(),
            camera: crate::units::StreamId::WorkerSafety,
            kind,
            anchor: Anchor::BottomEdge,
            polygon: triangle(0.9),
            hours: crate::config::Hours::default(),
            dwell_limit: None,
        }
    }

    fn triangle(y: f32) -> Polygon {
        Polygon::new(vec![
            Point::new(0.1, 0.1),
            Point::new(0.9, 0.1),
            Point::new(0.5, y),
        ])
        .expect("a triangle")
    }

    type Edit = fn(&mut Config);

    fn changes(edit: Edit) -> Vec<(String, Impact)> {
        let (old, mut new) = (config(), config());
        edit(&mut new);
        let forwards = diff(&old, &new);
        assert_eq!(
            forwards.iter().map(|c| c.impact).max(),
            diff(&new, &old).iter().map(|c| c.impact).max(),
            "undoing a change is as grave as making it"
        );
        forwards.into_iter().map(|c| (c.key, c.impact)).collect()
    }

    #[test]
    fn the_same_configuration_has_no_changes() {
        assert_eq!(changes(|_| {}), []);
    }

    const CASES: [(&str, Impact, Edit); 66] = [
        ("worker_safety.input", NeedsRestart, |c| {
            c.worker_safety.input = InputSpec::Pattern("x".into())
        }),
        ("worker_safety.camera.size", NeedsRestart, |c| {
            c.worker_safety.camera.size = Some(c.display.size)
        }),
        ("worker_safety.camera.fps", NeedsRestart, |c| {
            c.worker_safety.camera.frame_rate = Some(15.0)
        }),
        ("worker_safety.camera.format", NeedsRestart, |c| {
            c.worker_safety.camera.format = Some(*b"NV12")
        }),
        ("worker_safety.camera.exposure_us", NeedsRestart, |c| {
            c.worker_safety.camera.exposure_us = Some(8000)
        }),
        ("worker_safety.camera.gain", NeedsRestart, |c| {
            c.worker_safety.camera.gain = Some(7)
        }),
        (
            "worker_safety.camera.power_line_frequency",
            NeedsRestart,
            |c| c.worker_safety.camera.power_line = Some(crate::config::PowerLine::Auto),
        ),
        ("worker_safety.camera.controls", NeedsRestart, |c| {
            let value = crate::config::ControlValue::Boolean(true);
            c.worker_safety.camera.controls = vec![("hue".to_owned(), value)]
        }),
        ("visual_inspection.camera.fps", NeedsRestart, |c| {
            c.visual_inspection.camera.frame_rate = Some(15.0)
        }),
        ("worker_safety.threshold", SafetyRelevant, |c| {
            c.worker_safety.threshold = Score::ONE
        }),
        ("worker_safety.person_label", NeedsRestart, |c| {
            c.worker_safety.person_label = "cat".into()
        }),
        ("visual_inspection.input", NeedsRestart, |c| {
            c.visual_inspection.input = InputSpec::Pattern("x".into())
        }),
        ("visual_inspection.threshold", Cosmetic, |c| {
            c.visual_inspection.threshold = Score::ONE
        }),
        ("visual_inspection.part_labels", NeedsRestart, |c| {
            c.visual_inspection.part_labels.push("pear".into())
        }),
        ("visual_inspection.crop_margin", Cosmetic, |c| {
            c.visual_inspection.crop_margin = 0.5
        }),
        ("visual_inspection.grade_threshold", Cosmetic, |c| {
            c.visual_inspection.grade_threshold = Score::ONE
        }),
        ("visual_inspection.grades", Cosmetic, |c| {
            c.visual_inspection.grades[0].1 = GradeAction::Reject
        }),
        ("visual_inspection.reject_delay_ms", Cosmetic, |c| {
            c.visual_inspection.reject_delay = Some(Duration::from_secs(1))
        }),
        ("visual_inspection.reject_pulse_ms", Cosmetic, |c| {
            c.visual_inspection.reject_pulse = Duration::from_secs(1)
        }),
        ("safety.trip_after", SafetyRelevant, |c| {
            c.safety.trip_after = 3
        }),
        ("safety.clear_after", SafetyRelevant, |c| {
            c.safety.clear_after = 99
        }),
        ("safety.max_age_ms", SafetyRelevant, |c| {
            c.safety.max_age = Duration::from_millis(99)
        }),
        ("safety.fault_after_ms", SafetyRelevant, |c| {
            c.safety.fault_after = Duration::from_secs(9)
        }),
        ("safety.restart", SafetyRelevant, |c| {
            c.safety.restart = Restart::Automatic
        }),
        ("camera_checks.frozen", NeedsRestart, |c| {
            c.camera_checks.frozen = None
        }),
        ("camera_checks.covered", NeedsRestart, |c| {
            c.camera_checks.covered = None
        }),
        ("camera_checks.moved", NeedsRestart, |c| {
            c.camera_checks.moved = None
        }),
        ("camera_checks.frozen_after_ms", NeedsRestart, |c| {
            c.camera_checks.frozen.as_mut().expect("on").after = Duration::from_secs(9)
        }),
        ("camera_checks.covered_after_ms", NeedsRestart, |c| {
            c.camera_checks.covered.as_mut().expect("on").after = Duration::from_secs(9)
        }),
        ("camera_checks.texture_min", NeedsRestart, |c| {
            c.camera_checks.covered.as_mut().expect("on").texture_min = 9.0
        }),
        ("camera_checks.texture_share_min", NeedsRestart, |c| {
            c.camera_checks.covered.as_mut().expect("on").share_min = 0.9
        }),
        ("camera_checks.moved_after_ms", NeedsRestart, |c| {
            c.camera_checks.moved.as_mut().expect("on").after = Duration::from_secs(9)
        }),
        ("camera_checks.shift_max", NeedsRestart, |c| {
            c.camera_checks.moved.as_mut().expect("on").shift_max = 0.005
        }),
        ("camera_checks.contour_share_min", NeedsRestart, |c| {
            c.camera_checks.moved.as_mut().expect("on").share_min = 0.9
        }),
        ("camera_checks.learn_ms", NeedsRestart, |c| {
            c.camera_checks.moved.as_mut().expect("on").learn = Duration::from_secs(9)
        }),
        ("camera_checks.reference", NeedsRestart, |c| {
            c.camera_checks.moved.as_mut().expect("on").reference = Some("x.png".into())
        }),
        ("models.directory", NeedsRestart, |c| {
            c.models.directory = "elsewhere".into()
        }),
        ("models.detector", NeedsRestart, |c| {
            c.models.detector = ModelRef::Named("x".into())
        }),
        ("models.classifier", NeedsRestart, |c| {
            c.models.classifier = ModelRef::File("x.tflite".into())
        }),
        ("engine.engine", NeedsRestart, |c| {
            c.engine.engine = EngineChoice::EdgeTpuUsb
        }),
        ("engine.threads", NeedsRestart, |c| c.engine.threads = 7),
        ("engine.preprocess", NeedsRestart, |c| {
            c.engine.preprocess = PreprocessChoice::Gpu
        }),
        ("engine.on_tpu_loss", NeedsRestart, |c| {
            c.engine.on_tpu_loss = OnTpuLoss::Cpu
        }),
        ("engine.tpu_clock", NeedsRestart, |c| {
            c.engine.tpu_clock = TpuClock::Standard
        }),
        ("engine.tpu_firmware", NeedsRestart, |c| {
            c.engine.tpu_firmware = Some("x.bin".into())
        }),
        ("output", NeedsRestart, |c| {
            c.output = OutputConfig::simulated(None)
        }),
        ("events.directory", NeedsRestart, |c| {
            c.events.directory = Some("events".into())
        }),
        ("events.file_bytes_max", NeedsRestart, |c| {
            c.events.file_bytes_max = 65536
        }),
        ("events.files_max", NeedsRestart, |c| c.events.files_max = 3),
        ("events.sync", NeedsRestart, |c| {
            c.events.sync = EventSync::Each
        }),
        ("display.display", NeedsRestart, |c| {
            c.display.display = DisplayChoice::Kms
        }),
        ("display.size", NeedsRestart, |c| {
            c.display.size = Size {
                width: 64,
                height: 64,
            }
        }),
        ("display.anonymize", Cosmetic, |c| {
            c.display.anonymize = true
        }),
        ("display.scale", Cosmetic, |c| {
            c.display.kiosk.scale = TextScale::Percent(150)
        }),
        ("display.streams", Cosmetic, |c| {
            c.display.kiosk.streams = ShownStreams::Only(StreamId::WorkerSafety)
        }),
        ("display.pages", Cosmetic, |c| {
            c.display.kiosk.pages = PageSet::NONE
        }),
        ("display.touch", NeedsRestart, |c| {
            c.display.kiosk.touch = false
        }),
        ("display.reset", NeedsRestart, |c| {
            c.display.kiosk.reset = true
        }),
        ("display.card", NeedsRestart, |c| {
            c.display.kms.card = Some("/dev/dri/card1".into())
        }),
        ("display.connector", NeedsRestart, |c| {
            c.display.kms.connector = Some("HDMI-A-1".to_owned())
        }),
        ("display.mode", NeedsRestart, |c| {
            c.display.kms.mode = "1280x720@60".parse().expect("a mode")
        }),
        ("display.vt", NeedsRestart, |c| {
            c.display.kms.vt = VtWish::Off
        }),
        ("display.import", NeedsRestart, |c| {
            c.display.kms.import = false
        }),
        ("zone.press.points", SafetyRelevant, |c| {
            c.zones[0].polygon = triangle(0.8)
        }),
        ("zone.press.anchor", SafetyRelevant, |c| {
            c.zones[0].anchor = Anchor::WholeBox
        }),
        ("zone.aisle.points", Cosmetic, |c| {
            c.zones[1].polygon = triangle(0.8)
        }),
    ];

    #[test]
    fn each_key_has_its_impact() {
        for (key, impact, edit) in CASES {
            assert_eq!(changes(edit), [(key.to_owned(), impact)], "{key}");
        }
    }

    /// The shipped configuration with a floor and a zone on it.
    fn on_floor(keepout: &str) -> Config {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keepout.toml");
        std::fs::write(&path, keepout).expect("written");
        let overrides = Overrides {
            keepout: Some(path),
            ..Overrides::default()
        };
        let loaded = load(Path::new("config/andon.toml"), &overrides);
        loaded.expect("a good configuration").config
    }

    const ON_FLOOR: &str = r#"[ground]
response_time_ms = 500
points = [
    { image = [0.25, 1.0], floor = [-1, 0] }, { image = [0.75, 1.0], floor = [1, 0] },
    { image = [0.625, 0.6], floor = [1, 1] }, { image = [0.375, 0.6], floor = [-1, 1] },
]
[[zone]]
name = "press"
floor = [[-1, 1], [1, 1], [0, 3]]
grow = true
"#;

    #[test]
    fn whatever_touches_the_floor_is_relevant() {
        let old = on_floor(ON_FLOOR);
        for (from, to, keys) in [
            (
                "[-1, 0]",
                "[-1.01, 0]",
                &["ground.points", "zone.press.points"][..],
            ),
            (
                "= 500",
                "= 500\nresidual_max_m = 0.2",
                &["ground.residual_max_m"],
            ),
            (
                "= 500",
                "= 501",
                &["ground.response_time_ms", "zone.press.points"],
            ),
            (
                "= 500",
                "= 500\napproach_speed_mm_s = 2000",
                &["ground.approach_speed_mm_s", "zone.press.points"],
            ),
            (
                "= 500",
                "= 500\nintrusion_depth_mm = 850",
                &["ground.intrusion_depth_mm", "zone.press.points"],
            ),
            (
                "[0, 3]",
                "[0, 4]",
                &["zone.press.points", "zone.press.floor"],
            ),
            ("grow = true", "", &["zone.press.points", "zone.press.grow"]),
        ] {
            let new = on_floor(&ON_FLOOR.replace(from, to));
            let expected: Vec<(String, Impact)> = keys
                .iter()
                .map(|key| ((*key).to_owned(), SafetyRelevant))
                .collect();
            let found = diff(&old, &new).into_iter().map(|c| (c.key, c.impact));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{to}");
        }
        let mut without = old.clone();
        without.ground = None;
        let gravest = |old, new| diff(old, new).into_iter().map(|c| c.impact).max();
        assert_eq!(gravest(&old, &without), Some(SafetyRelevant));
        assert_eq!(gravest(&without, &old), Some(SafetyRelevant));
        let mut turned = old.clone();
        if let Some(ground) = &mut turned.ground {
            ground.axes = crate::geometry::AxisOrder::YRightOfX;
        }
        let keys: Vec<String> = diff(&old, &turned).into_iter().map(|c| c.key).collect();
        assert_eq!(keys, ["ground.axes"]);
    }

    #[test]
    fn what_can_live_is_applied_and_the_rest_stays() {
        for (key, impact, edit) in CASES {
            let (old, mut new) = (config(), config());
            edit(&mut new);
            let live = live(&old, &new);
            let expected = if impact == NeedsRestart { &old } else { &new };
            assert_eq!(&live, expected, "{key}");
        }
        // All at once: every change is either applied or still to come, and each in its own way.
        let (old, mut new) = (config(), config());
        // Backwards, so that a check is edited before it is switched off.
        for (_, _, edit) in CASES.into_iter().rev() {
            edit(&mut new);
        }
        new.models = old.models.clone();
        let live = live(&old, &new);
        assert!(diff(&old, &live).iter().all(|c| c.impact != NeedsRestart));
        assert!(diff(&live, &new).iter().all(|c| c.impact == NeedsRestart));
        let halves = diff(&old, &live).len() + diff(&live, &new).len();
        assert_eq!(halves, diff(&old, &new).len());
    }

    #[test]
    fn labels_go_with_the_models_that_define_them() {
        let (old, mut new) = (config(), config());
        new.models.detector = ModelRef::Named("other".into());
        new.worker_safety.person_label = "human".into();
        new.worker_safety.threshold = Score::ONE;
        new.visual_inspection.grades.clear();
        new.visual_inspection.part_labels.clear();
        let live = live(&old, &new);
        let keys = |a: &Config, b: &Config| -> Vec<String> {
            diff(a, b).into_iter().map(|change| change.key).collect()
        };
        assert_eq!(keys(&old, &live), ["worker_safety.threshold"]);
        let expected = [
            "worker_safety.person_label",
            "visual_inspection.part_labels",
            "visual_inspection.grades",
            "models.detector",
        ];
        assert_eq!(keys(&live, &new), expected);
    }

    #[test]
    fn whatever_touches_a_stop_zone_is_relevant() {
        let gravest = |edit: Edit| changes(edit).into_iter().map(|(_, impact)| impact).max();
        let relevant: [Edit; 6] = [
            |c| c.zones[0].name = "other".into(),
            |c| c.zones[0].kind = ZoneKind::Warn,
            |c| c.zones[1].kind = ZoneKind::Stop,
            |c| c.zones.swap(0, 1),
            |c| drop(c.zones.remove(0)),
            |c| c.zones.push(zone("third", ZoneKind::Stop)),
        ];
        for (number, edit) in relevant.into_iter().enumerate() {
            assert_eq!(gravest(edit), Some(SafetyRelevant), "edit {number}");
        }
        assert_eq!(gravest(|c| drop(c.zones.remove(1))), Some(Cosmetic));
        assert_eq!(
            gravest(|c| c.zones.push(zone("third", ZoneKind::Warn))),
            Some(Cosmetic)
        );
    }
}
