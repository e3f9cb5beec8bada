//! Cameras of the kernel's video interface (V4L2), without a copy.
//!
//! `source` is the camera as a [`crate::capture::FrameSource`]: up, or down and being looked for.
//! `stream` has its buffers while it is up. `negotiate` and `format` agree on what it delivers,
//! `controls` sets exposure and the like, `identity` knows it again under another number, `jpeg`
//! decodes where nothing better is to be had. `kernel` is the kernel's interface as a trait, `v4l2_sys`
//! the kernel behind it; `fake` is a device that checks how it is spoken to, for the tests. `probe`
//! lists what there is.
//!
//! Called by one capture thread per camera, which alone queues and dequeues its buffers. Nothing here
//! waits for longer than 50 ms at a time, but for the driver's own time to open a device.

mod controls;
#[cfg(test)]
mod fake;
mod format;
mod identity;
mod jpeg;
mod kernel;
mod negotiate;
mod probe;
mod problem;
mod source;
#[cfg(test)]
mod source_tests;
mod stream;
mod v4l2_sys;

pub use probe::{describe_cameras, presence};
pub use problem::CameraProblem;
pub use source::V4l2Source;
