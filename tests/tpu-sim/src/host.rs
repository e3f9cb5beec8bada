//! A host with simulated devices on its ports: what front ends and tests hold.
//!
//! [`SimulatedHost`] is shared by cloning: the test keeps one to pull plugs and to ask for
//! breaches, the front end another. [`OpenDevice`] is what the driver's transport wraps.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, VirtualClock};
use crate::device::{Config, ControlEnd, Presence, SILENCE, Setup, SimulatedEdgeTpu};
use crate::endpoint::{Completion, TransferError};
use crate::latency::Speed;
use crate::registry::Registry;
use crate::violation::Violation;

#[derive(Debug, Default)]
struct Bus {
    ports: Vec<(String, SimulatedEdgeTpu)>,
    /// Changes that [`SimulatedHost::wait_for_change`] has told of.
    told: u64,
}

#[derive(Debug)]
struct Shared {
    bus: Mutex<Bus>,
    woken: Condvar,
    clock: Arc<dyn Clock>,
}

/// A host's USB with simulated devices.
#[derive(Clone, Debug)]
pub struct SimulatedHost(Arc<Shared>);

/// A plugged-in device as the host lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its port, such as `1-2.3`.
    pub port: String,
    /// What it is.
    pub presence: Presence,
}

impl SimulatedHost {
    /// A host without devices, on a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            bus: Mutex::new(Bus::default()),
            woken: Condvar::new(),
            clock,
        }))
    }

    /// A host on simulated time with one device on port `1-1`.
    #[must_use]
    pub fn with_one(config: Config, registry: Registry) -> Self {
        let host = Self::new(VirtualClock::new());
        host.add("1-1", SimulatedEdgeTpu::new(config, registry));
        host
    }

    /// Adds a device on a port.
    pub fn add(&self, port: &str, device: SimulatedEdgeTpu) {
        self.lock().ports.push((port.to_owned(), device));
        self.0.woken.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Bus> {
        self.0.bus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.clock.now()
    }

    /// Does something with the device on a port: pulls its plug, adds to its script, reads its
    /// record. `None` when there is no such port.
    pub fn with<T>(
        &self,
        port: &str,
        action: impl FnOnce(&mut SimulatedEdgeTpu, Duration) -> T,
    ) -> Option<T> {
        let now = self.now();
        let mut bus = self.lock();
        let device = bus.find(port)?;
        device.advance(now);
        let result = action(device, now);
        drop(bus);
        self.0.woken.notify_all();
        Some(result)
    }

    /// When a device does something by itself next.
    #[must_use]
    pub fn next_time(&self) -> Option<Duration> {
        self.lock().next_time()
    }

    /// Breaches of all devices.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.lock()
            .ports
            .iter()
            .flat_map(|(_, device)| device.violations().all().to_vec())
            .collect()
    }

    /// Ends a test: there must have been no breach.
    ///
    /// # Panics
    ///
    /// There was one; the message lists them.
    pub fn assert_clean(&self) {
        let violations = self.violations();
        let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(
            list.is_empty(),
            "the driver broke the protocol {} times:\n  {}",
            list.len(),
            list.join("\n  ")
        );
    }

    /// What is plugged in.
    #[must_use]
    pub fn devices(&self) -> Vec<Listed> {
        let now = self.now();
        let mut bus = self.lock();
        bus.advance(now);
        bus.ports
            .iter()
            .filter_map(|(port, device)| {
                device.presence().map(|presence| Listed {
                    port: port.clone(),
                    presence,
                })
            })
            .collect()
    }

    /// Waits until something was plugged in or out since the last call.
    #[must_use]
    pub fn wait_for_change(&self, deadline: Duration) -> bool {
        let mut bus = self.lock();
        loop {
            let now = self.now();
            bus.advance(now);
            let changes: u64 = bus.ports.iter().map(|(_, d)| d.changes()).sum();
            if changes != bus.told {
                bus.told = changes;
                return true;
            }
            if now >= deadline {
                return false;
            }
            let next = bus.next_time();
            bus = self.wait(bus, next, deadline);
        }
    }

    /// Lets time pass until the sooner of the two, or until another thread did something.
    fn wait<'a>(
        &'a self,
        bus: MutexGuard<'a, Bus>,
        next: Option<Duration>,
        deadline: Duration,
    ) -> MutexGuard<'a, Bus> {
        let until = next.map_or(deadline, |next| next.min(deadline));
        let clock = &self.0.clock;
        if clock.is_virtual() {
            clock.advance_to(until);
            return bus;
        }
        let span = until.saturating_sub(clock.now());
        match self.0.woken.wait_timeout(bus, span) {
            Ok((bus, _)) => bus,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// Opens the device that was listed. `None` when it is no longer there.
    #[must_use]
    pub fn open(&self, listed: &Listed) -> Option<OpenDevice> {
        let now = self.now();
        let mut bus = self.lock();
        bus.advance(now);
        let device = bus.find(&listed.port)?;
        if device.presence() != Some(listed.presence) {
            return None;
        }
        let session = device.open(now);
        let speed = device.config().speed;
        let configuration = device.configuration_descriptor();
        drop(bus);
        Some(OpenDevice {
            host: self.clone(),
            port: listed.port.clone(),
            address: listed.presence.address,
            speed,
            configuration,
            session,
            open: true,
            next_id: 0,
            lost: VecDeque::new(),
        })
    }
}

impl Bus {
    fn find(&mut self, port: &str) -> Option<&mut SimulatedEdgeTpu> {
        self.ports
            .iter_mut()
            .find(|(name, _)| name == port)
            .map(|(_, device)| device)
    }

    fn advance(&mut self, now: Duration) {
        for (_, device) in &mut self.ports {
            device.advance(now);
        }
    }

