//! A current OpenGL ES context without any surface.

use std::ffi::c_void;
use std::mem::ManuallyDrop;

use khronos_egl as egl;

use crate::ui::UiError;

/// The library every EGL program on Linux loads (libglvnd or the vendor's own).
pub const EGL_LIBRARY: &str = "libEGL.so.1";

/// `EGL_PLATFORM_SURFACELESS_MESA`, `EGL_MESA_platform_surfaceless`.
const PLATFORM_SURFACELESS: egl::Enum = 0x31DD;
/// `EGL_PLATFORM_DEVICE_EXT`, `EGL_EXT_platform_device`.
const PLATFORM_DEVICE: egl::Enum = 0x313F;

type Egl = egl::DynamicInstance<egl::EGL1_5>;

/// An OpenGL ES 3 context, current on the thread that made it until it is dropped.
pub struct Context {
    // Unloading a driver that has threads of its own crashes some of them: the library stays.
    egl: ManuallyDrop<Egl>,
    display: egl::Display,
    context: egl::Context,
    platform: &'static str,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Makes a context without a surface and makes it current on this thread.
    ///
    /// # Errors
    ///
    /// Says whether the library, its driver, or OpenGL ES 3 is missing, and what to install.
    pub fn surfaceless() -> Result<Self, UiError> {
        Self::surfaceless_from(EGL_LIBRARY)
    }

    /// As [`Context::surfaceless`], with another EGL library.
    ///
    /// # Errors
    ///
    /// As [`Context::surfaceless`].
    pub fn surfaceless_from(library: &str) -> Result<Self, UiError> {
        // SAFETY: loading runs the library's initialisers; an EGL library's are harmless, and nobody
        // but the operator chooses which file the loader finds under this name.
        let loaded = unsafe { Egl::load_required_from_filename(library) };
        let egl = loaded.map_err(|source| UiError::NoEgl {
            library: library.to_owned(),
            source: source.into(),
        })?;
        let egl = ManuallyDrop::new(egl);
        let (display, platform) = open_display(&egl)?;
        let context = create_context(&egl, display)?;
        let this = Self {
            egl,
            display,
            context,
            platform,
        };
        this.egl
            .make_current(display, None, None, Some(context))
            .map_err(|source| UiError::Egl {
                operation: "eglMakeCurrent without a surface",
                source,
            })?;
        Ok(this)
    }

    /// Address of an OpenGL ES function, null where the driver has none of that name.
    #[must_use]
    pub fn function(&self, name: &str) -> *const c_void {
        self.egl
            .get_proc_address(name)
            .map_or(std::ptr::null(), |function| function as *const c_void)
    }

    /// Through which EGL platform the driver was reached.
    #[must_use]
    pub const fn platform(&self) -> &'static str {
        self.platform
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // The display is shared by everybody in the process who asked for it: it is not terminated.
        if let Err(error) = self.egl.make_current(self.display, None, None, None) {
            log::debug!("eglMakeCurrent on release: {error}");
        }
        if let Err(error) = self.egl.destroy_context(self.display, self.context) {
            log::debug!("eglDestroyContext: {error}");
        }
    }
}

/// Mesa's surfaceless platform, else the first device: the two ways to draw without a monitor.
fn open_display(egl: &Egl) -> Result<(egl::Display, &'static str), UiError> {
    let extensions = egl
        .query_string(None, egl::EXTENSIONS)
        .map(|list| list.to_string_lossy().into_owned())
        .unwrap_or_default();
    let has = |name: &str| extensions.split(' ').any(|extension| extension == name);
    let mut last = None;
    let platforms = [
        (
            "EGL_MESA_platform_surfaceless",
            PLATFORM_SURFACELESS,
            "surfaceless",
        ),
        ("EGL_EXT_platform_device", PLATFORM_DEVICE, "device"),
    ];
    for (extension, platform, name) in platforms {
        if !has(extension) {
            continue;
        }
        // SAFETY: both platforms take EGL_DEFAULT_DISPLAY (null) for "the first there is", and the
        // attribute list ends with EGL_NONE.
        let display = unsafe {
            egl.get_platform_display(platform, egl::DEFAULT_DISPLAY, &[egl::ATTRIB_NONE])
        };
        let opened = display.and_then(|display| egl.initialize(display).map(|_| display));
        match opened {
            Ok(display) => return Ok((display, name)),
            Err(error) => last = Some(error),
        }
    }
    Err(UiError::NoEglDriver { source: last })
}

fn create_context(egl: &Egl, display: egl::Display) -> Result<egl::Context, UiError> {
    let failed = |operation| move |source| UiError::Egl { operation, source };
    egl.bind_api(egl::OPENGL_ES_API)
        .map_err(failed("eglBindAPI for OpenGL ES"))?;
    let wanted = [
        egl::RENDERABLE_TYPE,
        egl::OPENGL_ES3_BIT,
        egl::SURFACE_TYPE,
        egl::PBUFFER_BIT,
        egl::NONE,
    ];
    let config = egl
        .choose_first_config(display, &wanted)
        .map_err(failed("eglChooseConfig for OpenGL ES 3"))?
        .ok_or(UiError::NoGles3)?;
    let version = [
        egl::CONTEXT_MAJOR_VERSION,
        3,
        egl::CONTEXT_MINOR_VERSION,
        0,
        egl::NONE,
    ];
    egl.create_context(display, config, None, &version)
        .map_err(failed("eglCreateContext for OpenGL ES 3.0"))
}
