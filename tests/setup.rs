//! The scripts that prepare a machine, against commands that only write down what they are asked.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with all the commands there are.
struct Machine(tempfile::TempDir);

impl Machine {
    /// With these of the real machine's commands; `None`, and says so, where one is missing.
    fn with(commands: &[&str]) -> Option<Self> {
        let machine = Self(tempfile::tempdir().expect("a temporary folder"));
        for name in commands {
            let Some(real) = find(name) else {
                eprintln!("skipped: {name} is not installed");
                return None;
            };
            symlink(real, machine.at(name)).expect("a link");
        }
        Some(machine)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Adds a command that writes down its arguments and does `more`, in bash.
    fn add(&self, name: &str, more: &str) {
        let asked = self.at("asked");
        let text = format!(
            "#!{}\necho \"{name} $*\" >>'{}'\n{more}\n",
            self.at("bash").display(),
            asked.display()
        );
        fs::write(self.at(name), text).expect("a script");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.at(name), executable).expect("executable");
    }

    /// Runs a script of the repository here.
    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        Command::new(self.at("bash"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .args(arguments)
            .env("PATH", self.0.path())
            .env("CARGO_HOME", self.at("cargo-home"))
            .env_remove("TFLITE")
            .output()
            .expect("bash runs")
    }

    /// What the commands were asked, a line each.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|command| command.exists())
}

fn succeeded(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn a_fresh_machine_gets_make_before_make_is_called() {
    let Some(machine) = Machine::with(&["bash", "dirname", "env", "cp"]) else {
        return;
    };
    machine.add("id", "echo 0");
    machine.add("new-make", "");
    let new = format!(
        "[[ $* != *install* ]] || cp '{0}/new-make' '{0}/make'",
        machine.0.path().display()
    );
    machine.add("apt-get", &new);
    succeeded(&machine.run(".ci/run", &[]));
    let asked = machine.asked();
    let position = |what: &str| asked.iter().position(|line| line.contains(what));
    let installed = position("install -y --no-install-recommends make");
    assert!(installed.is_some(), "{asked:?}");
    assert!(installed < position("new-make test"), "{asked:?}");
    // The second time there is nothing to install.
    succeeded(&machine.run(".ci/run", &[]));
    let installs = machine
        .asked()
        .iter()
        .filter(|line| line.contains("install"))
        .count();
    assert_eq!(installs, 1);
}

#[test]
fn a_cross_build_gets_the_other_architectures_standard_library() {
    let commands = [
        "bash", "uname", "awk", "sort", "head", "grep", "env", "dirname", "timeout",
    ];
    let Some(machine) = Machine::with(&commands) else {
        return;
    };
    machine.add("cargo", "echo cargo 1.999.0");
    let library = machine.at("library");
    fs::create_dir(&library).expect("a folder");
    let library = library.display();
    machine.add("rustc", &format!("echo '{library}'"));
    let install = format!("[ \"$1\" != target ] || : >'{library}/libstd-0.rlib'");
    machine.add("rustup", &install);
    let target = "target add riscv64-unknown-linux-gnu";
    let added = || machine.asked().iter().any(|line| line.ends_with(target));
    succeeded(&machine.run("tools/setup.sh", &[]));
    assert!(!added(), "{:?}", machine.asked());
    succeeded(&machine.run("tools/setup.sh", &["riscv64"]));
    assert!(added(), "{:?}", machine.asked());
}

#[test]
fn the_models_scripts_use_the_cache_of_the_set_up() {
    let Some(python) = find("python3") else {
        eprintln!("skipped: python3 is not installed");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (variables, expected) in [
        (&[("HOME", "home")][..], "home/.cache/andon"),
        (&[("HOME", "home"), ("XDG_CACHE_HOME", "xdg")], "xdg/andon"),
        (&[("XDG_CACHE_HOME", "xdg"), ("ANDON_CACHE", "own")], "own"),
    ] {
        let output = Command::new(&python)
            .args([
                "-B",
                "-c",
                "from andon_models import sources; print(sources.cache_dir())",
            ])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"))
            .env_remove("XDG_CACHE_HOME")
            .env_remove("ANDON_CACHE")
            .envs(variables.iter().map(|(name, value)| (name, at(value))))
            .output()
            .expect("python runs");
        succeeded(&output);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), at(expected));
    }
}
