//! The infer thread: owns the models and the engine, serves both streams.

use std::time::Duration;

use super::capture_thread::CloseOnDrop;
use crate::config::Pace;
use crate::frame::Frame;
use crate::inference::Inferencer;
use crate::inference::scheduler::{self, Head, Pick};
use crate::message::Inferred;
use crate::sync::{Latest, Signal, Taken};
use crate::sys::monotonic_now;
use crate::units::StreamId;

/// Longest wait before everything is looked at again.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What the infer thread tells the decide thread.
#[derive(Debug)]
pub(super) enum FromInfer {
    /// A frame with what was found in it.
    Inferred(Inferred),
    /// A source has ended; nothing of it will follow.
    Ended(StreamId),
}

/// What the infer thread needs.
#[derive(Debug)]
pub(super) struct InferThread {
    pub(super) inferencer: Inferencer,
    pub(super) pace: Pace,
    /// By [`StreamId::index`].
    pub(super) inboxes: [Latest<Frame>; 2],
    /// Raised by the inboxes.
    pub(super) signal: Signal,
    /// By [`StreamId::index`]; in `asap` both are the same mailbox.
    pub(super) out: [Latest<FromInfer>; 2],
}

impl InferThread {
    /// Runs until both inboxes are closed and empty, or nobody takes the results any more.
    pub(super) fn run(mut self) {
        let _in = self.inboxes.clone().map(CloseOnDrop);
        let _out = self.out.clone().map(CloseOnDrop);
        self.work();
    }

    fn work(&mut self) {
        let mut ended = [false; 2];
        loop {
            let seen = self.signal.generation();
            let heads = [0, 1].map(|index: usize| self.head(index));
            for stream in StreamId::ALL {
                let over = heads[stream.index()] == Head::Ended && !ended[stream.index()];
                if over && !self.hand_on(stream, FromInfer::Ended(stream)) {
                    return;
                }
                ended[stream.index()] |= over;
            }
            match scheduler::pick(self.pace, heads) {
                Pick::Serve(stream) => {
                    if let Taken::Value(frame) = self.inboxes[stream.index()].take()
                        && !self.serve(stream, frame)
                    {
                        return;
                    }
                }
                Pick::Wait => self.signal.wait_newer(seen, WAIT_MAX),
                Pick::Done => return,
            }
        }
    }
}
impl InferThread {
    fn head(&self, index: usize) -> Head { let _=index; Head::Ended }
    fn serve(&mut self, s: StreamId, f: Frame) -> bool { let i = self.inferencer.run(f, monotonic_now); self.hand_on(s, FromInfer::Inferred(i)) }
    fn hand_on(&self, s: StreamId, m: FromInfer) -> bool { self.out[s.index()].put_when_empty(m, WAIT_MAX).is_ok() }
}
