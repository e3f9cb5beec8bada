//! The import table of `docs/architecture.md` holds: no module uses another that it may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

mod scan;

use scan::{Uses, scan};

/// `| module | imports |` rows between the two markers of the document.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string("docs/architecture.md").expect("docs/architecture.md is there");
    let (_, rest) = text
        .split_once("<!-- import table -->")
        .expect("marker of the table");
    let (rows, _) = rest
        .split_once("<!-- end of import table -->")
        .expect("end of the table");
    let mut table = BTreeMap::new();
    for row in rows.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 2, "a row of two cells: {row}");
        let [modules, imports] = cells[..] else {
            continue;
        };
        if modules == "module" || modules.starts_with("---") {
            continue;
        }
        let imports: BTreeSet<String> = imports
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(String::from)
            .collect();
        for module in modules.split(',') {
            table.insert(module.trim().to_owned(), imports.clone());
        }
    }
    table
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("directory can be listed") {
        let path = entry.expect("entry can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module a file of `src` belongs to: its first folder or its own name.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix("src").expect("below src");
    let first = relative.components().next().expect("a name").as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// How far each file's module lies below the crate: 1 for `src/ui/mod.rs`, 2 for `src/ui/error.rs`.
/// A file that is named by `#[path = "..."]` lies below the module that names it.
fn levels(sources: &BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, usize> {
    let by_place = |path: &Path| {
        let names = path.components().count() - 1;
        names - usize::from(path.ends_with("mod.rs"))
    };
    let mut levels: BTreeMap<PathBuf, usize> = sources
        .keys()
        .map(|path| (path.clone(), by_place(path)))
        .collect();
    for (path, source) in sources {
        for (_, rest) in source
            .match_indices("#[path = \"")
            .map(|(at, mark)| source.split_at(at + mark.len()))
        {
            let (name, _) = rest.split_once('"').expect("the end of the name");
            levels.insert(path.with_file_name(name), by_place(path) + 1);
        }
    }
    levels
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table = table();
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    let sources: BTreeMap<PathBuf, String> = files
        .into_iter()
        .map(|path| {
            (
                path.clone(),
                fs::read_to_string(path).expect("source can be read"),
            )
        })
        .collect();
    let levels = levels(&sources);
    let mut checked = 0;
    let mut wrong = Vec::new();
    for (path, source) in &sources {
        let module = module_of(path);
        if module == "main" || module == "lib" {
            continue;
        }
        let Some(allowed) = table.get(&module) else {
            wrong.push(format!(
                "{}: module `{module}` is not in the table",
                path.display()
            ));
            continue;
        };
        let Uses { imports, reexports } = scan(source, levels[path]);
        for import in imports {
            checked += 1;
            if import != module && !allowed.contains(&import) {
                wrong.push(format!(
                    "{}: `{module}` may not import `{import}`",
                    path.display()
                ));
            }
        }
        for name in reexports {
            if name != module {
                wrong.push(format!(
                    "{}: `pub use` of `{name}` gets round the table",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        checked > 30,
        "only {checked} imports were found; does the scan still work?"
    );
}

#[test]
fn every_row_of_the_table_names_a_module() {
    for (module, imports) in table() {
        for name in imports.iter().chain([&module]) {
            let file = PathBuf::from(format!("src/{name}.rs"));
            let folder = PathBuf::from(format!("src/{name}/mod.rs"));
            assert!(
                file.exists() || folder.exists(),
                "`{name}` is in the table but not in src"
            );
        }
    }
}

/// A wall clock jumps; what decides about the run permission must not notice.
#[test]
fn the_decision_knows_no_wall_clock() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = ["units.rs", "message.rs", "sync.rs"]
        .map(|name| source.join(name))
        .to_vec();
    rust_files(&source.join("decision"), &mut files);
    rust_files(&source.join("output"), &mut files);
    assert!(files.len() > 10, "only {} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for word in [
            "SystemTime",
            "UNIX_EPOCH",
            "CLOCK_REALTIME",
            "chrono",
            "jiff",
        ] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}
