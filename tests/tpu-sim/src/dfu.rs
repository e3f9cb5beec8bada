//! The boot loader: DFU 1.1 as the device shows it before it has firmware.
//!
//! ```text
//! idle ─DNLOAD 0─▶ sync ─GETSTATUS─▶ (busy) ─▶ download-idle ─DNLOAD n─▶ … ─DNLOAD, 0 bytes─▶
//!   manifest-sync ─GETSTATUS─▶ idle ─UPLOAD 0…n─▶ idle ─port reset─▶ application
//! ```
//!
//! Source: USB Device Class Specification for Device Firmware Upgrade, 1.1, and the trace.

use std::time::Duration;

use crate::violation::{Rule, Violations};

/// Largest block of a download or upload, in bytes, as the functional descriptor says.
pub const TRANSFER_BYTES: u16 = 256;

const DNLOAD: u8 = 1;
const UPLOAD: u8 = 2;
const GETSTATUS: u8 = 3;
const CLRSTATUS: u8 = 4;
const GETSTATE: u8 = 5;
const ABORT: u8 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    DownloadSync,
    DownloadBusy { until: Duration },
    DownloadIdle,
    ManifestSync,
    UploadIdle,
    Error,
}

impl State {
    fn number(self) -> u8 {
        match self {
            Self::Idle => 2,
            Self::DownloadSync => 3,
            Self::DownloadBusy { .. } => 4,
            Self::DownloadIdle => 5,
            Self::ManifestSync => 6,
            Self::UploadIdle => 9,
            Self::Error => 10,
        }
    }
}

/// A device's answer to a control request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Accepted; bytes for a read.
    Data(Vec<u8>),
    /// Refused.
    Stall,
}

/// Firmware that the device accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// Anything that is not empty.
    Any,
    /// Only what has this length and FNV-1a-64 hash.
    Exact {
        /// Bytes.
        length: usize,
        /// Hash.
        fnv: u64,
    },
}

/// The boot loader's state.
#[derive(Clone, Debug)]
pub struct Dfu {
    state: State,
    status: u8,
    image: Vec<u8>,
    complete: bool,
    next_block: u16,
    uploaded: usize,
    verified: bool,
    /// How long a block takes, when it says so.
    busy: Option<Duration>,
    corrupt_upload: bool,
}

impl Dfu {
    /// After power-on. `busy`: every block is followed by a busy state of that length.
    #[must_use]
    pub fn new(busy: Option<Duration>) -> Self {
        Self {
            state: State::Idle,
            status: 0,
            image: Vec::new(),
            complete: false,
            next_block: 0,
            uploaded: 0,
            verified: false,
            busy,
            corrupt_upload: false,
        }
    }

    /// What was downloaded.
    #[must_use]
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// Makes uploads differ from what was downloaded.
    pub fn corrupt_upload(&mut self) {
        self.corrupt_upload = true;
    }

    /// Makes the next status an error.
    pub fn fail(&mut self, status: u8) {
        self.state = State::Error;
        self.status = status;
    }

    /// Port reset. Says whether firmware starts.
    pub fn reset(&mut self, firmware: Firmware, violations: &mut Violations) -> bool {
        let starts = self.complete
            && match firmware {
                Firmware::Any => !self.image.is_empty(),
                Firmware::Exact { length, fnv } => {
                    self.image.len() == length && crate::fnv1a(&self.image) == fnv
                }
            };
        if starts && !self.verified {
            violations.add(
                Rule::Dfu,
                "firmware started without having been read back whole",
            );
        }
        let (busy, corrupt_upload) = (self.busy, self.corrupt_upload);
        *self = Self::new(busy);
        self.corrupt_upload = corrupt_upload;
        starts
    }

    fn refuse(&mut self, detail: String, violations: &mut Violations) -> Reply {
        violations.add(Rule::Dfu, detail);
        self.state = State::Error;
        // errSTALLEDPKT
        self.status = 15;
        Reply::Stall
    }

