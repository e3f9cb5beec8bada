//! What is in a compiled model, as text.

use std::fmt::Write as _;

use crate::model::Model;
use crate::package::{Direction, Executable, Hint, Kind, Layer, Target};

fn hint(hint: &Hint) -> String {
    match hint {
        Hint::Instructions(chunk) => format!("I{chunk}"),
        Hint::Interrupt(number) => format!("X{number}"),
        Hint::Fence => "F".to_owned(),
        Hint::Dma {
            target,
            offset,
            bytes,
            direction,
        } => {
            let name = match target {
                Target::Output { .. } => "OUT",
                Target::Input { .. } => "IN",
                Target::Parameters => "PARAM",
                Target::Scratch => "SCRATCH",
            };
            let way = match direction {
                Direction::Infeed => '>',
                Direction::Outfeed => '<',
            };
            format!("{name}@{offset}{way}{bytes}")
        }
    }
}

fn layer(out: &mut String, kind: &str, layer: &Layer) {
    let _ = write!(
        out,
        "    {kind} {} yxz {} {} {} size {} {:?} exec {} zero {} scale {}",
        layer.name,
        layer.y,
        layer.x,
        layer.z,
        layer.size_bytes,
        layer.data_type,
        layer.executions,
        layer.zero_point,
        layer.scale
    );
    if let Some(tiles) = &layer.tiles {
        let _ = write!(
            out,
            " maps {} {} tiles {}",
            tiles.y_tile.len(),
            tiles.x_tile.len(),
            tiles.tile_start.len()
        );
    }
    if let Some(slices) = &layer.slices {
        let _ = write!(out, " slices {}", slices.slices.len());
    }
    out.push('\n');
}

fn executable(out: &mut String, executable: &Executable) {
    let kind = match executable.kind {
        Kind::StandAlone => "STAND_ALONE",
        Kind::ParameterCaching => "PARAMETER_CACHING",
        Kind::ExecutionOnly => "EXECUTION_ONLY",
    };
    let chunks: Vec<usize> = executable
        .bitstreams
        .iter()
        .map(|b| b.bytes.len())
        .collect();
    let fields: Vec<usize> = executable
        .bitstreams
        .iter()
        .map(|b| b.fields.len())
        .collect();
    let _ = writeln!(
        out,
        "  {kind} token {:#x} batch {} params {} scratch {} chunks {chunks:?} fields {fields:?} chip {} deterministic {}",
        executable.token,
        executable.batch,
        executable.parameters.len(),
        executable.scratch_bytes,
        executable.chip,
        executable.fully_deterministic
    );
    let hints: Vec<String> = executable.hints.iter().map(hint).collect();
    let _ = writeln!(out, "    hints {}", hints.join(" "));
    for input in &executable.inputs {
        layer(out, "in", input);
    }
    for output in &executable.outputs {
        layer(out, "out", output);
    }
}

/// Describes all packages of a model.
#[must_use]
pub fn dump(model: &Model) -> String {
    let mut out = String::new();
    for package in model.packages() {
        let _ = writeln!(
            out,
            "package: min_runtime {} compiler {} model_id {}",
            package.min_runtime_version, package.compiler_version, package.model_identifier
        );
        for e in &package.executables {
            executable(&mut out, e);
        }
    }
    out
}
