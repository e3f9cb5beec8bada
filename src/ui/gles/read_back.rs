//! Getting a drawn picture into memory.

use glow::HasContext;

use super::offscreen::gl_size;
use super::program::no_error;
use crate::geometry::Size;
use crate::ui::UiError;

/// `GL_PACK_REVERSE_ROW_ORDER_ANGLE`, `ANGLE_pack_reverse_row_order`.
const PACK_REVERSE_ROW_ORDER: u32 = 0x93A4;

/// Reads framebuffers; its memory is used again.
#[derive(Debug)]
pub struct ReadBack {
    /// Whether the driver can give the top row first.
    reverses: bool,
    /// Rows as GL has them otherwise, bottom row first.
    upside_down: Vec<u8>,
    rgba: Vec<u8>,
}

impl ReadBack {
    /// For the current context.
    #[must_use]
    pub fn new(gl: &glow::Context) -> Self {
        let extensions = gl.supported_extensions();
        Self {
            reverses: extensions.contains("GL_ANGLE_pack_reverse_row_order"),
            upside_down: Vec::new(),
            rgba: Vec::new(),
        }
    }

    /// The pixels of a framebuffer (`None`: of the context's surface) as `[height, width, 4]` R, G, B,
    /// A, top row first. Waits for the driver.
    ///
    /// # Errors
    ///
    /// The driver reports an error.
    pub fn read(
        &mut self,
        gl: &glow::Context,
        framebuffer: Option<glow::Framebuffer>,
        size: Size,
    ) -> Result<&[u8], UiError> {
        let (width, height) = (size.width as usize, size.height as usize);
        let row = width * 4;
        let Some((gl_width, gl_height)) = gl_size(size) else {
            return Ok(&[]);
        };
        let rows = if self.reverses {
            &mut self.rgba
        } else {
            &mut self.upside_down
        };
        rows.resize(row * height, 0);
        let into = glow::PixelPackData::Slice(Some(rows));
        // SAFETY: the context is current; the slice holds width x height x 4 bytes and rows of RGBA8
        // need no padding at any pack alignment. The row order is set where the driver knows it.
        unsafe {
            gl.bind_framebuffer(glow::READ_FRAMEBUFFER, framebuffer);
            if self.reverses {
                gl.pixel_store_i32(PACK_REVERSE_ROW_ORDER, 1);
            }
            gl.read_pixels(
                0,
                0,
                gl_width,
                gl_height,
                glow::RGBA,
                glow::UNSIGNED_BYTE,
                into,
            );
        }
        no_error(gl, "glReadPixels")?;
        if !self.reverses && row > 0 {
            self.rgba.resize(row * height, 0);
            let rows = self.upside_down.chunks_exact(row).rev();
            for (to, from) in self.rgba.chunks_exact_mut(row).zip(rows) {
                to.copy_from_slice(from);
            }
        }
        Ok(&self.rgba)
    }
}
