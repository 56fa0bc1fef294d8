"""The page in a real browser, opened from a file: what is clicked, typed and pointed at does what it should."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    not (DRIVER and BROWSER),
    reason="Chromium or its driver is not installed (Debian: chromium, chromium-driver)",
)

TABLE = "[data-table=s1-t1]"
"""The means of the comparison: six variants."""
CHART = "[data-explorer=s1-x]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for switch in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        "--force-prefers-reduced-motion",
        "--window-size=1280,1000", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, report: Path) -> webdriver.Chrome:
    browser.get("about:blank")
    browser.get(report.as_uri())
    drawn = (
        "return document.readyState === 'complete' && document.querySelectorAll('.chart svg g').length > 0"
    )
    WebDriverWait(browser, 20, poll_frequency=0.02).until(lambda it: it.execute_script(drawn))
    return browser


def column(page: webdriver.Chrome, number: int, table: str = TABLE) -> list[str]:
    texts: list[str] = page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)",
        f"{table} tbody tr > :nth-child({number})",
    )
    return texts


def numbers(texts: list[str]) -> list[float]:
    return [float(text.split(" ± ")[0].replace(",", "")) for text in texts]


def colours(page: webdriver.Chrome) -> int:
    pixels = imread(io.BytesIO(page.get_screenshot_as_png()), format="png")
    return len(np.unique(np.round(pixels[..., :3] * 255).astype(int) @ [1 << 16, 1 << 8, 1]))


def marks(page: webdriver.Chrome) -> list[str]:
    """Where the chart's points are."""
    return page.execute_script(
        "return [...document.querySelectorAll(arguments[0] + ' .chart svg g [style]')]"
        ".map((it) => it.outerHTML)",
        CHART,
    )


def inside(page: webdriver.Chrome, selector: str):
    return page.find_element(By.CSS_SELECTOR, f"{CHART} {selector}")


