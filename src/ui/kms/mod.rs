//! The picture on a monitor, by DRM/KMS: no window system.
//!
//! [`KmsScreen`] belongs to the ui thread. It takes a card's monitor (`choice` says which), draws with
//! OpenGL ES into GBM buffers and gives them to the CRTC, a page flip each: pictures change in the
//! vertical blank and never tear. `watch` decides what to do when the monitor, the card or the right to
//! them is gone. Whatever happens here, the run permission does not depend on it.
//!
//! | file | owns |
//! |---|---|
//! | `choice` | which connector, CRTC and mode: pure |
//! | `watch` | shown or not, and when to try again: pure |
//! | `card` | the device node and what it says |
//! | `output` | connector, CRTC and plane: atomic commits, or the legacy calls |
//! | `framebuffer` | GBM buffers as the kernel's framebuffers |
//! | `stage` | card, graphics context, surface; the life of a picture |
//! | `screen` | all of it, for the ui thread |
//! | `survey` | what there is, for `andon probe` |
//! | `vt` | the virtual terminal below |
//! | `uevent` | the kernel's word that a monitor came or went |
#![allow(
    unsafe_code,
    reason = "GBM, EGL and terminals are C interfaces; every block says why it holds"
)]

mod card;
mod choice;
mod framebuffer;
mod output;
mod screen;
mod stage;
mod survey;
mod uevent;
mod vt;
mod watch;

pub use card::Modesetting;
pub use choice::{Connection, ConnectorInfo, ModeInfo};
pub use screen::KmsScreen;
pub use survey::{CardFound, CardSurvey, Graphics, survey};
pub use vt::restore as restore_terminal;
pub use watch::{DisplayNews, Loss};
