//! As a service: what the program tells the service manager, played by the test.

mod support;

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::andon;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

struct Service {
    child: Child,
    socket: UnixDatagram,
    told: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a socket");
        let child = andon()
            .args(["run", "--display", "none", "--pace", "realtime", "--loop"])
            .args(["--engine", "cpu"])
            .args(arguments)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "5000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self {
            child,
            socket,
            told: Vec::new(),
            _folder: folder,
        }
    }

    /// Listens until a message begins so; gives how many messages came before it.
    fn wait_for(&mut self, beginning: &str) -> usize {
        let started = Instant::now();
        let mut buffer = [0; 1024];
        loop {
            if let Some(at) = self
                .told
                .iter()
                .position(|told| told.starts_with(beginning))
            {
                return at;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "never {beginning}: {:?}",
                self.told
            );
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.told
                    .push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        kill(Pid::from_raw(pid), signal).expect("the process is there");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_service_manager_is_told_ready_signs_of_life_and_the_end() {
    let mut service = Service::start();
    service.wait_for("READY=1");
    service.wait_for("WATCHDOG=1");
    service.wait_for("STATUS=run permission: on");
    service.signal(Signal::SIGTERM);
    let stopping = service.wait_for("STOPPING=1");
    let ready = service.wait_for("READY=1");
    assert!(ready < stopping, "{:?}", service.told);
    assert!(service.child.wait().expect("it ends").success());
}

#[test]
fn a_pipeline_that_stands_still_gives_no_sign_of_life() {
    let mut service = Service::start();
    service.wait_for("WATCHDOG=1");
    service.signal(Signal::SIGSTOP);
    // What was sent before is taken out; the fault is the time that follows.
    std::thread::sleep(Duration::from_millis(300));
    service.socket.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 1024];
    while service.socket.recv(&mut buffer).is_ok() {}
    std::thread::sleep(Duration::from_millis(1500));
    assert!(
        service.socket.recv(&mut buffer).is_err(),
        "it spoke while it stood still"
    );
    service.signal(Signal::SIGCONT);
    service.socket.set_nonblocking(false).expect("a socket");
    service.told.clear();
    service.wait_for("WATCHDOG=1");
}

#[test]
fn without_cameras_the_start_takes_longer_and_is_no_failure() {
    let inputs = ["/dev/video97", "/dev/video98"];
    let names = ["--worker-safety-input", "--visual-inspection-input"];
    let mut service = Service::start_with(&[names[0], inputs[0], names[1], inputs[1]]);
    service.wait_for("STATUS=run permission: locked_out");
    for _ in 0..5 {
        service.told.clear();
        // As long as the signs of life may be apart from one another.
        service.wait_for("EXTEND_TIMEOUT_USEC=5000000");
    }
    assert!(
        !service.told.iter().any(|told| told.contains("READY")),
        "no frame was decided: {:?}",
        service.told
    );
}

#[test]
fn once_it_is_ready_it_asks_for_no_more_time() {
    let mut service = Service::start();
    service.wait_for("READY=1");
    // One that was on its way.
    service.wait_for("WATCHDOG=1");
    for _ in 0..5 {
        service.told.clear();
        service.wait_for("WATCHDOG=1");
    }
}
