"""The text that ``console.new`` writes: three templates in the users' own style, filled with what the file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from string import Template
from typing import Any

import polars as pl

from console.looked import FEW_WORDS

FEATURES = '''"""$Name: questions, their answers, and what answers have been like lately. Laid out by `assay new` from $file_name.

A question is a fact, known when it is asked; its answer is another one, which happens when it becomes known. Derived is,
$by_words, what was answered lately, on a grid: an answer counts from the first tick at which it was known.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from flows.pipeline import TIME, Aggregate, Derived, Facts, Group, Read, Window

FILE = $file
CADENCE = $cadence
"""The publication grid: training sees features as old as services will."""
OVER = $over
"""How far back answers count."""
$matures
ASKED = Group(
    "${name}_asked",
    keys=$keys,
    values=$values,
    description="A question and what was known when it was asked.",
)
ANSWERS = Group(
    "${name}_answers",
    keys=$keys,
    values={"$time": TIME, "$label": pl.Float64()},
    description="The answer to the question of `$time`; event_time is when it became known.",
)
RECENT = Group(
    "${name}_recent",
    keys=$by_keys,
    values={"${label}_mean": pl.Float64(), "${label}_count": pl.Int64()},
    ttl=2 * CADENCE,
    description="The answers that were known by then, $by_words.",
)

# ---- the file -----------------------------------------------------------------------------------------------------


@functools.cache
def _rows() -> pl.DataFrame:
    """The file's rows under the names used here, times in UTC."""
    rows = $reader
    return rows.select(
$columns
    )


def archived_questions(window: Window) -> pl.DataFrame:
    """What was asked within the window."""
    rows = _rows().with_columns(pl.col("$time").alias("event_time"))
    return _within(rows, window).select($key_names, "event_time"$given_names)


def archived_answers(window: Window) -> pl.DataFrame:
    """What became known within the window."""
    rows = _rows().drop_nulls("$label").with_columns($known.alias("event_time"))
    return _within(rows, window).select($key_names, "event_time", "$time", "$label")


