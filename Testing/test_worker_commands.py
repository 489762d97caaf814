"""The worker's commands on small volumes: what they write, what they keep, what they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from inference_samples import sagittal_volume
from tiny_model import write_tiny_model
from worker_process import ROOT, WorkerProcess

from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.inference.torch_engine import TorchEngine
from CPS4Core.model_folder import ModelInfo, read_model
from CPS4Core.progress import Progress
from CPS4Core.prompt_maps.batch import map_volumes
from CPS4Core.prompt_maps.volume import PromptMapper
from CPS4Core.schema import schema_from_dict
from CPS4Core.volumes.reading import read_volume
from CPS4Core.volumes.sagittal import to_sagittal
from CPS4Core.worker import maps as maps_command
from CPS4Core.worker import probe, segment
from CPS4Core.worker.loaded import Loaded

WITH_MAPS = ROOT / "Resources" / "models" / "spider-t2-lumbar"


class Recorder(Progress):
    """Keeps the events; `stop_at` cancels at the first event of that kind."""

    def __init__(self, stop_at: str = "") -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.stop_at = stop_at

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["event"] == self.stop_at:
            self.cancel()

    def said(self, level: str) -> list[str]:
        return [e["message"] for e in self.events if e.get("level") == level]

    def tasks(self) -> list[str]:
        return [e["task"] for e in self.events if e["event"] == "start"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny").folder


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    with WorkerProcess() as process:
        process.next()
        yield process


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "scan_0000.nii.gz"
    sitk.WriteImage(sagittal_volume(), str(path))
    return path


def segmented(volume: Path, model: Path, loaded: Loaded, **options: Any) -> tuple[dict, Recorder]:
    """One `segment` request in this process, on torch."""
    progress = Recorder()
    options = {"device": "cpu", "engine": "torch"} | options
    arguments = segment.Arguments(str(volume), str(volume.parent / "out"), str(model), **options)
    return segment.run(arguments, progress, loaded), progress


def mapped(
    volume: Path, loaded: Loaded, prompts: list[str] | None = None
) -> tuple[dict[str, Any], Recorder]:
    """One `maps` request in this process."""
    progress, out = Recorder(), str(volume.parent / "maps")
    arguments = maps_command.Arguments(str(volume), out, str(WITH_MAPS), "cpu", prompts)
    return maps_command.run(arguments, progress, loaded), progress


def array(path: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


def test_segment_twice_loads_once(worker: WorkerProcess, model: Path, volume: Path) -> None:
    arguments = {"volume": str(volume), "output": str(volume.parent / "out"), "model": str(model)}
    first = worker.talk("segment", **arguments, device="cpu", engine="torch")
    second = worker.talk("segment", **arguments, device="cpu", engine="torch")
    assert [sum("Loading" in e.get("message", "") for e in run) for run in (first, second)] == [
        1,
        0,
    ]
    steps = [e["step"] for e in second if e.get("task") == "segmenting slices"]
    assert steps == [0, 1, 2, 3, 4, 5, 6, 6]
    result = second[-1]["result"]
    assert set(result) == {
        "label",
        "schema",
        "structures",
        "levels_confidence",
        "calibrated",
        "warnings",
        "model",
        "engine",
        "seconds",
    }
    label, image = sitk.ReadImage(result["label"]), sitk.ReadImage(str(volume))
    assert Path(result["label"]).name == "scan-labels.nrrd"
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(label, get)(), getattr(image, get)(), atol=1e-5)
    assert set(np.unique(sitk.GetArrayViewFromImage(label))) == {0, 2, 3}
    assert [s["name"] for s in result["structures"]] == ["L5", "L4"]
    assert set(result["structures"][0]) == {"name", "value", "voxels", "volume_mm3", "confidence"}
    assert schema_from_dict(result["schema"]) == read_model(model).schema
    assert any("anchor" in text for text in result["warnings"])
    assert result["model"]["name"] == "tiny" and result["model"]["folder"] == str(model)
    assert result["model"]["method"] == "mean-teacher" and len(result["model"]["fingerprint"]) == 16
    assert result["engine"].startswith("torch, cpu") and result["seconds"] >= 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"volume": "missing.nii.gz"}, "does not exist: missing.nii.gz. Check the path."),
        ({"model": "no such"}, "no such model folder"),
        ({"device": "cuda:77"}, "Choose auto or cpu"),
        ({"engine": "magic"}, "Known: auto, torch, openvino"),
        ({"levels": "some"}, "Known: raw, decoded"),
        ({"output": "FILE/out"}, "Cannot write"),
    ],
)
def test_what_cannot_be_done_is_said(
    change: dict, said: str, worker: WorkerProcess, model: Path, volume: Path
) -> None:
    (volume.parent / "FILE").write_text("in the way")
    change = {k: v.replace("FILE", str(volume.parent / "FILE")) for k, v in change.items()}
    arguments = {"volume": str(volume), "output": str(volume.parent), "model": str(model)}
    answer = worker.ask("segment", **(arguments | {"device": "cpu", "engine": "torch"} | change))
    assert answer["event"] == "failed" and not answer["internal"]
    assert said in answer["message"]


def test_a_retrained_model_is_loaded_again(volume: Path, tmp_path: Path) -> None:
    loaded, folder = Loaded(), tmp_path / "tiny"
    write_tiny_model(folder)
    before, _ = segmented(volume, folder, loaded)
    write_tiny_model(folder, 1)
    after, progress = segmented(volume, folder, loaded)
    assert before["model"]["fingerprint"] != after["model"]["fingerprint"]
    assert progress.said("info") == ["Loading the model tiny"]


def test_another_rule_of_levels_needs_no_new_network(model: Path, volume: Path) -> None:
    loaded = Loaded()
    segmented(volume, model, loaded, levels="raw")
    result, progress = segmented(volume, model, loaded, levels="decoded")
    assert result["model"]["levels"] == "decoded" and not progress.said("info")


def test_remarks_of_the_engine_reach_the_present_request(
    model: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine was loaded by another request, which is long over."""
    loaded = Loaded()
    _, first = segmented(volume, model, loaded)
    each = TorchEngine.each

    def remark(self: TorchEngine, working: np.ndarray) -> Iterator[np.ndarray]:
        self._report("the memory is short")
        return each(self, working)

    monkeypatch.setattr(TorchEngine, "each", remark)
    _, second = segmented(volume, model, loaded)
    assert second.said("warning")[0] == "the memory is short" and not first.said("warning")


