"""The table of the page's speed: known numbers in, cells out."""

from benchmarks import page_tables


def test_the_table_of_the_page():
    result = {
        "first_paint": {"median": 411.6, "slowest": 502.4},
        "clicks": {"pixel": {"median": 98.5, "slowest": 149.7}},
        "moves": {"median": 20.2, "slowest": 33.0},
    }
    assert page_tables.page(result) == [
        ["the page", "median (ms)", "slowest (ms)", "goal (ms)"],
        ["first paint, nothing cached", "412", "502", "1000"],
        ["to the level pixel", "98", "150", "150"],
        ["an arrow key, one of 128 maps of 64×64", "20", "33", "–"],
    ]
    environment = {"processor": "Abacus", "cores": 2, "platform": "Linux", "python": "3.11.7", "threads": 2}
    environment |= {"packages": {"torch": "2.13"}, "browser": "Chromium 1"}
    assert page_tables.describe(environment) == (
        "Abacus, 2 cores for server and browser, Linux; Python 3.11.7, PyTorch 2.13, 2 threads, Chromium 1."
    )
