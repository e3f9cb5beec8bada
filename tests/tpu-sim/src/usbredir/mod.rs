//! A usbredir server: shows the simulated device to QEMU's `-device usb-redir`, and through it to a
//! guest as a USB device like any other.
//!
//! As much of the protocol (<https://gitlab.freedesktop.org/spice/usbredir>, `docs/usb-redirection-protocol.md`,
//! version 0.7) as QEMU uses for control, bulk and interrupt transfers. The role here is that of the
//! "usb-host"; QEMU's is that of the "usb-guest".

mod protocol;
mod session;

use std::io::{self, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::host::SimulatedHost;

pub use protocol::{Decoder, Packet, ProtocolError};
pub use session::Session;

/// Longest wait when nothing is due: a plug pulled by another thread is noticed after at most that.
const IDLE: Duration = Duration::from_millis(5);

/// Listens on a socket, serves one connection until it closes.
///
/// # Errors
///
/// The socket cannot be made or read, or the peer breaks the protocol.
pub fn serve(path: &Path, host: &SimulatedHost, port: &str) -> io::Result<()> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let (stream, _) = listener.accept()?;
    serve_stream(stream, host, port)
}

/// Serves one connection until it closes.
///
/// # Errors
///
/// It cannot be read or written, or the peer breaks the protocol.
pub fn serve_stream(stream: UnixStream, host: &SimulatedHost, port: &str) -> io::Result<()> {
    let mut reading = stream.try_clone()?;
    let (sender, bytes) = sync_channel::<Vec<u8>>(64);
    // The thread ends with the connection: a read of no bytes, or an error.
    let reader = thread::Builder::new()
        .name("usbredir-read".to_owned())
        .spawn(move || {
            let mut buffer = vec![0; 1 << 18];
            while let Ok(count) = reading.read(&mut buffer) {
                let part = buffer.get(..count).unwrap_or_default().to_vec();
                if count == 0 || sender.send(part).is_err() {
                    return;
                }
            }
        })?;
    let result = converse(stream, &bytes, host, port);
    drop(bytes);
    // A sender that waits for room notices that nobody receives any more.
    let _ = reader.join();
    result
}

fn converse(
    stream: UnixStream,
    bytes: &Receiver<Vec<u8>>,
    host: &SimulatedHost,
    port: &str,
) -> io::Result<()> {
    let closing = stream.try_clone()?;
    let mut session = Session::new(stream, host.clone(), port)?;
    let result = loop {
        if let Err(error) = session.pump() {
            break Err(error);
        }
        let wait = host
            .next_time()
            .map_or(IDLE, |next| next.saturating_sub(host.now()).min(IDLE));
        match bytes.recv_timeout(wait) {
            Ok(part) => {
                if let Err(error) = session.receive(&part) {
                    break Err(error);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
    };
    let _ = closing.shutdown(std::net::Shutdown::Both);
    match result {
        // The peer left while it was being written to: that is how QEMU ends.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
