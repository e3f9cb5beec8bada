//! `andon models fetch coral`: downloads Coral's models and checks them before they get their names.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha1::{Digest, Sha1};

use super::error::InferenceError;
use super::registry::{ListedDownload, Registry, hex, sha256_hex};

/// Folder below the list's directory that downloads go to, so that they never replace what is shipped.
const FOLDER: &str = "coral";

/// No listed file is larger than 7 MB; a server that sends more is not the right one.
const BYTES_MAX: u64 = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// For one file, everything included.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// What became of one file.
#[derive(Debug)]
pub struct Fetched {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Where it comes from.
    pub url: String,
    /// Its licence.
    pub licence: String,
    /// How it got there, or why it did not.
    pub result: Result<Source, FetchError>,
}

/// How a file came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was there and right.
    AlreadyThere,
    /// It was downloaded.
    Downloaded,
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("cannot download {url}: {source}. Is there internet?")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// An answer, but a refusal.
    #[error("cannot download {url}: the server answered with status {status}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The connection broke off, or too much came.
    #[error("the download of {url} broke off: {source}")]
    BrokenOff {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// What came is not the listed file.
    #[error(
        "{url} is not the file that models.toml lists: {what} is {actual}, should be {expected}"
    )]
    WrongContent {
        /// The address.
        url: String,
        /// `length`, `git blob id` or `sha256`.
        what: &'static str,
        /// As listed.
        expected: String,
        /// As downloaded.
        actual: String,
    },
    /// The file cannot be put in its place.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Downloads everything that a directory's list offers for download into its folder `coral`. Files
/// that are there and right are left alone. Blocks, at most five minutes per file; one that fails does
/// not keep the others from being tried.
///
/// # Errors
///
/// The list cannot be read.
pub fn fetch_coral(directory: &Path) -> Result<Vec<Fetched>, InferenceError> {
    let registry = Registry::read(directory)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .build()
        .into();
    Ok(fetch_all(
        &agent,
        registry.downloads(),
        &directory.join(FOLDER),
    ))
}

/// Where a listed download is, if it has been fetched. Its hash is not looked at.
#[must_use]
pub fn downloaded(registry: &Registry, file: &ListedDownload) -> Option<PathBuf> {
    let path = place_of(file, &registry.directory().join(FOLDER));
    path.is_file().then_some(path)
}

fn place_of(file: &ListedDownload, folder: &Path) -> PathBuf {
    folder.join(Path::new(&file.path).file_name().unwrap_or_default())
}

fn fetch_all(agent: &ureq::Agent, files: &[ListedDownload], folder: &Path) -> Vec<Fetched> {
    let fetched = |file: &ListedDownload| {
        let path = place_of(file, folder);
        Fetched {
            result: fetch(agent, file, &path),
            path,
            url: file.url.clone(),
            licence: file.licence.clone(),
        }
    };
    files.iter().map(fetched).collect()
}

fn fetch(agent: &ureq::Agent, file: &ListedDownload, path: &Path) -> Result<Source, FetchError> {
    if fs::read(path).is_ok_and(|bytes| check(file, &bytes).is_ok()) {
        return Ok(Source::AlreadyThere);
    }
    let bytes = download(agent, &file.url)?;
    check(file, &bytes)?;
    put(path, &bytes).map_err(|source| FetchError::Unwritable {
        path: path.to_owned(),
        source,
    })?;
    Ok(Source::Downloaded)
}

fn download(agent: &ureq::Agent, url: &str) -> Result<Vec<u8>, FetchError> {
    let mut response = match agent.get(url).call() {
        Ok(response) => response,
        Err(ureq::Error::StatusCode(status)) => {
            return Err(FetchError::Refused {
                url: url.to_owned(),
                status,
            });
        }
        Err(source) => {
            return Err(FetchError::Unreachable {
                url: url.to_owned(),
                source: Box::new(source),
            });
        }
    };
    let body = response.body_mut().with_config().limit(BYTES_MAX);
    body.read_to_vec().map_err(|source| FetchError::BrokenOff {
        url: url.to_owned(),
        source: Box::new(source),
    })
}

