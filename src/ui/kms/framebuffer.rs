//! A GBM buffer as something a CRTC can scan out.

use drm::buffer::{DrmFourcc, DrmModifier, Handle, PlanarBuffer};
use drm::control::{Device as _, FbCmd2Flags, framebuffer};
use gbm::BufferObject;

use super::card::Card;

/// The kernel's framebuffer of a buffer; removed when the buffer goes.
#[derive(Debug)]
pub(super) struct Framebuffer {
    card: Card,
    handle: framebuffer::Handle,
}

impl Framebuffer {
    pub(super) const fn handle(&self) -> framebuffer::Handle {
        self.handle
    }
}

impl Drop for Framebuffer {
    fn drop(&mut self) {
        // Fails where the card is gone: then so is the framebuffer.
        let _ = self.card.destroy_framebuffer(self.handle);
    }
}

/// A buffer from a surface; its framebuffer is made once and kept with it.
pub(super) type Buffer = BufferObject<Framebuffer>;

/// The framebuffer of a buffer.
pub(super) fn of(buffer: &mut Buffer, card: &Card) -> std::io::Result<framebuffer::Handle> {
    if let Some(known) = buffer.userdata() {
        return Ok(known.handle());
    }
    let handle = add(buffer, card)?;
    buffer.set_userdata(Framebuffer {
        card: card.clone(),
        handle,
    });
    Ok(handle)
}

fn add(buffer: &Buffer, card: &Card) -> std::io::Result<framebuffer::Handle> {
    let modifier = Some(buffer.modifier()).filter(|modifier| {
        // "Invalid" says that the driver keeps it to itself.
        *modifier != DrmModifier::Invalid && card.takes_modifiers()
    });
    if let Some(modifier) = modifier {
        let described = Described {
            buffer,
            modifier: Some(modifier),
        };
        match card.add_planar_framebuffer(&described, FbCmd2Flags::MODIFIERS) {
            Ok(handle) => return Ok(handle),
            Err(error) => log::debug!("no framebuffer with modifier {modifier:?}: {error}"),
        }
    }
    let described = Described {
        buffer,
        modifier: None,
    };
    // The oldest call knows four bytes per pixel and nothing else; some drivers know nothing else.
    card.add_planar_framebuffer(&described, FbCmd2Flags::empty())
        .or_else(|_| card.add_framebuffer(buffer, 24, 32))
}

/// A buffer as it is told to the kernel. Pixels have no alpha, whatever EGL made of them: a picture
/// is not blended with what is behind it.
struct Described<'a> {
    buffer: &'a Buffer,
    modifier: Option<DrmModifier>,
}

impl PlanarBuffer for Described<'_> {
    fn size(&self) -> (u32, u32) {
        (self.buffer.width(), self.buffer.height())
    }

    fn format(&self) -> DrmFourcc {
        DrmFourcc::Xrgb8888
    }

    fn modifier(&self) -> Option<DrmModifier> {
        self.modifier
    }

    fn pitches(&self) -> [u32; 4] {
        PlanarBuffer::pitches(self.buffer)
    }

    fn handles(&self) -> [Option<Handle>; 4] {
        PlanarBuffer::handles(self.buffer)
    }

    fn offsets(&self) -> [u32; 4] {
        PlanarBuffer::offsets(self.buffer)
    }
}
