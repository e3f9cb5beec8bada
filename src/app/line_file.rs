//! A file of lines: each is in it whole or not at all, also after a full disk or a crash.
//!
//! Lines are collected in memory and written together, at most [`BUFFER`] bytes at a time or when
//! they have waited for [`DELAY`]. Only whole lines are ever given to the system; where it takes a
//! part of them, the file is cut back to the last line that it took whole.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::time::Duration;

use crate::units::MonotonicTime;

/// Most bytes that wait in memory.
const BUFFER: usize = 8 * 1024;

/// Longest time that a line waits in memory while others come, or [`LineFile::settle`] is called.
const DELAY: Duration = Duration::from_secs(1);

/// Something to write lines to that can be cut off.
pub(super) trait Sink: Write + Seek + std::fmt::Debug {
    /// Leaves only the first `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Sink for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Writes lines.
#[derive(Debug)]
pub(super) struct LineFile<S: Sink = File> {
    out: S,
    /// Whole lines on their way.
    waiting: Vec<u8>,
    /// When the oldest of them came.
    since: Option<MonotonicTime>,
}

impl<S: Sink> LineFile<S> {
    /// Writes from the beginning of `out`, which is empty.
    pub(super) fn new(out: S) -> Self {
        Self {
            out,
            waiting: Vec::with_capacity(2 * BUFFER),
            since: None,
        }
    }

    /// Adds a line, given without its end.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the lines that had to wait are lost.
    pub(super) fn line(&mut self, text: &str, now: MonotonicTime) -> io::Result<()> {
        self.waiting.extend_from_slice(text.as_bytes());
        self.waiting.push(b'\n');
        self.since.get_or_insert(now);
        if self.waiting.len() >= BUFFER {
            return self.flush();
        }
        self.settle(now)
    }

    /// Writes what has waited for long enough.
    ///
    /// # Errors
    ///
    /// As [`LineFile::line`].
    pub(super) fn settle(&mut self, now: MonotonicTime) -> io::Result<()> {
        match self.since {
            Some(since) if now.saturating_since(since) >= DELAY => self.flush(),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// As [`LineFile::line`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.since = None;
        let mut taken = 0;
        while taken < self.waiting.len() {
            match self.out.write(&self.waiting[taken..]) {
                Ok(0) => return Err(self.cut_back(taken, io::ErrorKind::WriteZero.into())),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cut_back(taken, error)),
            }
        }
        self.waiting.clear();
        self.out.flush()
    }

    /// After `taken` bytes the system would take no more: takes the beginning of a line back. A pipe
    /// cannot be cut; whoever reads it has seen the end anyway.
    fn cut_back(&mut self, taken: usize, error: io::Error) -> io::Error {
        let lines = &self.waiting[..taken];
        let whole = lines
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let torn = u64::try_from(taken - whole).unwrap_or(0);
        if torn > 0
            && let Ok(position) = self.out.stream_position()
        {
            let length = position.saturating_sub(torn);
            let _ = self.out.cut(length);
            let _ = self.out.seek(SeekFrom::Start(length));
        }
        self.waiting.clear();
        error
    }
}

/// What waits is written when the owner goes, also by a panic.
impl<S: Sink> Drop for LineFile<S> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;
    use std::sync::{Arc, Mutex};

    /// A disk with room for so many bytes, which takes at most 100 bytes at a time.
    #[derive(Clone, Debug)]
    struct Disk {
        content: Arc<Mutex<Cursor<Vec<u8>>>>,
        room: usize,
    }

    impl Disk {
        fn new(room: usize) -> Self {
            let content = Arc::default();
            Self { content, room }
        }

        fn text(&self) -> String {
            let content = self.content.lock().expect("not poisoned").get_ref().clone();
            String::from_utf8(content).expect("text")
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut content = self.content.lock().expect("not poisoned");
            let left = self.room - content.get_ref().len();
            if left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            content.write(&bytes[..bytes.len().min(left).min(100)])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.content.lock().expect("not poisoned").seek(to)
        }
    }

    impl Sink for Disk {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            let mut content = self.content.lock().expect("not poisoned");
            content
                .get_mut()
                .truncate(usize::try_from(length).expect("short"));
            Ok(())
        }
    }

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    #[test]
    fn a_line_waits_for_a_second_at_most() {
        let disk = Disk::new(1 << 20);
        let mut file = LineFile::new(disk.clone());
        assert!(file.line("one", at(0)).is_ok());
        assert!(file.line("two", at(900)).is_ok());
        assert!(file.settle(at(999)).is_ok());
        assert_eq!(disk.text(), "");
        assert!(file.settle(at(1000)).is_ok());
        assert_eq!(disk.text(), "one\ntwo\n");
        assert!(file.line("three", at(1500)).is_ok());
        assert!(file.line("four", at(2500)).is_ok());
        assert_eq!(disk.text(), "one\ntwo\nthree\nfour\n");
        assert!(file.line("five", at(2600)).is_ok());
        drop(file);
        assert!(disk.text().ends_with("five\n"));
    }

    proptest! {
        /// Whatever room there is: the file holds the first lines, each of them whole.
        #[test]
        fn a_full_disk_leaves_whole_lines(
            room in 0_usize..30_000,
            lengths in prop::collection::vec(0_usize..900, 1..60),
        ) {
            let disk = Disk::new(room);
            let mut file = LineFile::new(disk.clone());
            let lines: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            let mut failed = false;
            for line in &lines {
                failed = file.line(line, at(0)).is_err();
                if failed {
                    break;
                }
            }
            failed |= file.flush().is_err();
            let text = disk.text();
            prop_assert!(text.is_empty() || text.ends_with('\n'));
            let written: Vec<&str> = text.lines().collect();
            prop_assert!(written.len() == lines.len() || failed);
            prop_assert!(lines.iter().zip(&written).all(|(line, found)| line == found));
        }
    }
}
