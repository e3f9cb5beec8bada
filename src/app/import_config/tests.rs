use std::os::unix::fs::symlink;

use base64::Engine as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

/// A box: its configuration folder, a stick, and the key that the stick is signed with.
struct Bench {
    root: tempfile::TempDir,
    key: Ed25519KeyPair,
}

const SEED: [u8; 32] = [7; 32];

fn main_file() -> String {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    format!(
        "[worker_safety]\ninput = \"/dev/video0\"\n[visual_inspection]\ninput = \"/dev/video2\"\n\
         [models]\ndirectory = \"{}\"\ndetector = \"detector_coco_ssd_300_int8\"\n\
         classifier = \"classifier_apple_224_int8\"\n",
        models.display()
    )
}

fn zones(name: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nkind = \"stop\"\nanchor = \"whole-box\"\n\
         points = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]\n"
    )
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let key = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
        let bench = Self { root, key };
        for folder in [bench.etc(), bench.stick()] {
            fs::create_dir(folder).expect("made");
        }
        fs::write(bench.etc().join("andon.toml"), main_file()).expect("written");
        fs::write(bench.etc().join("keepout.toml"), zones("factory")).expect("written");
        let mut der = vec![
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        der.extend_from_slice(bench.key.public_key().as_ref());
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        fs::write(bench.public(), pem).expect("written");
        bench
    }

    fn etc(&self) -> PathBuf {
        self.root.path().join("etc")
    }

    fn stick(&self) -> PathBuf {
        self.root.path().join("stick")
    }

    fn public(&self) -> PathBuf {
        self.root.path().join("import.pub")
    }

    /// Puts files onto the stick and signs them.
    fn sign(&self, sequence: u64, files: &[(&str, &str)]) {
        let mut text = format!("andon-config 1\nsequence {sequence}\n");
        for (name, content) in files {
            fs::write(self.stick().join(name), content).expect("written");
            text.push_str(&format!(
                "file {} {name}\n",
                manifest::sha256(content.as_bytes())
            ));
        }
        fs::write(self.stick().join(MANIFEST), &text).expect("written");
        let signature = self.key.sign(text.as_bytes());
        fs::write(self.stick().join(SIGNATURE), signature.as_ref()).expect("written");
    }

    fn import(&self) -> Result<Imported, ImportConfigError> {
        import(
            &self.stick(),
            &self.etc(),
            &Trust::Keys(vec![self.public()]),
        )
    }

    /// Name of the only zone in force, as the program would read it.
    fn zone(&self) -> String {
        let loaded = config::load(&self.etc().join("andon.toml"), &Overrides::default())
            .expect("the configuration in force is valid");
        loaded.config.zones[0].name.to_string()
    }
}

#[test]
fn a_signed_configuration_comes_into_force_and_the_one_before_is_kept() {
    let bench = Bench::new();
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    let imported = bench.import().expect("imported");
    assert_eq!(
        (imported.files, imported.sequence),
        (vec!["keepout.toml"], Some(1))
    );
    assert_eq!(bench.zone(), "press");

    bench.sign(
        2,
        &[
            ("andon.toml", &main_file()),
            ("keepout.toml", &zones("robot")),
        ],
    );
    bench.import().expect("imported");
    assert_eq!(bench.zone(), "robot");
    let before = bench.etc().join("configuration-1/keepout.toml");
    assert_eq!(fs::read_to_string(before).expect("kept"), zones("press"));

    bench.sign(3, &[("keepout.toml", &zones("third"))]);
    bench.import().expect("imported");
    let left = configurations(&bench.etc()).expect("listed");
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_file_that_was_edited_by_hand_counts_as_it_is() {
    let bench = Bench::new();
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    bench.import().expect("imported");
    // An editor that writes another file and renames it turns the link into a file.
    let path = bench.etc().join("andon.toml");
    fs::remove_file(&path).expect("removed");
    fs::write(
        &path,
        format!("{}[safety]\nclear_after = 33\n", main_file()),
    )
    .expect("written");
    bench.sign(2, &[("keepout.toml", &zones("robot"))]);
    bench.import().expect("imported");
    assert_eq!(bench.zone(), "robot");
    let loaded = config::load(&path, &Overrides::default()).expect("valid");
    assert_eq!(loaded.config.safety.clear_after, 33);
}

#[test]
fn a_link_that_leads_elsewhere_does_not_outlive_an_import() {
    let bench = Bench::new();
    let elsewhere = bench.root.path().join("elsewhere.toml");
    fs::write(&elsewhere, zones("elsewhere")).expect("written");
    let path = bench.etc().join("keepout.toml");
    fs::remove_file(&path).expect("removed");
    symlink(&elsewhere, &path).expect("linked");
    assert_eq!(bench.zone(), "elsewhere");
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    bench.import().expect("imported");
    assert_eq!(bench.zone(), "press");
    assert_eq!(
        fs::read_to_string(elsewhere).expect("there"),
        zones("elsewhere")
    );
}

#[test]
fn what_is_not_signed_or_was_changed_is_refused() {
    let bench = Bench::new();
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    fs::write(bench.stick().join("keepout.toml"), zones("mine")).expect("written");
    assert!(matches!(bench.import(), Err(ImportConfigError::Changed(_))));

    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    let manifest = fs::read_to_string(bench.stick().join(MANIFEST)).expect("read");
    fs::write(
        bench.stick().join(MANIFEST),
        manifest.replace("sequence 1", "sequence 9"),
    )
    .expect("written");
    assert!(matches!(
        bench.import(),
        Err(ImportConfigError::Signature { .. })
    ));

    let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).expect("a key");
    let signature = stranger.sign(&fs::read(bench.stick().join(MANIFEST)).expect("read"));
    fs::write(bench.stick().join(SIGNATURE), signature.as_ref()).expect("written");
    assert!(matches!(
        bench.import(),
        Err(ImportConfigError::Signature { .. })
    ));

    fs::remove_file(bench.stick().join(SIGNATURE)).expect("removed");
    assert!(matches!(
        bench.import(),
        Err(ImportConfigError::File { .. })
    ));
    fs::remove_file(bench.public()).expect("removed");
    assert!(matches!(bench.import(), Err(ImportConfigError::NoKey(_))));
    assert_eq!(bench.zone(), "factory");
    assert!(configurations(&bench.etc()).expect("listed").is_empty());
}

