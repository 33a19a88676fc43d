"""Kill -9 and failing disks in the middle of every command that writes: is anything lost?

    python pipelines/kills.py --kills 1000 --record

A command (index, add, delete, compact, single adds that are told one by one, a batch, backup,
restore, and add, delete and drop in a namespace) runs in a child that is forked when all is
imported, on a copy of an index: a small one, one that is extended (`docs/guide/changing.md`), one
that a chat model extracts, and one that keeps learned words; these models are scripted.

Half of the children are killed after a part of the time that the command takes undisturbed, half
at the n-th call that writes below the folder that holds the index (of libc: what SQLite and numpy
do counts too), before it or with half of it written. Other children are not killed: their n-th call
fails, once or from then on, for every n (--every: every so many-th) until a command ends without
it; what they raise must be a `GraphmemError` of one line.

Checked after each: the index opens, or says that it was never finished; the store holds what it
held before the command or what it holds after it, for single steps all that was told and at most
one more, and the snapshot one of these states; a search finds exactly these passages; a backup is
not there, or restores the index; other memories in the folder are as they were. Then the command
runs again: the bytes of the snapshot are those of a run that nobody disturbed, `verify` finds
nothing, no file is left over in the index or beside it, the kept answers of the model were not
asked for again, and after compact no byte of a deleted text is there.

A JSON object goes to standard output with --json, else lines for persons; --record keeps it in
pipelines/results/kills.json, beside runs of other commands or with more children. The exit code is
1 where anything else was found. Calls are counted by a library that `cc` makes of faulty_calls.c
(Linux); without `cc` children are killed by time alone.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import gc
import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from graphmem import GraphMemory, Passage
from graphmem.base.layout import (
    CURRENT,
    LOCK,
    MANIFEST,
    NAMESPACES,
    RESPONSES,
    RESPONSES_LOCK,
    STORE,
    index_folders,
    namespace_folder,
    namespaces,
)
from graphmem.embedding import sparse
from graphmem.embedding.sparse import WordWeights
from graphmem.errors import ConfigError, DataError, GraphmemError, IndexNotFoundError
from graphmem.indexing.extending import SMALLEST
from graphmem.llm.scripted import ScriptedChat
from graphmem.protocols import Progress
from graphmem.storage.current import open_current
from graphmem.storage.store import Store
from graphmem.types import ChatRequest, Extraction

RESULTS = Path(__file__).with_name("results") / "kills.json"
SOURCE = Path(__file__).with_name("faulty_calls.c")
PRELOADED = "LD_PRELOAD"
MOST = 60.0
"""Seconds after which a child hangs."""
OPEN, READ, WRITE, SYNC, RENAME, UNLINK, MKDIR = (1 << bit for bit in range(7))
CHANGING: Final = OPEN | WRITE | SYNC | RENAME | UNLINK | MKDIR
KILL, TEAR = -1, -2
FAULTS: Final = {
    "ENOSPC": (errno.ENOSPC, OPEN | WRITE | SYNC | RENAME | MKDIR, True),
    "ENOSPC once": (errno.ENOSPC, OPEN | WRITE | SYNC | RENAME | MKDIR, False),
    "EIO once": (errno.EIO, CHANGING, False),
    "EROFS": (errno.EROFS, OPEN | RENAME | UNLINK | MKDIR, True),
    "EMFILE": (errno.EMFILE, OPEN | READ, True),
    "EMFILE once": (errno.EMFILE, OPEN | READ, False),
}
"""By name: the error, the calls that fail with it, and whether it stays."""
WORLDS: Final = {"small": 40, "extended": SMALLEST, "chat": 12, "sparse": 40}
"""Number of passages, by name."""
TOWNS = ("Ostrava", "Turin", "Bergen", "Cádiz", "Lund", "Ghent", "Tartu")
WORD = "harbour"
"""Of every passage, so that BM25 finds all."""
GONE = "quixotically"
"""Of passages that are deleted before `compact`."""
LEFT: Final = frozenset({STORE, CURRENT, LOCK, RESPONSES, RESPONSES_LOCK})
INDEX, SAVED = "index", "saved.tar"
"""What stands in the folder of a run: the index, and a backup of it."""
ONE, OTHER = "one", "other"
"""Namespaces of the index that has some."""

State = frozenset[tuple[str, str]]
Command = Callable[[GraphMemory, Callable[[], object]], object]


class Names:
    """Extractor that finds words in capitals, at no cost."""

    fingerprint = "kills:1"

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Pairs of capitalised word and number, and the towns."""
        return [Extraction(tuple(names_of(f"{p.title}\n{p.text}"))) for p in passages]


