//! Which names in which folders decide what a path leads to.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Most symbolic links that are followed; the kernel gives up after as many (`path_resolution(7)`).
const HOPS_MAX: usize = 40;

/// One step of following a path: this name, looked up in this folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) folder: PathBuf,
    pub(super) name: OsString,
}

/// Every step from the root to the file, through all symbolic links. Where something is missing the
/// steps that would follow are named all the same, so that its appearance is noticed.
pub(super) fn links(path: &Path) -> Vec<Link> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest: VecDeque<Step> = path.components().filter_map(step_of).collect();
    let mut folder = PathBuf::from("/");
    let mut found = Vec::new();
    let mut hops = 0;
    while let Some(step) = rest.pop_front() {
        let name = match step {
            Step::Root => {
                folder = PathBuf::from("/");
                continue;
            }
            Step::Parent => {
                folder.pop();
                continue;
            }
            Step::Name(name) => name,
        };
        let here = folder.join(&name);
        let link = Link {
            folder: folder.clone(),
            name,
        };
        if !found.contains(&link) {
            found.push(link);
        }
        match std::fs::read_link(&here) {
            Ok(_) if hops == HOPS_MAX => break,
            Ok(target) => {
                hops += 1;
                for step in target.components().rev().filter_map(step_of) {
                    rest.push_front(step);
                }
            }
            Err(_) => folder = here,
        }
    }
    found
}

enum Step {
    Root,
    Parent,
    Name(OsString),
}

fn step_of(component: Component<'_>) -> Option<Step> {
    match component {
        Component::RootDir | Component::Prefix(_) => Some(Step::Root),
        Component::ParentDir => Some(Step::Parent),
        Component::CurDir => None,
        Component::Normal(name) => Some(Step::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The steps below `base`, as texts relative to it.
    fn below(base: &Path, path: &Path) -> Vec<String> {
        links(path)
            .iter()
            .filter_map(|link| {
                let path = link.folder.join(&link.name);
                let path = path.strip_prefix(base).ok()?;
                (path != Path::new("")).then(|| path.display().to_string())
            })
            .collect()
    }

    #[test]
    fn each_link_on_the_way_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("there");
        std::fs::create_dir_all(base.join("etc/..one")).expect("made");
        symlink("..one", base.join("etc/..data")).expect("linked");
        symlink("..data/zones.toml", base.join("etc/zones.toml")).expect("linked");
        let expected = [
            "etc",
            "etc/zones.toml",
            "etc/..data",
            "etc/..one",
            "etc/..one/zones.toml",
        ];
        assert_eq!(below(&base, &base.join("etc/./x/../zones.toml")), {
            let mut with_detour = expected.to_vec();
            with_detour.insert(1, "etc/x");
            with_detour
        });
        assert_eq!(below(&base, &base.join("etc/zones.toml")), expected);
    }

    #[test]
    fn a_missing_folder_does_not_hide_what_would_be_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("there");
        assert_eq!(below(&base, &base.join("a/b.toml")), ["a", "a/b.toml"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("there");
        symlink("two", base.join("one")).expect("linked");
        symlink("one", base.join("two")).expect("linked");
        assert_eq!(below(&base, &base.join("one")), ["one", "two"]);
    }
}
