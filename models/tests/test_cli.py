from andon_models import cli


def test_a_folder_that_cannot_be_written_is_one_line(parts, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "out"
    assert cli.main(["train-classifier", "--data", str(parts), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: {out}/work: Not a directory\n"


def test_a_folder_that_is_not_there_is_one_line(tmp_path, capsys):
    assert cli.main(["train-classifier", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