def _within(rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    return rows.filter(pl.col("event_time") >= window.start, pl.col("event_time") < window.end)


# ---- what services were asked and told ----------------------------------------------------------------------------


def collected_questions(predictions: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """What an application sent with its question, known when it was received."""
    return predictions.select(
        $key_names,
        pl.col("$time").alias("event_time"),
        pl.max_horizontal("received_at", "$time").alias("known_time"),$given_lines
    )


def collected_answers(predictions: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """What applications told later, known when it was received."""
    received = pl.col("received_at")
    times = (received.alias("event_time"), received.alias("known_time"))
    rows = outcomes.select($key_names, *times, "$time", "$label")
    return rows.drop_nulls(($key_names, "$time", "$label"))


# ---- derived ------------------------------------------------------------------------------------------------------


def recent(read: Read, ticks: Sequence[datetime]) -> pl.DataFrame:
    """Mean and count of the answers that were known by each tick and are not older than ``OVER``, $by_words."""
    answers = read("${name}_answers", Window(ticks[0] - OVER, ticks[-1] + timedelta(microseconds=1)))
    known, times = pl.max_horizontal("event_time", "known_time"), answers["event_time"]
    parts = []
    for tick in ticks:
        first, last = (times.search_sorted(end, side="right") for end in (tick - OVER, tick))
        parts.append(_summed(answers.slice(first, last - first).filter(known <= tick), tick))
    return pl.concat(parts)


def _summed(answers: pl.DataFrame, tick: datetime) -> pl.DataFrame:
    answer = pl.col("$label")
$summed
    return summed.select(*RECENT.keys, pl.lit(tick, TIME).alias("event_time"), *RECENT.values)


def answered(read: Read, window: Window) -> pl.DataFrame:
    """Every answer there is, for the loop by which the gate computes the means and counts again."""
    return read("${name}_answers", window).rename({"$label": "value"})


DECLARED = {"${label}_mean": Aggregate(answered, "mean", OVER), "${label}_count": Aggregate(answered, "count", OVER)}
FEATURES = (
    Facts(ASKED, archived_questions, traffic=("$name",), collected=collected_questions),
    Facts(ANSWERS, archived_answers, traffic=("$name",), collected=collected_answers),
    Derived(RECENT, ("${name}_answers",), recent, CADENCE, OVER, DECLARED),
)
'''

PIPELINE = '''"""$Name: predicts `$label` at `$time`. Laid out by `assay new`; make it yours."""

from datetime import UTC, datetime, timedelta

import polars as pl
$imports

from flows.pipeline import $metric, TIME, Example, Pipeline, Promote, Search, Serving, TimeSplit, Trigger, Use

KEY = ($key_names, "$time")
MATURES = $matures_value
"""When an answer is known at the latest; what has none by then has no label."""


def dataset(read, window):
    """Every question, with the first answer that became known, and when."""
    asked = read("${name}_asked", window).drop("known_time").rename({"event_time": "$time"})
    known = pl.max_horizontal("event_time", "known_time").alias("label_time")
    answers = read("${name}_answers", window).select(*KEY, pl.col("$label").alias("label"), known)
    answers = answers.sort("label_time", maintain_order=True).unique(KEY, keep="first", maintain_order=True)
    rows = asked.unique(KEY, keep="first", maintain_order=True).join(answers, on=KEY, how="left", maintain_order="left")
    return rows.with_columns(pl.col("label_time").fill_null(pl.col("$time") + MATURES))


def prepare(rows):
    """What is computed of the row itself."""
    asked = pl.col("$time")
    return rows.with_columns(
        asked.alias("event_time"),
$computed
    )


def estimator(parameters):
$estimator


pipeline = Pipeline(
    name="$name",
    version="1.0.0",
    description="Predicts $label when it is asked about, from what is known then.",
    owner=$owner,
    task="$task",
    dataset=dataset,
    prepare=prepare,
    inputs=$inputs,
    features=(Use("${name}_recent", ("${label}_mean", "${label}_count"), prefix="recent_"),),
    estimator=estimator,
    search=Search({"learning_rate": [0.05, 0.2], "max_leaf_nodes": [8, 31]}, trials=2),
    split=TimeSplit(validation=$part, test=$part, gap=$gap),
    metric=$metric,
    floor=$floor,  # $floor_words
    slices=$slices,
    trigger=Trigger(window=$window, cool_down=2 * $window, margin=$margin),
    promote=Promote(minimum_rows=$minimum_rows),
    monitor_not=$calendar,
    serving=Serving(
        request=$request,
        outcome={"$label": pl.Float64()},
        key=KEY,
        examples=(
            Example(
                "the first application",
                $example,
                low=$low,
                high=$high,
            ),
        ),
    ),
)
'''

TEST = '''"""$Name is honest about time: an answer counts from when it was known, and every question is there once."""

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

$first_import

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
PIPELINE = $pipeline_path


def answers(*known_after: timedelta) -> pl.DataFrame:
    """One answer each, that became known so long after noon: 1.0, 2.0, …"""
    who = {$key_examples}
    rows = [who | {"known": NOON + after, "$label": number + 1.0} for number, after in enumerate(known_after)]
    frame = pl.DataFrame(rows, schema_overrides={"known": pl.Datetime("us", "UTC")$key_dtypes})
    times = ("event_time", "known_time", "$time")
    return frame.with_columns(pl.col("known").alias(time) for time in times).drop("known")


def recent(*ticks: datetime, facts: pl.DataFrame) -> list[tuple]:
    """Tick, mean and count, as they are derived of these answers."""

    def read(group, window):
        return facts.filter(pl.col("event_time") >= window.start, pl.col("event_time") < window.end).sort("event_time")

    found = $name.recent(read, list(ticks)).sort("event_time")
    return found.select("event_time", "${label}_mean", "${label}_count").rows()


def test_an_answer_counts_from_the_tick_it_was_known_at_until_it_is_old():
    """Not a microsecond before; a late one not at the ticks that went by."""
    micro, end = timedelta(microseconds=1), NOON + $name.OVER
    facts = answers(timedelta(), micro)
    assert recent(NOON - micro, facts=facts) == []
    assert recent(NOON, facts=facts) == [(NOON, 1.0, 1)]
    assert recent(NOON + micro, end, end + micro, facts=facts) == [(NOON + micro, 1.5, 2), (end, 2.0, 1)]
    late = facts.with_columns(pl.lit(end).alias("known_time"))
    assert recent(NOON + micro, facts=late) == []


def test_a_tick_alone_is_what_it_is_among_others():
    """Else training would see what serving does not."""
    facts = answers(*(number * $name.CADENCE / 3 for number in range(40)))
    ticks = [NOON + number * $name.CADENCE for number in range(12)]
    assert recent(*ticks, facts=facts) == [row for tick in ticks for row in recent(tick, facts=facts)]


def test_every_question_of_the_file_is_in_the_dataset_once_with_its_own_answer():
    """A label is there only if it was known within the window, and label_time says when."""
    spec = importlib.util.spec_from_file_location("laid_out_$name", PIPELINE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    file = $name._rows()
    start, end = file["$time"].min(), file["$time"].sort()[file.height // 2]

    def read(group, window):
        facts = {"${name}_asked": $name.archived_questions, "${name}_answers": $name.archived_answers}
        return facts[group](window).with_columns(pl.col("event_time").alias("known_time"))

    rows = module.prepare(module.dataset(read, $name.Window(start, end)))
    asked = file.filter(pl.col("$time") < end)
    assert rows.height == rows.select(module.KEY).n_unique() == asked.height
    labelled = rows.drop_nulls("label")
    assert 0 < labelled.height <= rows.height
    assert labelled.filter(pl.col("label_time") >= end).is_empty()
    assert labelled.filter(pl.col("label_time") < pl.col("event_time")).is_empty()
    told = labelled.join(file, on=module.KEY, suffix="_of_the_file")
    assert told.select((pl.col("label") == pl.col("$label")).all()).item()
'''


def texts(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The three files' text: ``features``, ``pipeline``, ``test``. ``values``: as ``console.new`` chose them."""
    filled = _filled(name, values)
    return {
        kind: Template(template).substitute(filled)
        for kind, template in (("features", FEATURES), ("pipeline", PIPELINE), ("test", TEST))
    }


def _filled(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    looked, task = values["looked"], values["task"]
    rows, schema = looked.rows, looked.rows.schema
    texts_ = [
        one for one in (*values["by"], *looked.given) if schema[one] == pl.String and rows[one].n_unique() <= FEW_WORDS
    ]
    numbers = [one for one in (*values["by"], *looked.given) if schema[one] != pl.String]
    calendar = ["hour", "weekday"] if values["sub_daily"] else ["month"]
    by, delay = values["by"], values["delay"]
    classes = task == "classification"
    return {
        "name": name, "Name": name, "file_name": values["file"].name, "file": _path(values["file"], values["workspace"]),
        "reader": "pl.read_parquet(FILE)" if values["file"].suffix == ".parquet"
        else "pl.read_csv(FILE, try_parse_dates=True, infer_schema_length=None)",
        "columns": "\n".join(f"        {_column(values, one)}," for one in rows.columns),
        "cadence": _delta(values["cadence"]), "over": _delta(values["over"]), "matures_value": _delta(values["matures"]),
        "matures": "" if delay is None else f'DELAY = {_delta(delay)}\n"""How long after a question its answer is known."""\n',
        "known": f'pl.col("{looked.known}")' if delay is None else f'(pl.col("{looked.time}") + DELAY)',
        "keys": _schema({key: schema[key] for key in looked.keys}), "values": _schema({one: schema[one] for one in looked.given}),
        "by_keys": _schema({key: schema[key] for key in by}), "by_words": f"by {' and '.join(by)}" if by else "over all of them",
        "summed": _summed(looked.label, by),
        "key_names": ", ".join(f'"{key}"' for key in looked.keys), "time": looked.time, "label": looked.label,
        "given_names": "".join(f', "{one}"' for one in looked.given),
        "given_lines": "".join(f'\n        "{one}",' for one in looked.given),
        "imports": _imports(bool(texts_), classes), "metric": "ROC_AUC" if classes else "MAE", "owner": _text(values["owner"]),
        "computed": _computed(calendar, [one for one in numbers if schema[one] == pl.Boolean]),
        "estimator": _estimator(texts_, classes), "task": task, "inputs": _tuple((*texts_, *numbers, *calendar)),
        "part": _delta(values["part"]), "gap": _delta(values["gap"]), "window": _delta(values["window"]),
        "floor": repr(values["floor"]), "floor_words": "what chance reaches" if classes else "what a constant reaches",
        "margin": repr(float(f"{values['margin']:.2g}")), "minimum_rows": repr(values["minimum_rows"]),
        "slices": _tuple(one for one in by if 1 < rows[one].n_unique() <= 20), "calendar": _tuple(calendar),
        "request": _schema({**{key: schema[key] for key in looked.keys}, looked.time: schema[looked.time]}
                           | {one: schema[one] for one in looked.given}, 8),
        "example": _example(values["example"], (*looked.keys, looked.time, *looked.given)),
        "low": repr(values["low"]), "high": repr(values["high"]),
        "first_import": f"from flows.features import {name}",
        "pipeline_path": f'Path({name}.__file__).parents[1] / "pipelines" / "{name}" / "__init__.py"',
        "key_examples": ", ".join(f'"{key}": {_literal("one" if schema[key] == pl.String else 1)}' for key in looked.keys),
        "key_dtypes": "".join(f', "{key}": {_dtype(schema[key])}' for key in looked.keys),
    }  # fmt: skip


def _column(values: Mapping[str, Any], name: str) -> str:
    """How a column is read of the file: an expression with its name here and the dtype it has here."""
    looked = values["looked"]
    source, dtype = looked.columns[name], looked.rows.schema[name]
    read = f"pl.col({_text(source)})"
    if name in (looked.time, looked.known):
        read += _utc(values["zone"] if name in looked.naive else "")
    elif name == looked.label and looked.words:
        read = f"({read} == {_text(looked.words[1])}).cast(pl.Float64)"
    else:
        read = f"{read}.cast({_dtype(dtype).removesuffix('()')})"
    return read if source == name and not looked.words else f'{read}.alias("{name}")'


def _utc(zone: str) -> str:
    """What makes a time of the file an instant in UTC, if it is naive (then in this zone) or not ("")."""
    if not zone:
        return '.dt.convert_time_zone("UTC").dt.cast_time_unit("us")'
    local = '.cast(pl.Datetime("us")).dt.replace_time_zone'
    if zone == "UTC":
        return f'{local}("UTC")'
    return f'{local}("{zone}", ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")'


def _summed(label: str, by: Iterable[str]) -> str:
    lines = [
        f'    mean, count = answer.mean().alias("{label}_mean"), pl.len().cast(pl.Int64).alias("{label}_count")',
        "    summed = "
        + (
            f"answers.group_by({names}, maintain_order=True).agg(mean, count)"
            if (names := ", ".join(f'"{key}"' for key in by))
            else f'answers.select(mean, count).filter(pl.col("{label}_count") > 0)'
        ),
    ]
    return "\n".join(lines)


def _imports(words: bool, classes: bool) -> str:
    trees = "from sklearn.ensemble import HistGradientBoosting" + ("Classifier" if classes else "Regressor")
    if not words:
        return trees
    lines = ("from sklearn.compose import make_column_transformer", trees, "from sklearn.pipeline import make_pipeline")
    return "\n".join((*lines, "from sklearn.preprocessing import OrdinalEncoder"))


def _estimator(words: list[str], classes: bool) -> str:
    kind = "Classifier" if classes else "Regressor"
    defaults = ("" if classes else '"loss": "absolute_error", ') + '"max_iter": 100, "random_state": 0'
    lines = [f"    chosen = {{{defaults}}} | parameters"]
    if not words:
        return "\n".join([*lines, f"    return HistGradientBoosting{kind}(**chosen)"])
    listed, places = ", ".join(f'"{one}"' for one in words), ", ".join(map(str, range(len(words))))
    lines += [
        '    names = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))',
        f"    trees = HistGradientBoosting{kind}(**chosen, categorical_features=[{places}])",
        f"    words = [{listed}]",
        '    return make_pipeline(make_column_transformer((names, words), remainder="passthrough"), trees)',
    ]
    return "\n".join(lines)


def _computed(calendar: list[str], truths: list[str]) -> str:
    parts = [f'        asked.dt.{one}().cast(pl.Int64).alias("{one}"),' for one in calendar]
    return "\n".join([*parts, *(f'        pl.col("{one}").cast(pl.Int64),' for one in truths)])


def _example(row: Mapping[str, Any], names: Iterable[str]) -> str:
    return _braces([f'"{one}": {_literal(row[one])}' for one in names], 16)


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
        while len(parts) > 3 and not parts[-1]:
            parts.pop()
        return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    """A text as Python has it, in double quotes where it can be."""
    return repr(value) if '"' in value or "\\" in repr(value) else f'"{value}"'


def _path(file: Path, workspace: Path) -> str:
    whole = file.resolve()
    if whole.is_relative_to(workspace.resolve()):
        parts = whole.relative_to(workspace.resolve()).parts
        return "Path(__file__).parents[2] / " + " / ".join(_text(part) for part in parts)
    return f"Path({_text(str(whole))})"


def _delta(length: timedelta) -> str:
    days, rest = divmod(length, timedelta(days=1))
    parts = [f"days={days}"] if days or not rest else []
    if rest:
        hours, odd = divmod(rest, timedelta(hours=1))
        parts += [f"hours={hours}"] if not odd else [f"seconds={rest.total_seconds():g}"]
    return f"timedelta({', '.join(parts)})"


def _dtype(dtype: pl.DataType) -> str:
    return "TIME" if isinstance(dtype, pl.Datetime) else f"pl.{dtype}()"


def _schema(columns: Mapping[str, pl.DataType], indent: int = 4) -> str:
    return _braces([f'"{name}": {_dtype(dtype)}' for name, dtype in columns.items()], indent)


def _braces(items: list[str], indent: int) -> str:
    """A dict on one line, or, if that is long, of one item a line."""
    whole = "{" + ", ".join(items) + "}"
    if indent + len(whole) <= 100:
        return whole
    lines = "".join(f"{' ' * (indent + 4)}{one},\n" for one in items)
    return "{\n" + lines + " " * indent + "}"


def _tuple(names: Iterable[str]) -> str:
    listed = [f'"{one}"' for one in names]
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"
