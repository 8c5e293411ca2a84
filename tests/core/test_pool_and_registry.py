"""Which workers come and go, and which models there are."""

from __future__ import annotations

import pytest

from mms.core import ModelConfig, ModelVersion, Pool, Registry, WorkerState
from mms.core.worker import Worker
from mms.errors import Conflict, InvalidVersion, ModelNotFound, ModelVersionNotFound


def _model(name: str = "m", version: str | None = None) -> ModelVersion:
    return ModelVersion(name, version, ModelConfig())


def test_too_few_workers_are_filled_up_to_the_minimum():
    pool = Pool(_model())
    starts, stops = pool.scale(3, 5)
    assert (len(starts), len(stops)) == (3, 0)


def test_too_many_workers_are_cut_to_the_maximum_newest_first():
    pool = Pool(_model())
    workers, _ = pool.scale(4, 4)
    _, stops = pool.scale(1, 2)
    assert stops == [workers[3], workers[2]]
    assert [w.state for w in stops] == [WorkerState.DRAINING] * 2


def test_a_number_between_the_bounds_changes_nothing():
    pool = Pool(_model())
    pool.scale(3, 3)
    assert pool.scale(1, 5) == ([], [])


def test_workers_on_their_way_out_do_not_count():
    pool = Pool(_model())
    pool.scale(2, 2)
    pool.scale(0, 0)
    starts, _ = pool.scale(1, 1)
    assert len(starts) == 1


def test_the_restart_schedule_after_failed_loads_is_that_of_mms():
    worker = Worker(0, "W")
    assert [worker.next_backoff_s(0.0) for _ in range(18)] == [
        1,
        1,
        2,
        3,
        5,
        8,
        13,
        21,
        34,
        55,
        89,
        144,
        233,
        377,
        610,
        987,
        1597,
        1597,
    ]


def test_a_worker_and_its_successor_count_once():
    pool = Pool(_model())
    (worker,), _ = pool.scale(1, 1)
    successor = pool.replace(worker)
    assert pool.scale(1, 1) == ([], [])
    starts, _ = pool.scale(2, 2)
    assert len(starts) == 1
    assert len(pool.active) == 3
    assert successor.gpu_id == worker.gpu_id


def test_a_worker_that_is_scaled_down_takes_its_successor_along():
    pool = Pool(_model())
    (first, second), _ = pool.scale(2, 2)
    successor = pool.replace(second)
    assert pool.scale(1, 1) == ([], [second, successor])
    assert pool.active == [first]


def test_a_successor_whose_predecessor_has_left_is_a_worker_as_others():
    pool = Pool(_model())
    (worker,), _ = pool.scale(1, 1)
    successor = pool.replace(worker)
    pool.remove(worker)
    starts, _ = pool.scale(2, 2)
    assert len(starts) == 1
    assert successor in pool.active


def _served(worker, batches=1):
    worker.reset(1, 1)
    worker.ready_at = 1.0
    for _ in range(batches):
        worker.observe_service(0.01)


def test_a_worker_that_did_its_work_starts_again_at_once_however_often_it_is_killed():
    worker = Worker(0, "W")
    for _ in range(20):
        _served(worker)
        assert worker.next_backoff_s(2.0) == 0


def test_a_worker_that_ends_before_it_answers_anything_is_a_crash_loop_from_the_second_time_on():
    worker = Worker(0, "W")
    delays = []
    for _ in range(6):
        _served(worker, batches=0)
        delays.append(worker.next_backoff_s(2.0))
    assert delays == [0, 1, 1, 2, 3, 5]


def test_a_crash_loop_is_over_with_the_first_answer():
    worker = Worker(0, "W")
    for _ in range(6):
        _served(worker, batches=0)
        worker.next_backoff_s(2.0)
    _served(worker)
    assert worker.next_backoff_s(2.0) == 0
    _served(worker, batches=0)
    assert worker.next_backoff_s(2.0) == 0


def test_a_worker_that_nobody_asked_for_a_minute_is_no_crash_loop():
    worker = Worker(0, "W")
    for _ in range(6):
        _served(worker, batches=0)
        assert worker.next_backoff_s(61.0) == 0


def test_workers_spread_over_the_gpus_of_their_model():
    pool = Pool(_model(), gpus=range(3))
    workers, _ = pool.scale(5, 5)
    assert sorted(w.gpu_id for w in workers) == [0, 0, 1, 1, 2]


def test_among_equal_gpus_the_one_with_the_least_of_other_models_is_taken():
    pool = Pool(_model(), gpus=range(2))
    (worker,), _ = pool.scale(1, 1, gpu_load=[0, 0, 1])
    assert worker.gpu_id == 1


def test_without_gpus_workers_have_none():
    (worker,), _ = Pool(_model()).scale(1, 1)
    assert worker.gpu_id is None


def test_the_first_version_is_the_default_until_another_is_made_it():
    registry: Registry[ModelVersion] = Registry()
    first, second = _model(version="1"), _model(version="2")
    registry.add(first)
    registry.add(second)
    assert registry.get("m") is first
    registry.set_default("m", "2")
    assert registry.get("m") is second
    assert registry.get("m", "1") is first


def test_the_same_name_and_version_is_a_conflict():
    registry: Registry[ModelVersion] = Registry()
    registry.add(_model(version="1"))
    with pytest.raises(Conflict, match="Model m is already registered."):
        registry.add(_model(version="1"))


def test_unknown_names_and_versions_are_named():
    registry: Registry[ModelVersion] = Registry()
    registry.add(_model(version="1"))
    with pytest.raises(ModelNotFound, match="Model not found: x"):
        registry.get("x")
    with pytest.raises(ModelVersionNotFound, match="Model version: 9 does not exist for model: m"):
        registry.get("m", "9")


def test_a_default_that_others_stand_beside_is_not_removable():
    registry: Registry[ModelVersion] = Registry()
    first, second = _model(version="1"), _model(version="2")
    registry.add(first)
    registry.check_removable(first)
    registry.add(second)
    with pytest.raises(InvalidVersion):
        registry.check_removable(first)
    registry.check_removable(second)


def test_a_removed_model_is_gone():
    registry: Registry[ModelVersion] = Registry()
    model = _model()
    registry.add(model)
    registry.remove(model)
    with pytest.raises(ModelNotFound):
        registry.get("m")
    assert len(registry) == 0


def test_every_change_gives_another_generation():
    registry: Registry[ModelVersion] = Registry()
    seen = {registry.generation}
    model = _model(version="1")
    registry.add(model)
    seen.add(registry.generation)
    registry.set_default("m", "1")
    seen.add(registry.generation)
    registry.remove(model)
    seen.add(registry.generation)
    assert len(seen) == 4


def test_an_entry_that_replaces_the_default_is_the_default():
    registry: Registry[ModelVersion] = Registry()
    first, other, new = (ModelVersion("m", v, ModelConfig()) for v in ("1", "2", "3"))
    registry.add(first)
    registry.add(other)
    registry.add(new, first)
    assert registry.get("m") is new
    assert registry.versions("m") == [other, new]


def test_an_entry_that_replaces_one_of_its_version_is_alone_there():
    registry: Registry[ModelVersion] = Registry(lambda entry: True)
    old, new = (ModelVersion("m", "1", ModelConfig()) for _ in range(2))
    registry.add(old)
    registry.add(new, old)
    assert registry.all() == registry.askers() == [new]