#[test]
fn an_old_stick_brings_no_old_zones_back() {
    let bench = Bench::new();
    bench.sign(5, &[("keepout.toml", &zones("press"))]);
    bench.import().expect("imported");
    for sequence in [5, 4] {
        bench.sign(sequence, &[("keepout.toml", &zones("old"))]);
        let refused = bench.import();
        assert!(
            matches!(refused, Err(ImportConfigError::Old { offered, installed: 5 }) if offered == sequence)
        );
    }
    assert_eq!(bench.zone(), "press");

    // Nor after one that nobody signed.
    fs::write(bench.stick().join("keepout.toml"), zones("by hand")).expect("written");
    import(&bench.stick(), &bench.etc(), &Trust::Anybody).expect("imported");
    assert_eq!(bench.zone(), "by hand");
    bench.sign(5, &[("keepout.toml", &zones("old"))]);
    assert!(matches!(bench.import(), Err(ImportConfigError::Old { .. })));
}

#[test]
fn what_the_loader_refuses_changes_nothing() {
    let bench = Bench::new();
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    bench.import().expect("imported");
    let listing = || {
        let mut names: Vec<String> = fs::read_dir(bench.etc())
            .expect("listed")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let before = listing();
    bench.sign(2, &[("keepout.toml", "[[zone]]\nname = \"half\"\n")]);
    assert!(matches!(bench.import(), Err(ImportConfigError::Invalid(_))));
    // Zones that nothing would use.
    let elsewhere = bench.etc().join("keepout.toml");
    let other = format!(
        "{}[keepout]\nfile = \"{}\"\n",
        main_file(),
        elsewhere.display()
    );
    bench.sign(
        2,
        &[("andon.toml", &other), ("keepout.toml", &zones("unused"))],
    );
    assert!(matches!(bench.import(), Err(ImportConfigError::Unused(_))));
    // A grade that the classifier does not have.
    let pears = format!(
        "{}[visual_inspection.grades]\nrotten_pear = \"reject\"\n",
        main_file()
    );
    bench.sign(2, &[("andon.toml", &pears)]);
    let error = bench.import().expect_err("no such grade");
    assert!(matches!(error, ImportConfigError::Models(_)), "{error}");
    assert!(error.to_string().contains("rotten_pear"), "{error}");
    assert_eq!(bench.zone(), "press");
    assert_eq!(listing(), before);
}

#[test]
fn a_manifest_is_read_to_the_letter() {
    let digest = "a".repeat(64);
    let parse = |text: &str| Manifest::parse(text.as_bytes());
    let good = format!("andon-config 1\nsequence 3\nfile {digest} keepout.toml\n");
    assert_eq!(
        parse(&good),
        Ok(Manifest {
            sequence: 3,
            files: vec![("keepout.toml", digest.clone())]
        })
    );
    assert_eq!(
        parse("andon-config 2\nsequence 3\n"),
        Err(ManifestError::Kind)
    );
    assert_eq!(
        parse("andon-config 1\nsequence -3\n"),
        Err(ManifestError::Sequence)
    );
    assert_eq!(
        parse("andon-config 1\nsequence 3\n"),
        Err(ManifestError::Empty)
    );
    for line in [
        format!("file {digest} ../keepout.toml"),
        format!("file {digest} shadow"),
        "file abc keepout.toml".to_owned(),
        format!("file {digest} keepout.toml\nfile {digest} keepout.toml"),
    ] {
        let refused = parse(&format!("andon-config 1\nsequence 3\n{line}\n"));
        assert!(matches!(refused, Err(ManifestError::File(3 | 4))), "{line}");
    }
}

#[test]
fn a_pipe_on_the_stick_is_not_waited_for() {
    let bench = Bench::new();
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    fs::remove_file(bench.stick().join("keepout.toml")).expect("removed");
    nix::unistd::mkfifo(
        &bench.stick().join("keepout.toml"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .expect("made");
    assert!(matches!(
        bench.import(),
        Err(ImportConfigError::File { .. })
    ));
}

#[test]
fn an_import_waits_for_another_one_into_the_same_folder() {
    let bench = Bench::new();
    bench.sign(1, &[("keepout.toml", &zones("press"))]);
    let other = fs::File::open(bench.etc()).expect("opened");
    other.lock().expect("locked");
    std::thread::scope(|scope| {
        let import = scope.spawn(|| bench.import());
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!import.is_finished(), "it did not wait");
        assert_eq!(bench.zone(), "factory");
        drop(other);
        import.join().expect("it lives").expect("imported");
    });
    assert_eq!(bench.zone(), "press");
}
