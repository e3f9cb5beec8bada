//! Exposure, gain, mains frequency and every other control, from the configuration to the camera.
//!
//! Cameras forget controls when they lose power, so that they are set every time one is opened. What
//! the configuration does not name is left as the camera has it.

use nix::errno::Errno;
use v4l::v4l_sys as raw;

use super::kernel::{Control, ControlKind, Node};
use super::problem::{CameraProblem, errno};
use crate::config::{CameraConfig, ControlValue, PowerLine, control_key};

/// Most controls that are listed; a driver that never says that it was the last would go on for ever.
const CONTROLS_MAX: usize = 512;

/// Most items of a menu that are named in a message.
const ITEMS_MAX: i64 = 32;

/// Items of the menu of automatic exposure (`enum v4l2_exposure_auto_type`): both leave the time to us.
const EXPOSURE_MANUAL: i64 = 1;
const EXPOSURE_SHUTTER_PRIORITY: i64 = 2;

/// Microseconds of a step of absolute exposure.
const EXPOSURE_STEP_US: u32 = 100;

/// Every control of a node.
pub(super) fn list(node: &dyn Node) -> Result<Vec<Control>, CameraProblem> {
    let mut controls: Vec<Control> = Vec::new();
    let mut last = 0;
    while controls.len() < CONTROLS_MAX {
        match node.next_control(last) {
            Ok(control) if control.id > last => {
                last = control.id;
                controls.push(control);
            }
            // One that does not count upwards would never end.
            Ok(_) => break,
            Err(error) => match errno(&error) {
                Some(Errno::EINVAL | Errno::ENOTTY) => break,
                _ => return Err(CameraProblem::of("VIDIOC_QUERY_EXT_CTRL")(error)),
            },
        }
    }
    Ok(controls)
}

/// Sets what the configuration asks for. Gives what is worth telling though nothing failed.
pub(super) fn apply(node: &dyn Node, config: &CameraConfig) -> Result<Vec<String>, CameraProblem> {
    if *config == CameraConfig::default() {
        return Ok(Vec::new());
    }
    let setter = Setter {
        node,
        controls: list(node)?,
    };
    let mut remarks = Vec::new();
    let named = config.controls.iter();
    let numbers = |value: &ControlValue| matches!(value, ControlValue::Integer(_));
    // Switches and modes first: they decide whether a number has an effect.
    for (name, value) in named.clone().filter(|(_, value)| !numbers(value)) {
        remarks.extend(setter.set_by_name(name, value)?);
    }
    if let Some(power_line) = config.power_line {
        remarks.extend(setter.set_power_line(power_line)?);
    }
    if let Some(microseconds) = config.exposure_us {
        remarks.extend(setter.set_exposure(microseconds)?);
    }
    if let Some(gain) = config.gain {
        remarks.extend(setter.set_gain(gain)?);
    }
    for (name, value) in named.filter(|(_, value)| numbers(value)) {
        remarks.extend(setter.set_by_name(name, value)?);
    }
    Ok(remarks)
}

/// A control with what it takes, for people.
pub(super) fn describe(node: &dyn Node, control: &Control) -> String {
    let key = control_key(&control.name);
    let value = match node.get_control(control.id) {
        Ok(value) => format!(", is {value}"),
        Err(_) => String::new(),
    };
    format!("{key}: {}{value}", range(node, control))
}

/// What a control takes.
fn range(node: &dyn Node, control: &Control) -> String {
    match control.kind {
        ControlKind::Integer if control.step > 1 => format!(
            "{} to {} in steps of {}",
            control.least, control.most, control.step
        ),
        ControlKind::Integer | ControlKind::Bitmask => {
            format!("{} to {}", control.least, control.most)
        }
        ControlKind::Boolean => "true or false".to_owned(),
        ControlKind::Button => "true, to press it".to_owned(),
        ControlKind::Menu | ControlKind::IntegerMenu => {
            let items: Vec<String> = items(node, control)
                .map(|(number, name)| format!("{number} \"{name}\""))
                .collect();
            items.join(", ")
        }
        ControlKind::Class | ControlKind::Compound => "nothing that can be configured".to_owned(),
    }
}

