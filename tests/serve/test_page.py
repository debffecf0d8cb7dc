#!/usr/bin/env python3
"""The page of imgtrain serve in a real browser: drop, paste, file and keyboard; results, errors, light and dark, a phone."""

import base64
import sys
import tempfile

import support

support.use_own_python()

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

# What a person does with a mouse or a clipboard, as the browser would say it to the page.
DROP = """
const [kind, name, type, base64] = arguments;
const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name, { type }));
const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
                              : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
document.getElementById("drop").dispatchEvent(event);
"""


def status(driver):
    return driver.find_element(By.ID, "status").text


def wait_for(driver, text):
    WebDriverWait(driver, 30).until(lambda d: text in status(d), f"expected '{text}'")


def wait_for_heat(driver, caption):
    WebDriverWait(driver, 30).until(lambda d: caption in d.find_element(By.ID, "heat-caption").text, caption)
    WebDriverWait(driver, 30).until(
        lambda d: d.execute_script("const i = document.getElementById('heat'); return i.complete && i.naturalWidth > 0"))


def give(driver, kind, data, type="image/png"):
    driver.execute_script(DROP, kind, "picture", type, base64.b64encode(data).decode())


def rows(driver):
    return [row.text.replace("\n", " ") for row in driver.find_elements(By.CSS_SELECTOR, "#guesses button")]


def check_flow(driver, url, folder):
    driver.get(url)
    WebDriverWait(driver, 30).until(lambda d: "colours · 3 classes" in d.find_element(By.ID, "model").text)
    assert not driver.find_element(By.ID, "result").is_displayed()

    give(driver, "drop", support.picture((200, 20, 20)))
    wait_for(driver, "Most likely: mostly red")
    assert [row.split(" ")[1] for row in rows(driver)][0] == "red" and len(rows(driver)) == 3, rows(driver)
    wait_for_heat(driver, "What speaks for mostly red")
    assert "decoding" in driver.find_element(By.ID, "times").text

    give(driver, "paste", support.picture((20, 200, 20)))
    wait_for(driver, "Most likely: mostly green")

    path = folder + "/blue.jpg"
    with open(path, "wb") as file:
        file.write(support.picture((20, 20, 200), form="JPEG"))
    driver.find_element(By.ID, "file").send_keys(path)
    wait_for(driver, "Most likely: mostly blue")

    # Another guess, by the keyboard alone: focus is visible, Enter explains it.
    buttons = driver.find_elements(By.CSS_SELECTOR, "#guesses button")
    buttons[0].send_keys(Keys.TAB)
    second = driver.switch_to.active_element
    assert second == buttons[1]
    assert driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", second) == "solid"
    name = second.text.split("\n")[0]
    second.send_keys(Keys.ENTER)
    wait_for_heat(driver, "What speaks for " + name)
    assert second.get_attribute("aria-pressed") == "true"
    assert buttons[0].get_attribute("aria-pressed") == "false"

    # What is no picture is said, and the next picture is looked at all the same.
    give(driver, "drop", b"<script>alert(1)</script>", "text/html")
    WebDriverWait(driver, 30).until(lambda d: "bad" in d.find_element(By.ID, "status").get_attribute("class"))
    assert not driver.find_element(By.ID, "result").is_displayed()
    give(driver, "drop", support.picture((20, 200, 20)))
    wait_for(driver, "Most likely: mostly green")


def check_looks(url, scheme, width):
    """Nothing sticks out sideways, and text stands out from what is behind it."""
    with support.browser(width=width, scheme=scheme) as driver:
        driver.get(url)
        give(driver, "drop", support.picture((200, 20, 20)))
        wait_for_heat(driver, "What speaks for")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        for name in ("text", "quiet", "accent"):
            ratio = driver.execute_script(CONTRAST, name)
            assert ratio >= 4.5, (scheme, name, ratio)


# WCAG's contrast of a colour of the page against the darker or lighter of its two grounds, whichever is worse.
CONTRAST = """
const style = getComputedStyle(document.documentElement);
const light = (name) => {
  const hex = style.getPropertyValue("--" + name).trim();
  const channel = (at) => {
    const v = parseInt(hex.slice(at, at + 2), 16) / 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
};
const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
return Math.min(...["ground", "panel"].map((ground) => ratio(light(arguments[0]), light(ground))));
"""


def main():
    with support.colour_model() as url, tempfile.TemporaryDirectory() as folder:
        with support.browser() as driver:
            check_flow(driver, url, folder)
            # The one refusal that was asked for is a line of the log; a script or a style that did not load would be too.
            log = [entry["message"] for entry in driver.get_log("browser") if "v1/predict" not in entry["message"]]
            assert log == [], log
        check_looks(url, "light", 1100)
        check_looks(url, "dark", 390)
    print("the page: drop, paste, file, keyboard, errors, light and dark, a phone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
