"""The spool's promises."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import InvalidInput, Refused
from store.layout import Root
from store.traffic import spool

WORKSPACE = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path):
    return Root.open(tmp_path / "root")


@pytest.fixture
def writer(root):
    made = spool.Writer(root, "test", "tiny")
    yield made
    made.close()


def only(root):
    (path,) = spool.segments(root, "test", "tiny")
    return path


def lines(*values):
    return [orjson.dumps({"n": value}) for value in values]


def half_written(file, data):
    os.write(file, data[:9])
    raise OSError(28, "full")


def numbers(records):
    return [record["n"] for record in records]


def test_what_was_appended_is_read_in_order(root, writer):
    writer.append(lines(1, 2))
    writer.append(lines("ä\n"))
    assert numbers(spool.read(only(root))[0]) == [1, 2, "ä\n"]


def test_reading_goes_on_where_it_stopped(root, writer):
    writer.append(lines(1))
    _, offset = spool.read(only(root))
    assert spool.read(only(root), offset) == ([], offset)
    writer.append(lines(2))
    assert numbers(spool.read(only(root), offset)[0]) == [2]


def test_a_line_break_in_a_record_is_refused(writer):
    with pytest.raises(InvalidInput, match="line break"):
        writer.append([b'{"a":\n1}'])


def test_a_torn_last_line_is_left_alone_wherever_it_was_torn(root, writer):
    writer.append(lines(1, 2))
    path, whole = only(root), only(root).read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert spool.read(path) == ([{"n": 1}], first)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_no_flipped_bit_goes_unnoticed(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("spool") / "1-1-1.jsonl"
    whole = bytearray(b"".join(spool._line(line) for line in lines(1, "two", 3.5)))
    whole[place % len(whole)] ^= 1 << bit
    path.write_bytes(whole)
    with pytest.raises(Refused, match=r"1-1-1\.jsonl is damaged at byte"):
        spool.read(path)


def test_a_damaged_line_is_refused_by_segment_and_offset(root, writer):
    writer.append(lines(1, 2))
    path, whole = only(root), only(root).read_bytes()
    path.write_bytes(whole.replace(b'{"n":2}', b'{"n":3}'))
    with pytest.raises(Refused, match=rf"{path.name} is damaged at byte {whole.index(bytes([10])) + 1}"):
        spool.read(path)


def test_a_full_segment_is_followed_by_another(root):
    writer = spool.Writer(root, "test", "tiny", segment_bytes=40)
    for value in range(5):
        writer.append(lines(value))
    writer.close()
    found = [numbers(spool.read(path)[0]) for path in spool.segments(root, "test", "tiny")]
    assert [value for some in found for value in some] == [0, 1, 2, 3, 4]
    assert len(found) > 1


def test_only_a_closed_and_consumed_segment_is_deleted(root, writer):
    writer.append(lines(1, 2))
    path = only(root)
    _, end = spool.read(path)
    assert spool.remove_consumed(root, "test", "tiny", {path.name: end}) == []
    writer.close()
    assert spool.remove_consumed(root, "test", "tiny", {}) == []
    assert spool.remove_consumed(root, "test", "tiny", {path.name: 0}) == []
    assert spool.remove_consumed(root, "test", "tiny", {path.name: end}) == [path.name]
    assert spool.segments(root, "test", "tiny") == []


def test_after_a_failed_write_the_writer_goes_on_in_a_new_segment(root, writer, monkeypatch):
    writer.append(lines(1))
    with monkeypatch.context() as patched:
        patched.setattr(spool, "_write", half_written)
        with pytest.raises(OSError, match="full"):
            writer.append(lines(2))
    writer.append(lines(3))
    assert [numbers(spool.read(path)[0]) for path in spool.segments(root, "test", "tiny")] == [[1], [3]]


def test_what_was_acknowledged_survives_the_death_of_its_writer(root):
    code = (
        "import sys, orjson\nfrom store.layout import Root\nfrom store.traffic import spool\n"
        "writer, n = spool.Writer(Root.open(sys.argv[1]), 'test', 'tiny'), 0\n"
        "while True:\n    writer.append([orjson.dumps({'n': n})])\n    print(n, flush=True)\n    n += 1\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(root.path)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(WORKSPACE)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    acknowledged = -1
    while acknowledged < 50 and time.monotonic() < deadline:
        acknowledged = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *(int(line) for line in child.communicate()[0].splitlines() if line.strip())])
    found = numbers(spool.read(only(root))[0])
    assert found == list(range(len(found)))
    assert len(found) > acknowledged >= 50
    assert spool.remove_consumed(root, "test", "tiny", {only(root).name: spool.read(only(root))[1]}) != []


def test_a_dry_removal_names_the_segments_and_leaves_them(root, writer):
    writer.append(lines(1))
    writer.close()
    consumed = {only(root).name: spool.read(only(root))[1]}
    assert spool.remove_consumed(root, "test", "tiny", consumed, dry_run=True) == [only(root).name]
    assert spool.remove_consumed(root, "test", "tiny", consumed) == list(consumed)
    assert spool.segments(root, "test", "tiny") == []