def test_it_opens_without_complaints_and_is_not_blank(page):
    assert page.title == "studies – hetsim report"
    assert colours(page) > 50
    page.execute_script("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    broken = "return [...document.images].filter((it) => it.complete && !it.naturalWidth).length"
    assert page.execute_script(broken) == 0
    assert (
        page.execute_script(
            "return performance.getEntriesByType('resource').filter((it) => !it.name.startsWith('data:')).length"
        )
        == 0
    )
    assert page.get_log("browser") == []


def test_a_name_that_looks_like_markup_does_not_run(page, evil):
    assert page.execute_script("return window.owned === undefined")
    assert json.dumps(evil) in column(page, 2)
    page.find_element(By.CSS_SELECTOR, f"{TABLE} thead th:nth-child(2) button").click()
    page.execute_script("arguments[0].focus()", inside(page, "svg"))
    inside(page, "svg").send_keys(Keys.HOME)
    assert evil in page.find_element(By.CSS_SELECTOR, f"{CHART} .legend").text + inside(page, ".tip").text
    assert page.execute_script("return window.owned === undefined")


def test_definitions_open_with_the_keyboard(page):
    summary = page.find_element(By.XPATH, "//summary[starts-with(., 'What the columns are')]")
    terms = summary.find_element(By.XPATH, "..//dl")
    assert not terms.is_displayed()
    page.execute_script("arguments[0].focus()", summary)
    assert page.switch_to.active_element == summary
    summary.send_keys(Keys.ENTER)
    assert terms.is_displayed() and "services.chat.ttft_s.mean – time to first token" in terms.text


def test_a_click_sorts_up_then_down_then_not_at_all(page):
    before = column(page, 3)
    head = page.find_element(By.CSS_SELECTOR, f"{TABLE} thead th:nth-child(3)")
    button = head.find_element(By.TAG_NAME, "button")
    button.click()
    assert numbers(column(page, 3)) == sorted(numbers(before))
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    assert numbers(column(page, 3)) == sorted(numbers(before), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    button.click()
    assert column(page, 3) == before
    assert head.get_attribute("aria-sort") == "none"


def test_numbers_of_mixed_units_are_not_sorted(page):
    heads = page.find_elements(By.CSS_SELECTOR, "[data-table=s1-e1] thead th")
    [value] = [it for it in heads if it.get_attribute("textContent") == "value"]
    assert value.find_elements(By.TAG_NAME, "button") == []
    assert value.get_attribute("aria-sort") is None


def test_the_keyboard_reaches_and_sorts(page):
    start = page.find_element(By.CSS_SELECTOR, f"{TABLE} input[type=search]")
    start.click()
    ActionChains(page).send_keys(Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    values = numbers(column(page, 3))  # search, region, three headings
    assert values == sorted(values) and len(set(values)) > 1
    ActionChains(page).send_keys(Keys.SPACE).perform()
    assert numbers(column(page, 3)) == sorted(values, reverse=True)


def test_the_first_key_leads_past_the_contents(page):
    ActionChains(page).send_keys(Keys.TAB).perform()
    assert page.switch_to.active_element.text == "Skip to the results"
    ActionChains(page).send_keys(Keys.ENTER).perform()
    assert page.switch_to.active_element.get_attribute("id") == "main"


def test_the_filter_keeps_rows_with_all_words(page):
    field = page.find_element(By.CSS_SELECTOR, f"{TABLE} input[type=search]")
    field.send_keys("HARMLESS 16/s")
    assert (column(page, 1), column(page, 2)) == (["16/s"], ['"harmless"'])
    assert page.find_element(By.CSS_SELECTOR, f"{TABLE} [role=status]").text == "1–1 of 1 rows (of 6)"
    field.clear()
    field.send_keys("absent")
    assert column(page, 1) == []
    field.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    assert len(column(page, 1)) == 6


def test_groups_of_figures_and_pages_of_rows(page):
    sweep = next(
        it for it in ("s3", "s4", "s5")
        if page.find_element(By.CSS_SELECTOR, f"#{it} .eyebrow").get_attribute("textContent") == "Sweep"
    )  # fmt: skip
    table = f"[data-table={sweep}-t2]"
    assert len(column(page, 1, table)) == 50
    page.find_element(By.CSS_SELECTOR, f"{table} .pager [data-step='1']").click()
    assert len(column(page, 1, table)) == 10
    assert page.find_element(By.CSS_SELECTOR, f"{table} [role=status]").text == "51–60 of 60 rows"

    def heads() -> list[str]:
        found = page.find_elements(By.CSS_SELECTOR, f"{table} thead th:not([hidden])")
        return [it.text.split("\n")[0] for it in found]

    assert any(it.startswith("TTFT") for it in heads())
    page.find_element(By.CSS_SELECTOR, f"{table} .groups [value=Devices]").click()
    assert not any(it.startswith("TTFT") for it in heads())
    assert any(it.startswith("energy") for it in heads())
    assert len(page.find_elements(By.CSS_SELECTOR, f"{table} tbody tr:first-child > *")) == len(heads())


def test_hovering_and_the_keyboard_tell_of_a_point(page):
    svg = inside(page, "svg")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", svg)
    assert not inside(page, ".tip").is_displayed()
    point = page.find_elements(By.CSS_SELECTOR, f"{CHART} .chart svg g :is(circle, path[transform])")[0]
    ActionChains(page).move_to_element(point).perform()
    tip = inside(page, ".tip")
    assert tip.is_displayed()
    assert "TTFT mean" in tip.text and "±" in tip.text and "rate: " in tip.text
    ActionChains(page).move_to_element(page.find_element(By.CSS_SELECTOR, ".brand")).perform()
    assert not tip.is_displayed()
    inside(page, "[data-role=reset]").click()
    ActionChains(page).send_keys(Keys.TAB).perform()
    assert page.switch_to.active_element == inside(page, "svg")
    assert tip.is_displayed()
    first = tip.text
    ActionChains(page).send_keys(Keys.ARROW_RIGHT).perform()
    assert tip.is_displayed() and tip.text != first
    assert "TTFT mean" in inside(page, "[role=status]").get_attribute("textContent")
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()


def test_zoom_changes_what_is_seen_and_reset_restores_it(page):
    svg = inside(page, "svg")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", svg)
    whole = marks(page)
    inside(page, "[data-role=in]").click()
    assert marks(page) != whole
    inside(page, "[data-role=reset]").click()
    assert marks(page) == whole
    ActionChains(page).move_to_element_with_offset(svg, -200, -100).click_and_hold().move_by_offset(
        150, 120
    ).release().perform()
    assert marks(page) != whole
    ActionChains(page).double_click(svg).perform()
    assert marks(page) == whole


def test_the_chart_shows_what_is_chosen(page):
    whole = marks(page)
    page.execute_script(
        "const it = arguments[0]; it.value = [...it.options].find((o) => o.text.startsWith('E2E mean')).value;"
        "it.dispatchEvent(new Event('change'))",
        inside(page, "[data-role=y]"),
    )
    assert marks(page) != whole
    assert "E2E mean (ms)" in inside(page, "svg").text
    lines = page.find_elements(By.CSS_SELECTOR, f"{CHART} .legend button")
    shown = len(marks(page))
    lines[0].click()
    assert len(marks(page)) < shown
    assert (
        page.find_elements(By.CSS_SELECTOR, f"{CHART} .legend button")[0].get_attribute("aria-pressed")
        == "false"
    )


def test_the_theme_changes_and_changes_back(page):
    paper = "return getComputedStyle(document.body).backgroundColor"
    button = page.find_element(By.ID, "theme")
    light = page.execute_script(paper)
    button.click()
    dark = page.execute_script(paper)
    assert dark != light
    assert button.text == "Light colours"
    assert colours(page) > 50
    button.click()
    assert page.execute_script(paper) == light
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    page.refresh()
    assert page.execute_script(paper) == dark
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_on_a_phone_only_tables_scroll_sideways(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True},
    )
    page.execute_script("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    widths = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths == [390, 390]