def names_of(text: str) -> list[str]:
    """Names in the passages of `passages`, each once."""
    return list(dict.fromkeys(re.findall(r"Skipper \d+|Ferry \d+|" + "|".join(TOWNS), text)))


def answer(request: ChatRequest) -> str:
    """What a well-behaved model says to either prompt of the extraction."""
    asked = request.messages[3].content
    names = names_of(asked.split("Named entities:")[0])
    if "Named entities:" in asked:
        return json.dumps({"triples": [[names[0], "sails to", name] for name in names[1:]]})
    return json.dumps({"entities": names})


def passages(first: int, end: int, more: str = "") -> list[Passage]:
    """Passages of these numbers, all different."""
    return [
        Passage(
            f"p{i}",
            f"Ferry {i} of Skipper {i % 97} leaves the {WORD} of {TOWNS[i % 7]} at {i % 24}{more}.",
            f"Ferry {i}" if i % 3 else "",
        )
        for i in range(first, end)
    ]


class HashedWords:
    """Weighs the words of texts by their hashes, at no cost."""

    fingerprint = "kills:1"

    def fetch(self, progress: Progress | None = None) -> None:
        """Nothing is missing."""

    def encode(self, texts: Sequence[str]) -> list[WordWeights]:
        """Each word of a text once."""
        return [self._weighed(text) for text in texts]

    def _weighed(self, text: str) -> WordWeights:
        words = np.unique([zlib.crc32(word.encode()) % 3000 for word in text.lower().split()])
        return WordWeights(words.astype(np.int32), (1 + words % 7).astype(np.float32))


@dataclass
class Scenario:
    """A command, what it starts from, and how it ends undisturbed.

    Attributes:
        name: Of corpus and command.
        command: Changes a memory; tells what it has done by `tell`.
        template: An index as it is before, in a folder of its own; missing where there is none.
        world: What the index is like, a name of `WORLDS`.
        gone: Whether no byte of a deleted text may be left.
        namespace: The memory of the index that it changes; "" is the one without a name.
        saves: Whether it makes a backup.
        batch: Whether all its steps make one snapshot.
        states: What the store may hold: before, after, or after each of the single steps.
        digest: Of the snapshot in the end.
        whole: The same, had it been assembled anew.
        answers: Of the model, that are kept in the end.
        seconds: That the command takes.
        calls: It makes, for the calls of each mask.
        others: Hash of the other memories of the index.
    """

    name: str
    command: Command
    template: Path
    world: str
    gone: bool = False
    namespace: str = ""
    saves: bool = False
    batch: bool = False
    states: list[State] = field(default_factory=list)
    digest: str = ""
    whole: str = ""
    answers: int = 0
    seconds: float = 0.0
    calls: dict[int, int] = field(default_factory=dict)
    others: str = ""

    def place(self, whole: Path) -> Path:
        """The folder of the memory that it changes, of an index."""
        return namespace_folder(whole, self.namespace) if self.namespace else whole


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        killed: By a signal.
        told: How many steps it told of.
        error: What it raised, "" for nothing.
        kind: Of the error, "graphmem" for those that are meant.
        calls: It made of the kinds that count.
    """

    killed: bool
    told: int
    error: str = ""
    kind: str = ""
    calls: int = 0


def main() -> int:
    """Make the scenarios, disturb them, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="fail every so many-th call; 0: none")
    parser.add_argument(
        "--only", action="append", help="scenarios whose names hold this; repeatable"
    )
    parser.add_argument("--minutes", type=float, default=60, help="failing calls end then")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--record", action="store_true", help=f"keep the figures in {RESULTS}")
    arguments = parser.parse_args()
    counter = preload()
    sparse.load_sparse = lambda spec: HashedWords()  # type: ignore[assignment]
    tqdm.set_lock(threading.RLock())  # its own is of all processes: a killed child would keep it
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        only = arguments.only or [""]
        scenarios = [s for s in every_scenario(work, only) if any(part in s.name for part in only)]
        for scenario in scenarios:
            prepare(scenario, work / "run", counter)
        chance = random.Random(arguments.seed)
        findings: list[str] = []
        kills = kill_all(scenarios, work / "run", counter, arguments.kills, chance, findings)
        killing = time.monotonic() - began
        until = began + 60 * arguments.minutes
        faults: dict[str, Any] = {}
        if counter is not None and arguments.every:
            every = arguments.every
            faults = fail_all(scenarios, work / "run", counter, every, until, chance, findings)
    result = {
        "kills": sum(map(sum, kills.values())),
        "by_time": sum(by_time for by_time, _ in kills.values()),
        "by_call": sum(by_call for _, by_call in kills.values()),
        "failed_calls": sum(count["runs"] for count in faults.values()),
        "of_them_raised": sum(count["raised"] for count in faults.values()),
        "findings": len(findings),
        "minutes_kills": round(killing / 60, 1),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "cores": os.cpu_count(),
        "seed": arguments.seed,
        "commands": {
            scenario.name: {
                "seconds": round(scenario.seconds, 3),
                "calls": scenario.calls.get(CHANGING),
                "kills": sum(kills[scenario.name]),
                **faults.get(scenario.name, {}),
            }
            for scenario in scenarios
        },
    }
    kinds = Counter(re.sub(r"at call \d+|after [0-9.]+ s", "", what) for what in findings)
    for what, count in kinds.most_common(40):
        print(f"{count} times: {what}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{result['kills']} kills, {result['failed_calls']} failing calls in "
              f"{result['minutes']} minutes; {len(findings)} findings")  # fmt: skip
    if arguments.record:
        record(result)
    return int(bool(findings))