/// The items that a menu has; numbers between may be missing.
fn items<'a>(
    node: &'a dyn Node,
    control: &'a Control,
) -> impl Iterator<Item = (i64, String)> + use<'a> {
    let last = control.most.min(control.least.saturating_add(ITEMS_MAX));
    (control.least..=last).filter_map(|number| {
        let index = u32::try_from(number).ok()?;
        Some((number, node.menu_item(control, index).ok()?))
    })
}

struct Setter<'a> {
    node: &'a dyn Node,
    controls: Vec<Control>,
}

impl Setter<'_> {
    fn by_id(&self, id: u32) -> Option<&Control> {
        self.controls.iter().find(|control| control.id == id)
    }

    fn set_by_name(
        &self,
        name: &str,
        value: &ControlValue,
    ) -> Result<Option<String>, CameraProblem> {
        let key = control_key(name);
        let is_it = |control: &&Control| {
            control.kind != ControlKind::Class && control_key(&control.name) == key
        };
        let refused = |why| refusal(name, value, why);
        let Some(control) = self.controls.iter().find(is_it) else {
            let known: Vec<String> = self
                .controls
                .iter()
                .filter(|control| {
                    !matches!(control.kind, ControlKind::Class | ControlKind::Compound)
                })
                .map(|control| control_key(&control.name))
                .collect();
            let known = if known.is_empty() {
                "it has none at all".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            return Err(refused(format!("the camera has no such control; {known}")));
        };
        let number = self.number(control, value).map_err(refused)?;
        self.set(name, &value.to_string(), control, number)
    }

    /// The number that a written value stands for.
    fn number(&self, control: &Control, value: &ControlValue) -> Result<i64, String> {
        let takes = || format!("it takes {}", range(self.node, control));
        let number = match (control.kind, value) {
            (ControlKind::Class | ControlKind::Compound, _) => None,
            (ControlKind::Button, ControlValue::Boolean(true)) => Some(1),
            (ControlKind::Boolean, ControlValue::Boolean(on)) => Some(i64::from(*on)),
            (ControlKind::Boolean, ControlValue::Integer(number)) => {
                (0..=1).contains(number).then_some(*number)
            }
            (ControlKind::Menu | ControlKind::IntegerMenu, ControlValue::Text(text)) => {
                items(self.node, control)
                    .find(|(_, name)| control_key(name) == control_key(text))
                    .map(|(number, _)| number)
            }
            (ControlKind::Menu | ControlKind::IntegerMenu, ControlValue::Integer(number)) => {
                items(self.node, control)
                    .find(|(item, _)| item == number)
                    .map(|(number, _)| number)
            }
            (ControlKind::Integer | ControlKind::Bitmask, ControlValue::Integer(number)) => {
                let steps = number.checked_sub(control.least).map(i64::unsigned_abs);
                let on_step = steps.is_some_and(|steps| steps % control.step == 0);
                let inside = (control.least..=control.most).contains(number);
                (inside && (on_step || control.kind == ControlKind::Bitmask)).then_some(*number)
            }
            (
                ControlKind::Button
                | ControlKind::Boolean
                | ControlKind::Menu
                | ControlKind::IntegerMenu
                | ControlKind::Integer
                | ControlKind::Bitmask,
                _,
            ) => None,
        };
        number.ok_or_else(takes)
    }

    fn set(
        &self,
        name: &str,
        value: &str,
        control: &Control,
        number: i64,
    ) -> Result<Option<String>, CameraProblem> {
        let refused = |why: String| CameraProblem::Control {
            name: name.to_owned(),
            value: value.to_owned(),
            why,
        };
        if control.fixed {
            return Err(refused("the camera does not let it be changed".to_owned()));
        }
        if let Err(error) = self.node.set_control(control.id, number) {
            let why = match errno(&error) {
                Some(Errno::ENODEV | Errno::ENXIO) => return Err(CameraProblem::NotThere),
                Some(Errno::EBUSY) => "it is locked by another control or program".to_owned(),
                Some(Errno::ERANGE | Errno::EINVAL) => {
                    format!(
                        "the camera refused it; it takes {}",
                        range(self.node, control)
                    )
                }
                _ => error.to_string(),
            };
            return Err(refused(why));
        }
        if control.kind == ControlKind::Button {
            return Ok(None);
        }
        if control.inactive {
            return Ok(Some(format!(
                "control {name} = {value} has no effect while another control, such as an automatic one, is as it is"
            )));
        }
        match self.node.get_control(control.id) {
            Ok(taken) if taken != number => Ok(Some(format!(
                "control {name} = {value}: the camera made {taken} of it"
            ))),
            _ => Ok(None),
        }
    }

    fn set_power_line(&self, power_line: PowerLine) -> Result<Option<String>, CameraProblem> {
        let (name, value) = ("power_line_frequency", power_line.name());
        let number = match power_line {
            PowerLine::Off => 0,
            PowerLine::Hz50 => 1,
            PowerLine::Hz60 => 2,
            PowerLine::Auto => 3,
        };
        let Some(control) = self.by_id(raw::V4L2_CID_POWER_LINE_FREQUENCY) else {
            return Err(missing(name, value));
        };
        let number = self
            .number(control, &ControlValue::Integer(number))
            .map_err(|why| refusal(name, &ControlValue::Text(value.to_owned()), why))?;
        self.set(name, value, control, number)
    }

    fn set_exposure(&self, microseconds: u32) -> Result<Option<String>, CameraProblem> {
        let (name, value) = ("exposure_us", microseconds.to_string());
        let Some(time) = self.by_id(raw::V4L2_CID_EXPOSURE_ABSOLUTE) else {
            let mut why = "the camera has no exposure time in microseconds".to_owned();
            let lines = self
                .controls
                .iter()
                .find(|control| control_key(&control.name) == "exposure");
            if let Some(lines) = lines {
                why += &format!(
                    "; set controls.exposure in its own steps, {}",
                    range(self.node, lines)
                );
            }
            let number = ControlValue::Integer(i64::from(microseconds));
            return Err(refusal(name, &number, why));
        };
        if let Some(mode) = self.by_id(raw::V4L2_CID_EXPOSURE_AUTO) {
            let modes: Vec<i64> = items(self.node, mode).map(|(number, _)| number).collect();
            let mode_number = [EXPOSURE_MANUAL, EXPOSURE_SHUTTER_PRIORITY]
                .into_iter()
                .find(|number| modes.contains(number));
            if let Some(number) = mode_number {
                self.set(name, &value, mode, number)?;
            }
        }
        let steps = i64::from((microseconds / EXPOSURE_STEP_US).max(1));
        if !(time.least..=time.most).contains(&steps) {
            let in_us = |steps: i64| steps.saturating_mul(i64::from(EXPOSURE_STEP_US));
            let why = format!(
                "the camera takes {} to {} microseconds",
                in_us(time.least),
                in_us(time.most)
            );
            let number = ControlValue::Integer(i64::from(microseconds));
            return Err(refusal(name, &number, why));
        }
        // Its own flags may have been those of automatic exposure.
        let time = Control {
            inactive: false,
            ..time.clone()
        };
        self.set(name, &value, &time, steps)
    }

    fn set_gain(&self, gain: i64) -> Result<Option<String>, CameraProblem> {
        let (name, value) = ("gain", ControlValue::Integer(gain));
        let control = self
            .by_id(raw::V4L2_CID_GAIN)
            .or_else(|| self.by_id(raw::V4L2_CID_ANALOGUE_GAIN));
        let Some(control) = control else {
            return Err(missing(name, &value.to_string()));
        };
        let number = self
            .number(control, &value)
            .map_err(|why| refusal(name, &value, why))?;
        if let Some(auto) = self.by_id(raw::V4L2_CID_AUTOGAIN) {
            self.set(name, &value.to_string(), auto, 0)?;
        }
        let control = Control {
            inactive: false,
            ..control.clone()
        };
        self.set(name, &value.to_string(), &control, number)
    }
}

