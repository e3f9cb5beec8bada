//! The event log on the disk: JSON lines in numbered files of a bounded size and number.
//!
//! `events-00000001.jsonl`, `events-00000002.jsonl` and so on; the highest number is being written.
//! Nothing is ever renamed, so that a power cut at any moment leaves a readable folder. A line is
//! whole or the end of it is missing; after a restart the next line begins on a line of its own, and
//! readers count what is torn and go on.
//!
//! Blocks for as long as the disk does; the thread that owns an [`EventLog`] may therefore stall, and
//! nobody waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::EventsConfig;

/// What the files are called around their number.
const PREFIX: &str = "events-";
const SUFFIX: &str = ".jsonl";

/// Longest line that is read or written, bytes. A list of problems is cut long before.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Why the event log cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("event log: cannot {operation} {path}: {source}")]
pub struct EventLogError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl EventLogError {
    fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// An error of some disk, for those who have to live with one.
    #[cfg(test)]
    pub(crate) fn for_test(kind: io::ErrorKind) -> Self {
        Self::new("write", Path::new("test"), kind.into())
    }
}

/// How the last line was found when the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLine {
    /// Whole, or there is none.
    Whole,
    /// Cut off; it was left as it is and ended.
    Torn,
}

/// Appends lines; begins a new file when one is full and removes the oldest.
#[derive(Debug)]
pub struct EventLog {
    directory: PathBuf,
    bytes_max: u64,
    files_max: usize,
    number: u64,
    file: File,
    /// Bytes of whole lines in `file`.
    bytes: u64,
    /// Whether something was written that `sync` has not yet made lasting.
    unsynced: bool,
}

impl EventLog {
    /// Opens the newest file of `directory`, or makes the folder and the first one.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be made, read or written.
    pub fn open(
        directory: &Path,
        config: &EventsConfig,
    ) -> Result<(Self, LastLine), EventLogError> {
        fs::create_dir_all(directory)
            .map_err(|source| EventLogError::new("create folder", directory, source))?;
        let number = numbers(directory)?.last().copied().unwrap_or(1);
        let path = path_of(directory, number);
        let (mut file, bytes) = open_for_append(&path)?;
        let last = last_line(&mut file, bytes)
            .map_err(|source| EventLogError::new("read", &path, source))?;
        let mut log = Self {
            directory: directory.to_owned(),
            bytes_max: u64::from(config.file_bytes_max),
            files_max: usize::try_from(config.files_max).unwrap_or(usize::MAX),
            number,
            file,
            bytes,
            unsynced: false,
        };
        if last == LastLine::Torn {
            log.put(b"\n")?;
        }
        sync_folder(directory);
        Ok((log, last))
    }

