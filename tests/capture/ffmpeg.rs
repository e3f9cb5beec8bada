//! Clips of every kind made by ffmpeg, and ffmpeg's own idea of what is in them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Whether ffmpeg with the encoder is there; says why a test is skipped.
pub(crate) fn has(encoder: &str) -> bool {
    let encoders = Command::new("ffmpeg")
        .args(["-hide_banner", "-encoders"])
        .output();
    let found = encoders.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .split_whitespace()
            .any(|word| word == encoder)
    });
    if !found {
        println!("skipped: there is no ffmpeg with the encoder {encoder}");
    }
    found
}

/// Runs ffmpeg with the words of `arguments` and writes `to`.
pub(crate) fn ffmpeg(arguments: &str, to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(to)
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {arguments}: {text}");
}

/// A moving test picture, encoded with `options`.
pub(crate) fn encode(size: &str, frames: u32, options: &str, to: &Path) {
    ffmpeg(
        &format!("-f lavfi -i testsrc2=size={size}:rate=25 -frames:v {frames} {options}"),
        to,
    );
}

/// What ffmpeg shows: each frame's time since the first, and its bytes (I420, upright).
pub(crate) fn decode(path: &Path) -> Vec<(Duration, Vec<u8>)> {
    let passthrough = [
        "-map",
        "0:v:0",
        "-vsync",
        "passthrough",
        "-pix_fmt",
        "yuv420p",
    ];
    let run = |format: &[&str]| {
        let output = Command::new("ffmpeg")
            // Otherwise ffmpeg crops on the left only by as much as suits its alignment.
            .args(["-v", "error", "-flags", "unaligned", "-i"])
            .arg(path)
            .args(passthrough)
            .args(format)
            .arg("-")
            .output()
            .expect("ffmpeg runs");
        assert!(output.status.success(), "ffmpeg decodes");
        output.stdout
    };
    let index = String::from_utf8(run(&["-f", "framecrc"])).expect("text");
    let pixels = run(&["-f", "rawvideo"]);
    let time_base = index
        .lines()
        .find_map(|line| line.strip_prefix("#tb 0: "))
        .and_then(|text| text.split_once('/'))
        .map(|(up, down)| number(up) / number(down))
        .expect("time base");
    let mut frames: Vec<(Duration, Vec<u8>)> = Vec::new();
    let mut rest = pixels.as_slice();
    let mut first = None;
    for line in index.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let shown = number(fields[2]) * time_base;
        let size = fields[4].parse().expect("size");
        let (frame, after) = rest.split_at(size);
        rest = after;
        let since = shown - *first.get_or_insert(shown);
        frames.push((Duration::from_secs_f64(since), frame.to_vec()));
    }
    assert!(rest.is_empty(), "sizes and pixels agree");
    frames
}

fn number(text: &str) -> f64 {
    text.trim().parse().expect("number")
}
