//! A current OpenGL ES context: without any surface, or for a monitor.

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use khronos_egl as egl;

use crate::ui::UiError;

/// The library every EGL program on Linux loads (libglvnd or the vendor's own).
pub const EGL_LIBRARY: &str = "libEGL.so.1";

/// `EGL_PLATFORM_SURFACELESS_MESA`, `EGL_MESA_platform_surfaceless`.
const PLATFORM_SURFACELESS: egl::Enum = 0x31DD;
/// `EGL_PLATFORM_DEVICE_EXT`, `EGL_EXT_platform_device`.
const PLATFORM_DEVICE: egl::Enum = 0x313F;
/// `EGL_PLATFORM_GBM_KHR`, `EGL_KHR_platform_gbm`.
const PLATFORM_GBM: egl::Enum = 0x31D7;

/// `XR24`, bytes B, G, R, X: what every card scans out.
const XRGB8888: u32 = u32::from_le_bytes(*b"XR24");
/// `AR24`, the same with alpha; some drivers draw only into this one.
const ARGB8888: u32 = u32::from_le_bytes(*b"AR24");

pub(super) type Egl = egl::DynamicInstance<egl::EGL1_5>;

/// An OpenGL ES 3 context, current on the thread that made it until it is dropped.
pub struct Context {
    // The library stays loaded: see `load`.
    egl: ManuallyDrop<Rc<Egl>>,
    display: egl::Display,
    config: egl::Config,
    context: egl::Context,
    window: Option<egl::Surface>,
    platform: &'static str,
    /// GBM's format of windows, where the context is for a monitor.
    window_format: Option<u32>,
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
        let egl = load(library)?;
        let (display, platform) = open_display(&egl)?;
        bind_api(&egl)?;
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
            .ok_or_else(|| UiError::NoGles3 {
                offered: older(&egl, display),
            })?;
        Self::current(egl, display, config, platform, None)
    }

    /// Makes a context that can draw into GBM surfaces of `device`, a `gbm_device`, and makes it
    /// current on this thread, without a surface yet ([`Context::attach_window`]).
    ///
    /// # Safety
    ///
    /// `device` is a live `gbm_device` and outlives the context.
    ///
    /// # Errors
    ///
    /// As [`Context::surfaceless`], and where the driver draws into no format that a card scans out.
    pub unsafe fn on_gbm(library: &str, device: *mut c_void) -> Result<Self, UiError> {
        let egl = load(library)?;
        let attributes = [egl::ATTRIB_NONE];
        // SAFETY: the caller's promise; the attribute list ends with EGL_NONE.
        let display = unsafe { egl.get_platform_display(PLATFORM_GBM, device, &attributes) };
        let display = display.map_err(failed("eglGetPlatformDisplay on GBM"))?;
        egl.initialize(display)
            .map_err(failed("eglInitialize on GBM"))?;
        let made = bind_api(&egl)
            .and_then(|()| window_config(&egl, display))
            .and_then(|(config, format)| {
                Self::current(egl.clone(), display, config, "GBM", Some(format))
            });
        if made.is_err()
            && let Err(error) = egl.terminate(display)
        {
            // The display is of the device, which the caller frees: nothing of it may stay.
            log::debug!("eglTerminate: {error}");
        }
        made
    }

    fn current(
        egl: ManuallyDrop<Rc<Egl>>,
        display: egl::Display,
        config: egl::Config,
        platform: &'static str,
        window_format: Option<u32>,
    ) -> Result<Self, UiError> {
        let version = [
            egl::CONTEXT_MAJOR_VERSION,
            3,
            egl::CONTEXT_MINOR_VERSION,
            0,
            egl::NONE,
        ];
        let context = match egl.create_context(display, config, None, &version) {
            Ok(context) => context,
            Err(source) => {
                // Some drivers list what they then refuse.
                return Err(match older(&egl, display) {
                    Some(offered) => UiError::NoGles3 {
                        offered: Some(offered),
                    },
                    None => UiError::Egl {
                        operation: "eglCreateContext for OpenGL ES 3.0",
                        source,
                    },
                });
            }
        };
        let this = Self {
            egl,
            display,
            config,
            context,
            window: None,
            platform,
            window_format,
        };
        this.egl
            .make_current(display, None, None, Some(context))
            .map_err(failed("eglMakeCurrent without a surface"))?;
        Ok(this)
    }

    /// GBM's format of the surfaces that [`Context::attach_window`] takes.
    #[must_use]
    pub const fn window_format(&self) -> Option<u32> {
        self.window_format
    }

    /// Draws into a GBM surface from now on: framebuffer 0 is its next buffer.
    ///
    /// # Safety
    ///
    /// `surface` is a live `gbm_surface` of the context's device and format, and lives until
    /// [`Context::detach_window`] or the context's end.
    ///
    /// # Errors
    ///
    /// The driver refuses it.
    pub unsafe fn attach_window(&mut self, surface: *mut c_void) -> Result<(), UiError> {
        self.detach_window();
        let attributes = [egl::ATTRIB_NONE];
        // SAFETY: the caller's promise; the attribute list ends with EGL_NONE.
        let window = unsafe {
            self.egl
                .create_platform_window_surface(self.display, self.config, surface, &attributes)
        };
        let window = window.map_err(failed("eglCreatePlatformWindowSurface"))?;
        self.window = Some(window);
        let (window, context) = (Some(window), Some(self.context));
        self.egl
            .make_current(self.display, window, window, context)
            .map_err(failed("eglMakeCurrent on a GBM surface"))
    }

    /// Lets go of the surface; the context stays current without one.
    pub fn detach_window(&mut self) {
        let Some(window) = self.window.take() else {
            return;
        };
        let context = Some(self.context);
        if let Err(error) = self.egl.make_current(self.display, None, None, context) {
            log::debug!("eglMakeCurrent without a surface: {error}");
        }
        if let Err(error) = self.egl.destroy_surface(self.display, window) {
            log::debug!("eglDestroySurface: {error}");
        }
    }

    /// Hands the drawn buffer on to the GBM surface, whose front buffer it becomes.
    ///
    /// # Errors
    ///
    /// The driver reports an error, or there is no surface.
    pub fn swap(&self) -> Result<(), UiError> {
        let window = self.window.ok_or(egl::Error::BadSurface);
        window
            .and_then(|window| self.egl.swap_buffers(self.display, window))
            .map_err(failed("eglSwapBuffers"))
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

    pub(super) fn egl(&self) -> (Rc<Egl>, egl::Display) {
        (Rc::clone(&self.egl), self.display)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.detach_window();
        if let Err(error) = self.egl.make_current(self.display, None, None, None) {
            log::debug!("eglMakeCurrent on release: {error}");
        }
        if let Err(error) = self.egl.destroy_context(self.display, self.context) {
            log::debug!("eglDestroyContext: {error}");
        }
        // A display without a monitor is shared by everybody in the process who asked for it, and
        // stays. One on a GBM device is of that device, which goes next.
        if self.window_format.is_some()
            && let Err(error) = self.egl.terminate(self.display)
        {
            log::debug!("eglTerminate: {error}");
        }
    }
}