    /// The file being written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_of(&self.directory, self.number)
    }

    /// Appends one line, which must not contain a line break.
    ///
    /// # Errors
    ///
    /// The line is not in the log: nothing of it, as far as the file system allows.
    pub fn append(&mut self, line: &str) -> Result<(), EventLogError> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.look()?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(length) > self.bytes_max {
            self.begin_next()?;
        }
        self.put(&bytes)
    }

    /// Makes what was appended survive a power cut.
    ///
    /// # Errors
    ///
    /// The system cannot promise that.
    pub fn sync(&mut self) -> Result<(), EventLogError> {
        if self.unsynced {
            self.file
                .sync_data()
                .map_err(|source| EventLogError::new("flush", &self.path(), source))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Somebody may have removed the file or cut it.
    fn look(&mut self) -> Result<(), EventLogError> {
        let path = self.path();
        let metadata = self
            .file
            .metadata()
            .map_err(|source| EventLogError::new("look at", &path, source))?;
        self.bytes = metadata.len();
        if metadata.nlink() == 0 {
            fs::create_dir_all(&self.directory)
                .map_err(|source| EventLogError::new("create folder", &self.directory, source))?;
            (self.file, self.bytes) = open_for_append(&path)?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), EventLogError> {
        if let Err(source) = self.file.write_all(bytes) {
            // A piece of the line may be there; taking it back works on a full disk, too.
            let path = self.path();
            if let Err(error) = self.file.set_len(self.bytes) {
                log::warn!(
                    "event log: a torn line stays in {}: {error}",
                    path.display()
                );
            }
            return Err(EventLogError::new("write", &path, source));
        }
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.unsynced = true;
        Ok(())
    }

    fn begin_next(&mut self) -> Result<(), EventLogError> {
        self.sync()?;
        let number = self.number.saturating_add(1);
        let (file, bytes) = open_for_append(&path_of(&self.directory, number))?;
        (self.number, self.file, self.bytes) = (number, file, bytes);
        let numbers = numbers(&self.directory)?;
        let surplus = numbers.len().saturating_sub(self.files_max);
        for number in numbers.iter().take(surplus) {
            let path = path_of(&self.directory, *number);
            if let Err(error) = fs::remove_file(&path) {
                log::warn!("event log: cannot remove {}: {error}", path.display());
            }
        }
        sync_folder(&self.directory);
        Ok(())
    }
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number:08}{SUFFIX}"))
}

/// Numbers of the log's files, ascending.
fn numbers(directory: &Path) -> Result<Vec<u64>, EventLogError> {
    let failed = |source| EventLogError::new("list folder", directory, source);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX))
            .filter(|digits| digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open_for_append(path: &Path) -> Result<(File, u64), EventLogError> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .and_then(|file| {
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        });
    opened.map_err(|source| EventLogError::new("open", path, source))
}

fn last_line(file: &mut File, bytes: u64) -> io::Result<LastLine> {
    if bytes == 0 {
        return Ok(LastLine::Whole);
    }
    file.seek(SeekFrom::Start(bytes - 1))?;
    let mut last = [0_u8];
    file.read_exact(&mut last)?;
    Ok(if last == *b"\n" {
        LastLine::Whole
    } else {
        LastLine::Torn
    })
}

/// Makes the names in a folder lasting. Some file systems cannot; the lines themselves are safe.
fn sync_folder(directory: &Path) {
    if let Err(error) = File::open(directory).and_then(|folder| folder.sync_all()) {
        log::debug!("event log: folder {}: {error}", directory.display());
    }
}

/// One line of the log as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadLine {
    /// A whole line, without its end.
    Whole(String),
    /// Longer than any line that is written, not text, or without an end.
    Torn,
}

