"""What a fresh Python needs: time to the label file, peak memory, imports."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from CPS4Core.errors import CPS4Error

_SEGMENT = """
import sys
from CPS4Core.cli.main import main
code = main(["segment", *sys.argv[1:]])
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    try:
        import resource
    except ImportError:
        peak = None
    else:
        unit = 1024 if sys.platform == "darwin" else 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
print(peak)
sys.exit(code)
"""
# VmHWM first: ru_maxrss of a child can hold the peak of the process that started it.

_IMPORT = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class OneShot:
    """A command from the start of Python: seconds until the label file was on disk, seconds until
    it ended (with the QC picture), and its largest resident memory, where the system tells."""

    label: float
    finished: float
    peak_mb: float | None


def one_shot(
    volume: Path, model: Path, output: Path, device: str = "cpu", threads: int | None = None
) -> OneShot:
    """Run `cps4 segment` on one volume in a process of its own; raises CPS4Error if it fails."""
    command = [sys.executable, "-c", _SEGMENT, str(volume), "--output", str(output)]
    command += ["--model", str(model), "--device", device, "--quiet"]
    if threads:
        command += ["--threads", str(threads)]
    label = output / (volume.name.removesuffix(".nii.gz") + ".nii.gz")
    began, at_label = time.perf_counter(), None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            if at_label is None and label.exists():
                at_label = time.perf_counter() - began
            time.sleep(0.005)
        at_end = time.perf_counter() - began
        said, complaints = process.communicate()
    if process.returncode != 0:
        raise CPS4Error(f"cps4 segment failed in the benchmark ({complaints.strip()[-300:]})")
    peak = json.loads(said.splitlines()[-1].replace("None", "null"))
    return OneShot(at_label or at_end, at_end, None if peak is None else peak * 1024 / 1e6)


def import_seconds(statement: str) -> float | None:
    """Seconds that an import statement takes in a fresh Python; None if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(statement)], capture_output=True, text=True
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None
