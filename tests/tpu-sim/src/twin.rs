//! Outputs by TensorFlow Lite: the CPU model that a package was made of, on a thread of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tflitec::interpreter::{Interpreter, Options};
use tflitec::model::Model;

use crate::execute::{Executor, Inference};
use crate::pack::twin_path;

/// Names and bytes of tensors.
type Named = Vec<(String, Vec<u8>)>;

struct Worker {
    jobs: SyncSender<(Named, Vec<String>)>,
    results: Receiver<Result<Vec<Vec<u8>>, String>>,
}

/// Runs twins.
#[derive(Default)]
pub struct Twins {
    /// By the package's model identifier, or by the model's file name.
    files: BTreeMap<String, PathBuf>,
    workers: BTreeMap<String, Worker>,
}

impl std::fmt::Debug for Twins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twins")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Twins {
    /// No twins yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the twin that lies beside a packed model. Says whether there is one.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read.
    pub fn add_beside(&mut self, model: &Path) -> Result<bool, std::io::Error> {
        let path = twin_path(model);
        if !path.exists() {
            return Ok(false);
        }
        let hash = crate::fnv1a(&std::fs::read(&path)?);
        self.files
            .insert(format!("andon-tpu-sim:{hash:016x}"), path);
        Ok(true)
    }

    /// Names the CPU model of a compiled one.
    pub fn add(&mut self, model_file_name: &str, twin: &Path) {
        self.files
            .insert(model_file_name.to_owned(), twin.to_owned());
    }

    fn worker(&mut self, inference: &Inference<'_>) -> Result<&Worker, String> {
        let key = [inference.identifier, inference.model]
            .into_iter()
            .find(|key| self.files.contains_key(*key))
            .ok_or_else(|| {
                format!(
                    "no CPU twin of \"{}\" (identifier \"{}\") is known",
                    inference.model, inference.identifier
                )
            })?;
        if !self.workers.contains_key(key) {
            let path = self.files.get(key).cloned().unwrap_or_default();
            self.workers.insert(key.to_owned(), start(&path)?);
        }
        self.workers
            .get(key)
            .ok_or_else(|| "the twin's thread is gone".to_owned())
    }
}

fn start(path: &Path) -> Result<Worker, String> {
    let (jobs, todo) = sync_channel::<(Named, Vec<String>)>(1);
    let (done, results) = sync_channel(1);
    let (ready, begun) = sync_channel::<Result<(), String>>(1);
    let path = path.to_string_lossy().into_owned();
    thread::Builder::new()
        .name("tpu-twin".to_owned())
        .spawn(move || {
            let model = match Model::new(&path) {
                Ok(model) => model,
                Err(error) => {
                    let _ = ready.send(Err(format!("{path}: {error}")));
                    return;
                }
            };
            let options = Options {
                thread_count: 1,
                is_xnnpack_enabled: true,
            };
            let interpreter = Interpreter::new(&model, Some(options))
                .and_then(|interpreter| interpreter.allocate_tensors().map(|()| interpreter));
            let interpreter = match interpreter {
                Ok(interpreter) => interpreter,
                Err(error) => {
                    let _ = ready.send(Err(format!("{path}: {error}")));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            while let Ok((inputs, outputs)) = todo.recv() {
                let result = run(&interpreter, &inputs, &outputs);
                if done.send(result).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| format!("the twin's thread cannot be started: {error}"))?;
    match begun.recv() {
        Ok(Ok(())) => Ok(Worker { jobs, results }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err("the twin's thread ended".to_owned()),
    }
}

fn run(
    interpreter: &Interpreter<'_>,
    inputs: &Named,
    outputs: &[String],
) -> Result<Vec<Vec<u8>>, String> {
    let text = |error: tflitec::Error| error.to_string();
    for (position, (name, bytes)) in inputs.iter().enumerate() {
        let count = interpreter.input_tensor_count();
        let mut index = position;
        for candidate in 0..count {
            if interpreter.input(candidate).map_err(text)?.name() == name {
                index = candidate;
            }
        }
        interpreter.copy(bytes, index).map_err(text)?;
    }
    interpreter.invoke().map_err(text)?;
    let mut results = Vec::new();
    for (position, name) in outputs.iter().enumerate() {
        let mut index = position;
        for candidate in 0..interpreter.output_tensor_count() {
            if interpreter.output(candidate).map_err(text)?.name() == name {
                index = candidate;
            }
        }
        let tensor = interpreter.output(index).map_err(text)?;
        results.push(tensor.data::<u8>().to_vec());
    }
    Ok(results)
}

impl Executor for Twins {
    fn run(&mut self, inference: &Inference<'_>, outputs: &mut [Vec<u8>]) -> Result<(), String> {
        let inputs = inference
            .input_layers
            .iter()
            .zip(inference.inputs)
            .map(|(layer, bytes)| (layer.name.clone(), bytes.clone()))
            .collect();
        let names = inference.output_layers.iter().map(|l| l.name.clone());
        let names = names.collect();
        let worker = self.worker(inference)?;
        let gone = || "the twin's thread ended".to_owned();
        if worker.jobs.send((inputs, names)).is_err() {
            return Err(gone());
        }
        let Ok(results) = worker.results.recv() else {
            return Err(gone());
        };
        let results = results?;
        for (layer, (output, result)) in inference
            .output_layers
            .iter()
            .zip(outputs.iter_mut().zip(results))
        {
            if output.len() != result.len() {
                return Err(format!(
                    "output \"{}\" has {} bytes in the twin and {} in the package",
                    layer.name,
                    result.len(),
                    output.len()
                ));
            }
            *output = result;
        }
        Ok(())
    }
}
