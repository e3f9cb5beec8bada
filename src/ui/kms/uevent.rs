//! The kernel's word that something about a card changed.
//!
//! Read straight from the kernel's netlink socket (`NETLINK_KOBJECT_UEVENT`): udev need not run. A
//! container may not deliver these, and a full socket loses some; so the connector's state is also
//! looked at every second, and this only makes it quicker.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// Bytes of the longest message; the kernel's limit is 2048.
const MESSAGE_MAX: usize = 4096;

/// Group of the kernel's own messages; udev sends its copies to 2.
const KERNEL: u32 = 1;

/// Messages read in one go at most: a card that talks without end must not keep the thread.
const MESSAGES_MAX: usize = 64;

/// Listens for changes of cards.
#[derive(Debug)]
pub(super) struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Opens the socket.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
        Ok(Self { socket })
    }

    /// Whether a card changed since the last call. Does not wait.
    pub(super) fn card_changed(&self) -> bool {
        let mut changed = false;
        let mut message = [0_u8; MESSAGE_MAX];
        for _ in 0..MESSAGES_MAX {
            match recv(
                self.socket.as_raw_fd(),
                &mut message,
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(length) => changed |= is_of_a_card(message.get(..length).unwrap_or_default()),
                // Some were lost: one of them may have been a card's.
                Err(nix::errno::Errno::ENOBUFS) => changed = true,
                Err(_) => break,
            }
        }
        changed
    }
}

/// Whether a message is about a card: `change@/devices/…\0ACTION=change\0…\0SUBSYSTEM=drm\0…`.
fn is_of_a_card(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == 0)
        .any(|field| field == b"SUBSYSTEM=drm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_cards_count() {
        for (message, expected) in [
            (
                &b"change@/devices/pci0/drm/card0\0ACTION=change\0SUBSYSTEM=drm\0HOTPLUG=1\0"[..],
                true,
            ),
            (b"add@/devices/usb1/1-1\0ACTION=add\0SUBSYSTEM=usb\0", false),
            (b"change@/x\0NOTE=SUBSYSTEM=drm\0SUBSYSTEM=drm2\0", false),
            (
                b"remove@/devices/drm/card1\0ACTION=remove\0SUBSYSTEM=drm",
                true,
            ),
            (b"", false),
        ] {
            let text = String::from_utf8_lossy(message);
            assert_eq!(is_of_a_card(message), expected, "{text}");
        }
    }
}
