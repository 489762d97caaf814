"""One training on two processes, as torchrun starts them (here on the CPU)."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import torch
from tiny_study import TINY_OPTIONS, write_tiny_study

from CPS4Core.model_folder import load_weights

SCRIPT = """
import sys
import time
from pathlib import Path
import torch
from CPS4Core.device import choose_precision
from CPS4Core.progress import Progress
from CPS4Core.study.folder import Study
from CPS4Core.training import loop, processes
from CPS4Core.training import run as run_module
from CPS4Core.training.run import Run
sys.path.insert(0, sys.argv[3])
from tiny_study import tiny_config

torch.set_num_threads(1)
device = processes.join_processes(torch.device("cpu"))
stop_after = int(sys.argv[4])

class Watched(Progress):
    def emit(self, event):
        # The epoch's buffers were shared: state and weights must agree in both processes now.
        if event["event"] == "step" and "stage" in event["task"]:
            assert processes.tensors_equal(modules[-1].state_dict().values()), event
            if "stage 2" in event["task"] and event["step"] == stop_after:
                self.cancel()

modules, plain = [], loop.TrainingLoop.__init__
def init(self, module, *args, **kwargs):
    modules.append(module)
    plain(self, module, *args, **kwargs)
loop.TrainingLoop.__init__ = init

# The folder of the run is half begun when the second process comes.
first, write = processes.is_first(), run_module.write_text
if first:
    run_module.write_text = lambda *given: [write(*given), time.sleep(1)]
else:
    time.sleep(0.5)

run = Run(Path(sys.argv[2]), Study.open(sys.argv[1]), tiny_config("stage2.epochs=4"), "all", "0", 3,
          choose_precision(device, "fp32"))
try:
    run.stage2(Watched())
finally:
    processes.leave_processes()
"""


def together(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300)


def test_two_processes_stay_equal_and_resume_exactly(tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path / "study")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    here = str(Path(__file__).parent)

    def train(run: str, stop_after: int = 0) -> subprocess.CompletedProcess[str]:
        return together([str(script), str(study), str(tmp_path / run), here, str(stop_after)])

    whole = train("whole")
    assert whole.returncode == 0, whole.stderr[-20_000:]
    assert train("broken", 2).returncode != 0
    assert not (tmp_path / "broken" / "model").exists()
    again = train("broken")
    assert again.returncode == 0, again.stderr[-20_000:]
    ours, theirs = (
        load_weights(tmp_path / run / "model" / "network.safetensors")
        for run in ("whole", "broken")
    )
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    with open(tmp_path / "broken" / "stage2" / "metrics.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_the_command_trains_on_two_processes_and_says_so_once(tmp_path: Path) -> None:
    study = write_tiny_study(tmp_path / "study")
    options = [part for o in TINY_OPTIONS for part in ("--set", o)]
    where = ["train", str(study), "--output", str(tmp_path / "run"), "--preset", "cpu"]
    done = together(["-m", "CPS4Core", *where, "--threads", "1", "--device", "cpu", *options])
    assert done.returncode == 0, done.stderr[-20_000:]
    assert (tmp_path / "run" / "model" / "model.json").is_file()
    assert done.stderr.count("Model (cps4") == 1
    alone = subprocess.run(
        [sys.executable, "-m", "CPS4Core", *where, "--device", "cpu", *options],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert alone.returncode == 2 and "processes" in alone.stderr
