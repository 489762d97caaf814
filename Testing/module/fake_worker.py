"""A worker that behaves as it is told, well or badly; run as a process by the tests.

    fake_worker.py MOOD FOLDER

MOOD is how it behaves, if a request's arguments name no `mood`. In FOLDER it leaves a file at every
start, so that its second life can differ from the first, and there it looks for `answers.json`:
{"moods": {COMMAND: MOOD}, "results": {COMMAND: RESULT}}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

mood, marks = sys.argv[1], Path(sys.argv[2])
lives = len(list(marks.glob("life*")))
(marks / f"life{lives}-{os.getpid()}").touch()
lock, cancelled = threading.Lock(), set()
requests: list[dict[str, Any]] = []
arrived = threading.Condition()


def say(**content: Any) -> None:
    with lock:
        os.write(1, json.dumps(content).encode() + b"\n")


def read() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        with arrived:
            if message["command"] == "cancel":
                cancelled.add(message["id"])
            else:
                requests.append(message)
            arrived.notify()
        if message["command"] == "shutdown" and mood != "ignores shutdown":
            os._exit(0)
    if mood != "ignores shutdown":
        os._exit(0)


def answer(id: str, command: str, mood: str, prepared: dict[str, Any]) -> None:
    if mood == "dies once" and lives == 0 or mood == "dies":
        say(id=id, event="start", task="work", step=0, total=4)
        say(id=id, event="step", task="work", step=1, total=4, seconds_left=3.0)
        print("RuntimeError: the roof fell in", file=sys.stderr, flush=True)
        os._exit(3)
    if mood == "killed":
        os.kill(os.getpid(), 9)
    if mood == "last words":  # ends right after its answer
        os.write(1, json.dumps({"id": id, "event": "result", "result": {"n": 1}}).encode() + b"\n")
        os._exit(0)
    if mood == "garbage":
        os.write(1, b'Downloading... 100%\n\xff\xfe\n[1, 2]\n{"event": 3}\n\n{"id": "99"}\n')
        say(id="another", event="result", result={})
    if mood == "slow":
        for step in range(1, 600):
            if id in cancelled:
                say(id=id, event="cancelled")
                return
            say(id=id, event="step", task="work", step=step, total=600, seconds_left=60.0)
            time.sleep(0.05)
    if mood == "waits at the gate":  # until the file is gone
        say(id=id, event="start", task="work", step=0, total=4)
        while (marks / "gate").exists():
            time.sleep(0.02)
    if mood == "deaf":  # never comes to a safe point
        time.sleep(600)
    if mood == "fails":
        say(id=id, event="failed", message="The volume is too small. Take another.", internal=False)
        return
    if mood == "names its file":
        text = f"5 voxels are not finite: {prepared['file']}. Replace them."
        say(id=id, event="failed", message=text, internal=False)
        return
    if mood == "chatty":
        text = "The GPU has too little memory free; computing on the CPU."
        say(id=id, event="message", level="warning", message=text)
    if mood == "long":
        say(id=id, event="result", result={"text": "ä" * 300_000})
        return
    if mood == "children":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (marks / f"child-{child.pid}").touch()
    results = prepared.get("results", {})
    say(id=id, event="result", result=results.get(command, {"command": command, "life": lives}))


if mood == "never starts":
    sys.exit("ModuleNotFoundError: No module named 'pydantic'")
threading.Thread(target=read, daemon=True).start()
if mood != "never ready":
    say(event="ready", protocol=1, version="0")
while True:
    with arrived:
        while not requests:
            arrived.wait()
        request = requests.pop(0)
    if request["command"] == "shutdown":
        continue
    file, given, command = marks / "answers.json", request.get("arguments", {}), request["command"]
    prepared = json.loads(file.read_text()) if file.exists() else {}
    prepared["file"] = given.get("volume")
    how = given.get("mood") or prepared.get("moods", {}).get(command, mood)
    answer(request["id"], command, how, prepared)
