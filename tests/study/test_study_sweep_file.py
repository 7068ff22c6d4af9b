"""The file of a sweep: every mistake at once and on its line, a schema, units known by what decides them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core.errors import FileFormatError
from emotion_interp.study.sweep_check import SweepFileError, read_sweep
from emotion_interp.study.sweep_file import SweepFile, sweep_schema
from emotion_interp.study.sweep_lines import key_lines, line_of
from emotion_interp.study.sweep_plan import READ, sweep_plan

WRONG = """\
languages = ["en", "xx"]
positons = ["last"]
seeds = [
  0,   # the first
  -1,
]
norms = "warrinner"

[reading]
batch_tokens = 0

[[subjects]]
model = "bundled"
layers = [1, 99]

[[subjects]]
model = "bundled"
saes = "gpt2-smal-res-jb"
kinds = ["residpost"]

[[subjects]]
name = "nothing"
saes = 5

[[subjects]]
model = "./no/such/folder"
"""
LINES = {
    1: ("languages", "unknown concept set language 'xx'"),
    2: ("positons", "Did you mean 'positions'?"),
    3: ("seeds.2", "greater than or equal to 0, got -1"),
    7: ("norms", "unknown norms 'warrinner'. Did you mean 'warriner'?"),
    10: ("reading.batch_tokens", "got 0"),
    14: ("subjects.1.layers", "unknown layer 99"),
    16: ("subjects.2", "a subject called 'bundled' is there already"),
    18: ("subjects.2.saes", "Did you mean 'gpt2-small-res-jb'?"),
    19: ("subjects.2.kinds", "unknown site kind 'residpost'"),
    21: ("subjects.3.model", "this key is needed"),
    23: ("subjects.3.saes", "got 5"),
    26: ("subjects.4.model", "does not exist"),
}


def test_every_mistake_is_said_at_once_each_on_its_line(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(WRONG)
    with pytest.raises(SweepFileError) as caught:
        read_sweep(path)
    said: dict[int, list[tuple[str, str]]] = {}
    for mistake in caught.value.mistakes:
        said.setdefault(mistake.line, []).append((mistake.place, mistake.message))
    missing = {n: w for n, w in LINES.items() if not any(w[0] == p and w[1] in m for p, m in said.get(n, []))}
    assert not missing, (missing, said)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_toml_says_where(tmp_path):
    (tmp_path / "sweep.toml").write_text('languages = ["en"\nx = 1')
    with pytest.raises(FileFormatError, match=r"not readable TOML.*line 2"):
        read_sweep(tmp_path / "sweep.toml")
    with pytest.raises(FileFormatError, match="a sweep is described by a TOML file"):
        read_sweep(tmp_path / "nothing.toml")


def test_nothing_heavy_is_imported_to_check_a_file(tmp_path):
    (tmp_path / "sweep.toml").write_text(WRONG)
    code = (
        "import sys\nfrom emotion_interp.study.sweep_check import read_sweep\n"
        "try:\n    read_sweep(sys.argv[1])\nexcept ValueError:\n"
        "    print([m for m in ('torch', 'transformers', 'sae_lens', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "sweep.toml")], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_the_schema_knows_every_key_and_refuses_others():
    schema = sweep_schema()
    assert set(schema["properties"]) == set(SweepFile.model_fields) and schema["additionalProperties"] is False
    assert schema["$defs"]["SubjectEntry"]["properties"]["model"]["description"]


KEYS = st.text("abcdefgh_", min_size=1, max_size=4)
VALUES = st.sampled_from(
    ['"a # [b"', "[\n  1, # one ]\n  2,\n]", "5", '"""two\nlines = [[1]]\n"""', "{x = [1, 2]}", "'''\n'''"]
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=3),
    st.dictionaries(KEYS, VALUES, max_size=3),
)
def test_each_key_is_found_on_the_line_that_has_it(top, rows, table):
    parts = [f"{key} = {value}" for key, value in top.items()]
    for row in rows:
        parts += ["[[rows]]", *(f"{key} = {value}" for key, value in row.items())]
    parts += ["[table . below]  # a table", *(f"{key} = {value}" for key, value in table.items())]
    text = "\n".join(parts)
    tomllib.loads(text)
    lines, found = text.splitlines(), key_lines(text)
    places = {(key,): key for key in top}
    places |= {("rows", i, key): key for i, row in enumerate(rows) for key in row}
    places |= {("table", "below", key): key for key in table}
    for place, key in places.items():
        assert re.match(rf"{key} = ", lines[found[place] - 1]), (place, found)
    for i in range(len(rows)):
        assert lines[line_of(found, ("rows", i, "nothing")) - 1] == "[[rows]]"
    assert len(set(found.values())) == len(found)


# -- units -------------------------------------------------------------------------------------------------------------
def planned(folder, text):
    path = folder / "sweep.toml"
    path.write_text(text)
    return sweep_plan(read_sweep(path))


BASE = 'emotions = ["anger", "fear", "joy", "love", "sadness"]\n{}[[subjects]]\nmodel = "bundled"\n'


def test_a_unit_is_known_by_all_that_decides_it_and_by_nothing_else(tmp_path):
    base = planned(tmp_path, BASE.format(""))
    engines = planned(tmp_path, BASE.format("") + "[engine]\nworkers = 2\nthreads = 4\n")
    assert [u.id for u in base.units] == [u.id for u in engines.units]
    more = planned(tmp_path, BASE.format("[alignment]\npermutations = 7\n"))
    changed = {u.stage for u, v in zip(base.units, more.units, strict=True) if u.id != v.id}
    assert changed == {"alignment"}
    other = planned(tmp_path, BASE.format('positions = ["span"]\n'))
    assert not {u.id for u in base.units} & {u.id for u in other.units}
    layers = planned(tmp_path, BASE.format("") + "layers = [1]\n")
    assert not {u.id for u in base.units} & {u.id for u in layers.units}


def test_every_stimulus_of_every_seed_is_read_once_and_words_stay_whole(tmp_path):
    plan = planned(
        tmp_path,
        BASE.format(
            'languages = ["en", "zh"]\nseeds = [0, 1, 2]\nstimuli = ["words", "scenes"]\n[reading]\nshard_kilobytes = 8\n'
        ),
    )
    cells = [cell.stimuli for shard in plan.shards for cell in shard.cells]
    assert len(set(cells)) == len(cells)
    for kind in ("words", "scenes"):
        for seed in (0, 1, 2):
            assert set(plan.cell_of_units(kind, seed)) <= set(cells)
    sizes = [shard.n_bytes for shard in plan.shards]
    assert max(sizes) < 2 * 8 * 1024 and sum(u.stage == READ for u in plan.units) == len(plan.shards)
    half = plan.shards[0].cells
    assert len({cell.stimuli[0][0] for cell in half}) == len(half)
