"""What goes wrong while a model is loaded, of whatever kind, leaves the old one answering and is in the log."""

import copy
import gc
import logging
import weakref
from dataclasses import replace

import pytest

from convscope.service import fresh
from convscope.service.fresh import Freshness, spare_the_collector
from convscope.service.models import Models, Served
from tests.service.looped import looped


def test_an_unexpected_failure_keeps_the_old_model(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    models = Models([served])

    def fail(*_: object) -> Served:
        raise MemoryError("out of memory")

    monkeypatch.setattr(fresh, "load_served", fail)
    monkeypatch.setattr(fresh, "sha256_of", lambda _: "another")
    with caplog.at_level(logging.ERROR, "convscope"):
        looped(Freshness(models, {served.name: served.run.path}, 1).load_all())
    assert models.get() is served
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == f"{served.name} cannot be served: out of memory; {served.sha256[:12]} goes on answering"
    assert caplog.records[1].exc_info is not None


def test_the_collector_passes_over_models_but_takes_the_replaced_one(served: Served) -> None:
    old = copy.deepcopy(served.run.model)
    old.itself = [old]  # so that only the collector can free it
    models, gone = Models([Served(served.name, "of old", replace(served.run, model=old))]), weakref.ref(old)
    del old
    spare_the_collector()
    try:
        looped(Freshness(models, {served.name: served.run.path}, 1).load_all())
        assert models.get().sha256 == served.sha256
        assert gone() is None
        assert gc.get_freeze_count() > len(gc.get_objects())  # those that a collection still looks at
    finally:
        gc.unfreeze()
