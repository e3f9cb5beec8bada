//! What the program tells of itself on the status pages: plain data, put together by others.

use std::time::Duration;

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// As it should be.
    Note,
    /// Somebody should know: a trip, a reset in vain.
    Caution,
    /// Something is broken.
    Fault,
}

/// An event for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventEntry {
    /// Counted from 1 in the order in which they happened.
    pub number: u64,
    /// Local time of day.
    pub time: String,
    /// What happened.
    pub text: String,
    /// How grave it is.
    pub gravity: Gravity,
}

/// An input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputStatus {
    /// Codec, format, what else describes it.
    pub description: String,
    /// Frames taken from it.
    pub frames: u64,
    /// What was lost, by how: `dropped before inference`, 3.
    pub losses: Vec<(String, u64)>,
}

/// Inference on one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferenceStatus {
    /// Frames judged.
    pub frames: u64,
    /// Frames that could not be judged.
    pub failed: u64,
    /// Median and 99th percentile of the engine's time.
    pub engine: (Duration, Duration),
    /// The same from arrival to decision.
    pub latency: (Duration, Duration),
}

/// The accelerators of the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcceleratorStatus {
    /// Temperature in °C of the hottest; `None` where none tells.
    pub celsius: Option<f32>,
    /// Why one is out of service.
    pub out_of_service: Option<String>,
    /// What else somebody should know.
    pub remark: Option<String>,
}

/// What the program knows of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// By [`crate::units::StreamId::index`].
    pub inputs: [InputStatus; 2],
    /// By [`crate::units::StreamId::index`].
    pub inference: [InferenceStatus; 2],
    /// Model files: what for, name.
    pub models: Vec<(String, String)>,
    /// How the accelerator is; `None` where the engine has none.
    pub accelerator: Option<AcceleratorStatus>,
    /// Outcome of the last self-test, in words.
    pub self_test: Option<String>,
    /// Times that the run permission was taken away.
    pub trips: u64,
    /// Time since the program started.
    pub running: Duration,
    /// Newest first.
    pub events: Vec<EventEntry>,
}

/// What the program knows of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// Name and °C of each sensor.
    pub temperatures: Vec<(String, f32)>,
    /// Bytes of memory free, and of all.
    pub memory: Option<(u64, u64)>,
    /// Bytes that the program keeps in memory.
    pub resident: Option<u64>,
    /// Since the machine was started.
    pub uptime: Option<Duration>,
    /// Runnable tasks on average over a minute.
    pub load: Option<f32>,
}
