"""Chromium as a person uses it, driven by Selenium."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from support.waiting import eventually

#: What of its rules a page is held to.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = Path(__file__).with_name("axe.min.js")
WIDE = (1280, 1000)
NARROW = (360, 740)
#: What one who looks sees at once on a machine without load.
LIMIT_S = 30.0


def find_chromium() -> tuple[str, str] | None:
    """Return the paths of the browser and its driver, if both are installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window of a fresh profile."""

    def __init__(self, base: str, profile: Path) -> None:
        found = find_chromium()
        assert found is not None
        options = Options()
        options.binary_location = found[0]
        for argument in (
            *("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *("--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"),
        ):
            options.add_argument(argument)
        if os.geteuid() == 0:
            # Its sandbox does not run as root.
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.base = base
        self.driver = webdriver.Chrome(options=options, service=Service(found[1]))
        self.resize(WIDE)

    def close(self) -> None:
        self.driver.quit()

    def resize(self, size: tuple[int, int]) -> None:
        """Give the page a width and height; a window cannot be as narrow as a telephone."""
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, colours: str) -> None:
        """Have the system prefer light or dark colours."""
        feature = {"name": "prefers-color-scheme", "value": colours}
        self._command("Emulation.setEmulatedMedia", features=[feature])

    def _command(self, name: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(name, arguments)

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    # What is there

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def see(self, text: str) -> None:
        """Wait until a text is on the page."""
        self.until(f"{text!r} on the page", lambda: text in self.text())

    def until(self, what: str, holds: Callable[[], Any]) -> Any:
        def check() -> Any:
            try:
                return holds()
            except WebDriverException:
                # The page is being replaced.
                return None

        return eventually(what, check, LIMIT_S, 0.1)

    def find(self, selector: str) -> WebElement:
        """Return the first visible element, as soon as there is one."""

        def look() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((element for element in found if element.is_displayed()), None)

        return self.until(f"an element {selector}", look)  # type: ignore[no-any-return]

    def button(self, text: str) -> WebElement:
        """Return a button that can be pressed, as soon as there is one."""

        def look() -> WebElement | None:
            found = self.driver.find_elements(By.TAG_NAME, "button")
            wanted = [e for e in found if e.is_displayed() and e.text.strip() == text]
            return next((element for element in reversed(wanted) if element.is_enabled()), None)

        return self.until(f"a button {text!r}", look)  # type: ignore[no-any-return]

    def field(self, label: str) -> WebElement:
        def look() -> WebElement | None:
            for element in self.driver.find_elements(By.TAG_NAME, "label"):
                if element.is_displayed() and element.text.strip() == label:
                    name = element.get_attribute("for")
                    return self.driver.find_element(By.ID, str(name))
            return None

        return self.until(f"a field {label!r}", look)  # type: ignore[no-any-return]

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def tab_to(self, text: str) -> None:
        """Go to what has a text by the keyboard alone."""
        for _ in range(40):
            self.press(Keys.TAB)
            focused = self.driver.switch_to.active_element
            if text in (focused.text.strip(), focused.get_attribute("aria-label")):
                return
        raise AssertionError(f"no {text!r} is reached by the tabulator")

    # What is wrong with it

    def accessibility_problems(self) -> list[str]:
        """What axe finds, by the rules of WCAG 2.2 A and AA and its own best practices."""
        self.run(AXE.read_text("utf-8"))
        found = self.driver.execute_async_script(
            """
            const [rules, done] = arguments;
            axe.run(document, {runOnly: rules}).then(
              ({violations}) => done(violations.map(({id, help, nodes}) => [id, help, nodes.map((node) => node.html)])),
              (error) => done([["axe", String(error), []]]));
            """,
            RULES,
        )
        return [f"{rule}: {text}: {places}" for rule, text, places in found]

    def is_wider_than_its_window(self) -> bool:
        return bool(self.run("return document.documentElement.scrollWidth > window.innerWidth"))

    def complaints(self) -> list[str]:
        """What the console of the browser has since the last call: scripts that fail, rules that are broken."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def hosts_asked(self) -> set[str]:
        """Hosts that pages have asked since the last call."""
        hosts = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if url.startswith(("http:", "https:", "ws:")):
                    hosts.add(url.split("/")[2])
        return hosts
