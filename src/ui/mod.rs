//! The picture: a pure draw list, and renderers for it.
//!
//! [`scene`] decides what is shown and touches no pixel. [`gles`] draws a scene with OpenGL ES;
//! [`headless`] gives it a surface nobody looks at, so that the picture can be recorded
//! ([`record`]) or saved ([`snapshot`]), and [`kms`] a monitor; [`screen`] is either. [`input`] reads touch
//! screens, mice and keyboards, and [`kiosk`] makes of what they tell pages and orders. Everything here
//! is passive and belongs to the ui thread, but for [`input`], which has one of its own: an
//! EGL context is current on one thread only, so the thread that draws also creates the renderer.
//! Nothing here can delay a decision; a picture that cannot be drawn in time is not drawn.

mod error;
pub mod gles;
pub mod headless;
pub mod input;
pub mod kiosk;
pub mod kms;
pub mod record;
pub mod scene;
pub mod screen;
pub mod snapshot;

pub use error::UiError;
