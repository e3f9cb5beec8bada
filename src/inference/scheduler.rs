//! Which stream's frame the infer thread works on next. Pure: instants come in, a choice goes out.
//!
//! In real time the waiting frame with the earlier deadline goes first; but **a worker-safety frame
//! never waits behind more than one inspection inference**. An inspection frame is several inferences
//! (the detector, then the classifier once per part), so the thread asks again after each, and a
//! safety frame that has come meanwhile is served in between.
//!
//! As fast as possible (`asap`), frames are served whole, in the order of their media time, safety
//! first where two are equal. The choice waits until both streams have shown their next frame or
//! ended, so that the order never depends on who decodes faster.

use std::time::Duration;

use crate::config::Pace;
use crate::frame::FrameMeta;
use crate::units::{MonotonicTime, StreamId};

/// When a frame was taken, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// On the decision clock; counts in real time.
    pub timestamp: MonotonicTime,
    /// Since the source's first frame; counts in `asap`.
    pub media_time: Duration,
}

impl From<&FrameMeta> for Due {
    fn from(meta: &FrameMeta) -> Self {
        Self {
            timestamp: meta.timestamp,
            media_time: meta.media_time,
        }
    }
}

/// What waits in a stream's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing yet.
    Empty,
    /// A frame.
    Waiting(Due),
    /// Nothing, and nothing will come.
    Ended,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take this stream's frame: a safety frame is judged at once, an inspection frame is begun.
    Start(StreamId),
    /// Do one more step of the inspection frame in progress.
    Continue,
    /// Wait until a mailbox changes.
    Wait,
    /// Both streams have ended.
    Done,
}

/// Picks the next piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Scheduler {
    pace: Pace,
    /// Time from a frame's timestamp to its deadline, by [`StreamId::index`].
    allowances: [Duration; 2],
    /// Whether the last piece of work was an inspection inference.
    after_inspection: bool,
}

impl Scheduler {
    /// A scheduler whose deadlines lie `allowances` after the frames' timestamps.
    #[must_use]
    pub const fn new(pace: Pace, allowances: [Duration; 2]) -> Self {
        Self {
            pace,
            allowances,
            after_inspection: false,
        }
    }

    /// From now on these are the allowances.
    pub const fn allow(&mut self, allowances: [Duration; 2]) {
        self.allowances = allowances;
    }

    /// Picks the next piece of work and counts on it being done before the next call. `heads` by
    /// [`StreamId::index`]; `in_progress` is the inspection frame that has been begun and is not done.
    pub fn next(&mut self, heads: [Head; 2], in_progress: Option<Due>) -> Next {
        let next = match self.pace {
            Pace::Realtime => self.earliest_deadline(heads, in_progress),
            Pace::Asap if in_progress.is_some() => Next::Continue,
            Pace::Asap => earliest_media_time(heads),
        };
        match next {
            Next::Start(StreamId::VisualInspection) | Next::Continue => {
                self.after_inspection = true
            }
            Next::Start(StreamId::WorkerSafety) => self.after_inspection = false,
            Next::Wait | Next::Done => {}
        }
        next
    }

    fn earliest_deadline(self, heads: [Head; 2], in_progress: Option<Due>) -> Next {
        let [safety, inspection] = heads;
        let (inspection, work) = match in_progress {
            Some(due) => (Head::Waiting(due), Next::Continue),
            None => (inspection, Next::Start(StreamId::VisualInspection)),
        };
        let [safety_allowance, inspection_allowance] = self.allowances;
        match (safety, inspection) {
            (Head::Waiting(safety), Head::Waiting(inspection)) => {
                let safety = safety.timestamp + safety_allowance;
                let inspection = inspection.timestamp + inspection_allowance;
                if self.after_inspection || safety <= inspection {
                    Next::Start(StreamId::WorkerSafety)
                } else {
                    work
                }
            }
            (Head::Waiting(_), Head::Empty | Head::Ended) => Next::Start(StreamId::WorkerSafety),
            (Head::Empty | Head::Ended, Head::Waiting(_)) => work,
            (Head::Ended, Head::Ended) => Next::Done,
            (Head::Empty, Head::Empty | Head::Ended) | (Head::Ended, Head::Empty) => Next::Wait,
        }
    }
}

