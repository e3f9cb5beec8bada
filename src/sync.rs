//! `Latest<T>`: a one-slot mailbox between two threads, with a drop counter.
//!
//! The only shared lock of the pipeline lives here, held for moves only. A producer in real time
//! overwrites ([`Latest::put`]); a producer that must not lose anything waits for the slot
//! ([`Latest::put_when_empty`]). Several mailboxes may share one [`Signal`], so that one consumer
//! can wait for any of them.
//!
//! The decide thread waits for nobody, not even for the few instructions that another thread holds
//! the lock: it uses [`Latest::try_take`], [`Latest::try_put`] and [`Signal::settle`], and where the
//! lock is taken it comes back with its next tick.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Wakes everybody who waits for a change in one of the mailboxes that share it.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<Changes>);

#[derive(Debug, Default)]
struct Changes {
    generation: Mutex<u64>,
    changed: Condvar,
    /// A change that could not be told because the lock was taken.
    owed: AtomicBool,
}

impl Signal {
    /// A new signal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of changes so far; take it before looking into the mailboxes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        *lock(&self.0.generation)
    }

    /// Says that something changed.
    pub fn notify(&self) {
        *lock(&self.0.generation) += 1;
        self.0.changed.notify_all();
    }

    /// Says that something changed, without waiting for the lock: where it is taken, the change is
    /// told with the next [`Signal::settle`].
    fn try_notify(&self) {
        match try_lock(&self.0.generation) {
            Some(mut generation) => {
                *generation += 1;
                drop(generation);
                self.0.changed.notify_all();
            }
            None => self.0.owed.store(true, Ordering::Release),
        }
    }

    /// Tells a change that could not be told before. Never waits; to be called again and again.
    pub fn settle(&self) {
        if self.0.owed.swap(false, Ordering::AcqRel) {
            self.try_notify();
        }
    }

    /// Waits until something changed since `seen`, at most `timeout`.
    pub fn wait_newer(&self, seen: u64, timeout: Duration) {
        let guard = lock(&self.0.generation);
        let wait = self
            .0
            .changed
            .wait_timeout_while(guard, timeout, |generation| *generation == seen);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    closed: bool,
    dropped: u64,
}

/// A one-slot mailbox. Clones are handles to the same slot.
#[derive(Debug)]
pub struct Latest<T> {
    slot: Arc<Mutex<Slot<T>>>,
    signal: Signal,
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self {
            slot: Arc::clone(&self.slot),
            signal: self.signal.clone(),
        }
    }
}

/// What [`Latest::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The newest value.
    Value(T),
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Closed,
}

impl<T> Latest<T> {
    /// An empty mailbox that reports its changes to `signal`.
    #[must_use]
    pub fn new(signal: &Signal) -> Self {
        let slot = Slot {
            value: None,
            closed: false,
            dropped: 0,
        };
        Self {
            slot: Arc::new(Mutex::new(slot)),
            signal: signal.clone(),
        }
    }

    /// Puts a value in, replacing and counting one nobody took. Never waits. A closed mailbox drops it.
    pub fn put(&self, value: T) {
        let mut slot = lock(&self.slot);
        if slot.closed {
            return;
        }
        let replaced = slot.value.replace(value);
        slot.dropped += u64::from(replaced.is_some());
        drop(slot);
        drop(replaced);
        self.signal.notify();
    }