def record(result: dict[str, Any]) -> None:
    """Keep the figures of a run, in place of runs that tried nothing else nor more."""
    runs = json.loads(RESULTS.read_text("utf-8"))
    kept = [
        run
        for run in runs
        if run["commands"].keys() - result["commands"].keys()
        or any(run[count] > result[count] for count in ("kills", "failed_calls"))
    ]
    RESULTS.write_text(json.dumps([*kept, result], indent=1) + "\n", encoding="utf-8")


def preload() -> ctypes.CDLL | None:
    """The library that counts calls, for which this process starts once more; None without `cc`."""
    made = os.environ.get(PRELOADED, "")
    if "faulty_calls" in made:
        with suppress(OSError):
            counter = ctypes.CDLL(made)
            counter.arm.argtypes = [ctypes.c_char_p, *[ctypes.c_int] * 4]
            counter.arm.argtypes[2] = ctypes.c_long
            counter.calls_seen.restype = ctypes.c_long
            Path(made).unlink()
            Path(made).parent.rmdir()
            os.environ.pop(PRELOADED)
            return counter
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = Path(tempfile.mkdtemp()) / "faulty_calls.so"
    words = ["-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run([compiler, *words], check=True)
    os.execve(  # noqa: S606
        sys.executable,
        [sys.executable, *sys.argv],
        {**os.environ, PRELOADED: str(library)},
    )


# ---- what runs ---------------------------------------------------------------------------------


def every_scenario(work: Path, only: Sequence[str]) -> Iterator[Scenario]:
    """All of them, on templates that are made here; without the worlds that `only` leaves out."""
    for name, size in WORLDS.items():
        others = WORLDS.keys() - {name}
        if all(part.partition(" ")[0] in others for part in only):
            continue
        folder = work / name
        folder.mkdir()
        base, new = passages(0, size), passages(size, size + 6)
        fresh, edited = folder / "fresh.jsonl", folder / "edited.jsonl"
        for file in (fresh, edited):
            write_lines(file, base)
        built = template(folder / "built", name, [syncing(edited)])
        write_lines(edited, [*base[:2], *passages(2, 4, f" and {GONE}"), *base[7:], *new])
        late = passages(size, size + 6, f" and {GONE}")
        doomed = [passage.id for passage in late]
        parts = [adding(late), adding(passages(size + 6, size + 9)), deleting(doomed)]
        deleted = template(folder / "deleted", name, [syncing(fresh), *parts])
        yield Scenario(f"{name} index", syncing(fresh), folder / "nothing", name)
        yield Scenario(f"{name} index again", syncing(edited), built, name)
        yield Scenario(f"{name} add", adding(new), built, name)
        doomed = [passage.id for passage in base[3:8]]
        yield Scenario(f"{name} delete", deleting(doomed), built, name)
        yield Scenario(f"{name} compact", compacting, deleted, name, gone=True)
        if name != "chat":
            yield Scenario(f"{name} single adds", adding_each(new), built, name)
        yield Scenario(f"{name} batch", batching(new, doomed), built, name, batch=True)
        shared = folder / "shared"
        shutil.copytree(built, shared)
        few = passages(0, 9)
        for space in (ONE, OTHER):
            template(namespace_folder(shared, space), name, [adding(few)])
        yield Scenario(f"{name} backup", saving, deleted, name, saves=True)
        yield Scenario(f"{name} backup of namespaces", saving, shared, name, saves=True)
        opened(deleted, name)[0].backup(folder / SAVED)
        yield Scenario(f"{name} restore", restoring(folder / SAVED), folder / "nothing", name)
        for what, command, space in (
            ("first add", adding(new), "new"),
            ("add", adding(new), ONE),
            ("delete", deleting([passage.id for passage in few[3:6]]), ONE),
            ("drop", dropping, ONE),
        ):
            yield Scenario(f"{name} namespace {what}", command, shared, name, namespace=space)


def write_lines(file: Path, records: Sequence[Passage]) -> None:
    """A file that `graphmem index` reads."""
    lines = [json.dumps({"id": p.id, "text": p.text, "title": p.title}) for p in records]
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def syncing(file: Path) -> Command:
    """What `graphmem index FILE` does."""
    return lambda memory, tell: memory.sync([file], workers=1)


def adding(new: Sequence[Passage]) -> Command:
    """What `graphmem add` does."""
    return lambda memory, tell: memory.add(new, workers=1)


def adding_each(new: Sequence[Passage]) -> Command:
    """Passage by passage, and told of each."""

    def run(memory: GraphMemory, tell: Callable[[], object]) -> None:
        for passage in new:
            memory.add(passage, workers=1)
            tell()

    return run


def deleting(names: Sequence[str]) -> Command:
    """What `graphmem delete` does."""
    return lambda memory, tell: memory.delete(names)


def compacting(memory: GraphMemory, tell: Callable[[], object]) -> object:
    """What `graphmem compact` does."""
    return memory.compact()


def batching(new: Sequence[Passage], names: Sequence[str]) -> Command:
    """What `with memory.batch()` does with single adds and deletions, told of each."""

    def run(memory: GraphMemory, tell: Callable[[], object]) -> None:
        with memory.batch():
            for passage, name in zip(new, names, strict=False):
                memory.add(passage, workers=1)
                tell()
                memory.delete(name)
                tell()

    return run


def saving(memory: GraphMemory, tell: Callable[[], object]) -> object:
    """What `graphmem backup` does."""
    return memory.backup(memory.path.with_name(SAVED))


def restoring(file: Path) -> Command:
    """What `graphmem restore` does."""
    return lambda memory, tell: GraphMemory.restore(file, memory.path)


def dropping(memory: GraphMemory, tell: Callable[[], object]) -> None:
    """What `graphmem namespaces --drop` does."""
    memory.drop()


def opened(index: Path, world: str) -> tuple[GraphMemory, ScriptedChat]:
    """An index, and the model that it asks."""
    model = ScriptedChat(answer)
    if world == "chat":
        return GraphMemory.open(index, embedder="hashing", extractor="llm", chat=model), model
    words = world == "sparse"
    return GraphMemory.open(index, embedder="hashing", extractor=Names(), sparse=words), model


def template(index: Path, world: str, commands: Sequence[Command]) -> Path:
    """An index after some commands."""
    for command in commands:
        command(opened(index, world)[0], lambda: None)
    return index


def copied(scenario: Scenario, run: Path) -> Path:
    """A copy of the template, in an empty folder; the place of what is changed."""
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    if scenario.template.exists():
        shutil.copytree(scenario.template, run / INDEX)
    return scenario.place(run / INDEX)


def prepare(scenario: Scenario, run: Path, counter: ctypes.CDLL | None) -> None:
    """Run a command undisturbed: here, for its states, then in children, for its time and calls."""
    index = copied(scenario, run)
    scenario.states.append(stored(index))
    scenario.others = others(scenario, run)

    def note() -> None:
        scenario.states.append(stored(index))

    memory, _ = opened(index, scenario.world)
    scenario.command(memory, note)
    if stored(index) != scenario.states[-1] or len(scenario.states) == 1:
        note()
    scenario.digest, scenario.answers = digest(index), answers(index)
    if scenario.digest:
        memory.compact()
    scenario.whole = digest(index)
    times = []
    for _ in range(3):
        copied(scenario, run)
        began = time.monotonic()
        ended = disturbed(scenario, run, None)
        times.append(time.monotonic() - began)
        if ended.killed or ended.error:
            raise SystemExit(f"{scenario.name}: undisturbed, {ended}")
    scenario.seconds = sorted(times)[1]
    if counter is None:
        return
    for mask in {CHANGING, *(mask for _, mask, _ in FAULTS.values())}:
        copied(scenario, run)
        ended = disturbed(scenario, run, counter, mask)
        scenario.calls[mask] = ended.calls


def disturbed(
    scenario: Scenario,
    run: Path,
    counter: ctypes.CDLL | None,
    mask: int = 0,
    nth: int = 0,
    action: int = 0,
    again: bool = False,
    kill_after: float | None = None,
) -> Ended:
    """Run a command in a child that is forked now, and see how it ends.

    Args:
        scenario: The command.
        run: The folder with what it changes.
        counter: Counts its calls, and lets one fail.
        mask: Which calls.
        nth: The number of the one that fails, from 1; 0 counts alone.
        action: With what it fails, or KILL or TEAR.
        again: Whether all that follow fail too.
        kill_after: Seconds after which it is killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(scenario, run, counter, (mask, nth, action, again), writing)
    os.close(writing)
    said, deadline = b"", time.monotonic() + (MOST if kill_after is None else kill_after)
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([reading], [], [], left)[0]:
                os.kill(child, signal.SIGKILL)
                deadline = time.monotonic() + MOST
                if kill_after is None:
                    said += b'\n{"error": "hangs", "kind": "hangs"}'
                kill_after = 0.0
                continue
            part = os.read(reading, 65536)
            if not part:
                break
            said += part
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    told, _, end = said.partition(b"\n")
    killed = os.WIFSIGNALED(status)
    return Ended(killed, len(told), **(json.loads(end) if end and end.endswith(b"}") else {}))


def _child(
    scenario: Scenario,
    run: Path,
    counter: ctypes.CDLL | None,
    fault: tuple[int, int, int, bool],
    writing: int,
) -> None:
    """Run the command, tell how it ended, and end."""
    end: dict[str, Any] = {"error": "", "kind": ""}
    if counter is not None:
        mask, nth, action, again = fault
        counter.arm(os.fsencode(run), mask, nth, action, int(again))
    try:
        index = scenario.place(run / INDEX)
        scenario.command(opened(index, scenario.world)[0], lambda: os.write(writing, b"."))
    except GraphmemError as error:
        end = {"error": f"{type(error).__name__}: {error}", "kind": "graphmem"}
    except BaseException as error:  # noqa: BLE001  any other kind is what is looked for
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} at {where.filename}:{where.lineno}"
        end = {"error": said, "kind": type(error).__name__}
    if counter is not None:
        end["calls"] = counter.calls_seen()
    os.write(writing, b"\n" + json.dumps(end).encode())
    os._exit(0)


# ---- what is disturbed, and what must hold then ----------------------------------------------


def kill_all(
    scenarios: Sequence[Scenario],
    run: Path,
    counter: ctypes.CDLL | None,
    kills: int,
    chance: random.Random,
    findings: list[str],
) -> dict[str, list[int]]:
    """Kill so many children, in turn of all commands; how many of each by time, and by call."""
    done = {scenario.name: [0, 0] for scenario in scenarios}
    turn = 0
    while sum(map(sum, done.values())) < kills:
        scenario = scenarios[turn % len(scenarios)]
        by_call = counter is not None and turn // len(scenarios) % 2 == 1
        turn += 1
        if turn % 100 == 0:
            print(f"{sum(map(sum, done.values()))} kills", file=sys.stderr)
        copied(scenario, run)
        if by_call:
            nth = chance.randint(1, scenario.calls[CHANGING])
            action = chance.choice((KILL, TEAR))
            how = f"{'killed' if action == KILL else 'torn'} at call {nth}"
            ended = disturbed(scenario, run, counter, CHANGING, nth, action)
        else:
            after = chance.uniform(0, scenario.seconds)
            how = f"killed after {after:.3f} s"
            ended = disturbed(scenario, run, None, kill_after=after)
        if ended.killed:
            done[scenario.name][by_call] += 1
            findings += [f"{scenario.name}, {how}: {w}" for w in wrong(scenario, run, ended)]
    return done


def fail_all(
    scenarios: Sequence[Scenario],
    run: Path,
    counter: ctypes.CDLL,
    every: int,
    until: float,
    chance: random.Random,
    findings: list[str],
) -> dict[str, Any]:
    """Let each call of each command fail; how many children ran, and how many raised an error."""
    done: dict[str, Any] = {s.name: {"runs": 0, "raised": 0, "calls_tried": {}} for s in scenarios}
    turns = deque(
        (scenario, fault, 1 + chance.randrange(min(every, scenario.calls[FAULTS[fault][1]] or 1)))
        for scenario in scenarios
        for fault in FAULTS
    )
    chance.shuffle(turns)
    while turns and time.monotonic() < until:
        scenario, fault, nth = turns.popleft()
        number, mask, again = FAULTS[fault]
        copied(scenario, run)
        ended = disturbed(scenario, run, counter, mask, nth, number, again)
        if ended.calls < nth and not ended.killed and ended.kind != "hangs":
            continue  # it ended without
        count = done[scenario.name]
        count["runs"] += 1
        count["raised"] += bool(ended.error)
        count["calls_tried"][fault] = nth
        how = f"{scenario.name}, {fault} at call {nth}"
        if ended.killed or (ended.error and ended.kind != "graphmem"):
            findings.append(f"{how}: raised {ended.error or 'a signal'}")
        if "\n" in ended.error:
            findings.append(f"{how}: more than a line: {ended.error!r}")
        findings += [f"{how}: {w}" for w in wrong(scenario, run, ended)]
        turns.append((scenario, fault, nth + every))  # each has its turn before one has two
    return done


def wrong(scenario: Scenario, run: Path, ended: Ended) -> list[str]:
    """What does not hold after a command was disturbed, nor after it ran again."""
    try:
        return [*wrong_now(scenario, run, ended), *wrong_after(scenario, run, ended)]
    except (GraphmemError, OSError, AssertionError) as error:
        return [f"{type(error).__name__}: {str(error).replace(str(run), 'RUN')}"]


def wrong_now(scenario: Scenario, run: Path, ended: Ended) -> Iterator[str]:
    """What does not hold before the command runs again."""
    index = scenario.place(run / INDEX)
    there = stored(index)
    states = scenario.states
    allowed = states[ended.told : ended.told + 2]
    finished = not ended.killed and not ended.error
    if there not in allowed or (finished and there != states[-1]):
        yield f"{len(there)} passages in the store are no committed state"
    if others(scenario, run) != scenario.others:
        yield "another memory of the index has changed"
    yield from wrong_saved(scenario, run, finished)
    try:
        there = seen(index)
    except IndexNotFoundError:
        if states[0] and there:
            yield "the index opens no more"
        return
    if scenario.batch and not finished:
        allowed = [states[0], *allowed]
    if there not in allowed:
        yield f"{len(there)} passages in the snapshot are no committed state"
    memory, _ = opened(index, scenario.world)
    for preset in ("bm25", "default"):
        found = memory.search(f"Which {WORD}?", k=2 * len(there), preset=preset).hits
        ids = {(hit.passage.id, hit.passage.text) for hit in found}
        if not ids or not ids <= there or (preset == "bm25" and ids != there):
            yield f"{preset} finds {len(ids)} of {len(there)} passages"


def wrong_saved(scenario: Scenario, run: Path, finished: bool) -> Iterator[str]:
    """What is wrong with the backup, where one is there or must be."""
    file, index = run / SAVED, run / INDEX
    if not file.exists():
        if finished and scenario.saves:
            yield "there is no backup"
        return
    with tempfile.TemporaryDirectory() as folder:
        restored = Path(folder) / INDEX
        GraphMemory.restore(file, restored)
        places = [place.relative_to(index) for place in index_folders(index)]
        if any(
            (digest(restored / place), stored(restored / place), answers(restored / place))
            != (digest(index / place), stored(index / place), answers(index / place))
            for place in places
        ):
            yield "what is restored of the backup is not the index"


def wrong_after(scenario: Scenario, run: Path, ended: Ended) -> Iterator[str]:
    """What does not hold after the command has run again."""
    index = scenario.place(run / INDEX)
    kept = answers(index)
    memory, model = opened(index, scenario.world)
    try:
        scenario.command(memory, lambda: None)
    except GraphmemError as error:
        # What was done to its end, but not told: what it names is there no more, or is there.
        told = isinstance(error, DataError | ConfigError | IndexNotFoundError)
        done = (run / SAVED).exists() if scenario.saves else is_done(scenario, index)
        if not (told and done):
            yield f"again: {type(error).__name__}: {str(error).replace(str(run), 'RUN')}"
            return
    if stored(index) != scenario.states[-1]:
        yield "again: the store is another"
    found = digest(index)
    allowed = [scenario.digest] if ended.killed else [scenario.digest, scenario.whole]
    if found not in allowed:
        yield "again: other bytes of the snapshot"
    if answers(index) != scenario.answers:
        yield f"again: {answers(index)} answers are kept, not {scenario.answers}"
    elif model.requests and kept + len(model.requests) != scenario.answers:
        yield f"again: {kept} answers were kept, and {len(model.requests)} asked for"
    if others(scenario, run) != scenario.others:
        yield "again: another memory of the index has changed"
    yield from (f"again: {what}" for what in wrong_saved(scenario, run, True))
    problems = memory.verify().problems if found else []
    yield from (f"again: {problem}" for problem in problems[:1])
    del memory  # it closes the file of the answers
    gc.collect()
    yield from wrong_files(scenario, run)


def wrong_files(scenario: Scenario, run: Path) -> Iterator[str]:
    """What a command has left over that has run again."""
    if over := sorted({re.sub("[0-9]{6}", "N", name) for name in left_over(run)}):
        yield f"again: left over: {', '.join(over)}"
    if scenario.gone and any(
        GONE.encode() in file.read_bytes() for file in run.rglob("*") if file.is_file()
    ):
        yield "again: bytes of a deleted text are there"


def is_done(scenario: Scenario, index: Path) -> bool:
    """Whether an index is as the command leaves it."""
    try:
        return seen(index) == scenario.states[-1]
    except IndexNotFoundError:
        return not scenario.states[-1] and not stored(index)


def left_over(run: Path) -> Iterator[str]:
    """Files and folders that belong to no index, nor to the live snapshot of one."""
    whole = run / INDEX
    yield from {path.name for path in run.iterdir()} - {INDEX, SAVED}
    for index in index_folders(whole):
        live = open_current(index)
        folders = {part.folder.name for part in live.parts} | {NAMESPACES}
        yield from {path.name for path in index.iterdir()} - LEFT - folders
    if (whole / NAMESPACES).exists():
        known = {folder.name for folder in namespaces(whole).values()}
        yield from {path.name for path in (whole / NAMESPACES).iterdir()} - known


def others(scenario: Scenario, run: Path) -> str:
    """Hash of the memories of an index that a command does not change."""
    own, found = scenario.place(run / INDEX), hashlib.blake2b()
    for index in index_folders(run / INDEX):
        if index != own:
            found.update(
                f"{index.relative_to(run)} {digest(index)} {sorted(stored(index))}".encode()
            )
    return found.hexdigest()


def stored(index: Path) -> State:
    """Ids and texts of the store."""
    if not (index / STORE).exists():
        return frozenset()
    with Store.read(index / STORE) as store:
        return frozenset((passage.id, passage.text) for passage in store.passages())


def seen(index: Path) -> State:
    """Ids and texts of the live snapshot."""
    live = open_current(index)
    return frozenset((p.id, p.text) for p in map(live.passage, range(live.passages)))


def answers(index: Path) -> int:
    """How many answers of a model are kept."""
    if not (index / RESPONSES).exists():
        return 0
    with closing(sqlite3.connect(index / RESPONSES)) as db, suppress(sqlite3.OperationalError):
        return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])
    return 0  # its tables are not there yet


def digest(index: Path) -> str:
    """Hash of all files of the live snapshot and of what it extends, whatever their numbers are.

    It is "" where there is none.
    """
    found = hashlib.blake2b()
    try:
        live = open_current(index)
    except IndexNotFoundError:
        return ""
    for part in live.parts:
        for file in sorted(part.folder.rglob("*")):
            data = file.read_bytes() if file.is_file() else b""
            if file.name == MANIFEST:
                data = re.sub(rb"snapshot-\d+", b"snapshot", data)
            found.update(f"{file.relative_to(part.folder)} {len(data)} ".encode() + data)
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
