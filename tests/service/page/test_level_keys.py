"""The levels of one number by keyboard alone: arrows move the number, Enter follows it, Escape goes up."""

from tests.service.page.test_levels import PICTURE
from tests.service.page.walk import Walk


def test_arrows_move_the_number_of_a_norm(walk: Walk) -> None:
    place = {"model": "digits", "img": f"digits:{PICTURE}"}
    walk.to("stem.norm:3,2,4", **place, layer="stem.norm", c=3, y=2, x=4)
    walk.page.focus("#map-y")
    walk.page.keyboard.press("ArrowRight")
    walk.page.wait_for_selector("#focus[data-cell='stem.norm:3,2,5']")
    walk.page.keyboard.press("ArrowDown")  # the focus stayed on the map
    walk.page.wait_for_selector("#focus[data-cell='stem.norm:3,3,5']")
    assert "row 3, column 5" in walk.page.inner_text("#live")
    walk.page.focus("#chip-statistics-train")
    walk.page.keyboard.press("Enter")
    walk.page.wait_for_function("() => location.hash.includes('mode=train')")
    walk.page.keyboard.press("Escape")
    walk.page.wait_for_selector(".level-channel")


def test_a_gradient_is_followed_towards_the_logit(walk: Walk) -> None:
    place = {"model": "digits", "img": f"digits:{PICTURE}", "level": "backward", "target": 4}
    walk.to("flatten:6", **place, layer="flatten", c=6)
    walk.page.focus("#through-head-4")  # what class 4 gives back
    walk.page.keyboard.press("Enter")
    shown = walk.to("head:4", **place, layer="head", c=4)
    assert shown.value == shown.sum == 1
    walk.page.wait_for_function("() => location.hash.includes('level=backward')")


def test_arrows_move_through_all_stages_of_a_heatmap(walk: Walk) -> None:
    place = {"model": "digits", "img": f"digits:{PICTURE}", "level": "heatmap", "layer": "group2.1.relu"}
    walk.to("grad-cam:map:1,1", **place, c=2, y=1, x=1)
    walk.page.focus("#stage-gradient")
    walk.page.keyboard.press("ArrowLeft")
    walk.page.wait_for_selector("#focus[data-cell='grad-cam:map:1,0']")
    cells = [shown.cell for shown in walk.shown(".stages [data-cell]")]
    assert [cell.split(":", 1)[1] for cell in cells] == [
        "activation:2:1,0", "gradient:2:1,0", "weight:2", "map:1,0", "relu:1,0", "heat:3,1",
    ]  # fmt: skip
    walk.page.focus("#table-channel tr[tabindex='0']")
    walk.page.keyboard.press("Home")
    largest = walk.page.evaluate("document.activeElement.dataset.key")
    walk.page.keyboard.press("Enter")
    walk.page.wait_for_function("c => location.hash.includes(`c=${c}&`)", arg=largest)
