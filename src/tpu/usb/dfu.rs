//! Giving a Coral USB accelerator its firmware (USB Device Firmware Upgrade 1.1).
//!
//! After power-up the accelerator is only able to take firmware. It is sent block by block, an empty
//! block ends it, it is read back and compared, and a reset of the port starts it: the accelerator
//! comes back as another device. The firmware is lost with the power.
//!
//! A [`Download`] goes on in steps of limited time, so that whoever has other things to do does them
//! in between.

use std::time::Duration;

use super::transport::{Recipient, RequestKind, Setup, TransferError, UsbDevice};
use crate::tpu::error::TpuError;
use crate::units::MonotonicTime;

/// Time for one request; they take less than a millisecond.
const TIMEOUT: Duration = Duration::from_millis(300);

/// How long the device may be busy with one block.
const BUSY_LIMIT: Duration = Duration::from_secs(2);

/// Most status requests for one block, should the clock stand still.
const STATUS_MAX: u32 = 1_000;

/// Time after which a step begins no further request.
const STEP: Duration = Duration::from_millis(50);

/// Blocks longer than this are not tried; real devices take 256 bytes.
const BLOCK_MAX: usize = 4096;

/// Requests of the class.
#[derive(Clone, Copy, Debug)]
enum Request {
    Detach = 0,
    Download = 1,
    Upload = 2,
    GetStatus = 3,
    ClearStatus = 4,
    GetState = 5,
    Abort = 6,
}

/// States of the device that matter here (DFU 1.1, A.1).
mod state {
    pub(super) const IDLE: u8 = 2;
    pub(super) const DOWNLOAD_SYNC: u8 = 3;
    pub(super) const DOWNLOAD_BUSY: u8 = 4;
    pub(super) const DOWNLOAD_IDLE: u8 = 5;
    pub(super) const MANIFEST_SYNC: u8 = 6;
    pub(super) const MANIFEST: u8 = 7;
    pub(super) const ERROR: u8 = 10;
}

/// What the descriptors say of firmware downloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DfuInterface {
    pub(super) number: u8,
    pub(super) block_bytes: usize,
    pub(super) can_upload: bool,
}

impl DfuInterface {
    /// Finds it in a configuration descriptor.
    pub(super) fn find(configuration: &[u8]) -> Result<Self, TpuError> {
        let missing = |what: &str| TpuError::Dfu(format!("the device's descriptors have {what}"));
        let mut number = None;
        let mut rest = configuration;
        while let &[length, kind, ..] = rest {
            let length = usize::from(length);
            if length < 2 || length > rest.len() {
                return Err(missing("a descriptor of impossible length"));
            }
            let (descriptor, others) = rest.split_at(length);
            rest = others;
            match (kind, descriptor) {
                // An interface of class "application specific", subclass "firmware upgrade".
                (4, &[_, _, interface, _, _, 0xfe, 1, ..]) => number = Some(interface),
                (0x21, &[_, _, attributes, _, _, low, high, ..]) => {
                    let block_bytes = usize::from(u16::from_le_bytes([low, high]));
                    let number = number.ok_or_else(|| missing("no interface for firmware"))?;
                    if attributes & 1 == 0 || !(1..=BLOCK_MAX).contains(&block_bytes) {
                        return Err(missing(&format!(
                            "blocks of {block_bytes} bytes, attributes {attributes:#x}"
                        )));
                    }
                    return Ok(Self {
                        number,
                        block_bytes,
                        can_upload: attributes & 2 != 0,
                    });
                }
                _ => {}
            }
        }
        Err(missing("nothing about firmware"))
    }
}

/// What comes next in a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// What was there before is cleared away.
    Begin,
    /// A block is sent; the one behind the last is empty.
    Send,
    /// The device is asked whether it is done with the block, not before `at`.
    Settle {
        since: MonotonicTime,
        at: MonotonicTime,
        asked: u32,
    },
    /// A block is read back.
    ReadBack,
    /// Nothing.
    Done,
}

