"""The console in Chromium, as a person uses it. All of it runs with `--full`; without, one walk through it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Console

IN_FULL = "a walk through the console stands for it; --full takes it in a minute"


@pytest.fixture
def full(console: Console, is_full: bool) -> Iterator[Console]:
    """A console with somebody logged in, whose browser has nothing to complain about at the end."""
    if not is_full:
        pytest.skip(IN_FULL)
    console.login()
    console.browser.complaints()
    yield console
    assert console.browser.complaints() == []


def choose(console: Console, model: str, part: str) -> None:
    console.browser.open(f"/console#/models/{model}")
    console.browser.driver.refresh()
    console.browser.find(f"#tab-{part}").click()


def try_body(console: Console, body: str) -> None:
    field = console.browser.field("Body")
    field.clear()
    field.send_keys(body)
    console.browser.button("Send").click()


def test_a_person_logs_in_looks_at_a_model_and_tries_it(console: Console) -> None:
    browser = console.browser
    browser.open("/")
    assert "/console" in browser.driver.current_url
    browser.field("Key").send_keys("mms_00000000_wrong")
    browser.button("Log in").click()
    browser.see("The key is not valid.")
    browser.complaints()
    browser.field("Key").clear()
    browser.field("Key").send_keys(console.keys["all"])
    browser.button("Log in").click()
    browser.see("Recent errors")
    browser.find('a[href="#/models/pets"]').click()
    browser.see("W-pets-0")
    browser.find("#tab-Try").click()
    try_body(console, '{"want": "table"}')
    browser.see("dog")
    assert [
        cell.text for cell in browser.driver.find_elements("css selector", ".result thead th")
    ] == [*("label", "score")]
    assert browser.accessibility_problems() == []
    assert browser.complaints() == []
    assert browser.hosts_asked() == {console.address}


def test_an_answer_in_html_is_shown_as_text(full: Console) -> None:
    choose(full, "pets", "Try")
    try_body(full, '{"want": "html"}')
    full.browser.see("<img src=x onerror=alert(1)><b>bold</b>")
    assert full.browser.driver.find_elements("css selector", ".result b, .result img") == []


def test_an_answer_that_is_a_picture_is_shown_as_one(full: Console) -> None:
    choose(full, "pets", "Try")
    try_body(full, '{"want": "picture"}')
    full.browser.find(".result img")
    full.browser.until(
        "the picture is there",
        lambda: full.browser.run("return document.querySelector('.result img').naturalWidth === 1"),
    )


def test_a_file_is_sent_as_it_is(full: Console) -> None:
    choose(full, "pets", "Try")
    full.browser.find("input[value=file]").click()
    path = full.server.directory / "sent.bin"
    path.write_bytes(b"\x00" * 1234)
    full.browser.find("input[type=file]").send_keys(str(path))
    full.browser.button("Send").click()
    full.browser.see("1234 bytes")


def test_json_that_is_none_is_not_sent(full: Console) -> None:
    choose(full, "pets", "Try")
    try_body(full, '{"want": ')
    full.browser.see("The body is not JSON")


def test_an_error_of_a_model_is_shown_with_its_request(full: Console) -> None:
    browser = full.browser
    choose(full, "pets", "Try")
    try_body(full, '{"want": "failure"}')
    browser.see("Prediction failed")
    request = browser.find(".result code").text
    # A failed answer is no fault of the page; the browser notes it.
    assert all("503" in text for text in browser.complaints())
    browser.open("/console#/")
    browser.see(request)


def test_a_model_that_cannot_load_says_why(full: Console) -> None:
    full.call("POST", "/models?url=broken&initial_workers=1&synchronous=false")
    browser = full.browser
    try:
        browser.open("/console#/models/broken")
        browser.see("RuntimeError: weights are missing")
        browser.until("its state", lambda: "failing" in browser.find("main .pill").text)
        browser.find("summary").click()
        browser.see("Traceback (most recent call last)")
    finally:
        full.call("DELETE", "/models/broken")


def test_a_model_is_loaded_scaled_drained_and_unloaded(full: Console) -> None:
    browser = full.browser
    browser.open("/console#/")
    browser.button("Load a model…").click()
    browser.field("Archive").send_keys("pets-1")
    browser.button("Load").click()
    browser.find('a[href="#/models/twins/1.0"]').click()
    browser.see("W-twins-0")
    browser.button("Scale…").click()
    for label in ("Most workers", "Least workers"):
        field = browser.field(label)
        field.clear()
        field.send_keys("2")
    browser.button("Scale").click()
    browser.see("· 2 workers ·")
    browser.button("Drain…").click()
    browser.see("Drain twins 1.0?")
    browser.button("Drain").click()
    browser.see("No workers.")
    assert full.call("GET", "/models/twins/1.0")["workers"] == []
    browser.button("Unload…").click()
    browser.button("Unload").click()
    browser.until("the list of models", lambda: browser.find("h1").text == "Models")
    browser.until(
        "the model is gone",
        lambda: not browser.driver.find_elements("css selector", 'a[href="#/models/twins/1.0"]'),
    )


def test_what_is_asked_and_not_confirmed_is_not_done(full: Console) -> None:
    browser = full.browser
    browser.open("/console#/models/pets")
    browser.button("Unload…").click()
    browser.button("Cancel").click()
    browser.until("no dialog", lambda: not browser.driver.find_elements("css selector", "dialog"))
    assert full.call("GET", "/models/pets")["modelName"] == "pets"


def test_another_version_is_made_the_default(full: Console) -> None:
    for url in ("pets-1", "pets-2"):
        full.call("POST", f"/models?url={url}&initial_workers=1&synchronous=true")
    browser = full.browser
    try:
        browser.open("/console#/models/twins/2.0")
        browser.see("not the default version")
        browser.button("Make default…").click()
        browser.button("Make it the default").click()
        browser.see('updated for model "twins" to "2.0"')
        assert full.call("GET", "/models/twins")["modelVersion"] == "2.0"
    finally:
        full.call("DELETE", "/models/twins/1.0")
        full.call("DELETE", "/models/twins/2.0")


def test_lines_of_a_model_are_shown_as_they_come(full: Console) -> None:
    choose(full, "pets", "Logs")
    full.browser.see("Live.")
    assert full.predict("pets", {"want": "table"}) == 200
    full.browser.see("asked for 1")


def test_decisions_of_scaling_are_shown_with_their_reasons(full: Console) -> None:
    full.call(
        "POST",
        "/models?url=pets-1&initial_workers=1&max_worker=2&scale_target_ms=50&idle_ttl_s=1&min_worker=0",
    )
    try:
        full.call("PUT", "/models/twins?min_worker=0&max_worker=2&synchronous=true")
        assert full.predict("twins", {}) == 200
        choose(full, "twins", "Scaling")
        full.browser.see("no request for 1 seconds")
    finally:
        full.call("DELETE", "/models/twins")


def test_drift_is_drawn_for_each_feature(full: Console) -> None:
    full.call("POST", "/models?url=pets-1&initial_workers=1&tracking=memory://")
    try:
        for _ in range(5):
            full.predict("twins", {"inputs": [{"a": 6.5}]})
        choose(full, "twins", "Drift")
        full.browser.see("General drift")
        label = full.browser.find(".drift svg").get_attribute("aria-label")
        assert label is not None and label.startswith("Drift of each feature: a 0.")
    finally:
        full.call("DELETE", "/models/twins")


def test_a_key_for_inference_alone_tries_models_and_sees_none(full: Console) -> None:
    full.login("ask")
    browser = full.browser
    browser.see("This key may not manage models")
    browser.field("Model").send_keys("pets")
    browser.button("Choose").click()
    try_body(full, '{"want": "table"}')
    browser.see("dog")
    assert "Recent errors" not in browser.text()


def test_a_key_for_management_alone_sees_models_and_cannot_try_them(full: Console) -> None:
    full.login("manage")
    browser = full.browser
    choose(full, "pets", "Overview")
    browser.see("W-pets-0")
    assert not browser.driver.find_elements("css selector", "#tab-Try")


def test_a_key_for_metrics_alone_is_told_that_there_is_nothing_for_it(full: Console) -> None:
    full.login("measure")
    full.browser.see("may neither manage models nor ask them")
    assert "pets" not in full.browser.text()
    assert full.browser.accessibility_problems() == []


def test_the_address_of_a_model_shows_a_key_no_more_than_it_may_do(full: Console) -> None:
    browser = full.browser
    for key, heading in (("ask", "Try a model"), ("measure", "Nothing to show")):
        full.login(key)
        browser.open("/console#/models/pets")
        browser.driver.refresh()
        browser.until("its view", lambda heading=heading: browser.find("h1").text == heading)
        assert not browser.driver.find_elements("css selector", "[role=tab], .charts")
    full.login("ask")
    browser.open("/console#/models/pets")
    browser.button("Choose").click()
    try_body(full, '{"want": "table"}')
    browser.see("dog")


@pytest.mark.parametrize("key", ["ask", "all"])
def test_a_session_that_is_over_asks_for_a_key_and_comes_back_to_where_it_was(
    full: Console, key: str
) -> None:
    browser = full.browser
    full.login(f"revoked {key}")
    browser.open("/console#/models/pets")
    browser.driver.refresh()
    heading = browser.find("h1").text
    if key == "ask":
        browser.button("Choose").click()
    else:
        browser.button("Drain…").click()
    full.revoke(f"revoked {key}")
    if key == "ask":
        # Who manages has a stream of snapshots, whose end is found by itself.
        browser.button("Send").click()
    browser.see("The session has ended. Log in to go on.")
    assert not browser.driver.find_elements("css selector", "dialog, [role=tab], .result")
    browser.field("Key").send_keys(full.keys[key])
    browser.button("Log in").click()
    browser.until("where it was", lambda: browser.find("h1").text == heading)
    # A refusal is no fault of the page; the browser notes it.
    assert all("401" in text for text in browser.complaints())


def test_a_log_out_leaves_nothing_to_see(full: Console) -> None:
    browser = full.browser
    browser.see("pets")
    browser.find("#logout").click()
    browser.field("Key")
    assert "pets" not in browser.text()
    browser.driver.refresh()
    browser.field("Key")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_every_part_is_readable_in_both_colours_and_on_a_telephone(
    full: Console, colours: str, size: str
) -> None:
    from .browser import NARROW, WIDE

    browser = full.browser
    browser.prefer(colours)
    browser.resize(NARROW if size == "narrow" else WIDE)
    try:
        browser.open("/console#/")
        browser.see("Recent errors")
        shade = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (shade == "rgb(17, 22, 29)") == (colours == "dark"), shade
        problems = browser.accessibility_problems()
        assert not browser.is_wider_than_its_window()
        for part in ("Overview", "Try", "Scaling", "Logs", "Drift"):
            choose(full, "pets", part)
            browser.see("default version")
            problems += browser.accessibility_problems()
            assert not browser.is_wider_than_its_window(), part
        rows = "return new Set([...document.querySelectorAll('.tabs button')].map((each) => each.offsetTop)).size"
        assert browser.run(rows) == 1
        browser.button("Scale…").click()
        problems += browser.accessibility_problems()
        browser.button("Cancel").click()
        assert problems == []
    finally:
        browser.prefer("light")
        browser.resize(WIDE)
        # The drift of a model that is not tracked is an error to the browser.
        assert all("/drift" in text for text in browser.complaints())


def test_the_login_is_accessible(full: Console) -> None:
    full.browser.find("#logout").click()
    full.browser.field("Key")
    assert full.browser.accessibility_problems() == []


def test_the_switch_of_colours_is_stronger_than_the_system_and_is_kept(full: Console) -> None:
    browser = full.browser
    shade = "return getComputedStyle(document.body).backgroundColor"
    try:
        for _ in range(2):
            browser.find("#theme").click()
        assert browser.find("#theme").text == "Colours: dark"
        assert browser.run(shade) == "rgb(17, 22, 29)"
        browser.driver.refresh()
        browser.see("Recent errors")
        assert browser.run(shade) == "rgb(17, 22, 29)"
    finally:
        browser.run("localStorage.clear()")


def test_everything_is_reached_by_the_keyboard(full: Console) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = full.browser
    browser.open("/console#/")
    browser.see("Recent errors")
    browser.run("document.getElementById('main').focus()")
    browser.tab_to("pets")
    browser.press(Keys.ENTER)
    browser.see("W-pets-0")
    browser.tab_to("Overview")
    browser.press(Keys.ARROW_RIGHT)
    browser.field("Body")
    browser.run("document.getElementById('main').focus()")
    browser.tab_to("Drain…")
    browser.press(Keys.ENTER)
    browser.see("Drain pets?")
    browser.press(Keys.ESCAPE)
    browser.until("no dialog", lambda: not browser.driver.find_elements("css selector", "dialog"))


def test_what_is_asked_goes_with_the_view_that_it_was_asked_of(full: Console) -> None:
    browser = full.browser
    browser.open("/console#/")
    browser.see("Recent errors")
    browser.open("/console#/models/pets")
    browser.button("Drain…").click()
    browser.find("dialog")
    browser.driver.back()
    browser.until("the list of models", lambda: browser.find("h1").text == "Models")
    assert not browser.driver.find_elements("css selector", "dialog")


def test_keys_reach_the_ends_of_the_tabs_send_a_request_and_go_on_where_they_were(
    full: Console,
) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = full.browser
    for archive in ("pets-1", "pets-2"):
        full.call("POST", f"/models?url={archive}&initial_workers=1&synchronous=true")
    try:
        browser.open("/console#/models/twins/2.0")
        browser.see("not the default version")
        browser.run("document.getElementById('main').focus()")
        browser.tab_to("Make default…")
        browser.press(Keys.ENTER)
        browser.tab_to("Make it the default")
        browser.press(Keys.ENTER)
        focused = "return document.activeElement.id"
        browser.until("the button is out of use", lambda: browser.run(focused) == "main")
        browser.tab_to("Overview")
        browser.press(Keys.END)
        assert browser.run(focused) == "tab-Drift"
        browser.press(Keys.HOME)
        browser.press(Keys.ARROW_RIGHT)
        assert browser.run(focused) == "tab-Try"
        browser.field("Body").send_keys(Keys.CONTROL, Keys.ENTER)
        browser.see("dog")
    finally:
        full.call("DELETE", "/models/twins/1.0")
        full.call("DELETE", "/models/twins")
        # Drift of a model that is not tracked is an error to the browser.
        assert all("/drift" in text for text in browser.complaints())


def test_the_link_that_skips_to_the_content_stays_on_its_page(full: Console) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = full.browser
    browser.open("/console#/models/pets")
    browser.see("W-pets-")
    browser.driver.find_element("css selector", ".skip").send_keys(Keys.ENTER)
    browser.until(
        "the content has the focus",
        lambda: browser.run("return document.activeElement.id") == "main",
    )
    assert browser.find("h1").text == "pets"
    assert browser.driver.current_url.endswith("#/models/pets")


def test_the_page_of_the_api_works_without_a_network_and_asks_for_a_key(full: Console) -> None:
    browser = full.browser
    browser.hosts_asked()
    browser.open("/docs")
    browser.field("This server asks for a key. It stays in this page.").send_keys(full.keys["all"])
    browser.button("Show the API").click()
    browser.see("/models/{model_name}")
    assert browser.hosts_asked() == {full.address}
    assert all("openapi.json" in text for text in browser.complaints())
