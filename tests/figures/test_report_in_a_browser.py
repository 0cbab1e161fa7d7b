"""The report in headless Chromium: it sorts, filters, is read without a script, and asks nothing.

Skipped where Chromium and its driver (Debian: chromium, chromium-driver) are not installed.
"""

import itertools
import json
import shutil
from contextlib import contextmanager

import pytest
from helpers.claim_records import labelled, network
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from gentool.figures.report.page import report_page

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    not (DRIVER and BROWSER), reason="Chromium or chromedriver is not installed"
)
HOSTILE = "<img src=x onerror=document.title='taken'>"
L2 = [3.5, 1.25, 2.0, 4.0, 1.5, 0.5]


@contextmanager
def chromium():
    """Open a browser without a window, which logs its console and its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers have no user for it
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a report on six networks; one has a hostile name, one has no l2."""
    records = labelled(true=L2[:3], random=L2[3:])
    for i, each in enumerate(records):
        each["outcome"]["test_error"] = 0.1 * i
        each["layers"] = [{"name": "hidden1", "frobenius": float(i)}]
    records[0]["checkpoint"]["file"] = HOSTILE
    records[5]["measures"], records[5]["log10"] = {}, {}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(report_page(records))
    return path.as_uri()


@pytest.fixture
def page(browser, address):
    """The report, newly opened."""
    browser.get("about:blank")
    browser.get(address)
    return browser


def head(page, words):
    """Return the head of a column of the table."""
    heads = page.find_elements(By.CSS_SELECTOR, "#networks thead tr:first-child th")
    return next(each for each in heads if each.text.split("\n")[0].strip(" ↕↑↓") == words)


def column(page, words):
    """Return the texts of a column, of the rows that are shown."""
    i = head(page, words).get_property("cellIndex")
    rows = page.find_elements(By.CSS_SELECTOR, "#networks tbody tr")
    return [row.find_elements(By.XPATH, "./*")[i].text for row in rows if row.is_displayed()]


def field(page, words):
    """Return the field that filters a column."""
    return page.find_element(By.CSS_SELECTOR, f"#networks [aria-label='Filter {words}']")


def status(page):
    return page.find_element(By.ID, "status").text


def requests(page):
    """Return the addresses that the page has asked for since the last call."""
    messages = [json.loads(each["message"])["message"] for each in page.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in sent]


def test_a_head_sorts_up_and_then_down_and_cells_without_a_value_stay_last(page):
    button = head(page, "l2").find_element(By.TAG_NAME, "button")
    ordered = ["17.78", "31.62", "100", "3162", "10000"]
    button.click()
    assert column(page, "l2") == [*ordered, ""]
    assert head(page, "l2").get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, "l2") == [*reversed(ordered), ""]
    assert head(page, "l2").get_attribute("aria-sort") == "descending"
    assert "6 networks, sorted by l2, largest first" in status(page)
    head(page, "gap").find_element(By.TAG_NAME, "button").click()
    assert head(page, "l2").get_attribute("aria-sort") is None


def test_the_keyboard_alone_sorts_and_filters(page):
    """Tab reaches the link to the content first, then heads and fields; Enter and Space sort."""
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("href").endswith("#main")

    def go_to(words):
        for _ in range(60):
            active = page.switch_to.active_element
            if active.accessible_name == words:
                return active
            active.send_keys(Keys.TAB)
        raise AssertionError(f"{words} is not reached")

    go_to("gap").send_keys(Keys.ENTER)
    assert column(page, "gap") == ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    page.switch_to.active_element.send_keys(Keys.SPACE)
    assert column(page, "gap")[0] == "0.5"
    outline = page.switch_to.active_element.value_of_css_property("outline-style")
    assert outline != "none"
    go_to("Filter labels").send_keys("rand")
    assert column(page, "labels") == ["random"] * 3


@pytest.mark.parametrize(
    ("words", "typed", "left"),
    [
        ("labels", "RANDOM", 3),
        ("labels", "=true", 3),
        ("labels", "!=true", 3),
        ("gap", "<0.2", 2),
        ("gap", "0.1 .. 0.3", 3),
        ("gap", ">= 0.3", 3),
        ("l2", "!=100", 4),
        ("l2", "1e4", 1),
        ("l2", "17.78", 1),  # as it is shown
        ("l2", "17.782794100389228", 1),  # as it is
        ("l2", ">17.78", 5),
        ("l2", ">17.79", 4),
        ("gap", "much", 6),
    ],
)
def test_a_field_filters_its_column(page, words, typed, left):
    """By all digits of a number; what is no number is said and changes nothing."""
    field(page, words).send_keys(typed)
    assert len(column(page, words)) == left
    is_wrong = typed == "much"
    assert (field(page, words).get_attribute("aria-invalid") == "true") == is_wrong
    assert ("is not a number, and is ignored" in status(page)) == is_wrong
    if left < 6:
        assert status(page).startswith(f"{left} of 6 networks")


