//! A renderer without a monitor: the picture ends up in memory, for recording and snapshots.

use crate::frame::Frame;
use crate::geometry::Size;
use crate::ui::UiError;
use crate::ui::gles::{
    Context, EGL_LIBRARY, FrameCopies, ImportKind, Offscreen, Renderer, VideoMeans,
};
use crate::ui::scene::Scene;

/// Draws scenes into memory. Belongs to the thread that made it.
// Fields are dropped in this order: the context goes last.
#[derive(Debug)]
pub struct HeadlessRenderer {
    offscreen: Offscreen,
    renderer: Renderer,
    context: Context,
}

impl HeadlessRenderer {
    /// Connects to the graphics driver (or Mesa's software renderer), compiles shaders, loads fonts:
    /// a few hundred milliseconds. Pictures are `size` pixels.
    ///
    /// # Errors
    ///
    /// Names what is missing: the EGL library, a driver, OpenGL ES 3, or memory for the size.
    pub fn new(size: Size) -> Result<Self, UiError> {
        Self::with_egl(EGL_LIBRARY, size)
    }

    /// As [`HeadlessRenderer::new`], with another EGL library.
    ///
    /// # Errors
    ///
    /// As [`HeadlessRenderer::new`].
    pub fn with_egl(library: &str, size: Size) -> Result<Self, UiError> {
        let context = Context::surfaceless_from(library)?;
        let mut renderer = Renderer::new(|name| context.function(name))?;
        renderer.import_frames(&context);
        let offscreen = Offscreen::new(renderer.gl(), size)?;
        Ok(Self {
            offscreen,
            renderer,
            context,
        })
    }

    /// In pixels.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.offscreen.target().size
    }

    /// Frames by how they came to the graphics device.
    #[must_use]
    pub const fn copies(&self) -> FrameCopies {
        self.renderer.copies()
    }

    /// The pixel formats (`drm_fourcc.h`) that can be drawn from a camera's memory, by name.
    #[must_use]
    pub fn import_formats(&self) -> Vec<(String, ImportKind)> {
        self.renderer.import_formats()
    }

    /// What draws, and how it was reached.
    #[must_use]
    pub fn device(&self) -> String {
        format!("{} ({})", self.renderer.device(), self.context.platform())
    }

    /// Has frames prepared by other means than suit the device; for comparing the two.
    ///
    /// # Errors
    ///
    /// As [`HeadlessRenderer::new`].
    pub fn prepare_videos_by(&mut self, means: VideoMeans) -> Result<(), UiError> {
        self.renderer.prepare_videos_by(means)
    }

    /// Draws `scene` with the streams' frames, by [`crate::units::StreamId::index`], and waits for
    /// the pixels: `[height, width, 4]` R, G, B, A, top row first, valid until the next call.
    ///
    /// # Errors
    ///
    /// The driver reports an error.
    pub fn render(&mut self, scene: &Scene, frames: [Option<&Frame>; 2]) -> Result<&[u8], UiError> {
        let target = self.offscreen.target();
        self.renderer.render(scene, frames, target)?;
        self.offscreen.read()
    }
}
