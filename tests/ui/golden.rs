//! Draw lists that were looked at once and must stay as they are.

use std::path::PathBuf;

use andon::ui::scene::Scene;

/// Compares with `tests/ui/golden/NAME.txt`; `UPDATE_GOLDEN=1` writes it anew.
pub(crate) fn assert_golden(name: &str, scene: &Scene) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/ui/golden/{name}.txt"));
    let drawn = scene.to_string();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &drawn).expect("the golden file can be written");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (drawn, golden)) in drawn.lines().zip(golden.lines()).enumerate() {
        assert_eq!(drawn, golden, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(
        drawn.lines().count(),
        golden.lines().count(),
        "{}",
        path.display()
    );
}
