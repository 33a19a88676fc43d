"""The tiny world, and an index over it that needs no model.

Passages in brackets, with their title in capitals; entities between them. A double line is the
edge to the title's entity, which weighs three times as much.

    alien === [p1 ALIEN] --- ridley scott === [p2 RIDLEY SCOTT] --- south shields === [p3 SOUTH
                                                     |              SHIELDS] --- tyne and wear
                                                 gladiator                             ‖
                                                     ‖                        [p5 TYNE AND WEAR]
    los angeles --------------------------- [p4 GLADIATOR]                             |
         ‖                                                                           1974
    [p8 LOS ANGELES] --- 1984
                                       [p6], about bread: no entity, no edge
    scott glenn === [p7 SCOTT GLENN]   "Glenn" and "Scott" alone are no entities

    P = 8, E = 9. df = 2: gladiator, los angeles, ridley scott, south shields, tyne and wear;
    df = 1: 1974, 1984, alien, scott glenn. 14 edges.
    Counts (title + text): ridley scott 1 in p1, 1 + 1 in p2; south shields 1 in p2, 1 + 1 in p3;
    gladiator 1 in p2, 1 + 1 in p4; tyne and wear 1 in p3, 1 in p5; los angeles 1 in p4, 1 in p8;
    alien, 1974, 1984, scott glenn 1. Hence w(ridley scott, p1) = log 2 log(1 + 8/2) and
    w(ridley scott, p2) = 3 log 3 log 5.
"""

import os
import subprocess

import pytest
from hypothesis import settings
from worlds import TINY, TINY_NAMES, ScriptedExtractor

from graphmem.embedding.hashing import HashingEmbedder
from graphmem.memory import GraphMemory
from graphmem.searching.retriever import Retriever
from graphmem.storage.current import open_current

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


@pytest.fixture
def tiny_extractor():
    return ScriptedExtractor(TINY_NAMES)


def make_memory(path, extractor):
    return GraphMemory.open(path, embedder=HashingEmbedder(), extractor=extractor)


@pytest.fixture
def make():
    """Makes a memory at a path, with the names that its extractor knows."""
    return lambda path, names=TINY_NAMES: make_memory(path, ScriptedExtractor(names))


@pytest.fixture(scope="session")
def tiny_index(tmp_path_factory):
    """An index over the tiny world; for reading only."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.index"
    make_memory(path, ScriptedExtractor(TINY_NAMES)).add(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_snapshot(tiny_index):
    return open_current(tiny_index)


@pytest.fixture(scope="session")
def tiny(tiny_snapshot):
    """Retriever over the tiny world."""
    return Retriever(tiny_snapshot, HashingEmbedder())


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of that many kilobytes, where this user may."""
    mounted = []

    def mount(kilobytes):
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a tmpfs")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path, request):
    """Makes a folder read-only: by its mode, for root by a mount."""

    def close(folder):
        if os.geteuid() == 0:
            bind = ["mount", "--bind", str(folder), str(folder)]
            remount = ["mount", "-o", "remount,ro,bind", str(folder)]
            try:
                subprocess.run(bind, check=True, capture_output=True)
                request.addfinalizer(lambda: subprocess.run(["umount", "-l", str(folder)]))
                subprocess.run(remount, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("root needs the right to mount")
        else:
            folder.chmod(0o555)
            request.addfinalizer(lambda: folder.chmod(0o755))

    return close