/// A download that is under way. The device runs the firmware after its port has been reset.
#[derive(Debug)]
pub(super) struct Download {
    interface: DfuInterface,
    firmware: Vec<u8>,
    next: Next,
    /// The block that is sent or read back.
    block: usize,
    /// Bytes that came back and are as they should be.
    compared: usize,
}

impl Download {
    /// Begins one; nothing is sent yet.
    pub(super) fn new(device: &mut dyn UsbDevice, firmware: Vec<u8>) -> Result<Self, TpuError> {
        let interface = DfuInterface::find(&device.configuration())?;
        device.claim(interface.number)?;
        Ok(Self {
            interface,
            firmware,
            next: Next::Begin,
            block: 0,
            compared: 0,
        })
    }

    /// Bytes of the firmware.
    pub(super) const fn bytes(&self) -> usize {
        self.firmware.len()
    }

    /// When there is something to do: not before this, where the device is busy.
    pub(super) const fn due(&self) -> Option<MonotonicTime> {
        match self.next {
            Next::Settle { at, .. } => Some(at),
            Next::Begin | Next::Send | Next::ReadBack | Next::Done => None,
        }
    }

    /// Goes on for a while. Says whether the firmware is there, and was read back where that can be
    /// done.
    pub(super) fn advance(&mut self, device: &mut dyn UsbDevice) -> Result<bool, TpuError> {
        let until = device.now() + STEP;
        loop {
            let now = device.now();
            match self.next {
                Next::Done => return Ok(true),
                Next::Settle { at, .. } if now < at => return Ok(false),
                Next::Begin | Next::Send | Next::Settle { .. } | Next::ReadBack if now >= until => {
                    return Ok(false);
                }
                Next::Begin => {
                    self.make_idle(device)?;
                    self.next = Next::Send;
                }
                Next::Send => {
                    self.send_block(device)?;
                    let now = device.now();
                    self.next = Next::Settle {
                        since: now,
                        at: now,
                        asked: 0,
                    };
                }
                Next::Settle { since, asked, .. } => self.settle(device, since, asked)?,
                Next::ReadBack => self.read_back(device)?,
            }
        }
    }

    fn setup(&self, request: Request, value: u16) -> Setup {
        Setup {
            kind: RequestKind::Class,
            recipient: Recipient::Interface,
            request: request as u8,
            value,
            index: u16::from(self.interface.number),
        }
    }

    /// A download that was cut off, or an error, is cleared away.
    fn make_idle(&self, device: &mut dyn UsbDevice) -> Result<(), TpuError> {
        let fail = TpuError::transfer("ask for the state of the firmware download");
        let mut found = [0];
        let setup = self.setup(Request::GetState, 0);
        let length = match device.control_in(setup, &mut found, TIMEOUT) {
            // A device need not know the request; then it has to be idle.
            Err(TransferError::Stall) => return Ok(()),
            other => other.map_err(fail)?,
        };
        let request = match found {
            _ if length != 1 => return Err(TpuError::Dfu("its state has no byte".to_owned())),
            [state::IDLE] => return Ok(()),
            [state::ERROR] => Request::ClearStatus,
            [_] => Request::Abort,
        };
        let setup = self.setup(request, 0);
        device
            .control_out(setup, &[], TIMEOUT)
            .map_err(TpuError::transfer("clear away a cut-off firmware download"))
    }

    fn send_block(&self, device: &mut dyn UsbDevice) -> Result<(), TpuError> {
        let start = self.block.saturating_mul(self.interface.block_bytes);
        let rest = self.firmware.get(start..).unwrap_or_default();
        let bytes = rest.get(..self.interface.block_bytes).unwrap_or(rest);
        let setup = self.setup(Request::Download, number(self.block));
        device
            .control_out(setup, bytes, TIMEOUT)
            .map_err(TpuError::transfer("send a block of firmware"))
    }

