//! Video files through the public interface: good ones against ffmpeg, bad ones against their story.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so and stops"
)]

mod broken;
mod clip;
mod compare;
mod ffmpeg;
