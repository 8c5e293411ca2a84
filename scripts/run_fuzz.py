"""Looks for bytes that break a rule of a parser; what it finds is kept in `tests/fuzz/found`, which tests run.

Started by `scripts/fuzz`. With atheris (`pip install '.[fuzz]'`) code that was not reached yet guides the search;
without it inputs are mutated blindly. The exit code is 1 where something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / "tests" / "fuzz" / "found"
# What atheris has learned so far; git ignores it.
CORPUS = ROOT / ".fuzz"
_MAX_BYTES = 8192
#: An input that takes longer is one that was looked for, too.
_SLOW_S = 5
_MEMORY_LIMIT_MIB = 2048


def main() -> int:
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description="Look for bytes that break a rule of a parser."
    )
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--engine", choices=("auto", "atheris", "plain"), default="auto")
    parser.add_argument("--seed", type=int, default=0, help="of mutations (0: another each time)")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _run_atheris_here(options.targets[0], options.targets[1:])
    from fuzz_targets import TARGETS

    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown or options.list:
        print(f"Targets: {', '.join(TARGETS)}", file=sys.stderr if unknown else sys.stdout)
        return 2 if unknown else 0
    has_atheris = importlib.util.find_spec("atheris") is not None
    if options.engine == "atheris" and not has_atheris:
        print("atheris is not installed: pip install '.[fuzz]'", file=sys.stderr)
        return 2
    uses_atheris = has_atheris and options.engine != "plain"
    print("engine: atheris" if uses_atheris else "engine: blind mutations, without atheris")
    run = _run_atheris if uses_atheris else _run_plain
    failed = [
        name
        for name in options.targets or TARGETS
        if not run(name, options.seconds, options.seed or random.SystemRandom().randrange(1 << 31))
    ]
    print(f"broken: {', '.join(failed)}; see {FOUND}" if failed else "nothing was found")
    return 1 if failed else 0


# With atheris: in a process of its own for each target, as libFuzzer ends its process


def _run_atheris(name: str, seconds: int, seed: int) -> bool:
    from fuzz_targets import TARGETS

    target = TARGETS[name]
    corpus, found = CORPUS / name, FOUND / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for data in target.seeds:
        _keep(corpus, data)
    words = CORPUS / f"{name}.dict"
    words.write_text(
        "".join(f'"{_escaped(token)}"\n' for token in target.tokens if len(token) < 64)
    )
    arguments = [
        *(name, str(corpus), str(found), f"-dict={words}", f"-artifact_prefix={found}{os.sep}"),
        *(f"-max_total_time={seconds}", f"-max_len={_MAX_BYTES}", f"-timeout={_SLOW_S}"),
        *(f"-rss_limit_mb={_MEMORY_LIMIT_MIB}", f"-seed={seed}", "-print_final_stats=1"),
    ]
    finished = subprocess.run(
        [sys.executable, __file__, "--inside", "--", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    runs = [line for line in finished.stdout.splitlines() if "number_of_executed_units" in line]
    count = runs[0].split()[-1] if runs else "no"
    print(f"{name}: {count} inputs, {'fine' if finished.returncode == 0 else 'BROKEN'}", flush=True)
    if finished.returncode != 0:
        print("\n".join(finished.stdout.splitlines()[-60:]), file=sys.stderr)
    if not any(found.iterdir()):
        found.rmdir()
    return finished.returncode == 0


def _run_atheris_here(name: str, arguments: Sequence[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["mms", "archiver"]):
        from fuzz_targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].check)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


# Without it


def _run_plain(name: str, seconds: int, seed: int) -> bool:
    from fuzz_targets import TARGETS

    target = TARGETS[name]
    chance = random.Random(seed)
    deadline = time.monotonic() + seconds
    count = 0
    while (began := time.monotonic()) < deadline:
        data = _mutated(chance, target.seeds, target.tokens)
        count += 1
        try:
            target.check(data)
        except Exception:
            print(f"{name}: BROKEN after {count} inputs, seed {seed}:\n{traceback.format_exc()}")
            _keep(FOUND / name, data)
            return False
        if time.monotonic() - began > _SLOW_S:
            print(f"{name}: BROKEN, an input took {time.monotonic() - began:.1f} s, seed {seed}")
            _keep(FOUND / name, data)
            return False
    print(f"{name}: {count} inputs, fine", flush=True)
    return True


def _mutated(chance: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    if chance.random() < 0.3:
        return b"".join(chance.choices(tokens, k=chance.randint(0, 30)))
    data = chance.choice(seeds)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((0, 0, 1, 4, 16)))
        match chance.randrange(4):
            case 0:
                data = data[:at] + chance.randbytes(1) + data[end:]
            case 1:
                data = data[:end] + data[at:]
            case _:
                data = data[:at] + chance.choice(tokens) + data[end:]
    return data[:_MAX_BYTES]


def _keep(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