    /// Waits until the slot is empty and puts the value in; gives it back where the mailbox was
    /// closed or `timeout` passed.
    ///
    /// # Errors
    ///
    /// The value, unsent.
    pub fn put_when_empty(&self, value: T, timeout: Duration) -> Result<(), T> {
        let deadline = Instant::now() + timeout;
        loop {
            let seen = self.signal.generation();
            let mut slot = lock(&self.slot);
            if slot.closed {
                return Err(value);
            }
            if slot.value.is_none() {
                slot.value = Some(value);
                drop(slot);
                self.signal.notify();
                return Ok(());
            }
            drop(slot);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(value);
            }
            self.signal.wait_newer(seen, left);
        }
    }

    /// Takes the value without waiting.
    #[must_use]
    pub fn take(&self) -> Taken<T> {
        let mut slot = lock(&self.slot);
        let taken = slot.value.take();
        let closed = slot.closed;
        drop(slot);
        match taken {
            Some(value) => {
                self.signal.notify();
                Taken::Value(value)
            }
            None if closed => Taken::Closed,
            None => Taken::Empty,
        }
    }

    /// Takes the value without waiting, not even for the lock: `None` where another thread holds it
    /// at this very moment. The change is told by the next [`Signal::settle`] at the latest.
    #[must_use]
    pub fn try_take(&self) -> Option<Taken<T>> {
        let mut slot = try_lock(&self.slot)?;
        let taken = slot.value.take();
        let closed = slot.closed;
        drop(slot);
        Some(match taken {
            Some(value) => {
                self.signal.try_notify();
                Taken::Value(value)
            }
            None if closed => Taken::Closed,
            None => Taken::Empty,
        })
    }

    /// Puts a value in as [`Latest::put`] does, without waiting for the lock.
    ///
    /// # Errors
    ///
    /// Another thread holds the lock at this very moment: the value, unsent.
    pub fn try_put(&self, value: T) -> Result<(), T> {
        let Some(mut slot) = try_lock(&self.slot) else {
            return Err(value);
        };
        if slot.closed {
            return Ok(());
        }
        let replaced = slot.value.replace(value);
        slot.dropped += u64::from(replaced.is_some());
        drop(slot);
        drop(replaced);
        self.signal.try_notify();
        Ok(())
    }

    /// The signal that tells of changes.
    #[must_use]
    pub const fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Takes the value, waiting at most `timeout` for one.
    #[must_use]
    pub fn take_within(&self, timeout: Duration) -> Taken<T> {
        let deadline = Instant::now() + timeout;
        loop {
            let seen = self.signal.generation();
            match self.take() {
                Taken::Empty => {}
                found @ (Taken::Value(_) | Taken::Closed) => return found,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Empty;
            }
            self.signal.wait_newer(seen, left);
        }
    }

    /// Looks at the value without taking it.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Taken<R> {
        let slot = lock(&self.slot);
        match &slot.value {
            Some(value) => Taken::Value(look(value)),
            None if slot.closed => Taken::Closed,
            None => Taken::Empty,
        }
    }

    /// Says that nothing more will come (producer) or be taken (consumer). What lies in the slot can
    /// still be taken.
    pub fn close(&self) {
        lock(&self.slot).closed = true;
        self.signal.notify();
    }

    /// Whether the mailbox was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.slot).closed
    }

    /// Number of values overwritten before anybody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.slot).dropped
    }
}

/// A panicking holder leaves the slot whole (only moves happen under the lock), so that poison
/// carries no information here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn overwriting_counts_what_was_lost() {
        let mailbox = Latest::new(&Signal::new());
        for value in 0..5 {
            mailbox.put(value);
        }
        assert_eq!(
            (mailbox.take(), mailbox.take()),
            (Taken::Value(4), Taken::Empty)
        );
        assert_eq!(mailbox.dropped(), 4);
    }

    #[test]
    fn backpressure_loses_nothing_and_keeps_the_order() {
        let mailbox = Latest::new(&Signal::new());
        let producer = mailbox.clone();
        let thread = std::thread::spawn(move || {
            for value in 0..1000 {
                producer
                    .put_when_empty(value, LONG)
                    .expect("consumer lives");
            }
            producer.close();
        });
        let mut got = Vec::new();
        while let Taken::Value(value) = mailbox.take_within(LONG) {
            got.push(value);
        }
        thread.join().expect("producer ends");
        assert_eq!(got, (0..1000).collect::<Vec<_>>());
        assert_eq!(mailbox.dropped(), 0);
    }

    #[test]
    fn closing_leaves_the_last_value_to_be_taken() {
        let mailbox = Latest::new(&Signal::new());
        mailbox.put(1);
        mailbox.close();
        mailbox.put(2);
        assert_eq!(mailbox.put_when_empty(3, LONG), Err(3));
        assert_eq!(
            (mailbox.take(), mailbox.take()),
            (Taken::Value(1), Taken::Closed)
        );
    }

    #[test]
    fn a_full_slot_gives_the_value_back_at_the_deadline() {
        let mailbox = Latest::new(&Signal::new());
        mailbox.put(1);
        assert_eq!(mailbox.put_when_empty(2, Duration::from_millis(1)), Err(2));
        assert_eq!(mailbox.take_within(Duration::ZERO), Taken::Value(1));
        assert_eq!(mailbox.take_within(Duration::from_millis(1)), Taken::Empty);
    }

    #[test]
    fn a_taken_lock_makes_nobody_wait_who_only_tries() {
        let mailbox = Latest::new(&Signal::new());
        mailbox.put(1);
        let held = mailbox.slot.lock();
        assert_eq!(mailbox.try_take(), None);
        assert_eq!(mailbox.try_put(2), Err(2));
        drop(held);
        assert_eq!(mailbox.try_take(), Some(Taken::Value(1)));
        assert_eq!(mailbox.try_put(3), Ok(()));
        assert_eq!(mailbox.try_take(), Some(Taken::Value(3)));
        assert_eq!(mailbox.try_take(), Some(Taken::Empty));
    }

    #[test]
    fn a_change_that_could_not_be_told_is_told_later() {
        let signal = Signal::new();
        let mailbox = Latest::new(&signal);
        let before = signal.generation();
        let held = signal.0.generation.lock();
        assert_eq!(mailbox.try_put(1), Ok(()));
        signal.settle();
        drop(held);
        assert_eq!(signal.generation(), before);
        signal.settle();
        assert_eq!(signal.generation(), before + 1);
        signal.settle();
        assert_eq!(signal.generation(), before + 1);
    }
}
