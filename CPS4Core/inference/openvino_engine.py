"""The network on OpenVINO: the fastest on a CPU, and it starts without torch.

An exported network is a folder of `normalise.xml`, `network.xml` (each with its .bin) and
`export.json`, which says from which model it was made. The normalisation is a model of its own
because it must stay in float32: local variances are small differences that bf16 cannot hold.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CPS4Core.errors import CPS4Error
from CPS4Core.files import read_json, write_json
from CPS4Core.model_folder import ModelInfo, load_network, new_model_folder

if TYPE_CHECKING:
    from CPS4Core.networks.resunet import ResUNet

PARTS = ("normalise", "network")
_LAYOUT = 1


class OpenVINOEngine:
    """An exported network, one slice at a time, in bf16 where the CPU has it.

    `folder` holds the export. `precision` is auto, f32 or bf16. Raises CPS4Error where OpenVINO is
    not installed or cannot read the export.
    """

    def __init__(
        self,
        folder: Path,
        size: tuple[int, int],
        threads: int | None = None,
        precision: str = "auto",
    ):
        core = _openvino().Core()
        if precision == "auto":
            has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            precision = "bf16" if has_bf16 else "f32"
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        requests = []
        for part, number_format in zip(PARTS, ("f32", precision), strict=True):
            try:
                model = core.read_model(folder / f"{part}.xml")
                model.reshape([1, 1, *size])  # a fixed shape is compiled once, and runs faster
                compiled = core.compile_model(
                    model, "CPU", options | {"INFERENCE_PRECISION_HINT": number_format}
                )
            except RuntimeError as error:
                raise CPS4Error(
                    "OpenVINO cannot load the exported network",
                    path=folder,
                    cure="Delete this folder, it is made again; or use --engine torch",
                ) from error
            requests.append(compiled.create_infer_request())
        self._normalise, self._network = requests
        self.name = f"OpenVINO, cpu, {precision}"

    def probabilities(self, working: np.ndarray) -> np.ndarray:
        """One slice [h, w] float32 in 0..1 -> softmax [K, h, w] float32, until the next call."""
        image = np.ascontiguousarray(working[None, None], np.float32)
        normalised = self._normalise.infer([image], share_inputs=True, share_outputs=True)[0]
        softmax = self._network.infer([normalised], share_inputs=True, share_outputs=True)[0]
        return softmax[0]

    def each(self, working: np.ndarray) -> Iterator[np.ndarray]:
        """Softmax [K, h, w] of each slice of [S, h, w] uint8, each valid until the next."""
        return (self.probabilities(image.astype(np.float32) / 255) for image in working)


def find_or_make_export(
    info: ModelInfo, fingerprint: str, report: Callable[[str], None] = lambda text: None
) -> Path:
    """The folder of the model's export, made now where it is missing or of other weights.

    `fingerprint` is the model's. The export lies in the model folder, or in the user's cache where
    that cannot be written. Raises CPS4Error where neither can be, or where the weights are damaged.
    """
    places = [info.folder / "openvino", _user_cache() / "openvino" / fingerprint]
    for place in places:
        if is_current(place, fingerprint):
            return place
    network = load_network(info)
    report("Converting the network for OpenVINO, once for this model")
    for place in places:
        try:
            export_openvino(network, place, info.config.input.size, fingerprint)
        except CPS4Error:
            # Another process may have been quicker; otherwise the next place may be writable.
            if not is_current(place, fingerprint):
                continue
        return place
    raise CPS4Error(
        "The network for OpenVINO can be written neither beside the model nor in the user's cache",
        path=places[-1],
        cure="Use --engine torch, or set XDG_CACHE_HOME to a folder that can be written",
    )


def is_current(folder: Path, fingerprint: str) -> bool:
    """Whether a folder holds a whole export of the model with this fingerprint."""
    try:
        content = read_json(folder / "export.json", "description of the export")
        sizes = {name: (folder / name).stat().st_size for name in content["bytes"]}
        return (content["layout"], content["made_from"], content["bytes"]) == (
            _LAYOUT,
            fingerprint,
            sizes,
        )
    except (CPS4Error, OSError, KeyError, TypeError):
        return False


def export_openvino(
    network: ResUNet, folder: Path, size: tuple[int, int], fingerprint: str
) -> None:
    """Convert a network in eval mode, softmax included, to `folder`, complete or not at all.

    Inputs are [B, 1, h, w] float32 in 0..1 for any B. Raises CPS4Error where OpenVINO is not
    installed or the folder cannot be written.
    """
    import torch
    from torch import nn

    ov = _openvino()
    body = copy.deepcopy(network)
    body.normalise = nn.Identity()
    modules = (copy.deepcopy(network.normalise), nn.Sequential(body, nn.Softmax(dim=1)))
    # The traced operations fit every size; a small example makes tracing fast.
    example = torch.rand(1, 1, network.divisor * 2, network.divisor * 2)
    with new_model_folder(folder) as target, torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, module in zip(PARTS, modules, strict=True):
            model = ov.convert_model(
                module.float().eval(),
                example_input=example,
                input=[ov.PartialShape([-1, 1, *size])],
            )
            ov.save_model(model, target / f"{name}.xml", compress_to_fp16=False)
        sizes = {file.name: file.stat().st_size for file in sorted(target.iterdir())}
        write_json(
            target / "export.json", {"layout": _LAYOUT, "made_from": fingerprint, "bytes": sizes}
        )


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cps4"


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise CPS4Error(
            f"OpenVINO is not installed, or broken ({error})",
            cure="Install it with pip install 'CPS4Core[fast]', or use --engine torch",
        ) from error
    return openvino
