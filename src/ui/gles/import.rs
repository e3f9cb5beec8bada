//! Frames drawn from where the camera put them: no copy.
//!
//! The textures of a buffer are made once, when it is first seen, and used again whenever the camera
//! fills it anew; they go when the buffer's memory does. A camera's driver has finished writing when
//! it hands a buffer over (V4L2's DQBUF), so nothing has to be waited for before drawing. After
//! drawing the other way round: the frame's handle is kept until the device has passed a fence behind
//! the picture, and only then can the camera get the buffer back. The kernel's implicit fences of the
//! dmabuf do not order that: V4L2 drivers do not look at them.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use glow::HasContext;
use khronos_egl as egl;

use super::context::{Context, Egl};
use super::dmabuf::{
    self, Fourcc, GR88, LINUX_DMA_BUF, MODIFIER_LINEAR, Modifiers, Part, R8, fourcc_name,
};
use super::external::{ExternalPainter, TEXTURE_EXTERNAL};
use crate::frame::{BufferId, Frame, FrameFormat, MemoryWatch};
use crate::units::StreamId;

/// Pictures in the making at most, before the oldest is waited for: it holds camera buffers.
const PICTURES_MAX: usize = 3;

/// Longest wait for a picture's fence; then its frames are let go all the same, because a camera
/// without buffers delivers nothing at all.
const FENCE_MAX: Duration = Duration::from_secs(1);

/// Buffers at most before those of other formats than the newest frame's are dropped: a camera has 32
/// at most.
const BUFFERS_MAX: usize = 64;

type ImageTargetTexture = unsafe extern "system" fn(target: u32, image: *mut c_void);
type QueryFormats = unsafe extern "system" fn(
    display: *mut c_void,
    max: egl::Int,
    formats: *mut egl::Int,
    count: *mut egl::Int,
) -> egl::Boolean;
type QueryModifiers = unsafe extern "system" fn(
    display: *mut c_void,
    format: egl::Int,
    max: egl::Int,
    modifiers: *mut u64,
    external_only: *mut egl::Boolean,
    count: *mut egl::Int,
) -> egl::Boolean;

/// How a driver takes linear images of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// As a texture like any other.
    Texture,
    /// Only for sampling by the driver's own conversion.
    ExternalOnly,
}

/// What frames are imported for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImportUse {
    /// To be drawn as they are, by our conversion or the driver's.
    Picture,
    /// To be resampled: plane by plane, or not at all.
    Resample,
}

impl ImportUse {
    /// What becomes of frames that are not imported.
    const fn otherwise(self) -> &'static str {
        match self {
            Self::Picture => "each is copied",
            Self::Resample => "the CPU reads them",
        }
    }
}

/// What a frame of a buffer became.
#[derive(Debug)]
pub(super) enum Imported {
    /// A texture per part, for our own shader.
    Planes([Option<glow::Texture>; 3]),
    /// One external texture.
    External(glow::Texture),
}

struct Entry {
    imported: Imported,
    format: FrameFormat,
    memory: MemoryWatch,
}

