//! What is in the chip's parameter memory.
//!
//! The compiler gave each executable its place in the 8 MiB. Executables that were compiled
//! together (same token) have places of their own; any other pair may overlap, so loading one
//! makes the other worthless. The simulator knows no places and therefore assumes the worst:
//! anything loaded under another token overwrites everything.

/// Contents of the parameter memory.
#[derive(Clone, Debug, Default)]
pub struct ResidentMemory {
    token: u64,
    /// Caching executables whose parameters are whole, by the identity of their content.
    whole: Vec<u64>,
    loads: u64,
    repeated: u64,
}

impl ResidentMemory {
    /// Power went, or the chip was reset.
    pub fn clear(&mut self) {
        self.token = 0;
        self.whole.clear();
    }

    /// A caching executable starts to load: what it may overwrite is gone.
    pub fn begin_load(&mut self, token: u64, identity: u64) {
        if token == 0 || token != self.token {
            self.whole.clear();
            self.token = token;
        }
        if self.whole.contains(&identity) {
            self.repeated += 1;
        }
        self.whole.retain(|other| *other != identity);
    }

    /// It has loaded everything.
    pub fn end_load(&mut self, identity: u64) {
        self.loads += 1;
        self.whole.push(identity);
    }

    /// An executable that brings its own parameters used the memory.
    pub fn overwrite(&mut self) {
        self.clear();
    }

    /// Whether the parameters that an executable relies on are there.
    #[must_use]
    pub fn holds(&self, token: u64, identity: u64) -> bool {
        token == self.token && self.whole.contains(&identity)
    }

    /// How many loads were completed.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.loads
    }

    /// How many of them loaded what was there already: no fault, but time wasted.
    #[must_use]
    pub fn repeated_loads(&self) -> u64 {
        self.repeated
    }
}