fn refusal(name: &str, value: &ControlValue, why: String) -> CameraProblem {
    CameraProblem::Control {
        name: name.to_owned(),
        value: value.to_string(),
        why,
    }
}

fn missing(name: &str, value: &str) -> CameraProblem {
    CameraProblem::Control {
        name: name.to_owned(),
        value: value.to_owned(),
        why: "the camera has no such control; leave the key out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::fake::{Device, FakeCameras, FakeControl};
    use super::super::kernel::Cameras as _;
    use super::*;

    fn control(id: u32, name: &str, kind: ControlKind, range: (i64, i64, u64)) -> FakeControl {
        FakeControl {
            control: Control {
                id,
                name: name.to_owned(),
                kind,
                least: range.0,
                most: range.1,
                step: range.2,
                default: range.0,
                fixed: false,
                inactive: false,
            },
            items: Vec::new(),
            value: range.0,
        }
    }

    /// The controls of a webcam, in the order of their ids.
    fn webcam() -> FakeCameras {
        let menu = |id, name, most, items: &[(u32, &'static str)]| FakeControl {
            items: items.to_vec(),
            ..control(id, name, ControlKind::Menu, (0, most, 1))
        };
        let mut time = control(
            raw::V4L2_CID_EXPOSURE_ABSOLUTE,
            "Exposure Time, Absolute",
            ControlKind::Integer,
            (3, 2047, 1),
        );
        time.control.inactive = true;
        let mut device = Device::new(0, "cam", Vec::new());
        device.controls = vec![
            control(0x0098_0001, "User Controls", ControlKind::Class, (0, 0, 1)),
            control(0x0098_0900, "Brightness", ControlKind::Integer, (0, 255, 5)),
            control(
                0x0098_090c,
                "White Balance, Automatic",
                ControlKind::Boolean,
                (0, 1, 1),
            ),
            control(
                raw::V4L2_CID_AUTOGAIN,
                "Gain, Automatic",
                ControlKind::Boolean,
                (0, 1, 1),
            ),
            control(raw::V4L2_CID_GAIN, "Gain", ControlKind::Integer, (0, 64, 1)),
            menu(
                raw::V4L2_CID_POWER_LINE_FREQUENCY,
                "Power Line Frequency",
                2,
                &[(0, "Disabled"), (1, "50 Hz"), (2, "60 Hz")],
            ),
            menu(
                raw::V4L2_CID_EXPOSURE_AUTO,
                "Auto Exposure",
                3,
                // As webcams have it: with gaps.
                &[(1, "Manual Mode"), (3, "Aperture Priority Mode")],
            ),
            time,
        ];
        FakeCameras::new(vec![device])
    }

    /// What was set, in order, and what was remarked.
    type Applied = (Vec<(u32, i64)>, Vec<String>);

    fn applied(cameras: &FakeCameras, config: &CameraConfig) -> Result<Applied, String> {
        let node = cameras.open(Path::new("/dev/video0")).expect("opened");
        let remarks = apply(node.as_ref(), config).map_err(|problem| problem.to_string())?;
        Ok((cameras.with(0, |device| device.set.clone()), remarks))
    }

    fn named(controls: &[(&str, ControlValue)]) -> CameraConfig {
        let controls = controls.iter();
        CameraConfig {
            controls: controls
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            ..CameraConfig::default()
        }
    }

    #[test]
    fn what_is_not_configured_is_left_alone() {
        let (set, remarks) = applied(&webcam(), &CameraConfig::default()).expect("nothing to do");
        assert!(set.is_empty() && remarks.is_empty());
    }

    #[test]
    fn exposure_and_gain_switch_their_automatics_off_first() {
        let config = CameraConfig {
            exposure_us: Some(8000),
            gain: Some(12),
            power_line: Some(PowerLine::Hz50),
            ..named(&[
                ("brightness", ControlValue::Integer(40)),
                ("White Balance Automatic", ControlValue::Boolean(true)),
            ])
        };
        let (set, remarks) = applied(&webcam(), &config).expect("taken");
        let expected = [
            (0x0098_090c, 1),
            (raw::V4L2_CID_POWER_LINE_FREQUENCY, 1),
            (raw::V4L2_CID_EXPOSURE_AUTO, 1),
            (raw::V4L2_CID_EXPOSURE_ABSOLUTE, 80),
            (raw::V4L2_CID_AUTOGAIN, 0),
            (raw::V4L2_CID_GAIN, 12),
            (0x0098_0900, 40),
        ];
        assert_eq!(set, expected);
        assert!(remarks.is_empty(), "{remarks:?}");
    }

    #[test]
    fn items_of_menus_go_by_name_or_number() {
        let auto = ControlValue::Text("aperture priority mode".to_owned());
        for value in [auto, ControlValue::Integer(3)] {
            let (set, _) = applied(&webcam(), &named(&[("auto_exposure", value)])).expect("taken");
            assert_eq!(set, [(raw::V4L2_CID_EXPOSURE_AUTO, 3)]);
        }
    }

    #[test]
    fn a_refused_control_is_named_with_what_it_takes() {
        let integer = ControlValue::Integer;
        let text = |text: &str| ControlValue::Text(text.to_owned());
        for (name, value, words) in [
            (
                "brightnes",
                integer(1),
                ["brightnes", "it has brightness, white_balance"],
            ),
            (
                "brightness",
                integer(256),
                ["brightness = 256", "0 to 255 in steps of 5"],
            ),
            ("brightness", integer(-1), ["brightness = -1", "0 to 255"]),
            ("brightness", integer(7), ["brightness = 7", "steps of 5"]),
            (
                "brightness",
                text("high"),
                ["brightness = \"high\"", "0 to 255"],
            ),
            (
                "gain",
                ControlValue::Boolean(true),
                ["gain = true", "0 to 64"],
            ),
            (
                "auto_exposure",
                integer(2),
                ["= 2", "1 \"Manual Mode\", 3 \"Aperture"],
            ),
            (
                "auto_exposure",
                text("off"),
                ["= \"off\"", "1 \"Manual Mode\""],
            ),
            (
                "user_controls",
                integer(1),
                ["user_controls", "no such control"],
            ),
        ] {
            let error = applied(&webcam(), &named(&[(name, value)])).expect_err(name);
            for word in words {
                assert!(error.contains(word), "`{word}` is not in {error}");
            }
        }
        for (config, word) in [
            (
                CameraConfig {
                    exposure_us: Some(1_000_000),
                    ..CameraConfig::default()
                },
                "300 to 204700 microseconds",
            ),
            (
                CameraConfig {
                    gain: Some(65),
                    ..CameraConfig::default()
                },
                "0 to 64",
            ),
            (
                CameraConfig {
                    power_line: Some(PowerLine::Auto),
                    ..CameraConfig::default()
                },
                "1 \"50 Hz\"",
            ),
        ] {
            let error = applied(&webcam(), &config).expect_err(word);
            assert!(error.contains(word), "`{word}` is not in {error}");
        }
    }

    #[test]
    fn a_camera_without_the_control_is_told_from_one_that_refuses_it() {
        let cameras = webcam();
        cameras.with(0, |device| {
            device
                .controls
                .retain(|fake| fake.control.name == "Brightness");
        });
        for config in [
            CameraConfig {
                exposure_us: Some(100),
                ..CameraConfig::default()
            },
            CameraConfig {
                gain: Some(1),
                ..CameraConfig::default()
            },
            CameraConfig {
                power_line: Some(PowerLine::Off),
                ..CameraConfig::default()
            },
        ] {
            let error = applied(&cameras, &config).expect_err("refused");
            assert!(error.contains("the camera has no"), "{error}");
        }
    }

    #[test]
    fn what_has_no_effect_is_remarked() {
        let config = named(&[("exposure_time_absolute", ControlValue::Integer(100))]);
        let (_, remarks) = applied(&webcam(), &config).expect("taken");
        assert!(remarks.iter().any(|remark| remark.contains("no effect")));
        let cameras = webcam();
        cameras.with(0, |device| device.controls[1].control.fixed = true);
        let config = named(&[("brightness", ControlValue::Integer(5))]);
        let error = applied(&cameras, &config).expect_err("refused");
        assert!(error.contains("does not let it be changed"), "{error}");
    }
}