    /// Asks whether the device is done with a block.
    fn settle(
        &mut self,
        device: &mut dyn UsbDevice,
        since: MonotonicTime,
        asked: u32,
    ) -> Result<(), TpuError> {
        let mut status = [0; 6];
        let setup = self.setup(Request::GetStatus, 0);
        let length = device
            .control_in(setup, &mut status, TIMEOUT)
            .map_err(TpuError::transfer(
                "ask for the status of the firmware download",
            ))?;
        let [error, low, middle, high, state, _] = status;
        if length != status.len() {
            return Err(TpuError::Dfu(format!("a status of {length} bytes")));
        }
        if error != 0 {
            return Err(TpuError::Dfu(format!("error {error} in state {state}")));
        }
        let busy = [
            state::DOWNLOAD_SYNC,
            state::DOWNLOAD_BUSY,
            state::MANIFEST_SYNC,
            state::MANIFEST,
        ];
        if busy.contains(&state) {
            // The device says when to ask again.
            let pause = u32::from_le_bytes([low, middle, high, 0]);
            let at = device.now() + Duration::from_millis(u64::from(pause)).min(BUSY_LIMIT);
            if at.saturating_since(since) > BUSY_LIMIT || asked >= STATUS_MAX {
                return Err(TpuError::Dfu("the device stays busy".to_owned()));
            }
            self.next = Next::Settle {
                since,
                at,
                asked: asked + 1,
            };
            return Ok(());
        }
        let is_last = self.block.saturating_mul(self.interface.block_bytes) >= self.firmware.len();
        let wanted = if is_last {
            state::IDLE
        } else {
            state::DOWNLOAD_IDLE
        };
        if state != wanted {
            let block = self.block;
            return Err(TpuError::Dfu(format!("state {state} after block {block}")));
        }
        if !is_last {
            self.block += 1;
            self.next = Next::Send;
        } else if self.interface.can_upload {
            self.block = 0;
            self.next = Next::ReadBack;
        } else {
            log::info!("Edge TPU: the device cannot read its firmware back; it is not compared");
            self.next = Next::Done;
        }
        Ok(())
    }

    /// Reads a block back and compares it. A short one is the last.
    fn read_back(&mut self, device: &mut dyn UsbDevice) -> Result<(), TpuError> {
        let mut block = vec![0; self.interface.block_bytes];
        let setup = self.setup(Request::Upload, number(self.block));
        let length = device
            .control_in(setup, &mut block, TIMEOUT)
            .map_err(TpuError::transfer("read the firmware back"))?;
        let came = block.get(..length).unwrap_or_default();
        let expected = self.firmware.get(self.compared..).unwrap_or_default();
        if !expected.starts_with(came) {
            return Err(TpuError::Dfu(format!(
                "what came back differs in block {}",
                self.block
            )));
        }
        self.compared += length;
        self.block += 1;
        if length == self.interface.block_bytes {
            return Ok(());
        }
        if self.compared != self.firmware.len() {
            return Err(TpuError::Dfu(format!(
                "{} bytes came back of {} that were sent",
                self.compared,
                self.firmware.len()
            )));
        }
        self.next = Next::Done;
        Ok(())
    }
}

/// The number of a block as it is sent: 16 bits, and round again.
fn number(block: usize) -> u16 {
    u16::try_from(block & 0xffff).unwrap_or(0)
}

/// Asks a running device to go back to taking firmware after the next reset of its port.
pub(super) fn detach(device: &mut dyn UsbDevice) -> Result<(), TpuError> {
    device.claim(0)?;
    let setup = Setup {
        kind: RequestKind::Class,
        recipient: Recipient::Interface,
        request: Request::Detach as u8,
        // Milliseconds for the reset to come.
        value: 100,
        index: 0,
    };
    device
        .control_out(setup, &[], TIMEOUT)
        .map_err(TpuError::transfer("make the device take firmware again"))
}
