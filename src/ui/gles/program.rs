//! Compiling a pair of shaders.

use glow::HasContext;

use crate::ui::UiError;

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