    fn next_time(&self) -> Option<Duration> {
        self.ports
            .iter()
            .filter_map(|(_, device)| device.next_time())
            .min()
    }
}

/// An open device. Dropping it closes it.
#[derive(Debug)]
pub struct OpenDevice {
    host: SimulatedHost,
    port: String,
    address: u8,
    speed: Speed,
    configuration: Vec<u8>,
    /// Not yet closed by a reset.
    open: bool,
    session: u64,
    next_id: u64,
    /// Transfers that never got to the device.
    lost: VecDeque<Completion>,
}

impl OpenDevice {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.host.now()
    }

    /// Signalling rate.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.speed
    }

    /// The configuration descriptor.
    #[must_use]
    pub fn configuration(&self) -> &[u8] {
        &self.configuration
    }

    /// Does something with the device if this handle is still good for it.
    fn with<T>(&self, action: impl FnOnce(&mut SimulatedEdgeTpu, Duration) -> T) -> Option<T> {
        let now = self.host.now();
        let mut bus = self.host.lock();
        let device = bus.find(&self.port)?;
        device.advance(now);
        // Completions of an unplugged device are still to be fetched; nothing else is.
        (self.open
            && device
                .presence()
                .is_none_or(|presence| presence.address == self.address))
        .then(|| action(device, now))
    }

    /// Claims an interface.
    #[must_use]
    pub fn claim(&mut self, interface: u8) -> bool {
        self.with(|device, now| device.claim(now, interface))
            .unwrap_or(false)
    }

    /// A control transfer; waits for its end, at most `timeout`.
    ///
    /// # Errors
    ///
    /// See [`TransferError`].
    pub fn control(
        &mut self,
        setup: Setup,
        data: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, TransferError> {
        let begun = self.host.now();
        let end = self
            .with(|device, now| device.control(now, setup, data))
            .unwrap_or(ControlEnd {
                result: Err(TransferError::Disconnected),
                at: Some(begun),
            });
        self.end(end, begun + timeout)
    }

    /// Waits for the end of a control transfer, at most until `limit`.
    fn end(&self, end: ControlEnd, limit: Duration) -> Result<Vec<u8>, TransferError> {
        let at = end.at.filter(|at| *at <= limit);
        self.pass(at.unwrap_or(limit));
        match at {
            Some(_) => end.result,
            None => Err(TransferError::TimedOut),
        }
    }

    /// Lets time pass.
    fn pass(&self, until: Duration) {
        loop {
            let now = self.host.now();
            if now >= until {
                break;
            }
            let mut bus = self.host.lock();
            bus.advance(now);
            let next = bus.next_time();
            drop(self.host.wait(bus, next.filter(|next| *next > now), until));
        }
    }

    /// Submits a transfer; its number comes back with its completion.
    pub fn submit(&mut self, endpoint: u8, buffer: Vec<u8>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let now = self.host.now();
        let mut bus = self.host.lock();
        let (address, open) = (self.address, self.open);
        if let Some(device) = bus.find(&self.port) {
            device.advance(now);
            let good = open && device.presence().is_none_or(|p| p.address == address);
            if good {
                device.submit(now, id, endpoint, buffer);
                return id;
            }
        }
        drop(bus);
        self.lost.push_back(Completion {
            session: self.session,
            id,
            endpoint,
            buffer,
            transferred: 0,
            status: Err(TransferError::Disconnected),
            at: now,
        });
        id
    }

    /// Waits for a transfer that has ended. `None` at the deadline.
    pub fn completion(&mut self, deadline: Duration) -> Option<Completion> {
        if let Some(lost) = self.lost.pop_front() {
            return Some(lost);
        }
        let host = self.host.clone();
        let mut bus = host.lock();
        loop {
            let now = host.now();
            bus.advance(now);
            let device = bus.find(&self.port)?;
            if let Some(completion) = device.completion(self.session) {
                return Some(completion);
            }
            if now >= deadline {
                return None;
            }
            let next = bus.next_time();
            bus = host.wait(bus, next, deadline);
        }
    }

    /// Withdraws what is pending on an endpoint.
    pub fn cancel(&mut self, endpoint: u8) {
        let _ = self.with(|device, now| device.cancel(now, endpoint));
    }

    /// Withdraws one transfer.
    pub fn cancel_one(&mut self, id: u64) {
        let _ = self.with(|device, now| device.cancel_one(now, id));
    }

    /// Clears an endpoint's halt. As with the kernel's, its time is not the caller's to choose.
    ///
    /// # Errors
    ///
    /// The device is gone, or does not answer.
    pub fn clear_halt(&mut self, endpoint: u8) -> Result<(), TransferError> {
        let begun = self.host.now();
        let end = self.with(|device, now| device.clear_halt(now, endpoint));
        let end = end.unwrap_or(ControlEnd {
            result: Err(TransferError::Disconnected),
            at: Some(begun),
        });
        self.end(end, begun + SILENCE).map(|_| ())
    }

    /// Resets the port, and waits for that. The handle is of no use afterwards, but for fetching
    /// completions.
    ///
    /// # Errors
    ///
    /// The device is gone.
    pub fn reset(&mut self) -> Result<(), TransferError> {
        let there = self.with(|device, now| {
            let time = device.reset_time();
            let there = device.reset(now);
            device.close(now);
            there.then_some(now + time)
        });
        self.open = false;
        match there.flatten() {
            Some(until) => {
                self.pass(until);
                Ok(())
            }
            None => Err(TransferError::Disconnected),
        }
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        let _ = self.with(|device, now| {
            if device.presence().is_some() {
                device.close(now);
            }
        });
        if let Some(device) = self.host.lock().find(&self.port) {
            device.forget(self.session);
        }
    }
}
