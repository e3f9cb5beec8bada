//! What `andon probe` and `andon check-config` say of cameras.

use std::fmt::Write as _;
use std::path::Path;

use super::controls;
use super::format::coding;
use super::identity::{self, lasting_names};
use super::kernel::{
    Cameras, ControlKind, FourCc, FrameInterval, FrameSize, Interval, Node, Place,
};
use super::negotiate::{formats, listed_intervals, listed_sizes};
use super::v4l2_sys::Machine;
use crate::geometry::Size;

/// Every video node of this machine: what it is, its formats, sizes, rates and controls, and whether
/// its buffers can be shared with a GPU. Opens each of them; takes buffers of none that is in use.
#[must_use]
pub fn describe_cameras() -> String {
    describe_all(&Machine)
}

pub(super) fn describe_all(cameras: &dyn Cameras) -> String {
    let places = cameras.places();
    if places.is_empty() {
        return format!("{:<18} none\n", "cameras");
    }
    let mut text = String::new();
    for place in places {
        describe(cameras, &place, &mut text);
    }
    text
}

fn describe(cameras: &dyn Cameras, place: &Place, text: &mut String) {
    let _ = writeln!(
        text,
        "{:<18} {}: {}",
        "camera",
        place.path.display(),
        place.identity
    );
    for name in lasting_names(Path::new("/dev"), &place.path) {
        let _ = writeln!(text, "{:<18}   lasting name {}", "", name.display());
    }
    let node = match cameras.open(&place.path) {
        Ok(node) => node,
        Err(error) => {
            let _ = writeln!(text, "{:<18}   cannot be opened: {error}", "");
            return;
        }
    };
    let capabilities = node.capabilities();
    let api = match capabilities.capture {
        Some(api) => format!("{api:?}"),
        None => "delivers no pictures".to_owned(),
    };
    let _ = writeln!(
        text,
        "{:<18}   \"{}\" at {}, driver {}, {api}",
        "", capabilities.card, capabilities.bus, capabilities.driver
    );
    if capabilities.capture.is_none() {
        return;
    }
    describe_formats(node.as_ref(), text);
    let _ = writeln!(text, "{:<18}   dmabuf: {}", "", export(node.as_ref()));
    describe_controls(node.as_ref(), text);
}

fn describe_formats(node: &dyn Node, text: &mut String) {
    let formats = match formats(node) {
        Ok(formats) => formats,
        Err(problem) => {
            let _ = writeln!(text, "{:<18}   no formats: {problem}", "");
            return;
        }
    };
    for (fourcc, description) in formats {
        let use_of_it = match coding(fourcc) {
            Some((_, rank)) => format!("rank {rank}"),
            None => "not understood".to_owned(),
        };
        let _ = writeln!(text, "{:<18}   {fourcc} ({description}, {use_of_it})", "");
        if coding(fourcc).is_none() {
            continue;
        }
        for size in listed_sizes(node, fourcc).unwrap_or_default() {
            let _ = writeln!(text, "{:<18}     {}", "", size_line(node, fourcc, size));
        }
    }
}

fn size_line(node: &dyn Node, fourcc: FourCc, size: FrameSize) -> String {
    let rates = |size: Size| {
        let intervals = listed_intervals(node, fourcc, size).unwrap_or_default();
        let rates: Vec<String> = intervals.into_iter().map(rate_words).collect();
        if rates.is_empty() {
            "rate unknown".to_owned()
        } else {
            format!("{} fps", rates.join(", "))
        }
    };
    match size {
        FrameSize::Discrete(size) => format!("{size}: {}", rates(size)),
        FrameSize::Range { least, most, step } => {
            format!("{least} to {most} in steps of {step}: {}", rates(most))
        }
    }
}

fn rate_words(interval: FrameInterval) -> String {
    let rate = |interval: Interval| {
        let rate = interval.rate().unwrap_or(0.0);
        let text = format!("{rate:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match interval {
        FrameInterval::Discrete(interval) => rate(interval),
        FrameInterval::Range { shortest, longest } => {
            format!("{} to {}", rate(longest), rate(shortest))
        }
    }
}

/// Whether buffers are exported: asked by exporting one.
fn export(node: &dyn Node) -> String {
    let count = match node.request_buffers(2) {
        Ok(0) => return "unknown: no buffers".to_owned(),
        Ok(count) => count,
        Err(error) => return format!("unknown: {error}"),
    };
    let answer = match node.export(count - 1, 0) {
        Ok(_) => "exported, shown without a copy".to_owned(),
        Err(error) => format!("not exported ({error}), shown by copying"),
    };
    if let Err(error) = node.request_buffers(0) {
        log::debug!("VIDIOC_REQBUFS(0) while probing: {error}");
    }
    answer
}

fn describe_controls(node: &dyn Node, text: &mut String) {
    for control in controls::list(node).unwrap_or_default() {
        if matches!(control.kind, ControlKind::Class | ControlKind::Compound) || control.fixed {
            continue;
        }
        let line = controls::describe(node, &control);
        let _ = writeln!(text, "{:<18}   control {line}", "");
    }
}

/// Whether the camera of a configured path is there now, in words, without opening it.
#[must_use]
pub fn presence(path: &Path) -> String {
    presence_among(&Machine, path)
}

fn presence_among(cameras: &dyn Cameras, path: &Path) -> String {
    let Ok(node) = cameras.resolve(path) else {
        return "not there now; a run starts without it and goes on looking".to_owned();
    };
    let places = cameras.places();
    let Some(place) = places.iter().find(|place| place.path == node) else {
        return "there, but no video node".to_owned();
    };
    let mut text = place.identity.to_string();
    if identity::is_numbered(path) {
        match lasting_names(Path::new("/dev"), &node).first() {
            Some(name) => {
                let _ = write!(text, "; better its lasting name, {}", name.display());
            }
            None => text += "; looked for as that while a run lasts, by its number at each start",
        }
    }
    text
}
