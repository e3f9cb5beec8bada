//! Giving a Coral USB accelerator its firmware (USB Device Firmware Upgrade 1.1).
//!
//! After power-up the accelerator is only able to take firmware. It is sent block by block, an empty
//! block ends it, it is read back and compared, and a reset of the port starts it: the accelerator
//! comes back as another device. The firmware is lost with the power.

use std::time::Duration;

use super::transport::{Recipient, RequestKind, Setup, TransferError, UsbDevice};
use crate::tpu::error::TpuError;
use crate::units::MonotonicTime;

/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long the device may be busy with one block.
const BUSY_LIMIT: Duration = Duration::from_secs(2);

/// How long a whole download may take; a real one takes a fraction of a second. Whoever waits for
/// inferences waits for this.
const LIMIT: Duration = Duration::from_secs(3);

/// Most status requests for one block, should the clock stand still.
const STATUS_MAX: u32 = 1_000;

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

/// The device as one that takes firmware.
struct Dfu<'a> {
    device: &'a mut dyn UsbDevice,
    interface: DfuInterface,
    until: MonotonicTime,
}

/// Sends the firmware and reads it back. The device runs it after its port has been reset.
pub(super) fn download(device: &mut dyn UsbDevice, firmware: &[u8]) -> Result<(), TpuError> {
    let interface = DfuInterface::find(&device.configuration())?;
    device.claim(interface.number)?;
    let until = device.now() + LIMIT;
    let mut dfu = Dfu {
        device,
        interface,
        until,
    };
    dfu.make_idle()?;
    dfu.send(firmware)?;
    dfu.verify(firmware)
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

impl Dfu<'_> {
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
    fn make_idle(&mut self) -> Result<(), TpuError> {
        let fail = TpuError::transfer("ask for the state of the firmware download");
        let mut found = [0];
        let setup = self.setup(Request::GetState, 0);
        let length = match self.device.control_in(setup, &mut found, TIMEOUT) {
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
        self.device
            .control_out(setup, &[], TIMEOUT)
            .map_err(TpuError::transfer("clear away a cut-off firmware download"))
    }

    fn send(&mut self, firmware: &[u8]) -> Result<(), TpuError> {
        let mut block = 0_u16;
        for bytes in firmware.chunks(self.interface.block_bytes) {
            self.send_block(block, bytes)?;
            let state = self.settle()?;
            if state != state::DOWNLOAD_IDLE {
                return Err(TpuError::Dfu(format!("state {state} after block {block}")));
            }
            block = block.wrapping_add(1);
        }
        self.send_block(block, &[])?;
        let state = self.settle()?;
        if state != state::IDLE {
            return Err(TpuError::Dfu(format!("state {state} after the last block")));
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), TpuError> {
        if self.device.now() < self.until {
            return Ok(());
        }
        Err(TpuError::Dfu(format!("not done within {LIMIT:?}")))
    }

    fn send_block(&mut self, block: u16, bytes: &[u8]) -> Result<(), TpuError> {
        self.check_time()?;
        let setup = self.setup(Request::Download, block);
        self.device
            .control_out(setup, bytes, TIMEOUT)
            .map_err(TpuError::transfer("send a block of firmware"))
    }

    /// Asks for the status until the device is busy no more; says its state.
    fn settle(&mut self) -> Result<u8, TpuError> {
        let start = self.device.now();
        for _ in 0..STATUS_MAX {
            let mut status = [0; 6];
            let setup = self.setup(Request::GetStatus, 0);
            let length = self
                .device
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
            if !busy.contains(&state) {
                return Ok(state);
            }
            // The device says when to ask again. Nothing else can happen on it before that.
            let pause = u32::from_le_bytes([low, middle, high, 0]);
            let pause = Duration::from_millis(u64::from(pause)).min(BUSY_LIMIT);
            if self.device.now().saturating_since(start) + pause > BUSY_LIMIT {
                break;
            }
            let until = self.device.now() + pause;
            // Nothing is pending here: this lets time pass.
            let _nothing = self.device.wait(until);
        }
        Err(TpuError::Dfu("the device stays busy".to_owned()))
    }

    fn verify(&mut self, firmware: &[u8]) -> Result<(), TpuError> {
        if !self.interface.can_upload {
            log::info!("Edge TPU: the device cannot read its firmware back; it is not compared");
            return Ok(());
        }
        let block_bytes = self.interface.block_bytes;
        let mut block = vec![0; block_bytes];
        let mut compared = 0;
        // One more block than the firmware has: the device may hold more than was sent.
        for index in 0..=firmware.len() / block_bytes + 1 {
            self.check_time()?;
            let value = u16::try_from(index & 0xffff).unwrap_or(0);
            let setup = self.setup(Request::Upload, value);
            let length = self
                .device
                .control_in(setup, &mut block, TIMEOUT)
                .map_err(TpuError::transfer("read the firmware back"))?;
            let expected = firmware.get(compared..).unwrap_or_default();
            let came = block.get(..length).unwrap_or_default();
            if came.iter().zip(expected).any(|(came, sent)| came != sent) {
                return Err(TpuError::Dfu(format!(
                    "what came back differs in block {index}"
                )));
            }
            compared += length;
            if length < block_bytes {
                break;
            }
        }
        if compared != firmware.len() {
            return Err(TpuError::Dfu(format!(
                "{compared} bytes came back of {} that were sent",
                firmware.len()
            )));
        }
        Ok(())
    }
}