def test_a_gpu_without_room_gives_way_to_the_cpu(
    model: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, asked = segment.make_engine, []

    def full(info: ModelInfo, device: str, *rest: Any) -> Any:
        asked.append(device)
        if device == "cuda":
            error = CPS4Error("The device 'cuda' cannot be used (CUDA error)")
            raise error from RuntimeError("CUDA error: out of memory")
        return make(info, device, *rest)

    monkeypatch.setattr(segment, "make_engine", full)
    loaded = Loaded()
    for _ in range(2):
        result, progress = segmented(volume, model, loaded, device="cuda")
        assert "cpu" in result["engine"]
        assert progress.said("warning")[0].startswith("The GPU's memory does not suffice")
    assert asked == ["cuda", "cpu"] * 2, "the next request tries the GPU again"


def test_a_defect_is_not_taken_for_a_lack_of_memory(
    model: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the shapes do not match")

    monkeypatch.setattr(segment, "make_engine", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        segmented(volume, model, Loaded(), device="cuda")


def test_an_engine_that_fell_back_is_not_kept(
    model: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, each = Loaded(), TorchEngine.each

    def fall_back(self: TorchEngine, working: np.ndarray) -> Iterator[np.ndarray]:
        self.name = "torch, cpu after a fall"
        return each(self, working)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "each", fall_back)
        assert segmented(volume, model, loaded)[0]["engine"] == "torch, cpu after a fall"
    result, progress = segmented(volume, model, loaded)
    assert "fall" not in result["engine"] and progress.said("info")


def test_cancelling_between_slices_leaves_no_file(model: Path, volume: Path) -> None:
    loaded = Loaded()
    segmented(volume, model, loaded)
    out = volume.parent / "other"
    arguments = segment.Arguments(str(volume), str(out), str(model), "cpu", "torch")
    progress = Recorder(stop_at="step")
    with pytest.raises(Cancelled):
        segment.run(arguments, progress, loaded)
    assert sum(e["event"] == "step" for e in progress.events) == 1
    assert not list(out.iterdir())
    assert not segmented(volume, model, loaded)[1].said("info"), "the network stays loaded"


def test_maps_are_those_of_the_command(volume: Path, tmp_path: Path) -> None:
    result, progress = mapped(volume, Loaded())
    info = read_model(WITH_MAPS)
    assert progress.tasks() == ["looking at slices", "writing maps"]
    names = [prompt["name"] for prompt in result["prompts"]]
    assert names == [*info.schema.class_names[1:], "Background"]
    assert map_volumes([volume], tmp_path / "cli", WITH_MAPS, classes="all", device="cpu") == 0
    for prompt in result["prompts"]:
        assert set(prompt) == {"name", "prompt", "map", "binary", "thresholds", "peak", "trained"}
        name = prompt["name"].replace("/", "-")
        theirs = array(str(tmp_path / "cli" / "soft" / f"scan_{name}.nii.gz"))
        ours, mask = array(prompt["map"]), array(prompt["binary"])
        assert ours.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1}
        np.testing.assert_array_equal(ours, theirs)
        assert len(prompt["thresholds"]) == 6 and 0 <= prompt["peak"] <= 1
    assert result["prompts"][0]["prompt"] == "A magnetic resonance image of a Sacrum."
    integrated = array(result["integrated"])
    np.testing.assert_array_equal(
        integrated, array(str(tmp_path / "cli" / "integrated" / "scan.nii.gz"))
    )
    image = sitk.ReadImage(result["prompts"][0]["map"])
    np.testing.assert_allclose(image.GetDirection(), sagittal_volume().GetDirection(), atol=1e-6)
    assert schema_from_dict(result["schema"]) == info.schema and result["encoder_weights"]


def test_the_mask_lies_above_the_threshold_of_its_slice(volume: Path) -> None:
    result, _ = mapped(volume, Loaded())
    stack_axis = {2: 0}  # slices of the sample volume lie along z, the array's first axis
    axis = stack_axis[to_sagittal(sagittal_volume()).axes[0]]
    for prompt in result["prompts"]:
        soft, mask = array(prompt["map"]) / 255, array(prompt["binary"]).astype(bool)
        for number, threshold in enumerate(prompt["thresholds"]):
            shown, inside = soft.take(number, axis), mask.take(number, axis)
            if threshold is None:
                assert not inside.any()
            else:
                # Interpolation to the native pixels blurs both by a pixel.
                assert shown[inside].mean() > threshold > shown[~inside].mean()


def test_a_class_that_is_rejected_has_no_thresholds(volume: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict"
    shutil.copytree(WITH_MAPS, strict, ignore=shutil.ignore_patterns("openvino"))
    text = (strict / "model.json").read_text()
    (strict / "model.json").write_text(text.replace('"reject_below": 0.0', '"reject_below": 0.999'))
    out = str(tmp_path / "out")
    result = maps_command.run(
        maps_command.Arguments(str(volume), out, str(strict), "cpu"), Progress(), Loaded()
    )
    assert all(prompt["thresholds"] == [None] * 6 for prompt in result["prompts"])
    assert not any(array(prompt["binary"]).any() for prompt in result["prompts"])
    assert any(array(prompt["map"]).any() for prompt in result["prompts"]), "maps are shown anyway"


def test_own_words_on_the_same_volume_do_not_look_again(volume: Path) -> None:
    loaded = Loaded()
    _, first = mapped(volume, loaded)
    result, second = mapped(volume, loaded, ["the sacrum", "the sacrum!"])
    assert first.tasks() == ["looking at slices", "writing maps"]
    assert second.tasks() == ["writing maps"] and not second.said("info")
    assert [p["prompt"] for p in result["prompts"]] == ["the sacrum", "the sacrum!"]
    assert result["integrated"] is None and not any(p["trained"] for p in result["prompts"])
    paths = {p[kind] for p in result["prompts"] for kind in ("map", "binary")}
    assert len(paths) == 4, "prompts that differ by a sign have files of their own"
    fresh = PromptMapper(read_model(WITH_MAPS), "cpu", ["the sacrum", "the sacrum!"])
    maps = fresh.maps(to_sagittal(read_volume(volume)))
    expected = to_sagittal(read_volume(result["prompts"][1]["map"])).array
    np.testing.assert_array_equal(np.round(maps.soft(1) * 255), expected)
    again, third = mapped(volume, loaded)
    assert third.tasks() == ["writing maps"] and len(again["prompts"]) > 2


def test_another_volume_is_looked_at_anew_even_under_the_same_name(volume: Path) -> None:
    loaded = Loaded()
    before = array(mapped(volume, loaded)[0]["prompts"][0]["map"])
    sitk.WriteImage(sagittal_volume()[:, ::-1, :], str(volume))
    result, progress = mapped(volume, loaded)
    assert "looking at slices" in progress.tasks()
    assert not np.array_equal(before, array(result["prompts"][0]["map"]))


def test_an_empty_prompt_and_a_model_without_maps(
    worker: WorkerProcess, model: Path, volume: Path
) -> None:
    arguments = {"volume": str(volume), "output": str(volume.parent / "maps")}
    answer = worker.ask("maps", **arguments, model=str(WITH_MAPS), prompts=["S", "  "])
    assert answer["event"] == "failed" and "The prompt is empty" in answer["message"]
    answer = worker.ask("maps", **arguments, model=str(model))
    assert answer["event"] == "failed" and "no prompt maps" in answer["message"]
    assert not answer["internal"]


def test_maps_leave_a_full_gpu(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, device = PromptMapper.features, maps_command.find_device
    monkeypatch.setattr(maps_command, "find_device", lambda name: device("cpu"))
    failed = []

    def full(self: PromptMapper, *rest: Any) -> Any:
        if not failed:
            failed.append(True)
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return features(self, *rest)

    monkeypatch.setattr(PromptMapper, "features", full)
    out = str(volume.parent / "maps")
    progress = Recorder()
    arguments = maps_command.Arguments(str(volume), out, str(WITH_MAPS), "auto")
    assert maps_command.run(arguments, progress, Loaded())["prompts"]
    assert progress.said("warning") == [
        "The GPU's memory does not suffice, so the CPU is used: slower"
    ]


@pytest.mark.parametrize("flipped", [False, True])
def test_the_slice_axis_finds_the_slice_of_a_point(flipped: bool) -> None:
    image = sagittal_volume()
    if flipped:
        image = image[:, :, ::-1]
    turned = sitk.PermuteAxes(image, (2, 0, 1))
    stack = to_sagittal(turned)
    numbers = np.broadcast_to(np.arange(6, dtype=np.int16)[:, None, None], stack.array.shape)
    restored = stack.restore(np.ascontiguousarray(numbers))
    axis = stack.slice_axis
    for index in ((0, 0, 0), (5, 3, 7), (2, 40, 50)):
        point = np.array(restored.TransformIndexToPhysicalPoint(index))
        along = (point - axis["origin_lps"]) @ axis["direction_lps"] / axis["spacing_mm"]
        assert round(float(along), 3) == restored[index]


def test_probe_describes_this_machine(worker: WorkerProcess) -> None:
    result = worker.ask("probe")["result"]
    assert set(result) == {"devices", "default", "torch", "openvino", "missing"}
    assert result["devices"][-1]["name"] == "cpu" and "core" in result["devices"][-1]["title"]
    assert result["default"] in {device["name"] for device in result["devices"]}
    assert result["torch"] and result["missing"] == []


def test_probe_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Properties:
        name, total_memory = "NVIDIA H200", 139 * 2**30

    def memory(index: int) -> tuple[int, int]:
        if index:
            raise RuntimeError("CUDA error: out of memory")
        return 100 * 2**30, Properties.total_memory

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    found = probe.run(probe.Arguments(), Progress(), Loaded())
    assert [d["name"] for d in found["devices"]] == ["cuda:0", "cuda:1", "cpu"]
    assert found["devices"][0] == {
        "name": "cuda:0",
        "title": "NVIDIA H200",
        "memory_mib": 139 * 1024,
        "free_mib": 100 * 1024,
    }
    assert found["devices"][1]["free_mib"] is None
    assert found["default"] == "cuda:0"


def test_probe_of_a_broken_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken() -> int:
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(torch.cuda, "device_count", broken)
    progress = Recorder()
    found = probe.run(probe.Arguments(), progress, Loaded())
    assert found["torch"] is None and found["missing"] == ["torch>=2.6"]
    assert "libcudart" in progress.said("warning")[0]
    assert found["default"] == "cpu"


def test_a_real_scan(worker: WorkerProcess, real_data: Path, tmp_path: Path) -> None:
    scan = real_data / "spider-t2space" / "imagesTr" / "spider_110_0000.nii.gz"
    arguments = {"volume": str(scan), "output": str(tmp_path), "model": str(WITH_MAPS)}
    result = worker.ask("segment", **arguments)["result"]
    found = {s["name"] for s in result["structures"]}
    assert {"L5", "L4", "L3", "L2", "L1", "L4/L5", "L3/L4"} <= found
    truth = sitk.ReadImage(str(real_data / "spider-t2space" / "labelsTr" / "spider_110.nii.gz"))
    label, known = array(result["label"]), sitk.GetArrayFromImage(truth)
    for value in (2, 3, 4):
        both = ((label == value) & (known == value)).sum()
        assert 2 * both / ((label == value).sum() + (known == value).sum()) > 0.8
    maps = worker.ask("maps", **arguments)["result"]
    L5 = next(p for p in maps["prompts"] if p["name"] == "L5")
    soft = array(L5["map"])
    assert soft[known == 2].mean() > 3 * soft[known == 6].mean(), "the prompt of L5 sees L5"
