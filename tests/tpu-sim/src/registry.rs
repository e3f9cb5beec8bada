//! Everything the simulated chip may be asked to run.
//!
//! A real chip runs whatever instructions come. The simulator has to recognise them, so models are
//! made known to it beforehand: by file, through its own readers.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::layout::{LayoutError, OutputMap};
use crate::link::Template;
use crate::model::{Model, ModelError};
use crate::package::{Executable, Kind, Package};

/// Why a model cannot be made known.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The file cannot be read.
    #[error("cannot read model {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no model that we understand.
    #[error("model \"{name}\": {source}")]
    Model {
        /// Which model.
        name: String,
        /// Why.
        source: ModelError,
    },
    /// An output that no inverse can be made of.
    #[error("model \"{name}\": {source}")]
    Layout {
        /// Which model.
        name: String,
        /// Why.
        source: LayoutError,
    },
}

/// An executable, prepared.
#[derive(Debug)]
pub struct Program {
    /// Name of the model it is part of.
    pub model: String,
    /// Which of the model's packages.
    pub package: usize,
    /// The package's model identifier.
    pub identifier: String,
    /// The executable.
    pub executable: Executable,
    /// For comparing instructions.
    pub template: Template,
    /// For laying out outputs, in the order of the output layers.
    pub output_maps: Vec<OutputMap>,
    /// Identity by content: instructions, parameters and token.
    pub identity: u64,
    /// Identity of the caching executable whose parameters this one relies on.
    pub relies_on: Option<u64>,
}

impl Program {
    /// Name as reference traces write it: forty characters of the model's file name and the kind.
    #[must_use]
    pub fn label(&self) -> String {
        let short: String = self.model.chars().take(40).collect();
        let kind = match self.executable.kind {
            Kind::StandAlone => "STAND_ALONE",
            Kind::ParameterCaching => "PARAMETER_CACHING",
            Kind::ExecutionOnly => "EXECUTION_ONLY",
        };
        format!("{short}:{kind}")
    }
}

/// All known programs.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    programs: Vec<Arc<Program>>,
}

fn identity(executable: &Executable, template: &Template) -> u64 {
    let mut hash = crate::fnv1a(&executable.token.to_le_bytes());
    for chunk in template.masked() {
        hash = crate::fnv1a_more(hash, chunk);
    }
    crate::fnv1a_more(hash, &executable.parameters)
}

impl Registry {
    /// Makes a model file known.
    ///
    /// # Errors
    ///
    /// It cannot be read or understood.
    pub fn add_file(&mut self, path: impl AsRef<Path>) -> Result<(), RegistryError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| RegistryError::File {
            path: path.display().to_string(),
            source,
        })?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        self.add_bytes(&name, &bytes)
    }

    /// Makes a model known from its bytes.
    ///
    /// # Errors
    ///
    /// It cannot be understood.
    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let model = Model::read(bytes).map_err(|source| RegistryError::Model {
            name: name.to_owned(),
            source,
        })?;
        for (index, package) in model.packages().enumerate() {
            self.add_package(name, index, package)?;
        }
        Ok(())
    }

    /// Makes one package known.
    ///
    /// # Errors
    ///
    /// An output layer's layout cannot be inverted.
    pub fn add_package(
        &mut self,
        name: &str,
        index: usize,
        package: &Package,
    ) -> Result<(), RegistryError> {
        let relies_on = package
            .executable(Kind::ParameterCaching)
            .map(|caching| identity(caching, &Template::new(caching)));
        for executable in &package.executables {
            let template = Template::new(executable);
            let output_maps = executable
                .outputs
                .iter()
                .map(OutputMap::new)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| RegistryError::Layout {
                    name: name.to_owned(),
                    source,
                })?;
            self.programs.push(Arc::new(Program {
                model: name.to_owned(),
                package: index,
                identifier: package.model_identifier.clone(),
                identity: identity(executable, &template),
                relies_on: match executable.kind {
                    Kind::ExecutionOnly => relies_on,
                    Kind::StandAlone | Kind::ParameterCaching => None,
                },
                executable: executable.clone(),
                template,
                output_maps,
            }));
        }
        Ok(())
    }

    /// All programs, in the order in which they were made known.
    #[must_use]
    pub fn programs(&self) -> &[Arc<Program>] {
        &self.programs
    }
}
