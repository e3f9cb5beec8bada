//! Draws a scene: rectangles in rows, frames by a shader, everything else as vectors.

use std::ffi::c_void;
use std::rc::Rc;

use glow::HasContext;

use super::context::Context;
use super::fitted::FittedVideos;
use super::flat::FlatPainter;
use super::import::{ImportKind, ImportUse, Imported, Importer};
use super::offscreen::gl_size;
use super::program::no_error;
use super::vector::VectorPainter;
use super::video::ShadedVideos;
use crate::frame::{Frame, FrameMeta};
use crate::geometry::{Point, Rect, ScreenPixels, Size};
use crate::ui::UiError;
use crate::ui::scene::{Align, Command, Rgba, Scene, Weight};
use crate::units::StreamId;

/// Behind the words in place of a frame that cannot be shown, and the words.
const UNSHOWN_GROUND: Rgba = Rgba::rgb(0x0014_1618);
const UNSHOWN_INK: Rgba = Rgba::rgb(0x00F2_F4F5);

/// A driver keeps one error of each kind.
const ERRORS_MAX: usize = 8;

/// A framebuffer to draw into; it has colour and stencil.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The framebuffer object; `None` is the context's own surface.
    pub framebuffer: Option<glow::Framebuffer>,
    /// In pixels.
    pub size: Size,
}

/// Who makes a frame's pixels ready to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoMeans {
    /// The device: planes are uploaded as they are, a shader samples and converts them.
    Shader,
    /// The CPU, before the upload: much cheaper where the device is a software renderer.
    Cpu,
}

/// How frames came to the graphics device: each new frame of a stream counts once, however often it
/// is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCopies {
    /// Drawn from where the camera put them.
    pub imported: u64,
    /// Copied, whole.
    pub copied: u64,
}

impl std::ops::Add for FrameCopies {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            imported: self.imported + other.imported,
            copied: self.copied + other.copied,
        }
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "there is one, and it lives as long as the renderer"
)]
enum Videos {
    Shaded(ShadedVideos),
    Fitted(FittedVideos),
}

impl Videos {
    fn new(gl: &glow::Context, means: VideoMeans) -> Result<Self, UiError> {
        Ok(match means {
            VideoMeans::Shader => Self::Shaded(ShadedVideos::new(gl)?),
            VideoMeans::Cpu => Self::Fitted(FittedVideos::default()),
        })
    }
}

/// Draws scenes on the context that was current when it was made.
pub struct Renderer {
    gl: Rc<glow::Context>,
    flats: FlatPainter,
    videos: Videos,
    vectors: VectorPainter,
    device: String,
    imports: Option<Imports>,
    /// The frame of each stream that was drawn last.
    drawn: [Option<FrameMeta>; 2],
    copies: FrameCopies,
    /// By [`StreamId::index`]: it was said that its frames cannot be shown.
    complained: [bool; 2],
}

/// Draws frames from the memory of cameras.
struct Imports {
    importer: Importer,
    /// Where frames are uploaded by the CPU's own means, there is no other painter.
    painter: ShadedVideos,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What drew last: each collects what it draws and must be flushed before the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pen {
    Flat,
    Video,
    Vector,
}

impl Pen {
    const fn of(command: &Command) -> Self {
        match command {
            Command::Block { .. } | Command::Mask { .. } | Command::Outline { .. } => Self::Flat,
            Command::Video { .. } => Self::Video,
            Command::Polygon { .. } | Command::Text { .. } => Self::Vector,
        }
    }
}

impl Renderer {
    /// Compiles shaders and loads fonts. `function` gives the address of a GL function of the context
    /// current on this thread, which stays current as long as the renderer lives.
    ///
    /// # Errors
    ///
    /// The driver does not compile a shader or has no memory.
    pub fn new(mut function: impl FnMut(&str) -> *const c_void) -> Result<Self, UiError> {
        // SAFETY: the caller's loader belongs to the context current on this thread.
        let gl = Rc::new(unsafe { glow::Context::from_loader_function(&mut function) });
        // SAFETY: a query of the current context.
        let (name, version) = unsafe {
            (
                gl.get_parameter_string(glow::RENDERER),
                gl.get_parameter_string(glow::VERSION),
            )
        };
        let flats = FlatPainter::new(&gl)?;
        let videos = Videos::new(&gl, means(&name))?;
        let vectors = VectorPainter::new(function)?;
        Ok(Self {
            gl,
            flats,
            videos,
            vectors,
            device: format!("{name}, {version}"),
            imports: None,
            drawn: [None; 2],
            copies: FrameCopies::default(),
            complained: [false; 2],
        })
    }

