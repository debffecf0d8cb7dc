"""What the tests of the servers have in common: the program, a browser, images."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys

PROJECT = pathlib.Path(os.environ["PROJECT_DIR"])
BIN = pathlib.Path(os.environ["BIN_DIR"])
PYTHON = PROJECT / ".venv-serve" / "bin" / "python"
CHROMIUM, DRIVER = pathlib.Path("/usr/bin/chromium"), pathlib.Path("/usr/bin/chromedriver")


def skip(reason):
    print("skipped: " + reason)
    sys.exit(77)


def use_own_python():
    """These tests have an environment of their own; whoever starts them need not know."""
    if not PYTHON.exists():
        skip(f"{PYTHON} is not here (scripts/setup --tests)")
    if pathlib.Path(sys.prefix).resolve() != PYTHON.parent.parent.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.argv])


@contextlib.contextmanager
def running(*words, environment=None, expect=0):
    """Starts a server that prints its URL, yields the URL, and ends it with SIGTERM. A crash in between is an error."""
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **(environment or {})})
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), f"expected a URL, found {url!r}"
        yield url
        assert process.poll() is None, f"the server ended by itself with {process.returncode}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert status == expect, f"the server ended with {status}"


def colour_model(*limits):
    return running(BIN / "test_serve_program", "serve", 0, *limits)


@contextlib.contextmanager
def browser(width=1100, height=900, scheme="light"):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        skip("chromium and chromedriver are not here (scripts/setup --tests)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        yield driver
    finally:
        driver.quit()


def picture(colour, size=(96, 72), form="PNG", **options):
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form, **options)
    return out.getvalue()
