//! What can go wrong with the picture, and what to do about it.

use crate::geometry::Size;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// The EGL library is not installed.
    #[error(
        "cannot load {library}: {source}; a picture needs EGL: install libegl1, libegl-mesa0 and libgl1-mesa-dri (Debian), or run without one (--display none)"
    )]
    NoEgl {
        /// File name asked of the loader.
        library: String,
        /// What the loader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// EGL is there, but no driver that draws without a monitor.
    #[error(
        "EGL has no driver that draws off-screen{}; install libegl-mesa0 and libgl1-mesa-dri (Debian), which also bring a software renderer, or run without a picture (--display none)",
        source.map_or_else(String::new, |source| format!(" ({source})"))
    )]
    NoEglDriver {
        /// What the last driver said.
        source: Option<khronos_egl::Error>,
    },
    /// The driver is too old.
    #[error(
        "the graphics driver has {}; 3.0 is needed, for textures of one and two channels and for copies between framebuffers: install a newer Mesa (Debian: libgl1-mesa-dri), or run without a picture (--display none)",
        offered.map_or_else(|| "no OpenGL ES".to_owned(), |version| format!("OpenGL ES {version} only"))
    )]
    NoGles3 {
        /// The version that it has, if any.
        offered: Option<&'static str>,
    },
    /// The driver draws, but into nothing that a monitor can show.
    #[error(
        "the graphics driver draws into no format that the card scans out (XR24 or AR24 with 8 bits of stencil); run without a monitor (--display headless)"
    )]
    NoScanOutFormat,
    /// The virtual terminal below the picture cannot be used.
    #[error("{0}")]
    Terminal(String),
    /// An EGL call failed.
    #[error("{operation}: {source}")]
    Egl {
        /// Which.
        operation: &'static str,
        /// What EGL said.
        source: khronos_egl::Error,
    },
    /// The driver has no picture or texture of this size.
    #[error("no {}x{} picture: {reason}; choose a smaller size", size.width, size.height)]
    Framebuffer {
        /// In pixels.
        size: Size,
        /// What the driver said.
        reason: String,
    },
    /// The driver refused a shader or object.
    #[error("the graphics driver refused a shader or object: {0}")]
    Shader(String),
    /// A frame was not made small on the graphics device.
    #[error("the graphics device did not resample a frame: {0}")]
    Resample(String),
    /// The vector library failed.
    #[error("{operation}: {source}")]
    Vector {
        /// Doing what.
        operation: &'static str,
        /// What it said.
        source: femtovg::ErrorKind,
    },
    /// OpenGL reported an error.
    #[error("{operation}: OpenGL error {code:#06x}")]
    Gl {
        /// Doing what.
        operation: &'static str,
        /// As `glGetError` gave it.
        code: u32,
    },
}
