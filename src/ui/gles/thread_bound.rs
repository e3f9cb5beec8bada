//! Objects of one thread inside values that may move between threads.

use std::mem::ManuallyDrop;
use std::thread::{self, ThreadId};

/// Something that belongs to the thread that made it, as everything of a current context does. The
/// wrapper may be anywhere; what is inside is out of reach of other threads.
pub struct ThreadBound<T> {
    owner: ThreadId,
    value: ManuallyDrop<T>,
}

// SAFETY: the value is reached by `get_mut` and `drop` only, and both compare the thread with the one
// that made it, whose number is never given to another.
unsafe impl<T> Send for ThreadBound<T> {}

impl<T> std::fmt::Debug for ThreadBound<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadBound")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl<T> ThreadBound<T> {
    /// Bound to this thread.
    pub fn new(value: T) -> Self {
        Self {
            owner: thread::current().id(),
            value: ManuallyDrop::new(value),
        }
    }

    /// The value; `None` on another thread than its own.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        (thread::current().id() == self.owner).then_some(&mut *self.value)
    }
}

impl<T> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        if thread::current().id() == self.owner {
            // SAFETY: it is dropped once, here, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        } else {
            log::warn!("an object of another thread is left to the end of the process");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn another_thread_neither_reaches_nor_drops_the_value() {
        struct Dropped(Rc<Cell<bool>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = Rc::new(Cell::new(false));
        let mut here = ThreadBound::new(Dropped(Rc::clone(&dropped)));
        assert!(here.get_mut().is_some());
        let there = thread::spawn(move || here.get_mut().is_none());
        assert!(there.join().expect("no panic"));
        assert!(!dropped.get());
        drop(ThreadBound::new(Dropped(Rc::clone(&dropped))));
        assert!(dropped.get());
    }
}
