"""Every engine gives the same labels, and the exported network never outlives its weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import write_tiny_model

from CPS4Core.errors import CPS4Error
from CPS4Core.inference.choose import make_engine
from CPS4Core.inference.torch_engine import TorchEngine
from CPS4Core.model_folder import load_network, read_model
from CPS4Core.progress import Progress


def working_slices(seed: int = 0) -> np.ndarray:
    """Two 8-bit slices of low contrast, as fat near a coil makes them: hard for 16-bit numbers."""
    random = np.random.default_rng(seed)
    images = random.integers(115, 125, (2, 64, 48), np.uint8)
    images[:, 20:40, 10:20] += 25
    images[:, :, 40:] = 255
    return images


def as_float(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def reference(info, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return load_network(info)(torch.from_numpy(as_float(images))[:, None]).softmax(1).numpy()


@pytest.mark.parametrize(
    ("kind", "normalise"), [("torch", "zscore"), ("torch", "local"), ("openvino", "local")]
)
def test_engines_agree_with_the_plain_network(kind: str, normalise: str, tmp_path: Path) -> None:
    if kind == "openvino":
        pytest.importorskip("openvino")
    info = write_tiny_model(tmp_path / "model", 3, f"network.normalise={normalise}")
    images = working_slices()
    expected = reference(info, images)
    assert len(np.unique(expected.argmax(1))) > 4
    engine = make_engine(info, "cpu", kind)
    found = np.stack([np.array(p) for p in engine.each(images)])
    assert np.array_equal(found[0], engine.probabilities(as_float(images[0])))
    assert found.shape == expected.shape and found.dtype == np.float32
    assert np.allclose(found.sum(1), 1, atol=1e-3)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.97
    assert np.abs(found - expected).mean() < 2e-3


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with its export for OpenVINO."""
    pytest.importorskip("openvino")
    info = write_tiny_model(
        tmp_path_factory.mktemp("exported") / "model", 3, "network.normalise=local"
    )
    make_engine(info, "cpu", "openvino")
    return info.folder


def labels_agree(folder: Path) -> bool:
    """Whether OpenVINO labels as the weights in the folder do."""
    info = read_model(folder)
    found = make_engine(info, "cpu", "openvino").probabilities(as_float(working_slices()[0]))
    expected = reference(info, working_slices())[0]
    return float((found.argmax(0) == expected.argmax(0)).mean()) > 0.97


def test_openvino_in_float32_is_the_network_itself(exported: Path) -> None:
    from CPS4Core.inference.openvino_engine import OpenVINOEngine

    info, images = read_model(exported), working_slices()
    engine = OpenVINOEngine(exported / "openvino", info.config.input.size, precision="f32")
    assert np.allclose(
        engine.probabilities(as_float(images[1])), reference(info, images)[1], atol=2e-4
    )


def test_an_export_is_made_again_for_other_weights(exported: Path, tmp_path: Path) -> None:
    model = shutil.copytree(exported, tmp_path / "model")
    network = model / "openvino" / "network.xml"
    first = network.stat().st_mtime_ns
    assert labels_agree(model) and network.stat().st_mtime_ns == first
    other = write_tiny_model(tmp_path / "other", 4, "network.normalise=local").folder
    (other / "network.safetensors").replace(model / "network.safetensors")
    assert labels_agree(model) and network.stat().st_mtime_ns != first


def test_a_half_copied_export_is_made_again(exported: Path, tmp_path: Path) -> None:
    model = shutil.copytree(exported, tmp_path / "model")
    weights = model / "openvino" / "network.bin"
    size = weights.stat().st_size
    weights.write_bytes(weights.read_bytes()[:100])
    assert labels_agree(model) and weights.stat().st_size == size


def test_a_model_folder_that_cannot_be_written_is_exported_to_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from CPS4Core.inference import openvino_engine

    writable = openvino_engine.new_model_folder

    def refuse(folder: Path):
        if folder.parent == info.folder:
            raise CPS4Error("Cannot write", path=folder)
        return writable(folder)

    info = write_tiny_model(tmp_path / "model", 3)
    monkeypatch.setattr(openvino_engine, "new_model_folder", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "OpenVINO" in make_engine(info, "cpu", "openvino").name
    assert list((tmp_path / "cache").rglob("network.xml"))


def test_without_any_place_for_the_export_torch_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from CPS4Core.inference import openvino_engine

    def refuse(folder: Path):
        raise CPS4Error("Cannot write", path=folder)

    info = write_tiny_model(tmp_path / "model", 3)
    monkeypatch.setattr(openvino_engine, "new_model_folder", refuse)
    said: list[str] = []
    progress = Progress()
    monkeypatch.setattr(progress, "message", lambda text, level="info": said.append(text))
    assert "torch" in make_engine(info, "cpu", "auto", progress=progress).name
    assert any("OpenVINO is not used" in text for text in said)
    with pytest.raises(CPS4Error, match="XDG_CACHE_HOME"):
        make_engine(info, "cpu", "openvino")


def test_memory_of_a_gpu_that_runs_out_first_halves_the_batch_then_takes_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    engine = TorchEngine(write_tiny_model(tmp_path / "model", 3), report=said.append)
    images = np.concatenate([working_slices(i) for i in range(3)])
    expected = [np.array(p) for p in engine.each(images)]
    run, sizes = engine._run, []

    def without_memory(part: torch.Tensor) -> np.ndarray:
        sizes.append(len(part))
        if engine._device.type != "cpu":
            raise torch.OutOfMemoryError("no memory")
        return run(part)

    monkeypatch.setattr(engine, "_run", without_memory)
    engine._device, engine._at_once = torch.device("meta"), 4
    found = list(engine.each(images))
    assert sizes[:4] == [4, 2, 1, 1] and len(sizes) == 3 + len(images)
    assert np.array_equal(found, expected)
    assert "using the CPU" in said[0] and "cpu" in engine.name


@pytest.mark.parametrize(
    ("device", "engine", "said"),
    [
        ("cpu", "tensorflow", "No engine 'tensorflow'"),
        ("cuda:77", "torch", "device 'cuda:77' cannot be used"),
        ("nonsense", "torch", "device 'nonsense' cannot be used"),
        ("cuda", "openvino", "runs on the CPU"),
    ],
)
def test_wrong_choices_say_so(device: str, engine: str, said: str, tmp_path: Path) -> None:
    info = write_tiny_model(tmp_path / "model")
    with pytest.raises(CPS4Error, match=said):
        make_engine(info, device, engine)


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_weights_cut_in_half_are_a_clear_error(engine: str, tmp_path: Path) -> None:
    info = write_tiny_model(tmp_path / "model")
    weights = info.folder / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(CPS4Error, match="weights cannot be read"):
        make_engine(info, "cpu", engine)
