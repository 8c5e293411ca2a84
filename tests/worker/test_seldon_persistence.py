from __future__ import annotations

import logging
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from mms.interfaces.seldon.worker.persistence import (
    FileStore,
    Persistence,
    RedisStore,
    StateError,
    open_persistence,
    open_store,
    redis_key,
)


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.count = start


class Unpicklable:
    def __init__(self) -> None:
        self.handle = open(os.devnull)  # noqa: SIM115  # held as a component would


class Redis:
    """The two calls of a client."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.values[key] = value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "Model.pickle"


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    assert open_persistence(None) is None
    assert open_persistence(str(tmp_path / "m.pickle")) is not None


def test_a_component_that_was_kept_comes_back_as_it_was(path: Path) -> None:
    first = Persistence(FileStore(path))
    component = first.restore(lambda: Counter(1))
    assert component.count == 1
    first.keep(component)
    component.count = 7
    first.close()

    second = Persistence(FileStore(path))
    assert second.restore(lambda: Counter(1)).count == 7


def test_a_component_is_kept_again_every_interval(path: Path) -> None:
    persistence = Persistence(FileStore(path), interval_s=0.01)
    component = Counter(2)
    persistence.keep(component)
    component.count = 3
    eventually("it is kept", path.exists)
    persistence.close()
    assert pickle.loads(path.read_bytes()).count == 3


def test_a_component_is_kept_when_its_process_ends(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from mms.interfaces.seldon.worker.persistence import FileStore, Persistence\n"
        "learned = [1]\n"
        "Persistence(FileStore(Path(sys.argv[1]))).keep(learned)\n"
        "learned.append(2)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=True, timeout=60)
    assert pickle.loads(path.read_bytes()) == [1, 2]


def test_what_has_not_changed_is_not_written_again(path: Path) -> None:
    persistence = Persistence(FileStore(path))
    component = persistence.restore(lambda: Counter(1))
    persistence.keep(component)
    assert persistence.keep_now()
    assert not path.exists()
    component.count = 2
    assert persistence.keep_now()
    path.unlink()
    assert persistence.keep_now()
    persistence.close()
    assert not path.exists()


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_worker_that_has_learned_nothing_leaves_what_another_has_learned(
    path: Path, is_restored: bool
) -> None:
    if is_restored:
        FileStore(path).write(pickle.dumps(Counter(1)))
    idle, busy = (Persistence(FileStore(path)) for _ in range(2))
    components = [persistence.restore(lambda: Counter(1)) for persistence in (idle, busy)]
    for persistence, component in zip((idle, busy), components, strict=True):
        persistence.keep(component)
    components[1].count = 7
    busy.close()
    idle.close()
    assert Persistence(FileStore(path)).restore(Counter).count == 7


def test_the_file_is_for_its_user_alone_and_replaced_as_a_whole(path: Path) -> None:
    store = FileStore(path)
    store.write(b"1")
    store.write(b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["Model.pickle"]
    assert store.read() == b"2"


def test_what_cannot_be_restored_is_told_and_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FileStore(path).write(b"no pickle")
    assert Persistence(FileStore(path)).restore(lambda: Counter(5)).count == 5
    assert "cannot be restored; a new one starts" in caplog.text


def test_what_cannot_be_pickled_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    persistence = Persistence(FileStore(path))
    component = Unpicklable()
    persistence.keep(component)
    assert not persistence.keep_now()
    assert not persistence.keep_now()
    persistence.close()
    component.handle.close()
    told = [r for r in caplog.records if "is not kept" in r.message]
    assert len(told) == 1
    assert not path.exists()


def test_a_folder_that_cannot_be_written_to_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    persistence = Persistence(FileStore(tmp_path / "file" / "m.pickle"))
    component = Counter()
    persistence.keep(component)
    component.count += 1
    persistence.close()
    assert "cannot be written" in caplog.text


def test_redis_keeps_it_under_the_key_of_seldons_wrapper(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (
        ("SELDON_DEPLOYMENT_ID", "dep"),
        ("PREDICTOR_ID", "main"),
        ("PREDICTIVE_UNIT_ID", "router"),
    ):
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.INFO)
    client = Redis()
    first = Persistence(RedisStore(client, redis_key()))
    component = Counter(3)
    first.keep(component)
    component.count = 4
    first.close()
    assert list(client.values) == ["persistence_dep_main_router"]
    assert Persistence(RedisStore(client, redis_key())).restore(Counter).count == 4


def test_redis_without_its_library_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setenv("REDIS_SERVICE_HOST", "redis")
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StateError, match=r"pip install 'marserve\[redis\]'"):
        open_store(path)


def test_a_redis_that_does_not_answer_costs_no_start(caplog: pytest.LogCaptureFixture) -> None:
    class Gone:
        def get(self, key: str) -> Any:
            raise ConnectionError("no route")

    assert Persistence(RedisStore(Gone(), "k")).restore(lambda: Counter(2)).count == 2
    assert "no route" in caplog.text