    /// Draws frames that a camera exports from where they are, from now on; what the driver does not
    /// take is copied as before, which is said. `context` is the current one, which the renderer was
    /// made on.
    pub fn import_frames(&mut self, context: &Context) {
        let painter = match ShadedVideos::new(&self.gl) {
            Ok(painter) => painter,
            Err(error) => {
                log::warn!("frames are copied: {error}");
                return;
            }
        };
        match Importer::new(&self.gl, context, ImportUse::Picture) {
            Ok(importer) => self.imports = Some(Imports { importer, painter }),
            Err(missing) => log::info!(
                "{} has no {missing}: frames of cameras are copied",
                self.device
            ),
        }
    }

    /// The pixel formats (`drm_fourcc.h`) that can be drawn from a camera's memory, by name.
    #[must_use]
    pub fn import_formats(&self) -> Vec<(String, ImportKind)> {
        let imports = self.imports.as_ref();
        imports.map_or_else(Vec::new, |imports| imports.importer.formats())
    }

    /// Frames by how they came to the device.
    #[must_use]
    pub const fn copies(&self) -> FrameCopies {
        self.copies
    }

    /// Lets go of frames of cameras that the device is done with. Does not wait. To be called now and
    /// then where nothing is drawn.
    pub fn release_frames(&mut self) {
        if let Some(imports) = &mut self.imports {
            imports.importer.release();
        }
    }

    /// Has frames prepared by other means than suit the device; for comparing the two.
    ///
    /// # Errors
    ///
    /// As [`Renderer::new`].
    pub fn prepare_videos_by(&mut self, means: VideoMeans) -> Result<(), UiError> {
        self.videos = Videos::new(&self.gl, means)?;
        Ok(())
    }

    /// Name of the device and version of OpenGL ES.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The GL functions of the renderer's context.
    #[must_use]
    pub const fn gl(&self) -> &Rc<glow::Context> {
        &self.gl
    }

    /// Draws `scene` into `target`, with the frames of the streams, by
    /// [`crate::units::StreamId::index`]. Does not wait for the driver to finish.
    ///
    /// # Errors
    ///
    /// The driver reports an error; the picture may then be incomplete.
    pub fn render(
        &mut self,
        scene: &Scene,
        frames: [Option<&Frame>; 2],
        target: Target,
    ) -> Result<(), UiError> {
        let too_large = || UiError::Framebuffer {
            size: target.size,
            reason: String::from("too large"),
        };
        let (width, height) = gl_size(target.size).ok_or_else(too_large)?;
        // SAFETY: the context is current; the framebuffer is the caller's and lives.
        unsafe {
            self.gl
                .bind_framebuffer(glow::FRAMEBUFFER, target.framebuffer);
            self.gl.viewport(0, 0, width, height);
            self.gl.disable(glow::SCISSOR_TEST);
            self.gl.disable(glow::BLEND);
            set_clear_color(&self.gl, scene.background);
            self.gl.clear_stencil(0);
            self.gl
                .clear(glow::COLOR_BUFFER_BIT | glow::STENCIL_BUFFER_BIT);
        }
        self.vectors.begin(target);
        let drawn = self.draw_all(&scene.commands, frames, target);
        // Also of a picture that was broken off: the device reads the frames all the same.
        if let Some(imports) = &mut self.imports {
            imports.importer.release();
            imports.importer.hold(frames);
        }
        drawn?;
        no_error(&self.gl, "drawing the picture")
    }

    fn draw_all(
        &mut self,
        commands: &[Command],
        frames: [Option<&Frame>; 2],
        target: Target,
    ) -> Result<(), UiError> {
        let mut pen = Pen::Flat;
        for command in commands {
            let wanted = Pen::of(command);
            if wanted != pen {
                self.flush(pen, target.size);
                pen = wanted;
            }
            self.draw(command, frames, target)?;
        }
        self.flush(pen, target.size);
        Ok(())
    }

    fn flush(&mut self, pen: Pen, size: Size) {
        match pen {
            Pen::Flat => self.flats.flush(&self.gl, size),
            Pen::Video => {}
            Pen::Vector => self.vectors.flush(),
        }
    }