/// Makes textures of dmabufs, and keeps them and the frames that are being drawn.
pub(super) struct Importer {
    gl: Rc<glow::Context>,
    egl: Rc<Egl>,
    display: egl::Display,
    target_texture: ImageTargetTexture,
    formats: HashMap<Fourcc, ImportKind>,
    modifiers: Modifiers,
    wanted_for: ImportUse,
    external: Option<ExternalPainter>,
    entries: HashMap<BufferId, Entry>,
    /// What was tried in vain, and said, with the memory that it was tried with: another camera, and the
    /// same one opened anew, are tried again.
    refused: HashMap<(StreamId, FrameFormat), MemoryWatch>,
    drawing: VecDeque<(glow::Fence, [Option<Frame>; 2])>,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer")
            .field("buffers", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Importer {
    /// For the current context.
    ///
    /// # Errors
    ///
    /// Says which extension the driver lacks.
    pub(super) fn new(
        gl: &Rc<glow::Context>,
        context: &Context,
        wanted_for: ImportUse,
    ) -> Result<Self, &'static str> {
        let (egl, display) = context.egl();
        let offered = egl.query_string(Some(display), egl::EXTENSIONS);
        let offered = offered.map(|list| list.to_string_lossy().into_owned());
        let offered = offered.unwrap_or_default();
        let has = |name: &str| offered.split(' ').any(|extension| extension == name);
        if !has("EGL_EXT_image_dma_buf_import") {
            return Err("EGL_EXT_image_dma_buf_import");
        }
        if !gl.supported_extensions().contains("GL_OES_EGL_image") {
            return Err("GL_OES_EGL_image");
        }
        let function = context.function("glEGLImageTargetTexture2DOES");
        if function.is_null() {
            return Err("glEGLImageTargetTexture2DOES");
        }
        // SAFETY: the function has this signature by GL_OES_EGL_image, and is not null.
        let target_texture =
            unsafe { mem::transmute::<*const c_void, ImageTargetTexture>(function) };
        let modifiers = if has("EGL_EXT_image_dma_buf_import_modifiers") {
            Modifiers::Said
        } else {
            Modifiers::Unsaid
        };
        let formats = match modifiers {
            Modifiers::Said => formats(context, display),
            // The driver lists nothing: the usual ones are tried.
            Modifiers::Unsaid => [R8, GR88].map(|f| (f, ImportKind::Texture)).into(),
        };
        let external = gl
            .supported_extensions()
            .contains("GL_OES_EGL_image_external_essl3");
        let external = (external && wanted_for == ImportUse::Picture)
            .then(|| ExternalPainter::new(gl))
            .and_then(|made| {
                made.inspect_err(|error| log::info!("no external textures: {error}"))
                    .ok()
            });
        Ok(Self {
            gl: Rc::clone(gl),
            egl,
            display,
            target_texture,
            formats,
            modifiers,
            wanted_for,
            external,
            entries: HashMap::new(),
            refused: HashMap::new(),
            drawing: VecDeque::new(),
        })
    }

    /// The formats that the driver imports, by name.
    pub(super) fn formats(&self) -> Vec<(String, ImportKind)> {
        let named = self
            .formats
            .iter()
            .map(|(f, kind)| (fourcc_name(*f), *kind));
        let mut list: Vec<_> = named.collect();
        list.sort_by(|one, other| one.0.cmp(&other.0));
        list
    }

    /// The textures of the frame's buffer; `None` where it is in no dmabuf, or the driver does not
    /// take it: then it has to be uploaded.
    pub(super) fn find(&mut self, frame: &Frame) -> Option<&Imported> {
        let id = frame.buffer_id()?;
        let format = *frame.format();
        let kind = (frame.meta.stream, format);
        if self
            .refused
            .get(&kind)
            .is_some_and(|memory| !memory.is_gone())
        {
            return None;
        }
        let known = self
            .entries
            .get(&id)
            .is_some_and(|entry| entry.format == format);
        if !known {
            self.tidy(&format);
            match self.import(frame) {
                Ok(imported) => {
                    let memory = frame.memory_watch()?;
                    let entry = Entry {
                        imported,
                        format,
                        memory,
                    };
                    if let Some(old) = self.entries.insert(id, entry) {
                        self.delete(&old.imported);
                    }
                }
                Err(why) => {
                    log::warn!(
                        "{}: {:?} frames of {} cannot be drawn from the camera's memory ({why}): {}",
                        frame.meta.stream,
                        format.pixel_format,
                        format.size,
                        self.wanted_for.otherwise(),
                    );
                    self.refused.insert(kind, frame.memory_watch()?);
                    return None;
                }
            }
        }
        self.entries.get(&id).map(|entry| &entry.imported)
    }

    pub(super) const fn external(&self) -> Option<&ExternalPainter> {
        self.external.as_ref()
    }

    fn import(&self, frame: &Frame) -> Result<Imported, String> {
        if frame.dmabuf(0).is_none() {
            return Err("the camera does not export it".to_owned());
        }
        let format = frame.format();
        let parts = dmabuf::by_planes(format);
        let as_textures = parts
            .iter()
            .flatten()
            .all(|part| self.formats.get(&part.fourcc) == Some(&ImportKind::Texture));
        let mut why = if as_textures {
            match self.planes(frame, parts) {
                Ok(textures) => return Ok(Imported::Planes(textures)),
                Err(why) => why,
            }
        } else {
            let names: Vec<String> = parts
                .iter()
                .flatten()
                .map(|part| fourcc_name(part.fourcc))
                .collect();
            format!("the driver does not take {} as textures", names.join(", "))
        };
        let part = dmabuf::whole(format);
        if self.external.is_some() {
            match self.texture(frame, part, TEXTURE_EXTERNAL) {
                Ok(texture) => {
                    log::info!(
                        "{:?} frames: the driver converts the colours ({why})",
                        format.pixel_format
                    );
                    return Ok(Imported::External(texture));
                }
                Err(error) => {
                    why = format!("{why}; {} as a whole: {error}", fourcc_name(part.fourcc));
                }
            }
        }
        Err(why)
    }

    fn planes(
        &self,
        frame: &Frame,
        parts: [Option<Part>; 3],
    ) -> Result<[Option<glow::Texture>; 3], String> {
        let mut textures = [None; 3];
        for (slot, part) in textures.iter_mut().zip(parts) {
            let Some(part) = part else { continue };
            match self.texture(frame, part, glow::TEXTURE_2D) {
                Ok(texture) => *slot = Some(texture),
                Err(error) => {
                    self.delete(&Imported::Planes(textures));
                    return Err(format!("{}: {error}", fourcc_name(part.fourcc)));
                }
            }
        }
        Ok(textures)
    }

    /// A texture of a part of the frame's buffer.
    fn texture(&self, frame: &Frame, part: Part, target: u32) -> Result<glow::Texture, String> {
        let list = dmabuf::attributes(frame, part, self.modifiers)
            .ok_or_else(|| "the camera does not export it, or it is too large".to_owned())?;
        // SAFETY: null is EGL_NO_CONTEXT, as the target asks.
        let no_context = unsafe { egl::Context::from_ptr(egl::NO_CONTEXT) };
        // SAFETY: null is the client buffer of a target whose attributes say everything.
        let no_buffer = unsafe { egl::ClientBuffer::from_ptr(std::ptr::null_mut()) };
        let image = self
            .egl
            .create_image(self.display, no_context, LINUX_DMA_BUF, no_buffer, &list)
            .map_err(|error| format!("eglCreateImage: {error}"))?;
        let texture = self.bind(image, target);
        // The texture holds on to what the image was made of.
        let _ = self.egl.destroy_image(self.display, image);
        texture
    }

    fn bind(&self, image: egl::Image, target: u32) -> Result<glow::Texture, String> {
        let gl = &self.gl;
        // SAFETY: the context is current; the texture is made right here and the image lives.
        unsafe {
            let texture = gl.create_texture()?;
            gl.active_texture(glow::TEXTURE0);
            gl.bind_texture(target, Some(texture));
            let _ = gl.get_error();
            (self.target_texture)(target, image.as_ptr());
            for (name, value) in [
                (glow::TEXTURE_MIN_FILTER, glow::LINEAR),
                (glow::TEXTURE_MAG_FILTER, glow::LINEAR),
                (glow::TEXTURE_WRAP_S, glow::CLAMP_TO_EDGE),
                (glow::TEXTURE_WRAP_T, glow::CLAMP_TO_EDGE),
            ] {
                gl.tex_parameter_i32(target, name, value.cast_signed());
            }
            let error = gl.get_error();
            gl.bind_texture(target, None);
            if error == glow::NO_ERROR {
                return Ok(texture);
            }
            gl.delete_texture(texture);
            Err(format!(
                "glEGLImageTargetTexture2DOES: OpenGL error {error:#06x}"
            ))
        }
    }

    /// Drops the textures of buffers that are gone, and where there are too many, those of other
    /// formats. Called when a new buffer comes, which is when old ones go.
    fn tidy(&mut self, format: &FrameFormat) {
        let full = self.entries.len() >= BUFFERS_MAX;
        let stale: Vec<BufferId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.memory.is_gone() || (full && entry.format != *format))
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            if let Some(entry) = self.entries.remove(&id) {
                self.delete(&entry.imported);
            }
        }
    }

    fn delete(&self, imported: &Imported) {
        let textures = match imported {
            Imported::Planes(textures) => *textures,
            Imported::External(texture) => [Some(*texture), None, None],
        };
        for texture in textures.into_iter().flatten() {
            // SAFETY: the context is current and the texture is this importer's.
            unsafe { self.gl.delete_texture(texture) };
        }
    }

    /// Keeps the frames of the picture that was just drawn until the device has drawn it.
    pub(super) fn hold(&mut self, frames: [Option<&Frame>; 2]) {
        let frames = frames.map(|frame| frame.filter(|f| f.buffer_id().is_some()).cloned());
        if frames.iter().all(Option::is_none) {
            return;
        }
        // SAFETY: the context is current.
        match unsafe { self.gl.fence_sync(glow::SYNC_GPU_COMMANDS_COMPLETE, 0) } {
            Ok(fence) => self.drawing.push_back((fence, frames)),
            Err(error) => {
                log::debug!("no fence: {error}");
                // SAFETY: the context is current.
                unsafe { self.gl.finish() };
            }
        }
        while self.drawing.len() > PICTURES_MAX {
            self.release_oldest(FENCE_MAX);
        }
    }

    /// Lets go of frames that the device is done with. Does not wait.
    pub(super) fn release(&mut self) {
        while self.release_oldest(Duration::ZERO) {}
        self.drop_textures_of_the_gone();
    }

    fn drop_textures_of_the_gone(&mut self) {
        if self.entries.values().any(|entry| entry.memory.is_gone()) {
            let gone: Vec<BufferId> = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.memory.is_gone())
                .map(|(id, _)| *id)
                .collect();
            for id in gone {
                if let Some(entry) = self.entries.remove(&id) {
                    self.delete(&entry.imported);
                }
            }
        }
    }

    /// Lets go of the oldest picture's frames; `false` where its fence has not been passed.
    fn release_oldest(&mut self, longest: Duration) -> bool {
        let Some((fence, _)) = self.drawing.front() else {
            return false;
        };
        let timeout = i32::try_from(longest.as_nanos()).unwrap_or(i32::MAX);
        // SAFETY: the context is current and the fence is this importer's.
        let passed = unsafe {
            self.gl
                .client_wait_sync(*fence, glow::SYNC_FLUSH_COMMANDS_BIT, timeout)
        };
        if passed == glow::TIMEOUT_EXPIRED && longest.is_zero() {
            return false;
        }
        if passed == glow::TIMEOUT_EXPIRED {
            log::warn!(
                "the graphics device is late by more than {} ms",
                longest.as_millis()
            );
        }
        if let Some((fence, _frames)) = self.drawing.pop_front() {
            // SAFETY: as above; it is not used after this.
            unsafe { self.gl.delete_sync(fence) };
        }
        true
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        while self.release_oldest(FENCE_MAX) {}
        for entry in mem::take(&mut self.entries).into_values() {
            self.delete(&entry.imported);
        }
    }
}

