"""A model that is swapped while its page is open: from the next place on every number is the new one's."""

import copy
from dataclasses import replace

from playwright.sync_api import Browser, expect

from convscope.runs import Run, load_run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.reader import Reader


def test_an_open_page_forgets_the_old_weights(browser: Browser, digits_run: Run) -> None:
    old = Served("digits", "0" * 64, load_run(digits_run.path))
    model = copy.deepcopy(old.run.model)
    model.get_submodule("stem.conv").weight.data.neg_()
    with Here(Settings(), Models([old])) as here:
        reader = Reader(browser, str(here.client.base_url))
        place = "#img=digits:5&layer=stem.conv&c=3&y=2&x=3"
        reader.go(place)
        focus = reader.level("pixel").locator("#focus")
        shown = focus.get_attribute("data-value") or "nan"
        reader.move(place.replace("x=3", "x=4"))
        expect(focus).to_have_attribute("data-cell", "stem.conv:3,2,4")
        here.app.state.models.put(Served("digits", "1" * 64, replace(old.run, model=model)))
        reader.move(place)
        expect(focus).to_have_attribute("data-cell", "stem.conv:3,2,3")
        expect(focus).not_to_have_attribute("data-value", shown)
        value, again, bound = (
            float(focus.get_attribute(f"data-{name}") or "nan") for name in ("value", "sum", "bound")
        )
        assert value == -float(shown) != 0
        assert abs(again - value) <= bound
        reader.end()
