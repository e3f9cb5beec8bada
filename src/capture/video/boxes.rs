//! Finding the index of an mp4 file: a walk over its top-level boxes (ISO/IEC 14496-12, 4.2).
//!
//! Only the index (`moov`, and the `moof` of fragmented files) is read into memory; the pictures
//! stay in the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use shiguredo_mp4::boxes::MoofBox;
use shiguredo_mp4::{BoxHeader, Decode};

use super::Problem;

/// Largest index that is read: an hour of video makes about 2 MB, so this is a broken size field.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Types a file may begin with.
const KNOWN_FIRST: [&[u8; 4]; 10] = [
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot", b"uuid", b"sidx",
];

/// The parts of the file that say where everything else is.
#[derive(Debug)]
pub(super) struct Index {
    /// Payload of `moov`.
    pub(super) moov: Vec<u8>,
    /// Offset in the file and content of each `moof`.
    pub(super) fragments: Vec<(u64, MoofBox)>,
    /// The file ends within a fragment's index.
    pub(super) cut_off: bool,
    /// More samples than this cannot be in the file.
    pub(super) samples_max: u64,
}

/// So many samples an index may promise however small the file is: one may have been cut off behind
/// its index.
const SAMPLES_ALWAYS: u64 = 1 << 16;

/// Walks over the file's boxes.
pub(super) fn read_index(file: &File, length: u64) -> Result<Index, Problem> {
    if length == 0 {
        return Err(Problem::Empty);
    }
    let mut moov = None;
    let mut fragments = Vec::new();
    let mut cut_off = false;
    // A sample takes a byte at least.
    let samples_max = length.max(SAMPLES_ALWAYS);
    let mut promised = 0_u64;
    let mut at = 0;
    while at < length {
        let header = header_at(file, at, length)?;
        if at == 0 && !header.is_some_and(|(kind, ..)| KNOWN_FIRST.contains(&&kind)) {
            return Err(Problem::NotMp4(sniff(file)?));
        }
        let Some((kind, header, size)) = header else {
            break;
        };
        let end = at.checked_add(size).ok_or_else(|| broken(kind, at))?;
        match &kind {
            b"moov" | b"moof" if end > length => cut_off = true,
            b"moov" => moov = Some(read(file, at + header, size - header)?),
            b"moof" => {
                let bytes = read(file, at, size)?;
                // Before they are unpacked: a run of a few bytes may promise millions.
                promised = promised.saturating_add(run_samples(&bytes, header));
                if promised > samples_max {
                    return Err(too_many(promised));
                }
                let (fragment, _) = MoofBox::decode(&bytes).map_err(|error| {
                    Problem::Malformed(format!("fragment at byte {at}: {error}"))
                })?;
                fragments.push((at, fragment));
            }
            _ => {}
        }
        at = end;
    }
    Ok(Index {
        moov: moov.ok_or(Problem::NoIndex)?,
        fragments,
        cut_off,
        samples_max,
    })
}

/// An index that promises more samples than the file has bytes.
pub(super) fn too_many(promised: u64) -> Problem {
    Problem::Malformed(format!(
        "its index promises {promised} frames, more than the file can hold"
    ))
}

/// Samples that the runs of a `moof` promise, of all tracks (8.8.8).
fn run_samples(moof: &[u8], header: u64) -> u64 {
    let start = usize::try_from(header).unwrap_or(usize::MAX);
    let payload = moof.get(start..).unwrap_or_default();
    let fragments = children(payload).filter(|(kind, ..)| kind == b"traf");
    let runs = fragments.flat_map(|(_, _, traf)| children(traf));
    runs.filter(|(kind, ..)| kind == b"trun")
        .filter_map(|(_, _, run)| run.get(4..8)?.first_chunk().copied())
        .map(|count| u64::from(u32::from_be_bytes(count)))
        .sum()
}

/// Type, header size and whole size of the box at `at`; `None` where no further header fits.
fn header_at(file: &File, at: u64, length: u64) -> Result<Option<([u8; 4], u64, u64)>, Problem> {
    let mut bytes = [0; BoxHeader::MAX_SIZE];
    let available = usize::try_from(length - at).map_or(bytes.len(), |left| left.min(bytes.len()));
    let (bytes, _) = bytes.split_at_mut(available);
    file.read_exact_at(bytes, at).map_err(Problem::Read)?;
    let Some((_, rest)) = bytes.split_at_checked(4) else {
        return Ok(None);
    };
    let Some(kind) = rest.first_chunk::<4>().copied() else {
        return Ok(None);
    };
    let Ok((header, header_size)) = BoxHeader::decode(bytes) else {
        if at == 0 {
            return Err(Problem::NotMp4(sniff(file)?));
        }
        return Err(broken(kind, at));
    };
    // Size 0 means "to the end of the file" (4.2.2).
    let size = match header.box_size.get() {
        0 => length - at,
        size => size,
    };
    Ok(Some((kind, header_size as u64, size)))
}