/// What the driver imports in rows one after the other.
fn formats(context: &Context, display: egl::Display) -> HashMap<Fourcc, ImportKind> {
    let mut found = HashMap::new();
    let (list, modifiers) = (
        context.function("eglQueryDmaBufFormatsEXT"),
        context.function("eglQueryDmaBufModifiersEXT"),
    );
    if list.is_null() || modifiers.is_null() {
        return found;
    }
    // SAFETY: the function has this signature by EGL_EXT_image_dma_buf_import_modifiers.
    let list = unsafe { mem::transmute::<*const c_void, QueryFormats>(list) };
    // SAFETY: as above.
    let modifiers = unsafe { mem::transmute::<*const c_void, QueryModifiers>(modifiers) };
    let mut names = [0; 256];
    let mut count = 0;
    let most = 256;
    // SAFETY: the display is initialised; the driver writes at most `most` names and a count.
    let listed = unsafe { list(display.as_ptr(), most, names.as_mut_ptr(), &raw mut count) };
    if listed != egl::TRUE {
        return found;
    }
    let count = usize::try_from(count).unwrap_or(0);
    for name in names.iter().take(count) {
        let mut values = [0_u64; 64];
        let mut external = [egl::FALSE; 64];
        let mut count = 0;
        // SAFETY: as above, with 64 places in both arrays.
        let listed = unsafe {
            modifiers(
                display.as_ptr(),
                *name,
                64,
                values.as_mut_ptr(),
                external.as_mut_ptr(),
                &raw mut count,
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        let linear = values
            .iter()
            .zip(&external)
            .take(count)
            .find(|(value, _)| **value == MODIFIER_LINEAR);
        let kind = match linear {
            Some((_, external)) if *external == egl::TRUE => ImportKind::ExternalOnly,
            Some(_) => ImportKind::Texture,
            // None listed at all: whatever the driver takes it to be.
            None if listed == egl::TRUE && count == 0 => ImportKind::Texture,
            None => continue,
        };
        found.insert(name.cast_unsigned(), kind);
    }
    found
}
