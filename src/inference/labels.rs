//! Label files: which number stands for which word.

use std::path::{Path, PathBuf};

use super::error::InferenceError;
use crate::units::LabelId;

/// The words of one label file, by number.
///
/// Two forms are read: `id label` on every line (ids may have gaps, as COCO's have), or plain words,
/// where the number is the line's, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    path: PathBuf,
    names: Vec<String>,
    /// Classes of the model, where they are known: words beyond them are never put out.
    classes: Option<usize>,
}

/// Stands for a number without a word.
const UNNAMED: &str = "?";

impl Labels {
    /// Reads a label file.
    ///
    /// # Errors
    ///
    /// Unreadable, empty, or with a number twice or too large.
    pub fn read(path: &Path) -> Result<Self, InferenceError> {
        let text = std::fs::read_to_string(path).map_err(|source| InferenceError::Unreadable {
            what: "label file",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Takes the text of a label file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As [`Labels::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, InferenceError> {
        let failed = |reason: String| InferenceError::Labels {
            path: path.to_owned(),
            reason,
        };
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let written: Vec<&str> = lines.clone().filter(|line| !line.is_empty()).collect();
        if written.is_empty() {
            return Err(failed("no label in it".to_owned()));
        }
        let numbered: Option<Vec<(u16, &str)>> =
            written.iter().map(|line| numbered(line)).collect();
        let names = match numbered {
            Some(entries) => {
                let highest = entries.iter().map(|(id, _)| *id).max().unwrap_or_default();
                let mut names = vec![UNNAMED.to_owned(); usize::from(highest) + 1];
                for (id, label) in entries {
                    let name = &mut names[usize::from(id)];
                    if name != UNNAMED {
                        return Err(failed(format!("number {id} is there twice")));
                    }
                    label.clone_into(name);
                }
                names
            }
            None => lines
                .map(|line| if line.is_empty() { UNNAMED } else { line }.to_owned())
                .collect(),
        };
        if names.len() > usize::from(u16::MAX) {
            return Err(failed(format!("{} labels are too many", names.len())));
        }
        Ok(Self {
            path: path.to_owned(),
            names,
            classes: None,
        })
    }

    /// The words of a model that tells so many classes apart.
    #[must_use]
    pub(super) fn of_model(self, classes: usize) -> Self {
        Self {
            classes: Some(classes),
            ..self
        }
    }

    /// The file they came from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The words by [`LabelId`]; `?` for a number without one.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of every word that the model can put out.
    pub fn ids(&self) -> impl Iterator<Item = LabelId> {
        let known = self.classes.unwrap_or(usize::MAX);
        let numbers = (0_u16..).zip(self.names.iter().take(known));
        numbers.map(|(number, _)| LabelId(number))
    }

    /// Number of a word.
    ///
    /// # Errors
    ///
    /// The file has no such word; the message names the ones it has. Or the model never puts it out.
    pub fn id(&self, name: &str) -> Result<LabelId, InferenceError> {
        let position = self.names.iter().position(|known| known == name);
        if let (Some(number), Some(classes)) = (position, self.classes)
            && number >= classes
        {
            return Err(InferenceError::Labels {
                path: self.path.clone(),
                reason: format!(
                    "label {name:?} has number {number}, but the model knows only the {classes} classes from 0: are these its labels?"
                ),
            });
        }
        let id = position.and_then(|position| u16::try_from(position).ok());
        id.filter(|_| name != UNNAMED)
            .map(LabelId)
            .ok_or_else(|| InferenceError::Labels {
                path: self.path.clone(),
                reason: format!(
                    "no label is called {name:?}; there are {}",
                    self.some_names()
                ),
            })
    }

    fn some_names(&self) -> String {
        let named = self.names.iter().filter(|name| *name != UNNAMED);
        let mut some: Vec<&str> = named.clone().take(8).map(String::as_str).collect();
        if named.count() > some.len() {
            some.push("…");
        }
        some.join(", ")
    }
}

/// `17 potted plant` → (17, "potted plant").
fn numbered(line: &str) -> Option<(u16, &str)> {
    let (id, label) = line.split_once(char::is_whitespace)?;
    let label = label.trim();
    id.trim_end_matches(':')
        .parse()
        .ok()
        .filter(|_| !label.is_empty())
        .map(|id| (id, label))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure is the message")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Labels, InferenceError> {
        Labels::parse(Path::new("x_labels.txt"), text)
    }

    #[test]
    fn numbers_may_have_gaps() {
        let labels = parse("0  person\n52 apple\r\n\n1 potted plant\n").unwrap();
        assert_eq!(labels.id("apple").unwrap(), LabelId(52));
        assert_eq!(labels.id("potted plant").unwrap(), LabelId(1));
        assert_eq!(labels.names()[2], "?");
        assert_eq!(labels.names().len(), 53);
    }

    #[test]
    fn plain_lines_are_counted_from_zero() {
        let labels = parse("fresh_apple\nrotten_apple\n").unwrap();
        assert_eq!(labels.id("rotten_apple").unwrap(), LabelId(1));
        // A word that begins with a digit does not make the others numbered.
        assert_eq!(
            parse("3 star\nbad\n").unwrap().id("3 star").unwrap(),
            LabelId(0)
        );
    }

    #[test]
    fn a_missing_label_is_named_with_the_file() {
        let error = parse("cat\ndog\n")
            .unwrap()
            .id("person")
            .unwrap_err()
            .to_string();
        for part in ["x_labels.txt", "person", "cat, dog"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(parse("0 a\n2 b\n").unwrap().id("?").is_err());
    }

    #[test]
    fn a_word_beyond_the_models_classes_is_refused_by_name() {
        let labels = parse("cat\ndog\nperson\n").unwrap().of_model(2);
        assert_eq!(labels.id("dog").unwrap(), LabelId(1));
        assert_eq!(labels.ids().count(), 2);
        let error = labels.id("person").unwrap_err().to_string();
        for part in ["x_labels.txt", "\"person\"", "number 2", "2 classes"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_useless_file_is_refused() {
        assert!(parse(" \n\n").unwrap_err().to_string().contains("no label"));
        assert!(
            parse("1 a\n1 b\n")
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
    }
}