def test_the_search_goes_over_all_columns_and_clear_brings_all_back(page):
    page.find_element(By.ID, "search").send_keys("random 2000")
    assert len(column(page, "labels")) == 1
    field(page, "gap").send_keys(">9")
    assert column(page, "labels") == []
    page.find_element(By.ID, "clear").click()
    assert len(column(page, "labels")) == 6


def test_a_name_leads_to_the_layers_of_its_network(page):
    link = page.find_element(By.CSS_SELECTOR, "#networks tbody tr:nth-child(3) a")
    link.click()
    opened = [
        d for d in page.find_elements(By.CSS_SELECTOR, "details.network") if d.get_property("open")
    ]
    assert [d.find_element(By.TAG_NAME, "summary").text for d in opened] == [link.text]
    assert "hidden1" in opened[0].text


def test_no_error_is_on_the_console_and_no_request_leaves_the_page(browser, address):
    """Also with each head clicked and a filter typed: the file itself is all that is read."""
    browser.get("about:blank")
    browser.get_log("browser")
    requests(browser)
    browser.get(address)
    for button in browser.find_elements(By.CSS_SELECTOR, "#networks thead button"):
        button.click()
    field(browser, "gap").send_keys("<0.2")
    assert browser.get_log("browser") == []
    assert set(requests(browser)) == {address}
    assert browser.title != "taken"
    assert HOSTILE in browser.find_element(By.ID, "networks").text


def test_the_policy_of_the_page_blocks_what_would_be_asked_for(page):
    """And the log of this test would show it: an error on the console."""
    page.get_log("browser")
    page.execute_script("document.body.append(Object.assign(new Image(), {src: 'file:///x.png'}))")
    assert "Content Security Policy" in page.get_log("browser")[0]["message"]


def test_the_page_is_read_without_a_script(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        table = browser.find_element(By.ID, "networks")
        assert len(table.find_elements(By.CSS_SELECTOR, "tbody tr")) == 6
        assert "3162" in table.text
        assert table.find_elements(By.TAG_NAME, "button") == []
        assert not browser.find_element(By.ID, "controls").is_displayed()
        assert browser.find_element(By.TAG_NAME, "svg").is_displayed()
        part = browser.find_element(By.CSS_SELECTOR, "details.network")
        part.find_element(By.TAG_NAME, "summary").click()
        assert "hidden1" in part.text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


CONTRASTS = """
function light(colour) {
  const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
}
for (const details of document.querySelectorAll("details")) details.open = true;
const low = [];
for (const element of document.querySelectorAll("body *:not(svg):not(svg *)")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim() !== "");
  if (!own || !element.checkVisibility()) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) low.push([element.tagName, element.textContent.slice(0, 20), contrast]);
}
return [low, getComputedStyle(document.body).backgroundColor];
"""


def test_texts_have_the_contrast_of_aa_in_light_and_in_dark(page):
    backgrounds = set()
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        low, background = page.execute_script(CONTRASTS)
        assert low == []
        backgrounds.add(background)
    assert len(backgrounds) == 2


def test_the_page_is_no_wider_than_a_telephone(page):
    """Tables and figures that are wider scroll by themselves."""
    for width in (320, 390, 1280):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_fields_buttons_and_regions_have_names(page):
    for tag in ("input", "button", "[role=region]", "[role=group]", "summary", "a"):
        elements = page.find_elements(By.CSS_SELECTOR, tag)
        assert elements
        assert all(element.accessible_name for element in elements)


def seconds(page):
    """Return the processor time of the page's thread since it was opened."""
    metrics = page.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "TaskDuration")


@pytest.mark.slow
def test_the_report_of_a_thousand_networks_is_below_five_mebibytes_and_sorts_in_a_second(
    browser, tmp_path
):
    """Ten layers each. The time is the processor's, with the layout of the page."""
    layer = {"shape": [64, 64, 3, 3], "channels": 64, "units": 65536} | dict.fromkeys(
        ("frobenius", "spectral", "frobenius_operator", "spectral_operator"), 12.345678
    )
    records = []
    for i, labels in itertools.product(range(500), ("true", "random")):
        record = network(labels=labels, seed=i, l2=i * 0.01, l1_path=3.0, l2_path=-i, spectral=1.0)
        record["layers"] = [layer | {"name": f"features.{j}"} for j in range(10)]
        record["outcome"]["test_error"] = i / 1000
        records.append(record)
    content = report_page(records)
    assert len(content) < 5 * 2**20
    (tmp_path / "report.html").write_bytes(content)
    browser.get((tmp_path / "report.html").as_uri())
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    button = head(browser, "seed").find_element(By.TAG_NAME, "button")
    before = seconds(browser)
    script = "arguments[0].click(); document.body.getBoundingClientRect()"
    browser.execute_script(script, button)
    after = seconds(browser)
    assert head(browser, "seed").get_attribute("aria-sort") == "ascending"
    assert 0 < after - before < 1
