//! OpenGL ES 3.0 over EGL: where a scene becomes pixels.
//!
//! [`Context`] owns the connection to the driver and knows nothing of pictures; [`Renderer`] draws a
//! scene into whatever framebuffer a [`Target`] names and knows nothing of EGL. A monitor needs
//! another context and target, and the same renderer. [`FrameResampler`] makes frames small for a model,
//! on a context of its own. All of it belongs to the thread that made it.
//!
//! The only unsafe code of the picture is in here: calls into EGL and GL.
#![allow(
    unsafe_code,
    reason = "EGL and OpenGL ES are C interfaces; every block says why it holds"
)]

mod context;
mod dmabuf;
mod external;
mod fitted;
mod flat;
mod import;
mod offscreen;
mod program;
mod read_back;
mod renderer;
mod resampler;
mod texture;
mod thread_bound;
mod vector;
mod video;
mod weights;

pub use context::{Context, EGL_LIBRARY};
pub use import::ImportKind;
pub use offscreen::Offscreen;
pub use read_back::ReadBack;
pub use renderer::{FrameCopies, Renderer, Target, VideoMeans};
pub use resampler::{FrameResampler, ResampleFilter};
pub use thread_bound::ThreadBound;
pub use weights::ResampleAxis;
