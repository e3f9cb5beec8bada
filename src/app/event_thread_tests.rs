//! The event thread with a disk that stalls, fails and recovers to order.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::message::{StopReason, TripCause};
use crate::units::{MonotonicTime, StreamId};

const LONG: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Book {
    /// The type of each line and its `count`, where it has one; `sync` for a sync.
    fn pages(&self) -> Vec<String> {
        self.0.lock().expect("whole").clone()
    }

    fn note(&self, page: String) {
        self.0.lock().expect("whole").push(page);
    }
}

/// What the disk does with the next line.
enum Answer {
    Write,
    Full,
}

/// A disk that waits for an answer to each line; without anybody to answer it writes.
struct Scripted {
    book: Book,
    answers: Receiver<Answer>,
    asked: SyncSender<()>,
}

impl Journal for Scripted {
    fn append(&mut self, line: &str) -> Result<(), EventLogError> {
        let _ = self.asked.try_send(());
        match self.answers.recv() {
            Ok(Answer::Write) | Err(_) => {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let kind = line["type"].as_str().expect("a type").to_owned();
                let count = line["count"].as_u64();
                self.book
                    .note(count.map_or(kind.clone(), |count| format!("{kind} {count}")));
                Ok(())
            }
            Ok(Answer::Full) => Err(EventLogError::for_test(io::ErrorKind::StorageFull)),
        }
    }

    fn sync(&mut self) -> Result<(), EventLogError> {
        self.book.note("sync".to_owned());
        Ok(())
    }
}

struct Bench {
    sink: EventSink,
    book: Book,
    answer: SyncSender<Answer>,
    asked: Receiver<()>,
}

impl Bench {
    fn new(sync: EventSync, queue_max: usize) -> Self {
        let book = Book::default();
        let (answer, answers) = sync_channel(64);
        let (ask, asked) = sync_channel(64);
        let journal = Scripted {
            book: book.clone(),
            answers,
            asked: ask,
        };
        let sink = EventSink::on(journal, sync, queue_max).expect("started");
        Self {
            sink,
            book,
            answer,
            asked,
        }
    }

    fn record(&mut self, event: &Event) {
        self.sink.record(event, &[]);
    }
}

fn trip() -> Event {
    Event::State {
        at: MonotonicTime::ZERO,
        state: PermissionState::Tripped(TripCause::Stale(StreamId::WorkerSafety)),
    }
}

fn refused() -> Event {
    Event::ResetRefused {
        at: MonotonicTime::ZERO,
        why: crate::message::ResetRefusal::NotYetClear,
    }
}

#[test]
fn a_stalled_disk_holds_nobody_up_and_what_is_missing_is_told_when_it_goes_on() {
    let mut bench = Bench::new(EventSync::Batch, 2);
    bench.record(&trip());
    bench.asked.recv_timeout(LONG).expect("the disk stalls");
    // One line is with the disk, two wait, three find no room.
    for _ in 0..5 {
        bench.record(&refused());
    }
    let Bench {
        sink, book, answer, ..
    } = bench;
    drop(answer);
    let figures = sink.close(LONG);
    let expected = EventFigures {
        lost: 3,
        stalled: false,
    };
    assert_eq!(figures, expected);
    let expected = ["trip", "lost 3", "reset-refused", "reset-refused", "sync"];
    let pages: Vec<String> = book.pages();
    let without_early_syncs: Vec<&str> = pages.iter().map(String::as_str).collect();
    assert_eq!(without_early_syncs, expected);
}

#[test]
fn a_disk_that_never_answers_does_not_hold_up_the_end() {
    let mut bench = Bench::new(EventSync::Each, 8);
    bench.record(&trip());
    bench.record(&trip());
    bench.asked.recv_timeout(LONG).expect("the disk stalls");
    let started = Instant::now();
    let figures = bench.sink.close(Duration::from_millis(50));
    assert!(started.elapsed() < LONG);
    let expected = EventFigures {
        lost: 2,
        stalled: true,
    };
    assert_eq!(figures, expected);
}

#[test]
fn a_line_that_a_full_disk_refused_is_written_when_there_is_room() {
    let mut bench = Bench::new(EventSync::Batch, 8);
    bench.record(&trip());
    for answer in [Answer::Full, Answer::Full] {
        bench.asked.recv_timeout(LONG).expect("tried");
        bench.answer.send(answer).expect("heard");
    }
    bench.asked.recv_timeout(LONG).expect("tried again");
    assert!(bench.sink.is_failing());
    bench.answer.send(Answer::Write).expect("heard");
    drop(bench.answer);
    let figures = bench.sink.close(LONG);
    assert_eq!(figures, EventFigures::default());
    assert_eq!(bench.book.pages(), ["trip", "sync"]);
}

#[test]
fn what_a_full_disk_refuses_at_the_end_is_counted() {
    let mut bench = Bench::new(EventSync::Batch, 8);
    for _ in 0..3 {
        bench.record(&trip());
    }
    for _ in 0..8 {
        bench.answer.send(Answer::Full).expect("heard");
    }
    let figures = bench.sink.close(LONG);
    assert_eq!(figures.lost, 3);
    assert!(!figures.stalled);
    assert!(!bench.book.pages().contains(&"trip".to_owned()));
}

#[test]
fn the_policy_decides_what_is_made_lasting_at_once() {
    for (policy, expected) in [
        (
            EventSync::Grave,
            vec!["reset-refused", "stop", "sync", "sync"],
        ),
        (
            EventSync::Each,
            vec!["reset-refused", "sync", "stop", "sync", "sync"],
        ),
        (EventSync::Batch, vec!["reset-refused", "stop", "sync"]),
    ] {
        let mut bench = Bench::new(policy, 8);
        bench.record(&refused());
        bench.record(&Event::Stopped(StopReason::Signal));
        let Bench {
            sink, book, answer, ..
        } = bench;
        drop(answer);
        assert_eq!(sink.close(LONG), EventFigures::default());
        assert_eq!(book.pages(), expected, "{policy:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocker = folder.path().join("blocker");
    std::fs::write(&blocker, "").expect("written");
    let config = EventsConfig {
        directory: Some(blocker.join("events")),
        ..EventsConfig::default()
    };
    let mut sink = EventSink::start(&config).expect("started").expect("a log");
    sink.record(&trip(), &[]);
    let deadline = Instant::now() + LONG;
    while !sink.is_failing() && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(sink.is_failing());
    std::fs::remove_file(&blocker).expect("removed");
    let figures = sink.close(LONG);
    assert_eq!(figures, EventFigures::default());
    let mut lines = 0;
    health::read(&blocker.join("events"), |_| {
        lines += 1;
        Ok(())
    })
    .expect("readable");
    assert_eq!(lines, 1);
}