    /// A class request to the interface.
    pub fn request(
        &mut self,
        now: Duration,
        request: u8,
        value: u16,
        length: u16,
        data: &[u8],
        violations: &mut Violations,
    ) -> Reply {
        match request {
            DNLOAD => self.download(now, value, data, violations),
            UPLOAD => self.upload(value, length, violations),
            GETSTATUS => self.get_status(now),
            CLRSTATUS => {
                if self.state != State::Error {
                    return self.refuse("CLRSTATUS without an error".to_owned(), violations);
                }
                self.state = State::Idle;
                self.status = 0;
                Reply::Data(Vec::new())
            }
            GETSTATE => Reply::Data(vec![self.state.number()]),
            ABORT => match self.state {
                State::Idle
                | State::DownloadIdle
                | State::DownloadSync
                | State::UploadIdle
                | State::ManifestSync => {
                    self.state = State::Idle;
                    Reply::Data(Vec::new())
                }
                State::DownloadBusy { .. } | State::Error => self.refuse(
                    format!("ABORT in state {}", self.state.number()),
                    violations,
                ),
            },
            other => self.refuse(format!("request {other}"), violations),
        }
    }

    fn download(
        &mut self,
        now: Duration,
        block: u16,
        data: &[u8],
        violations: &mut Violations,
    ) -> Reply {
        if let State::DownloadBusy { until } = self.state
            && now < until
        {
            return self.refuse("DNLOAD while the device is busy".to_owned(), violations);
        }
        match self.state {
            State::Idle if !data.is_empty() => {
                self.image.clear();
                self.complete = false;
                self.verified = false;
                self.next_block = 0;
            }
            State::DownloadIdle => {}
            State::Idle
            | State::DownloadSync
            | State::DownloadBusy { .. }
            | State::ManifestSync
            | State::UploadIdle
            | State::Error => {
                let number = self.state.number();
                return self.refuse(
                    format!("DNLOAD of {} bytes in state {number}", data.len()),
                    violations,
                );
            }
        }
        if data.len() > usize::from(TRANSFER_BYTES) {
            return self.refuse(format!("a block of {} bytes", data.len()), violations);
        }
        if block != self.next_block {
            let wanted = self.next_block;
            return self.refuse(format!("block {block} instead of {wanted}"), violations);
        }
        self.next_block = self.next_block.wrapping_add(1);
        if data.is_empty() {
            self.state = State::ManifestSync;
        } else {
            self.image.extend_from_slice(data);
            self.state = State::DownloadSync;
        }
        Reply::Data(Vec::new())
    }

    fn upload(&mut self, block: u16, length: u16, violations: &mut Violations) -> Reply {
        match self.state {
            State::Idle => {
                self.next_block = 0;
                self.uploaded = 0;
            }
            State::UploadIdle => {}
            State::DownloadSync
            | State::DownloadBusy { .. }
            | State::DownloadIdle
            | State::ManifestSync
            | State::Error => {
                let number = self.state.number();
                return self.refuse(format!("UPLOAD in state {number}"), violations);
            }
        }
        if block != self.next_block {
            let wanted = self.next_block;
            return self.refuse(format!("block {block} instead of {wanted}"), violations);
        }
        if length > TRANSFER_BYTES || length == 0 {
            return self.refuse(format!("UPLOAD of {length} bytes"), violations);
        }
        self.next_block = self.next_block.wrapping_add(1);
        let end = (self.uploaded + usize::from(length)).min(self.image.len());
        let mut data = self
            .image
            .get(self.uploaded..end)
            .unwrap_or_default()
            .to_vec();
        self.uploaded = end;
        if self.corrupt_upload
            && let Some(byte) = data.first_mut()
        {
            *byte ^= 0x10;
        }
        if data.len() < usize::from(length) {
            self.state = State::Idle;
            self.verified = self.complete;
        } else {
            self.state = State::UploadIdle;
        }
        Reply::Data(data)
    }

    fn get_status(&mut self, now: Duration) -> Reply {
        let mut poll = 0u32;
        match self.state {
            State::DownloadSync => match self.busy {
                Some(busy) => {
                    self.state = State::DownloadBusy { until: now + busy };
                    poll = u32::try_from(busy.as_millis()).unwrap_or(1);
                }
                None => self.state = State::DownloadIdle,
            },
            State::DownloadBusy { until } if now >= until => self.state = State::DownloadIdle,
            State::DownloadBusy { until } => {
                poll = u32::try_from((until - now).as_millis()).unwrap_or(0) + 1;
            }
            State::ManifestSync => {
                self.state = State::Idle;
                self.complete = true;
            }
            State::Idle | State::DownloadIdle | State::UploadIdle | State::Error => {}
        }
        let [p0, p1, p2, _] = poll.to_le_bytes();
        Reply::Data(vec![self.status, p0, p1, p2, self.state.number(), 0])
    }
}