fn failed(operation: &'static str) -> impl Fn(egl::Error) -> UiError {
    move |source| UiError::Egl { operation, source }
}

thread_local! {
    /// The library that this thread loaded last, by name. Unloading a driver that has threads of its own
    /// crashes some of them, so that it stays; it is loaded once, however often a card is tried.
    static LOADED: RefCell<Option<(String, ManuallyDrop<Rc<Egl>>)>> = const { RefCell::new(None) };
}

fn load(library: &str) -> Result<ManuallyDrop<Rc<Egl>>, UiError> {
    let known = LOADED.with_borrow(|loaded| {
        let loaded = loaded.as_ref().filter(|(name, _)| name == library);
        loaded.map(|(_, egl)| egl.clone())
    });
    if let Some(egl) = known {
        return Ok(egl);
    }
    // SAFETY: loading runs the library's initialisers; an EGL library's are harmless, and nobody
    // but the operator chooses which file the loader finds under this name.
    let loaded = unsafe { Egl::load_required_from_filename(library) };
    let egl = loaded.map_err(|source| UiError::NoEgl {
        library: library.to_owned(),
        source: source.into(),
    })?;
    let egl = ManuallyDrop::new(Rc::new(egl));
    LOADED.set(Some((library.to_owned(), egl.clone())));
    Ok(egl)
}

fn bind_api(egl: &Egl) -> Result<(), UiError> {
    egl.bind_api(egl::OPENGL_ES_API)
        .map_err(failed("eglBindAPI for OpenGL ES"))
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

/// A configuration with eight bits of each colour and of stencil, in a format that cards scan out.
fn window_config(egl: &Egl, display: egl::Display) -> Result<(egl::Config, u32), UiError> {
    let wanted = [
        egl::RENDERABLE_TYPE,
        egl::OPENGL_ES3_BIT,
        egl::SURFACE_TYPE,
        egl::WINDOW_BIT,
        egl::RED_SIZE,
        8,
        egl::GREEN_SIZE,
        8,
        egl::BLUE_SIZE,
        8,
        egl::STENCIL_SIZE,
        8,
        egl::NONE,
    ];
    let count = egl
        .get_config_count(display)
        .map_err(failed("eglGetConfigs"))?;
    let mut configs = Vec::with_capacity(count);
    egl.choose_config(display, &wanted, &mut configs)
        .map_err(failed("eglChooseConfig for OpenGL ES 3"))?;
    if configs.is_empty() {
        return Err(UiError::NoGles3 {
            offered: older(egl, display),
        });
    }
    let format_of = |config: &egl::Config| {
        let id = egl.get_config_attrib(display, *config, egl::NATIVE_VISUAL_ID);
        id.map(i32::cast_unsigned).ok()
    };
    [XRGB8888, ARGB8888]
        .into_iter()
        .find_map(|format| {
            let config = configs.iter().find(|c| format_of(c) == Some(format))?;
            Some((*config, format))
        })
        .ok_or(UiError::NoScanOutFormat)
}

/// The version of OpenGL ES that is there where 3.0 is not.
fn older(egl: &Egl, display: egl::Display) -> Option<&'static str> {
    let wanted = [egl::RENDERABLE_TYPE, egl::OPENGL_ES2_BIT, egl::NONE];
    let config = egl.choose_first_config(display, &wanted).ok()??;
    let version = [egl::CONTEXT_MAJOR_VERSION, 2, egl::NONE];
    let context = egl.create_context(display, config, None, &version).ok()?;
    let _ = egl.destroy_context(display, context);
    Some("2.0")
}
