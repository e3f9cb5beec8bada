//! What is wrong with a configuration, told so that somebody at the device can put it right.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Most problems that are written out; the rest is counted.
const SHOWN_MAX: usize = 30;

/// Most problems that are kept. A file of 1 MiB can hold half a million.
const KEPT_MAX: usize = 200;

/// Most characters of an offending line that are shown.
const EXCERPT_MAX: usize = 100;

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in a text file.
    Text {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The line, or the part of it around the column.
        excerpt: Excerpt,
    },
    /// A file as a whole.
    File(PathBuf),
    /// An option of the command line, with its hyphens.
    Flag(&'static str),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What is wrong and what would be right.
    pub message: String,
    /// What to do, where the message does not say it already.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut margin = 2;
        match &self.origin {
            Origin::Text {
                path,
                line,
                column,
                excerpt,
            } => {
                let file = path.display();
                writeln!(f, "{file}:{line}:{column}: {}", self.message)?;
                let number = format!("{line:>5}");
                margin = number.len();
                let Excerpt { text, marked } = excerpt;
                let (indent, marks) = (marked.start, "^".repeat(marked.len()));
                writeln!(f, "{number} | {text}")?;
                write!(f, "{:margin$} | {:indent$}{marks}", "", "")?;
            }
            Origin::File(path) => write!(f, "{}: {}", path.display(), self.message)?,
            Origin::Flag(name) => write!(f, "{name}: {}", self.message)?,
        }
        if let Some(help) = &self.help {
            write!(f, "\n{:margin$} = {help}", "")?;
        }
        Ok(())
    }
}

/// A short piece of a file's line with a part of it marked, fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// At most about a hundred characters of one line, no control character among them.
    pub text: String,
    /// The marked characters of `text`; one beyond its end where the line itself ends too early.
    pub marked: Range<usize>,
}

impl Excerpt {
    /// Cuts a line around `width` characters from `start` on.
    pub(super) fn new(line: &str, start: usize, width: usize) -> Self {
        let first = start.saturating_sub(EXCERPT_MAX / 2);
        let mut rest = line.chars().skip(first);
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let mut text = if first > 0 { "..." } else { "" }.to_owned();
        let indent = start - first + text.len();
        let piece: String = rest.by_ref().take(EXCERPT_MAX).map(clean).collect();
        let room = (first + piece.chars().count()).saturating_sub(start);
        text.push_str(&piece);
        if rest.next().is_some() {
            text.push_str("...");
        }
        let marked = indent..indent + width.min(room).max(1);
        Self { text, marked }
    }
}

/// Everything that is wrong with a configuration: never empty, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
    count: usize,
}

impl ConfigError {
    /// The problems, in the order of files and lines, the command line's last; at most the first
    /// 200 found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(SHOWN_MAX) {
            writeln!(f, "{problem}")?;
        }
        if self.count > SHOWN_MAX {
            writeln!(f, "and {} more", self.count - SHOWN_MAX)?;
        }
        match self.count {
            1 => f.write_str("the configuration has 1 problem"),
            count => write!(f, "the configuration has {count} problems"),
        }
    }
}

/// Collects problems while both files are read to their end.
#[derive(Debug, Default)]
pub(super) struct Problems {
    kept: RefCell<Vec<Problem>>,
    count: Cell<usize>,
}

impl Problems {
    /// Notes a problem that its message explains fully.
    pub(super) fn add(&self, origin: Origin, message: impl Into<String>) {
        self.push(origin, message.into(), None);
    }

    /// Notes a problem with something to do about it.
    pub(super) fn add_with_help(
        &self,
        origin: Origin,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(origin, message.into(), Some(help.into()));
    }

    fn push(&self, origin: Origin, message: String, help: Option<String>) {
        self.count_one();
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(Problem {
                origin,
                message,
                help,
            });
        }
    }

    /// Counts a problem without keeping it.
    pub(super) fn count_one(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// Number of problems so far.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// Whether there are so many that looking for more of the same kind helps nobody.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= KEPT_MAX
    }

    /// `value`, if nothing was wrong with it.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        let (mut problems, count) = (self.kept.into_inner(), self.count.get());
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            Some(_) | None => {
                debug_assert!(count > 0, "no configuration and no reason");
                sort(&mut problems);
                Err(ConfigError { problems, count })
            }
        }
    }
}

/// By position within a file; files stay in the order in which they were read, flags go last.
fn sort(problems: &mut [Problem]) {
    let files: Vec<PathBuf> = problems
        .iter()
        .filter_map(|problem| match &problem.origin {
            Origin::Text { path, .. } | Origin::File(path) => Some(path.clone()),
            Origin::Flag(_) => None,
        })
        .collect();
    let rank = |path: &PathBuf| files.iter().position(|file| file == path);
    problems.sort_by_cached_key(|problem| match &problem.origin {
        Origin::Text {
            path, line, column, ..
        } => (0, rank(path), *line, *column),
        Origin::File(path) => (0, rank(path), 0, 0),
        Origin::Flag(_) => (1, None, 0, 0),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, column: usize, width: usize) -> Problem {
        Problem {
            origin: Origin::Text {
                path: "a.toml".into(),
                line: 7,
                column,
                excerpt: Excerpt::new(text, column - 1, width),
            },
            message: "is wrong".to_owned(),
            help: None,
        }
    }

    #[test]
    fn a_problem_shows_its_line_and_marks_the_place() {
        let mut problem = at("threshold = 1.5", 13, 3);
        problem.help = Some("write 0.5".to_owned());
        let expected = "\
a.toml:7:13: is wrong
    7 | threshold = 1.5
      |             ^^^
      = write 0.5";
        assert_eq!(problem.to_string(), expected);
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}HERE{}", "a".repeat(300), "b".repeat(300));
        let text = at(&line, 301, 4).to_string();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[1].chars().position(|c| c == 'H');
        assert_eq!(shown, lines[2].chars().position(|c| c == '^'));
        assert!(lines[1].starts_with("    7 | ...a") && lines[1].ends_with("b..."));
        assert!(lines[1].chars().count() < 120, "{text}");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let text = at("a = \u{1b}[31m\u{7}\tx", 5, 1).to_string();
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{text:?}"
        );
    }

    #[test]
    fn many_problems_are_counted_not_all_kept_and_not_all_shown() {
        let problems = Problems::default();
        for _ in 0..1000 {
            problems.add(Origin::Flag("--threads"), "is 0");
        }
        let error = problems.into_result(Some(())).expect_err("problems");
        let text = error.to_string();
        assert_eq!(error.problems().len(), KEPT_MAX);
        assert_eq!(text.lines().count(), SHOWN_MAX + 2);
        assert!(text.ends_with("and 970 more\nthe configuration has 1000 problems"));
    }
}