fn read(file: &File, at: u64, size: u64) -> Result<Vec<u8>, Problem> {
    let length = usize::try_from(size)
        .ok()
        .filter(|_| size <= INDEX_BYTES_MAX)
        .ok_or_else(|| Problem::Malformed(format!("an index of {size} bytes at byte {at}")))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).map_err(Problem::Read)?;
    Ok(bytes)
}

fn broken(kind: [u8; 4], at: u64) -> Problem {
    Problem::Malformed(format!(
        "the size of box \"{}\" at byte {at} is impossible",
        kind.escape_ascii()
    ))
}

/// What a file that is no mp4 looks like, from its first bytes.
fn sniff(file: &File) -> Result<String, Problem> {
    let mut bytes = [0; 12];
    let length = read_some(file, &mut bytes).map_err(Problem::Read)?;
    let (start, _) = bytes.split_at(length);
    let known: [(&[u8], &str); 10] = [
        (b"RIFF", "it looks like AVI or WAV"),
        (b"\x1aE\xdf\xa3", "it looks like Matroska or WebM"),
        (b"\x89PNG", "it looks like a PNG picture"),
        (b"\xff\xd8\xff", "it looks like a JPEG picture"),
        (b"FLV", "it looks like Flash video"),
        (b"OggS", "it looks like Ogg"),
        (
            b"\x00\x00\x00\x01",
            "it looks like a bare H.264 or H.265 stream",
        ),
        (b"\x00\x00\x01\xba", "it looks like an MPEG program stream"),
        (b"G", "it looks like an MPEG transport stream"),
        (b"GIF8", "it looks like a GIF"),
    ];
    Ok(known
        .iter()
        .rev()
        .find(|(magic, _)| start.starts_with(magic))
        .map_or_else(
            || format!("it begins with \"{}\"", start.escape_ascii()),
            |(_, name)| (*name).to_owned(),
        ))
}

fn read_some(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The boxes within a box's payload: type, whole box, payload. Ends at the first that does not fit.
pub(super) fn children(payload: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8], &[u8])> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (_, kind) = rest.split_at_checked(4)?;
        let kind = kind.first_chunk::<4>().copied()?;
        let (header, inner) = BoxHeader::decode_header_and_payload(rest).ok()?;
        let (whole, next) = rest.split_at_checked(header.external_size() + inner.len())?;
        rest = next;
        Some((kind, whole, inner))
    })
}

/// The payload of the first child of the given type.
pub(super) fn child<'a>(payload: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(payload)
        .find(|(found, _, _)| found == kind)
        .map(|(_, _, inner)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len() + 8).expect("small");
        [&size.to_be_bytes(), kind.as_slice(), payload].concat()
    }

    /// A file of one fragment with these runs, none of which lists its samples one by one.
    fn runs_of(counts: &[u32]) -> Result<Index, Problem> {
        let mut traf = boxed(b"tfhd", &[0, 0, 0, 0, 0, 0, 0, 1]);
        for count in counts {
            traf.extend(boxed(b"trun", &[[0; 4], count.to_be_bytes()].concat()));
        }
        let sequence = boxed(b"mfhd", &[0, 0, 0, 0, 0, 0, 0, 1]);
        let moof = boxed(b"moof", &[sequence, boxed(b"traf", &traf)].concat());
        let file = [boxed(b"ftyp", b"isom\0\0\0\0"), boxed(b"moov", &[]), moof].concat();
        let mut disk = tempfile::tempfile().expect("temporary file");
        disk.write_all(&file).expect("writes");
        read_index(&disk, file.len() as u64)
    }

    #[test]
    fn a_fragment_that_promises_more_samples_than_its_file_holds_is_refused_unpacked() {
        let index = runs_of(&[1000, 500]).expect("a file cut off behind its index");
        let samples: usize = index.fragments[0].1.traf_boxes[0]
            .trun_boxes
            .iter()
            .map(|run| run.samples.len())
            .sum();
        assert_eq!(samples, 1500);
        for counts in [&[60_000, 60_000][..], &[16_000_000], &[u32::MAX; 3]] {
            let problem = runs_of(counts).map(|_| ()).expect_err("refused");
            let promised = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
            assert!(
                matches!(&problem, Problem::Malformed(why) if why.contains(&promised.to_string())),
                "{problem:?}"
            );
        }
    }
}
