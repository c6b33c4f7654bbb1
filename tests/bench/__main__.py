"""All benches, one after the other, each in a process of its own, in one table.

python -m tests.bench [--small] [--keep] [NAME ...]
"""

from __future__ import annotations

import argparse
import sys

from tests.bench import measure, table

BENCHES = ("join", "feast", "lookup", "training", "drift", "ledger", "service")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=BENCHES, help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    parser.add_argument("--keep", action="store_true", help="write the table into docs/bench.md")
    asked = parser.parse_args()
    if asked.keep and (asked.small or set(asked.names) != set(BENCHES)):
        parser.error("--keep is for all benches at full size: the table in docs/bench.md is of one run.")
    size = "small" if asked.small else "full"
    rows: list[table.Row] = []
    for name in asked.names:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += measure.apart(table.measured, name, size)
    table.show(rows)
    if asked.keep:
        table.keep(rows)


if __name__ == "__main__":
    main()
