"""``make mutants``: is there a change of the domain or of the pure modules that no test notices?

mutmut changes functions, ``constants`` the numbers outside of them. A survivor that ``survivors.toml`` does not list is a
failure, and so is a listed one that does not survive. Names as arguments (``domain.text*``) choose among the functions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

from tests.mutants import constants
from tests.mutants.mutant import Entry, Mutant, listed, out_of_date

LEAST = 95.0
"""Percent of the mutants that behave differently; so many of the domain's at least must be noticed."""


def main(names: Sequence[str]) -> int:
    began, workers = time.monotonic(), os.cpu_count() or 1
    if not names:
        shutil.rmtree("mutants", ignore_errors=True)
    subprocess.run([Path(sys.executable).parent / "mutmut", "run", "--max-children", str(workers), *names], check=True)
    made, alive = of_functions()
    if not names:
        numbers, survivors = constants.survivors(list(made), config().pytest_add_cli_args, workers)
        made += numbers
        alive += survivors
    entries = listed()
    failures = [f"Survives: {mutant}" for mutant in alive if not any(entry.covers(mutant) for entry in entries)]
    if not names:
        failures += [f"Is listed and does not survive: {text}" for text in out_of_date(entries, alive)]
        failures += judged(made, alive, entries)
    print(
        f"{sum(made.values())} mutants in {(time.monotonic() - began) / 60:.0f} minutes on {workers} processors.",
        *failures,
        sep="\n",
    )
    return 1 if failures else 0


def of_functions() -> tuple[Counter[str], list[Mutant]]:
    """How many were looked at, by file, and those that survive."""
    made: Counter[str] = Counter()
    alive = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for key, code in data.exit_code_by_key.items():
            status = status_by_exit_code[code]
            made[str(path)] += status != "not checked"
            if status in ("survived", "no tests", "suspicious"):
                alive.append(_mutant(str(path), key, get_diff_for_mutant(key, path=path)))
    return made, alive


def _mutant(file: str, key: str, diff: str) -> Mutant:
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, becomes = ("\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    function = key.rpartition(".")[2].rpartition("__mutmut_")[0]
    return Mutant(file, function.removeprefix("x_").replace("xǁ", "").replace("ǁ", "."), was, becomes)


def judged(made: Mapping[str, int], alive: Sequence[Mutant], entries: Sequence[Entry]) -> list[str]:
    """Print by file how many behave differently and how many of them are noticed; what is wrong with that."""
    same = Counter(one.file for one in alive if any(entry.kind == "same" and entry.covers(one) for entry in entries))
    unnoticed = Counter(one.file for one in alive) - same
    domain = [0, 0]
    for file in sorted(made):
        differing = made[file] - same[file]
        noticed = differing - unnoticed[file]
        print(f"{file:40} {noticed:5} of {differing:5} noticed, {same[file]:3} make no difference")
        if file.startswith("domain/"):
            domain = [domain[0] + noticed, domain[1] + differing]
    share = 100 * domain[0] / domain[1]
    print(f"domain/: {domain[0]} of {domain[1]} noticed, {share:.1f} %")
    return [] if share >= LEAST else [f"Less than {LEAST:.0f} % of the domain's are noticed."]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
