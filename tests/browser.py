"""A headless browser for tests, driven by the DevTools protocol over a pipe: no driver, no port, and it ends with the test.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # which root needs
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
PATIENCE = 120  # seconds without a word: a machine may be busy
READY = "document.documentElement?.dataset.ready"  # what a page sets when its charts stand


def found():
    """The browser's program, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def _high(fd):
    """The same end of a pipe under a number that is in nobody's way."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD, 20)
    os.close(fd)
    return high


class Browser:
    """One process; pages are opened in it, each with nothing of the others."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="jopt-browser-", ignore_cleanup_errors=True)
        (read, self._write), (self._read, write) = (map(_high, os.pipe()) for _ in range(2))
        # The browser reads commands from its file 3 and answers in its file 4.
        command = ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write} {read}<&- {write}>&-', "browser", found(), *FLAGS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(read, write),
            start_new_session=True,
            env={**os.environ, "HOME": self._profile.name},
        )
        os.close(read)
        os.close(write)
        self._buffer, self._count, self.events = b"", 0, []

    def send(self, method, session=None, **params):
        """What the browser answers to a command; what it tells meanwhile is kept in ``events``."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self):
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], PATIENCE)[0]:
                raise TimeoutError("the browser says nothing")
            part = os.read(self._read, 2**20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def close(self):
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._profile.cleanup()

    def open(self, path, *, width=1280, height=900, dark=False, touch=False, before="", scripts=True):
        """A page in a window of its own, once it says that it is ready; ``before`` is code that runs before its own."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        page.resize(width, height, touch)
        page.scheme(dark)
        page.send("Page.addScriptToEvaluateOnNewDocument", source=before)
        page.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        page.send("Page.navigate", url=Path(path).absolute().as_uri())
        if scripts:
            page.run(f"(async () => {{ while (!({READY})) await new Promise((r) => setTimeout(r, 20)); }})()")
        else:
            while not page.told("Page.loadEventFired"):
                page.run("0")
        return page


class Page:
    """A page: code is run in it, the mouse moves over it, and what went wrong is known."""

    def __init__(self, browser, session, target):
        self._browser, self._session, self._target = browser, session, target

    def send(self, method, **params):
        return self._browser.send(method, self._session, **params)

    def run(self, code):
        """The value of an expression, awaited."""
        answer = self.send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def settled(self):
        """Waits until what was asked for is on the screen."""
        self.run("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r, 120))))")

    def waited(self, code, seconds=10):
        """What a piece of JavaScript returns as soon as that counts as true; charts answer the mouse a moment later."""
        end = time.monotonic() + seconds
        while not (found := self.run(code)) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def resize(self, width, height, touch=False):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)

    def scheme(self, dark):
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def told(self, method):
        """What the browser has told about this page under a name."""
        return [e["params"] for e in self._browser.events if e.get("sessionId") == self._session and e["method"] == method]

    @property
    def errors(self):
        """Exceptions, and errors and warnings of the console."""
        calls = [e for e in self.told("Runtime.consoleAPICalled") if e["type"] in ("error", "warning", "assert")]
        entries = [e for e in self.told("Log.entryAdded") if e["entry"]["level"] in ("error", "warning")]
        return [*self.told("Runtime.exceptionThrown"), *calls, *entries]

    @property
    def requests(self):
        """Addresses that were asked for, but for the page itself and what it holds."""
        urls = [event["request"]["url"] for event in self.told("Network.requestWillBeSent")]
        return [url for url in urls[1:] if not url.startswith(("data:", "blob:"))]

    def middle(self, selector):
        """Where an element is, in the window, after it was scrolled there."""
        code = f"""(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: "center"}});
            const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"""
        return self.run(code)

    def move(self, x, y):
        """The mouse goes there, in two steps, as a hand does."""
        for dx in (3, 0):
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + dx, y=y)
            self.settled()

    def click(self, x, y):
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settled()

    def drag(self, begin, end):
        self.move(*begin)
        self.send("Input.dispatchMouseEvent", type="mousePressed", x=begin[0], y=begin[1], button="left", clickCount=1)
        for share in (0.3, 0.7, 1.0):
            x, y = (a + share * (b - a) for a, b in zip(begin, end, strict=True))
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left", clickCount=1)
        self.run("new Promise((r) => setTimeout(r, 400))")  # Plotly waits for a second click
        self.settled()

    def press(self, key):
        """A key, "Enter" or "Tab"."""
        text = {"Enter": "\r"}.get(key, "")
        code = {"Enter": 13, "Tab": 9}[key]
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
        self.settled()

    def type(self, selector, text):
        """Writes into a field, in place of what stands there."""
        self.run(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.focus(); e.select(); }})()")
        self.send("Input.insertText", text=text)
        self.settled()

    def screenshot(self, path, whole=False):
        area = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            area = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        Path(path).write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **area)["data"]))

    def pdf(self):
        return base64.b64decode(self.send("Page.printToPDF")["data"])

    def close(self):
        self._browser.send("Target.closeTarget", targetId=self._target)
