//! What happened, in the words of the reference traces, so that the two can be compared line by
//! line.

use std::fmt;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The host opened, closed, claimed, released or reset.
    Usb(String),
    /// Something about firmware.
    Dfu(String),
    /// The device did something by itself.
    Device(String),
    /// A register access.
    Register {
        /// A write.
        write: bool,
        /// Sixty-four bits.
        wide: bool,
        /// Where.
        offset: u32,
        /// What.
        value: u64,
    },
    /// A bulk-out transfer's length.
    BulkOut(usize),
    /// A stream header.
    Header {
        /// Bytes to come.
        length: usize,
        /// What they are.
        tag: u8,
    },
    /// A whole stream.
    Stream {
        /// What it is.
        tag: u8,
        /// Its bytes.
        length: usize,
        /// Their hash, except of instructions, whose addresses differ from driver to driver.
        fnv: Option<u64>,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usb(text) => write!(f, "USB  {text}"),
            Self::Dfu(text) => write!(f, "DFU  {text}"),
            Self::Device(text) => write!(f, "DEV  {text}"),
            Self::Register {
                write,
                wide,
                offset,
                value,
            } => {
                let way = if *write { "W" } else { "R" };
                let bits = if *wide { 64 } else { 32 };
                let arrow = if *write { "<-" } else { "->" };
                write!(f, "CSR  {way}{bits} {offset:x} {arrow} {value:x}")
            }
            Self::BulkOut(length) => write!(f, "USB  bulk-out ep1 {length} bytes"),
            Self::Header { length, tag } => {
                write!(f, "OUT  header len={length} tag={tag} raw5-7=000000")
            }
            Self::Stream { tag, length, fnv } => {
                let name = match tag {
                    0 => "INSTR",
                    1 => "INPUT",
                    2 => "PARAM",
                    _ => "?",
                };
                write!(f, "OUT  {name} len={length}")?;
                match fnv {
                    Some(fnv) => write!(f, " fnv={fnv:016x}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A record that is off by default, so that long runs keep no memory.
#[derive(Clone, Debug, Default)]
pub struct Record {
    on: bool,
    entries: Vec<Entry>,
}

impl Record {
    /// Turns it on or off.
    pub fn enable(&mut self, on: bool) {
        self.on = on;
    }

    /// Whether it is on.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.on
    }

    /// Adds a line, which is only made when it is on.
    pub fn add(&mut self, entry: impl FnOnce() -> Entry) {
        if self.on {
            let entry = entry();
            self.entries.push(entry);
        }
    }

    /// All lines.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All lines as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.entries.iter().map(|e| format!("{e}\n")).collect()
    }
}
