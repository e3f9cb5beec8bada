//! Compiling a pair of shaders, and asking the driver what went wrong.

use glow::HasContext;

use crate::ui::UiError;

/// As [`compile`], of a fragment shader for planes laid out like this, with its samplers on the texture
/// units from 0. The program is in use then.
pub(super) fn compile_for(
    gl: &glow::Context,
    layout: &str,
    vertex: &str,
    fragment: &str,
    samplers: &[&str],
) -> Result<glow::Program, UiError> {
    let fragment = format!("#version 300 es\n#define {layout}\n{fragment}");
    let program = compile(gl, vertex, &fragment)?;
    // SAFETY: the context is current and the program was just made on it.
    unsafe {
        gl.use_program(Some(program));
        for (unit, name) in (0..).zip(samplers) {
            let location = gl.get_uniform_location(program, name);
            gl.uniform_1_i32(location.as_ref(), unit);
        }
    }
    Ok(program)
}

/// Whether the driver has an error to report since it was asked last.
pub(super) fn no_error(gl: &glow::Context, operation: &'static str) -> Result<(), UiError> {
    // SAFETY: a query of the current context.
    match unsafe { gl.get_error() } {
        glow::NO_ERROR => Ok(()),
        code => Err(UiError::Gl { operation, code }),
    }
}

/// Compiles and links; errors carry the driver's log.
pub(super) fn compile(
    gl: &glow::Context,
    vertex: &str,
    fragment: &str,
) -> Result<glow::Program, UiError> {
    // SAFETY: the context is current; objects are made and used right here.
    unsafe {
        let program = gl.create_program().map_err(UiError::Shader)?;
        for (kind, source) in [
            (glow::VERTEX_SHADER, vertex),
            (glow::FRAGMENT_SHADER, fragment),
        ] {
            let shader = gl.create_shader(kind).map_err(UiError::Shader)?;
            gl.shader_source(shader, source);
            gl.compile_shader(shader);
            if !gl.get_shader_compile_status(shader) {
                return Err(UiError::Shader(gl.get_shader_info_log(shader)));
            }
            gl.attach_shader(program, shader);
            gl.delete_shader(shader);
        }
        gl.link_program(program);
        if gl.get_program_link_status(program) {
            Ok(program)
        } else {
            Err(UiError::Shader(gl.get_program_info_log(program)))
        }
    }
}
