"""What the calculator computes, and where it reads and writes."""

import json

from calculator import calculate, main


def test_the_sum_and_the_product():
    assert calculate({"x": 2.5, "y": 10}) == {"sum": 12.5, "product": 25.0}


def test_two_files(tmp_path):
    (tmp_path / "in.json").write_text('{"x": 1, "y": 2}')
    main([str(tmp_path / "in.json"), str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == {"sum": 3, "product": 2}


def test_the_files_of_a_sweep(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"x": -3, "y": 2}')
    monkeypatch.setenv("SWEEP_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("SWEEP_FOLDER", str(tmp_path))
    main([])
    assert json.loads((tmp_path / "result.json").read_text()) == {"sum": -1, "product": -6}