/// Compares what came with what is listed.
fn check(file: &ListedDownload, bytes: &[u8]) -> Result<(), FetchError> {
    let same = |what, expected: &str, actual: String| {
        if actual.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(FetchError::WrongContent {
            url: file.url.clone(),
            what,
            expected: expected.to_owned(),
            actual,
        })
    };
    if let Some(length) = file.bytes {
        same("length", &length.to_string(), bytes.len().to_string())?;
    }
    same("git blob id", &file.git_blob, git_blob_id(bytes))?;
    match &file.sha256 {
        Some(sha256) => same("sha256", sha256, sha256_hex(bytes)),
        None => Ok(()),
    }
}

/// What git calls a file with these bytes: SHA-1 of `blob LENGTH\0` and the bytes.
fn git_blob_id(bytes: &[u8]) -> String {
    let hash = Sha1::new()
        .chain_update(format!("blob {}\0", bytes.len()))
        .chain_update(bytes)
        .finalize();
    hex(&hash)
}

/// Writes beside the place and renames, so that the name never stands for half a file.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("part");
    let written = File::create(&unfinished)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // What is left of it is of no use; if this fails too, the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure is the message")]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{self, JoinHandle};

    /// Answers one request with `answer`, then goes.
    fn server(answer: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            // A client that has seen enough may have gone.
            let _ = stream.write_all(answer);
        });
        (address, thread)
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into()
    }

    fn listed(address: SocketAddr, git_blob: &str) -> ListedDownload {
        ListedDownload {
            name: "m".to_owned(),
            role: "cpu".to_owned(),
            url: format!("http://{address}/a/hello.tflite"),
            path: "a/hello.tflite".to_owned(),
            git_blob: git_blob.to_owned(),
            sha256: None,
            bytes: None,
            licence: "Apache-2.0".to_owned(),
            task: None,
            training_set: None,
            accuracy: None,
            tpu: None,
        }
    }

    /// `printf 'hello\n' | git hash-object --stdin`
    const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";

    fn fetch_one(answer: &'static [u8], git_blob: &str, folder: &Path) -> Fetched {
        let (address, server) = server(answer);
        let mut fetched = fetch_all(&agent(), &[listed(address, git_blob)], folder);
        server.join().unwrap();
        fetched.remove(0)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_right_file_is_put_in_place_and_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("coral");
        let fetched = fetch_one(GOOD, HELLO, &target);
        assert_eq!(fetched.result.unwrap(), Source::Downloaded);
        assert_eq!(fs::read(&fetched.path).unwrap(), b"hello\n");
        assert_eq!(names(&target), ["hello.tflite"]);
        // Nobody listens any more.
        let address = "127.0.0.1:9".parse().unwrap();
        let again = fetch(&agent(), &listed(address, HELLO), &fetched.path);
        assert_eq!(again.unwrap(), Source::AlreadyThere);
    }

    #[test]
    fn what_is_not_the_listed_file_never_gets_its_name() {
        let wrong = "0000000000000000000000000000000000000000";
        let cut: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\nhello\n";
        let missing: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope";
        for (answer, git_blob, expected) in [
            (GOOD, wrong, "git blob id"),
            (cut, HELLO, "broke off"),
            (missing, HELLO, "status 404"),
            (b"nonsense\r\n\r\n", HELLO, "cannot download"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let error = fetch_one(answer, git_blob, folder.path())
                .result
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("/a/hello.tflite"), "{error}");
            assert!(
                names(folder.path()).is_empty(),
                "{:?}",
                names(folder.path())
            );
        }
    }

    #[test]
    fn no_server_is_said_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = download(&agent(), &format!("http://{address}/x")).unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(error.to_string().contains("internet"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hello.tflite"), b"jello\n").unwrap();
        let fetched = fetch_one(GOOD, HELLO, folder.path());
        assert_eq!(fetched.result.unwrap(), Source::Downloaded);
        assert_eq!(fs::read(fetched.path).unwrap(), b"hello\n");
    }
}
