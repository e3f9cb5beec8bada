//! A framebuffer nobody looks at, and reading it back.

use std::rc::Rc;

use glow::HasContext;

use super::Target;
use super::read_back::ReadBack;
use crate::geometry::Size;
use crate::ui::UiError;

/// A framebuffer object with colour and stencil.
pub struct Offscreen {
    gl: Rc<glow::Context>,
    framebuffer: glow::Framebuffer,
    buffers: [glow::Renderbuffer; 2],
    size: Size,
    pixels: ReadBack,
}

impl std::fmt::Debug for Offscreen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offscreen")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Offscreen {
    /// Makes a framebuffer of `size` pixels on the current context.
    ///
    /// # Errors
    ///
    /// The driver has no room for it or does not allow the size.
    pub fn new(gl: &Rc<glow::Context>, size: Size) -> Result<Self, UiError> {
        // Eight bits of stencil are cleared in a quarter of the time of 24 + 8 bits of depth and
        // stencil (1 ms of a 1280x720 picture on a software renderer), but not every GPU has them.
        let stencil_only = (glow::STENCIL_INDEX8, glow::STENCIL_ATTACHMENT);
        let with_depth = (glow::DEPTH24_STENCIL8, glow::DEPTH_STENCIL_ATTACHMENT);
        Self::with_stencil(gl, size, stencil_only)
            .or_else(|_| Self::with_stencil(gl, size, with_depth))
    }

    fn with_stencil(
        gl: &Rc<glow::Context>,
        size: Size,
        (format, attachment): (u32, u32),
    ) -> Result<Self, UiError> {
        let failed = |reason| UiError::Framebuffer { size, reason };
        let (width, height) = gl_size(size).ok_or_else(|| failed(String::from("too large")))?;
        // SAFETY: the context is current on this thread for as long as `gl` is used; the calls touch
        // objects made right here, and errors come back as values.
        let (this, status) = unsafe {
            let color = gl.create_renderbuffer().map_err(failed)?;
            gl.bind_renderbuffer(glow::RENDERBUFFER, Some(color));
            gl.renderbuffer_storage(glow::RENDERBUFFER, glow::RGBA8, width, height);
            let stencil = gl.create_renderbuffer().map_err(failed)?;
            gl.bind_renderbuffer(glow::RENDERBUFFER, Some(stencil));
            gl.renderbuffer_storage(glow::RENDERBUFFER, format, width, height);
            let framebuffer = gl.create_framebuffer().map_err(failed)?;
            gl.bind_framebuffer(glow::FRAMEBUFFER, Some(framebuffer));
            for (attachment, buffer) in [(glow::COLOR_ATTACHMENT0, color), (attachment, stencil)] {
                gl.framebuffer_renderbuffer(
                    glow::FRAMEBUFFER,
                    attachment,
                    glow::RENDERBUFFER,
                    Some(buffer),
                );
            }
            let status = gl.check_framebuffer_status(glow::FRAMEBUFFER);
            // A refused size also leaves an error behind, which is said here.
            let _ = gl.get_error();
            let this = Self {
                gl: Rc::clone(gl),
                framebuffer,
                buffers: [color, stencil],
                size,
                pixels: ReadBack::new(gl),
            };
            (this, status)
        };
        if status == glow::FRAMEBUFFER_COMPLETE {
            Ok(this)
        } else {
            Err(failed(format!("the driver says {status:#06x}")))
        }
    }

    /// What a renderer draws into.
    #[must_use]
    pub const fn target(&self) -> Target {
        Target {
            framebuffer: Some(self.framebuffer),
            size: self.size,
        }
    }

    /// The pixels as `[height, width, 4]` R, G, B, A, top row first. Waits for the driver.
    ///
    /// # Errors
    ///
    /// The driver reports an error.
    pub fn read(&mut self) -> Result<&[u8], UiError> {
        self.pixels
            .read(&self.gl, Some(self.framebuffer), self.size)
    }
}

impl Drop for Offscreen {
    fn drop(&mut self) {
        // SAFETY: the objects are this value's own and the context outlives it (`HeadlessRenderer`
        // drops its context last).
        unsafe {
            self.gl.delete_framebuffer(self.framebuffer);
            for buffer in self.buffers {
                self.gl.delete_renderbuffer(buffer);
            }
        }
    }
}

/// A size as GL takes it.
pub(super) fn gl_size(size: Size) -> Option<(i32, i32)> {
    Some((
        i32::try_from(size.width).ok()?,
        i32::try_from(size.height).ok()?,
    ))
}