/// Reads every line of the log in `directory` in order, handing each to `take`. Files that are removed meanwhile are left out.
///
/// # Errors
///
/// The folder cannot be listed or a file cannot be read.
pub fn read(
    directory: &Path,
    mut take: impl FnMut(ReadLine) -> io::Result<()>,
) -> Result<(), EventLogError> {
    for number in numbers(directory)? {
        let path = path_of(directory, number);
        let failed = |source| EventLogError::new("read", &path, source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let mut reader = BufReader::new(file);
        while let Some(line) = next_line(&mut reader).map_err(failed)? {
            take(line).map_err(failed)?;
        }
    }
    Ok(())
}

/// The next line; a line that is too long is skipped to its end without being kept.
fn next_line(reader: &mut BufReader<File>) -> io::Result<Option<ReadLine>> {
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        let text = String::from_utf8(line);
        return Ok(Some(text.map_or(ReadLine::Torn, ReadLine::Whole)));
    }
    reader.skip_until(b'\n')?;
    Ok(Some(ReadLine::Torn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(file_bytes_max: u32, files_max: u32) -> EventsConfig {
        EventsConfig {
            file_bytes_max,
            files_max,
            ..EventsConfig::default()
        }
    }

    fn lines(directory: &Path) -> Vec<ReadLine> {
        let mut lines = Vec::new();
        read(directory, |line| {
            lines.push(line);
            Ok(())
        })
        .expect("readable");
        lines
    }

    fn whole(texts: &[&str]) -> Vec<ReadLine> {
        let whole = |text: &&str| ReadLine::Whole((*text).to_owned());
        texts.iter().map(whole).collect()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("listed");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("read")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn lines_are_appended_and_read_in_order_over_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("a/b");
        for texts in [["1", "2"], ["3", "4"]] {
            let (mut log, last) = EventLog::open(&directory, &config(65_536, 2)).expect("opened");
            assert_eq!(last, LastLine::Whole);
            for text in texts {
                log.append(text).expect("written");
            }
            log.sync().expect("synced");
        }
        assert_eq!(lines(&directory), whole(&["1", "2", "3", "4"]));
        assert_eq!(names(&directory), ["events-00000001.jsonl"]);
    }

    #[test]
    fn full_files_are_followed_by_new_ones_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, _) = EventLog::open(folder.path(), &config(10, 3)).expect("opened");
        // Two lines of four bytes and their ends fill a file of ten.
        for number in 0..9 {
            log.append(&format!("{number:04}")).expect("written");
        }
        let expected: Vec<String> = (3..=5).map(|n| format!("events-{n:08}.jsonl")).collect();
        assert_eq!(names(folder.path()), expected);
        let expected = whole(&["0004", "0005", "0006", "0007", "0008"]);
        assert_eq!(lines(folder.path()), expected);
        // A line that no file has room for has a file of its own.
        log.append("a line of more than ten bytes")
            .expect("written");
        assert_eq!(log.path(), path_of(folder.path(), 6));
        // A restart goes on with the newest.
        let (log, _) = EventLog::open(folder.path(), &config(10, 3)).expect("opened");
        assert_eq!(log.path(), path_of(folder.path(), 6));
    }

    #[test]
    fn other_files_of_the_folder_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let others = [
            "events-1.jsonl",
            "events-.jsonl",
            "events-0000000x.jsonl",
            "notes",
        ];
        for name in others {
            fs::write(folder.path().join(name), "mine\n").expect("written");
        }
        let (mut log, _) = EventLog::open(folder.path(), &config(2, 2)).expect("opened");
        for _ in 0..5 {
            log.append("x").expect("written");
        }
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
        assert_eq!(lines(folder.path()), whole(&["x", "x"]));
    }

    #[test]
    fn a_file_that_somebody_removed_is_begun_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("events");
        let (mut log, _) = EventLog::open(&directory, &config(65_536, 2)).expect("opened");
        log.append("1").expect("written");
        fs::remove_dir_all(&directory).expect("removed");
        log.append("2").expect("written");
        assert_eq!(lines(&directory), whole(&["2"]));
    }

    #[test]
    fn a_torn_last_line_is_ended_and_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path_of(folder.path(), 7);
        fs::write(&path, b"whole\n{\"type\":\"tr\xc3").expect("written");
        let (mut log, last) = EventLog::open(folder.path(), &config(65_536, 2)).expect("opened");
        assert_eq!(last, LastLine::Torn);
        log.append("next").expect("written");
        let expected = [whole(&["whole"]), vec![ReadLine::Torn], whole(&["next"])];
        assert_eq!(lines(folder.path()), expected.concat());
    }

    #[test]
    fn a_line_without_its_end_and_an_endless_line_are_torn() {
        let folder = tempfile::tempdir().expect("a folder");
        let endless = "x".repeat(3 * LINE_BYTES_MAX);
        let text = format!("a\n{endless}\nb\ncut");
        fs::write(path_of(folder.path(), 1), text).expect("written");
        let expected = [
            whole(&["a"]),
            vec![ReadLine::Torn],
            whole(&["b"]),
            vec![ReadLine::Torn],
        ];
        assert_eq!(lines(folder.path()), expected.concat());
    }

    #[test]
    fn a_line_of_the_greatest_length_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let longest = "x".repeat(LINE_BYTES_MAX);
        let (mut log, _) = EventLog::open(folder.path(), &config(65_536, 2)).expect("opened");
        log.append(&longest).expect("written");
        assert_eq!(lines(folder.path()), whole(&[&longest]));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let error = EventLog::open(&file.join("events"), &config(65_536, 2));
        let text = error.expect_err("no folder").to_string();
        assert!(text.contains("file/events"), "{text}");
    }
}
