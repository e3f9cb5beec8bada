use crate::clip::{bytes, open, play};
use crate::ffmpeg::decode;
#[test]
#[ignore]
fn diff() {
    let path = std::env::var("CLIP").unwrap();
    let path = std::path::Path::new(&path);
    let expected = decode(path);
    let (frames, error) = play(&mut open(path));
    println!("{} {} {error:?}", frames.len(), expected.len());
    for (n, (f, (t, e))) in frames.iter().zip(&expected).enumerate() {
        let b = bytes(f);
        let d = b.iter().zip(e).filter(|(a, b)| a != b).count();
        let m = b.iter().zip(e).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let first = b.iter().zip(e).position(|(a,b)| a!=b);
        let same = expected.iter().position(|(_, x)| *x == b);
        if d > 0 { println!("{n} {:?} {t:?} differ {d}/{} max {m} first {first:?} equals frame {same:?}", f.meta.media_time, b.len()); }
    }
}