fn earliest_media_time([safety, inspection]: [Head; 2]) -> Next {
    match (safety, inspection) {
        (Head::Empty, _) | (_, Head::Empty) => Next::Wait,
        (Head::Ended, Head::Ended) => Next::Done,
        (Head::Waiting(safety), Head::Waiting(inspection)) => {
            if safety.media_time <= inspection.media_time {
                Next::Start(StreamId::WorkerSafety)
            } else {
                Next::Start(StreamId::VisualInspection)
            }
        }
        (Head::Waiting(_), Head::Ended) => Next::Start(StreamId::WorkerSafety),
        (Head::Ended, Head::Waiting(_)) => Next::Start(StreamId::VisualInspection),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Due {
        Due {
            timestamp: MonotonicTime::from_duration(Duration::from_millis(1000 + ms)),
            media_time: Duration::from_millis(ms),
        }
    }

    fn waiting(ms: u64) -> Head {
        Head::Waiting(at(ms))
    }

    const SAFETY: Next = Next::Start(StreamId::WorkerSafety);
    const INSPECTION: Next = Next::Start(StreamId::VisualInspection);
    const ALLOWANCES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(150)];

    fn realtime() -> Scheduler {
        Scheduler::new(Pace::Realtime, ALLOWANCES)
    }

    #[test]
    fn the_earlier_deadline_goes_first_and_safety_wins_a_tie() {
        assert_eq!(realtime().next([waiting(50), waiting(10)], None), SAFETY);
        assert_eq!(
            realtime().next([waiting(61), waiting(10)], None),
            INSPECTION
        );
        assert_eq!(realtime().next([waiting(60), waiting(10)], None), SAFETY);
    }

    #[test]
    fn an_inspection_frame_is_interrupted_between_its_inferences() {
        let mut scheduler = realtime();
        assert_eq!(scheduler.next([Head::Empty, waiting(0)], None), INSPECTION);
        assert_eq!(
            scheduler.next([Head::Empty, Head::Empty], Some(at(0))),
            Next::Continue
        );
        // The inspection frame's deadline is far earlier, yet it has had its one inference.
        assert_eq!(
            scheduler.next([waiting(500), Head::Empty], Some(at(0))),
            SAFETY
        );
        assert_eq!(
            scheduler.next([waiting(510), Head::Empty], Some(at(0))),
            Next::Continue
        );
        assert_eq!(
            scheduler.next([waiting(510), Head::Empty], Some(at(0))),
            SAFETY
        );
    }

    #[test]
    fn in_real_time_nobody_waits_for_an_empty_mailbox() {
        assert_eq!(realtime().next([Head::Empty, waiting(3)], None), INSPECTION);
        assert_eq!(realtime().next([waiting(3), Head::Ended], None), SAFETY);
        assert_eq!(
            realtime().next([Head::Empty, Head::Ended], None),
            Next::Wait
        );
        assert_eq!(
            realtime().next([Head::Ended, Head::Ended], None),
            Next::Done
        );
        assert_eq!(
            realtime().next([Head::Ended, Head::Ended], Some(at(0))),
            Next::Continue
        );
    }

    #[test]
    fn asap_waits_for_both_streams_and_goes_by_media_time() {
        let mut scheduler = Scheduler::new(Pace::Asap, ALLOWANCES);
        assert_eq!(scheduler.next([waiting(0), Head::Empty], None), Next::Wait);
        assert_eq!(scheduler.next([Head::Empty, waiting(0)], None), Next::Wait);
        assert_eq!(scheduler.next([waiting(40), waiting(40)], None), SAFETY);
        assert_eq!(scheduler.next([waiting(80), waiting(40)], None), INSPECTION);
        assert_eq!(
            scheduler.next([waiting(80), waiting(120)], Some(at(40))),
            Next::Continue
        );
        assert_eq!(
            scheduler.next([Head::Ended, waiting(120)], None),
            INSPECTION
        );
        assert_eq!(scheduler.next([Head::Ended, Head::Ended], None), Next::Done);
    }

    /// A frame of the simulation below: ticks until it comes, and how many inferences it needs.
    type Arrival = (u64, usize);

    /// Plays random arrivals against the scheduler, one tick per inference, newest frame wins as in
    /// the mailboxes; returns for each safety frame served how many inspection inferences ran, in
    /// part or whole, while it waited, and how many inspection frames were finished.
    fn play(
        scheduler: &mut Scheduler,
        safety: &[u64],
        inspection: &[Arrival],
    ) -> (Vec<u32>, usize) {
        let mut safety = safety
            .iter()
            .scan(0, |t, gap| Some(*t + *gap).inspect(|v| *t = *v))
            .peekable();
        let mut inspection = inspection
            .iter()
            .scan(0, |t, (gap, n)| Some((*t + *gap, *n)).inspect(|v| *t = v.0))
            .peekable();
        let (mut heads, mut sizes) = ([Head::Empty; 2], 0);
        let (mut job, mut waits, mut behind, mut finished) =
            (None::<(Due, usize)>, Vec::new(), 0, 0);
        let mut now = 0;
        loop {
            while let Some(t) = safety.next_if(|t| *t <= now) {
                // A newer frame in the mailbox goes on waiting in the older one's place.
                behind = if heads[0] == Head::Empty { 0 } else { behind };
                heads[0] = waiting(t);
            }
            while let Some((t, n)) = inspection.next_if(|(t, _)| *t <= now) {
                (heads[1], sizes) = (waiting(t), n);
            }
            let over = [safety.peek().is_none(), inspection.peek().is_none()];
            for (head, over) in heads.iter_mut().zip(over) {
                if over && *head == Head::Empty {
                    *head = Head::Ended;
                }
            }
            let next = scheduler.next(heads, job.map(|(due, _)| due));
            match next {
                Next::Start(StreamId::WorkerSafety) => {
                    waits.push(behind);
                    (heads[0], behind) = (Head::Empty, 0);
                }
                Next::Start(StreamId::VisualInspection) | Next::Continue => {
                    if let (Next::Start(_), Head::Waiting(due)) = (next, heads[1]) {
                        (job, heads[1]) = (Some((due, sizes)), Head::Empty);
                    }
                    if let Some((due, left)) = job {
                        job = (left > 1).then_some((due, left - 1));
                        finished += usize::from(job.is_none());
                    }
                    behind += 1;
                }
                Next::Wait => {}
                Next::Done => return (waits, finished),
            }
            now += 1;
        }
    }

    proptest! {
        #[test]
        fn a_safety_frame_never_waits_behind_more_than_one_inspection_inference(
            safety in proptest::collection::vec(0_u64..8, 0..60),
            inspection in proptest::collection::vec((0_u64..20, 1_usize..17), 0..60),
            allowances in (0_u64..500, 0_u64..500),
        ) {
            let allowances = [allowances.0, allowances.1].map(Duration::from_millis);
            let mut scheduler = Scheduler::new(Pace::Realtime, allowances);
            let (waits, _) = play(&mut scheduler, &safety, &inspection);
            prop_assert!(waits.iter().all(|behind| *behind <= 1), "{waits:?}");
        }

        #[test]
        fn safety_frames_that_leave_time_do_not_starve_inspection(
            inspection in proptest::collection::vec((30_u64..40, 1_usize..15), 1..20),
        ) {
            // A safety frame every other tick leaves every other tick: 15 inferences in 30.
            let (_, finished) = play(&mut realtime(), &[2; 400], &inspection);
            prop_assert_eq!(finished, inspection.len());
        }
    }
}