    fn draw(
        &mut self,
        command: &Command,
        frames: [Option<&Frame>; 2],
        target: Target,
    ) -> Result<(), UiError> {
        match command {
            Command::Block { rect, color } => self.flats.block(*rect, *color),
            Command::Mask { rect, color } => self.flats.mask(*rect, *color),
            Command::Outline { rect, stroke } => self.flats.outline(*rect, *stroke),
            Command::Video { stream, rect } => {
                if let Some(frame) = frames[stream.index()] {
                    let drawn = self.video(*stream, frame, *rect, target);
                    let complained = &mut self.complained[stream.index()];
                    match drawn {
                        Ok(()) => *complained = false,
                        Err(error) => {
                            if !std::mem::replace(complained, true) {
                                log::error!("{stream}: its frames cannot be shown: {error}");
                            }
                            self.unshown(*rect, target)?;
                        }
                    }
                }
            }
            Command::Polygon {
                points,
                path,
                fill,
                stroke,
            } => self.vectors.polygon(points, *path, *fill, *stroke),
            Command::Text {
                at,
                text,
                size,
                weight,
                align,
                color,
            } => self
                .vectors
                .text(*at, text, *size, *weight, *align, *color)?,
        }
        Ok(())
    }

    /// Says in place of a stream's frame that it cannot be shown: everything else of the picture can.
    fn unshown(&mut self, rect: Rect<ScreenPixels>, target: Target) -> Result<(), UiError> {
        // SAFETY: the context is current; the framebuffer is the caller's and lives.
        unsafe {
            self.gl
                .bind_framebuffer(glow::FRAMEBUFFER, target.framebuffer);
            // What the driver says of this frame is not said of the picture.
            for _ in 0..ERRORS_MAX {
                if self.gl.get_error() == glow::NO_ERROR {
                    break;
                }
            }
        }
        self.flats.block(rect, UNSHOWN_GROUND);
        self.flats.flush(&self.gl, target.size);
        let middle = Point::new(
            (rect.left() + rect.right()) / 2.0,
            (rect.top() + rect.bottom()) / 2.0,
        );
        let size = (rect.width() / 16.0).clamp(8.0, 64.0);
        let (words, weight) = ("CANNOT BE SHOWN", Weight::Bold);
        self.vectors
            .text(middle, words, size, weight, Align::Center, UNSHOWN_INK)?;
        self.vectors.flush();
        Ok(())
    }

    fn video(
        &mut self,
        stream: StreamId,
        frame: &Frame,
        rect: Rect<ScreenPixels>,
        target: Target,
    ) -> Result<(), UiError> {
        let drawn = &mut self.drawn[stream.index()];
        let new = u64::from(*drawn != Some(frame.meta));
        *drawn = Some(frame.meta);
        if let Some(Imports { importer, painter }) = &mut self.imports {
            let textures = match importer.find(frame) {
                Some(Imported::Planes(textures)) => Some(*textures),
                Some(Imported::External(texture)) => {
                    let texture = *texture;
                    if let Some(external) = importer.external() {
                        external.draw(&self.gl, texture, rect, target.size)?;
                        self.copies.imported += new;
                        return Ok(());
                    }
                    None
                }
                None => None,
            };
            if let Some(textures) = textures {
                painter.paint(&self.gl, textures, frame.format(), rect, target.size)?;
                self.copies.imported += new;
                return Ok(());
            }
        }
        match &mut self.videos {
            Videos::Shaded(videos) => videos.draw(&self.gl, stream, frame, rect, target.size)?,
            Videos::Fitted(videos) => videos.draw(&self.gl, stream, frame, rect, target)?,
        }
        self.copies.copied += new;
        Ok(())
    }
}

/// What suits a device of this name.
fn means(name: &str) -> VideoMeans {
    let software = ["llvmpipe", "softpipe", "swrast", "SwiftShader"];
    if software.iter().any(|software| name.contains(software)) {
        VideoMeans::Cpu
    } else {
        VideoMeans::Shader
    }
}

/// # Safety
///
/// The context is current.
unsafe fn set_clear_color(gl: &glow::Context, color: Rgba) {
    let [r, g, b] = [color.r, color.g, color.b].map(|part| f32::from(part) / 255.0);
    // SAFETY: the caller's promise.
    unsafe { gl.clear_color(r, g, b, 1.0) };
}
