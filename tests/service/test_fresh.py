"""What goes wrong while a model is loaded, of whatever kind, leaves the old one answering and is in the log."""

import logging

import pytest

from convscope.service import fresh
from convscope.service.fresh import Freshness
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
