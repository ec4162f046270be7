"""`isthmus bench`: the shape of what it prints, and that its rows judge rightly. No figure is tested."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from _accounts import LIFE
from isthmus.cli import bench
from isthmus.cli._bench import channels, report
from isthmus.cli._bench.__main__ import GROUPS
from isthmus.cli._bench.measure import QUICK, Contender, Settings, measure
from isthmus.cli._bench.rows import AtMost, Row, TimesPeer, WithinPeer


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "ISTHMUS_BENCH_DIR"}
    return subprocess.run(
        [sys.executable, "-m", "isthmus", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=LIFE,
        env=inherited | environment,
    )


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    done = command("--quick", "--json", "awake", "messages")
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_json_names_what_was_measured_and_where(document: dict[str, Any]) -> None:
    assert document["quick"] is True
    assert document["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert [(row["group"], row["name"]) for row in document["rows"]] == [
        ("awake", "round trip awake"),
        ("messages", "small messages"),
    ]


def test_json_rows_are_complete_and_consistent(document: dict[str, Any]) -> None:
    for row in document["rows"]:
        assert row["what"]
        assert row["unit"]
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert row["n"] == QUICK.rounds
        measured = {name: peer for name, peer in row["peers"].items() if "skipped" not in peer}
        assert {"multiprocessing.Pipe", "threads, SimpleQueue"} < set(measured)
        for peer in measured.values():
            assert 0 < peer["min"] <= peer["median"] <= peer["max"]
            times = peer["median"] / row["median"]
            assert peer["ratio"] == pytest.approx(times if row["better"] == "lower" else 1 / times)
        assert row["ratio"] == next(iter(measured.values()))["ratio"]
        assert row["target_ratio"] == min(goal["margin"] for goal in row["goals"])
        assert row["met"] is all(goal["met"] for goal in row["goals"])


def test_the_raw_futex_is_skipped_with_the_reason(document: dict[str, Any], tmp_path: Path) -> None:
    skipped = document["rows"][0]["peers"][channels.SPINNING]["skipped"]
    assert "ISTHMUS_BENCH_DIR" in skipped
    done = command("--quick", "--json", "asleep", ISTHMUS_BENCH_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)["rows"][0]
    assert str(tmp_path) in row["peers"][channels.FUTEX]["skipped"]
    assert (row["target"], row["met"]) == (None, None)


def test_an_unknown_name_is_a_wrong_call() -> None:
    done = command("--quick", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no benchmark 'nothing'" in done.stderr
    assert "handover" in done.stderr


def test_plot_without_matplotlib_is_a_wrong_call(tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is not None:
        pytest.skip("matplotlib is installed")
    done = command("--plot", str(tmp_path / "ratios.svg"), "awake")
    assert (done.returncode, done.stdout) == (2, "")
    assert "matplotlib" in done.stderr


def test_a_group_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    broken = tmp_path / "futex_pingpong"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    done = command("--quick", "--json", "asleep", "messages", ISTHMUS_BENCH_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "asleep failed with exit status" in done.stderr
    assert [row["group"] for row in json.loads(done.stdout)["rows"]] == ["messages"]


def test_hosts_are_measured_by_a_program_or_skipped_with_the_reason(tmp_path: Path) -> None:
    for folder, told in (("", "ISTHMUS_BENCH_DIR"), (str(tmp_path), "no program")):
        done = command("--quick", "--json", "host", ISTHMUS_BENCH_DIR=folder)
        assert (done.returncode, json.loads(done.stdout)["rows"]) == (0, [])
        assert "host: not measured" in done.stderr
        assert told in done.stderr
    program = tmp_path / "host_bench"
    program.write_text(
        "#!/bin/sh\ncase $4 in post) peer='channel round trip';; handover) peer=copied;;\n"
        "*) peer='bare C API';; esac\n"
        'echo "[[\\"isthmus\\", [1000, 3000]], [\\"$peer\\", [4000, 4000]]]"\n',
        encoding="ascii",
    )
    program.chmod(0o755)
    done = command("--quick", "--json", "host", ISTHMUS_BENCH_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(row["median"], row["unit"], row["ratio"], row["met"]) for row in rows] == [
        *[(2000, "ns", 2, True)] * 2,
        (2, "µs", 2, True),
        *[(2, "µs", 2, None)] * 2,
    ]


def test_every_group_that_is_offered_exists() -> None:
    assert set(bench.GROUPS) == set(GROUPS)


def row(samples: Sequence[float], **rest: Any) -> dict[str, Any]:
    return Row("name", "what", "µs", samples, **rest).as_json()


@pytest.mark.parametrize(
    ("goal", "better", "margin"),
    [
        (AtMost(4.0), "lower", 2.0),
        (AtMost(1.0), "lower", 0.5),
        (AtMost(1.0), "higher", 2.0),
        (AtMost(4.0), "higher", 0.5),
        (TimesPeer("peer", 2.0), "lower", 2.5),
        (TimesPeer("peer", 2.0), "higher", 0.1),
        (WithinPeer("peer", 1.5), "lower", 7.5),
        (WithinPeer("peer", 1.5), "higher", 0.3),
    ],
)
def test_goals_judge_in_the_right_direction(goal: Any, better: str, margin: float) -> None:
    judged = row([1.0, 2.0, 9.0], better=better, peers={"peer": [10.0]}, goals=[goal])
    assert judged["target_ratio"] == pytest.approx(margin)
    assert judged["met"] is (margin >= 1)


def test_the_worst_goal_decides() -> None:
    judged = row([2.0], peers={"peer": [10.0]}, goals=[AtMost(4.0), TimesPeer("peer", 50)])
    assert judged["target_ratio"] == pytest.approx(0.1)
    assert judged["met"] is False


@pytest.mark.parametrize(("bound", "met"), [(4.0, None), (1.0, False)])
def test_a_missing_peer_leaves_a_row_open_unless_another_goal_is_missed(bound: float, met: object) -> None:
    judged = row([2.0], skipped={"peer": "no"}, goals=[AtMost(bound), TimesPeer("peer", 2)])
    assert judged["met"] is met


def test_contenders_are_interleaved_and_held_up_batches_do_not_decide() -> None:
    order: list[str] = []

    def contender(name: str) -> Contender:
        def batch(count: int) -> list[float]:
            order.append(f"{name}{count}")
            return [float(count)]

        return Contender(name, batch, most=16)

    one, other = contender("a"), contender("b")
    measure([one, other], Settings(rounds=3, batch_seconds=60.0))
    # Nothing takes any time, so the count grows to the most that is allowed.
    assert order[-6:] == ["a16", "b16"] * 3
    assert order[0] == "a1"
    assert one.samples == other.samples == [16.0] * 3


def test_table_and_markdown_show_every_peer_and_every_reason(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(width=240, record=True, file=io.StringIO())
    console.print(report.table(document["rows"]))
    for text in (console.export_text(), report.markdown(document)):
        for one in document["rows"]:
            assert one["name"] in text
            assert all(name in text for name in one["peers"])
        assert "not measured" in text
        assert ("MISSED" in text) is any(one["met"] is False for one in document["rows"])


def test_extremes_and_median_are_of_the_samples() -> None:
    samples = [3.0, 1.0, 2.0, 10.0]
    judged = row(samples)
    assert (judged["median"], judged["min"], judged["max"], judged["n"]) == (
        statistics.median(samples),
        1.0,
        10.0,
        4,
    )
    assert (judged["ratio"], judged["target"], judged["target_ratio"], judged["met"]) == (None,) * 4
