"""A whole training run: who trains, the slice cache, stage 1, stage 2, and what is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CPS4Core import __version__
from CPS4Core.config import Config, config_text
from CPS4Core.device import Precision
from CPS4Core.errors import CPS4Error
from CPS4Core.files import make_folder, read_json, write_json, write_text
from CPS4Core.inference.models import open_model
from CPS4Core.methods.method import method_class
from CPS4Core.model_folder import ModelInfo, read_model
from CPS4Core.networks.resunet import ResUNet
from CPS4Core.pretrain.objective import Objective, objective_class
from CPS4Core.progress import Progress
from CPS4Core.schema import LabelSchema
from CPS4Core.slices.cache import CachedCase, cache_cases, default_cache_folder
from CPS4Core.slices.phantoms import cache_phantoms
from CPS4Core.study.folder import Study, case_fingerprint
from CPS4Core.study.splits import Selection
from CPS4Core.training import processes
from CPS4Core.training.initial import (
    check_not_held_out,
    initial_provenance,
    start_network,
    start_pretraining,
    weights_fingerprint,
)
from CPS4Core.training.stage1 import run_stage1
from CPS4Core.training.stage2 import run_stage2
from CPS4Core.training.warmup import DESCRIPTION, check_warmup


@dataclass
class Run:
    """One training run in its folder.

    RUN/config.yaml, RUN/run.json   what is run on what
    RUN/stage1/, RUN/stage2/        checkpoints, metrics.csv, TensorBoard events
    RUN/model/                      the finished model
    """

    folder: Path
    study: Study
    config: Config
    labelled: str
    order: str
    seed: int
    precision: Precision
    cache: Path | None = None
    pretrained: Path | None = None
    initial: Path | None = None
    """A model, by folder or installed name, whose weights both stages start from."""
    warmed_up: Path | None = None
    """A run of `warmup` from which stage 2 goes on."""

    @property
    def schema(self) -> LabelSchema:
        """The study's schema with the configured prompts."""
        prompts = self.config.prompts
        return self.study.schema.with_prompts(prompts.template, prompts.classes)

    def stage1(self, progress: Progress) -> ModelInfo:
        """Pretrain the prompts on the labelled cases; a finished stage 1 is read, not repeated."""
        selection = self._begin()
        done = self.folder / "stage1" / "model"
        if (done / "model.json").is_file():
            progress.message("Stage 1 is finished already; its model is used")
            return read_model(done)
        return run_stage1(
            self.config,
            self.schema,
            self._cases(selection.labelled, progress),
            self._cases(selection.val, progress),
            self.seed,
            self.precision,
            self.folder / "stage1",
            self._provenance(selection),
            progress,
            self._phantoms(progress),
            start=self._start1(progress),
        )

    def stage2(self, progress: Progress) -> ModelInfo:
        """Train the method, after stage 1 where it needs one; a finished model is read."""
        selection = self._begin()
        done = self.folder / "model"
        if (done / "model.json").is_file():
            progress.message("This run is finished already; its model is used")
            return read_model(done)
        pretrained = None
        if method_class(self.config.stage2.method).needs_prompt_maps:
            pretrained = self._pretrained(selection) if self.pretrained else self.stage1(progress)
        info = self._stage2(selection, pretrained, progress)
        assert info is not None
        return info

    def warmup(self, progress: Progress) -> None:
        """Stage 2 as far as the labelled slices alone teach, for runs that go on from there."""
        if not self.config.stage2.warmup_epochs:
            raise CPS4Error(
                f"The preset '{self.config.name}' has no warm-up",
                cure="Set stage2.warmup, the share of the training on labelled cases alone",
            )
        self._stage2(self._begin(), None, progress, warmup_only=True)

    def _stage2(
        self,
        selection: Selection,
        pretrained: ModelInfo | None,
        progress: Progress,
        warmup_only: bool = False,
    ) -> ModelInfo | None:
        return run_stage2(
            self.config,
            self.schema,
            self._cases(selection.labelled, progress),
            self._cases(selection.unlabelled, progress, with_labels=False),
            self._cases(selection.val, progress),
            pretrained,
            self.seed,
            self.precision,
            self.folder / "stage2",
            self.folder / "model",
            self._provenance(selection),
            progress,
            self._phantoms(progress),
            start=self._start2(progress),
            warmed_up=self.warmed_up,
            warmup_only=warmup_only,
        )

    def _begin(self) -> Selection:
        """Choose the cases; refuse a folder that holds a run of another configuration or data."""
        method_class(self.config.stage2.method).read_options(self.config.stage2)
        objective_class(self.config.stage1.objective).read_options(self.config.stage1)
        selection = self.study.select(self.labelled, self.order, self.seed)
        initial = self._initial()
        if initial is not None:
            check_not_held_out(initial, self.study, selection)
        described = {
            "seed": self.seed,
            "labelled": list(selection.labelled),
            "unlabelled": list(selection.unlabelled),
            "validation": list(selection.val),
            "config": self.config.model_dump(mode="json"),
            "processes": processes.count(),
            "initial": weights_fingerprint(initial) if initial else None,
        }
        if self.warmed_up is not None:
            check_warmup(self.warmed_up, described)
        with processes.first_then_rest():
            self._claim(described)
        return selection

    def _claim(self, described: dict[str, Any]) -> None:
        """Make the folder this run's, or check that it is."""
        make_folder(self.folder)
        description = self.folder / DESCRIPTION
        if description.is_file():
            before = {"processes": 1} | read_json(description, "description of the run")
            changed = sorted(k for k in described if before.get(k) != described[k])
            if changed:
                raise CPS4Error(
                    f"This folder holds a run with another {', '.join(changed)}",
                    path=self.folder,
                    cure="Choose another output folder, or repeat the command that began this run",
                )
        elif any(p for p in self.folder.iterdir() if not p.name.startswith(".")):
            raise CPS4Error(
                "The output folder is not empty and holds no run",
                path=self.folder,
                cure="Choose an empty or new folder",
            )
        else:
            write_json(description, described)
        # After the description: a run that is killed in between is still known as one.
        config = self.folder / "config.yaml"
        if not config.is_file():
            write_text(config, config_text(self.config))

    def _cases(
        self, ids: tuple[str, ...], progress: Progress, with_labels: bool = True
    ) -> list[CachedCase]:
        with processes.first_then_rest():
            return cache_cases(
                self.study, ids, self.config.input, progress, self.cache, with_labels=with_labels
            )

    def _phantoms(self, progress: Progress) -> list[CachedCase]:
        options = self.config.phantoms
        if not options.count or options.share == 0:
            return []
        folder = self.cache or default_cache_folder(self.study)
        with processes.first_then_rest():
            return cache_phantoms(options, self.study.schema, self.config.input, folder, progress)

    def _pretrained(self, selection: Selection) -> ModelInfo:
        """Stage 1 of another run: it must fit, and must not have seen what is held out here."""
        assert self.pretrained is not None
        folder = _stage1_of(self.pretrained)
        info = read_model(folder)
        here = self.config
        same = info.config.input == here.input and info.schema.prompts == self.schema.prompts
        if not same or info.config.vision_language != here.vision_language:
            raise CPS4Error(
                "The pretrained prompts were trained with another input, schema or encoder",
                path=folder,
                cure="Pretrain again with this configuration, or train with that one",
            )
        if info.config.stage1.objective != here.stage1.objective:
            raise CPS4Error(
                f"The pretrained prompts were trained by {info.config.stage1.objective}, this "
                f"configuration names {here.stage1.objective}",
                path=folder,
                cure=f"Set stage1.objective={info.config.stage1.objective}",
            )
        seen = {case["id"] for case in info.provenance.get("labelled", [])}
        held_out = sorted(seen & {*selection.val, *selection.test})
        if held_out:
            raise CPS4Error(
                f"The pretrained prompts were trained on held-out cases: {', '.join(held_out)}",
                path=folder,
            )
        check_not_held_out(info, self.study, selection)
        return info

    def _phantom_provenance(self) -> dict[str, Any]:
        from CPS4Core.phantom.variety import RECIPE

        options = self.config.phantoms
        return {"recipe": RECIPE, **options.model_dump()} if options.count else {"count": 0}

    def _initial(self) -> ModelInfo | None:
        return None if self.initial is None else open_model(self.initial)

    def _start1(self, progress: Progress) -> Callable[[Objective], None] | None:
        info = self._initial()
        if info is None:
            return None
        return lambda module: start_pretraining(module, self.config, info, progress)

    def _start2(self, progress: Progress) -> Callable[[ResUNet], None] | None:
        info = self._initial()
        if info is None:
            return None
        return lambda network: start_network(network, self.config, self.schema, info, progress)

    def _before(self) -> dict[str, Any]:
        """The models that this run builds on, as far as there are any."""
        found = {}
        if (initial := self._initial()) is not None:
            found["initial"] = initial_provenance(initial)
        if self.pretrained is not None:
            found["pretrained"] = initial_provenance(read_model(_stage1_of(self.pretrained)))
        return found

    def _classes(self, selection: Selection) -> dict[str, int]:
        """How many labelled cases show each structure of the schema: what the model can know."""
        shown = [case.classes for case in self._cases(selection.labelled, Progress())]
        return {
            name: sum(index in s for s in shown)
            for index, name in enumerate(self.schema.class_names)
            if index
        }

    def _provenance(self, selection: Selection) -> dict[str, Any]:
        def described(ids: tuple[str, ...], labels: bool) -> list[dict[str, str]]:
            found = []
            for case_id in ids:
                case = self.study.cases[case_id]
                entry = {"id": case_id, "image": case_fingerprint(case.image)}
                if labels and case.label is not None:
                    entry["label"] = case_fingerprint(case.label)
                found.append(entry)
            return found

        return {
            "code_version": __version__,
            "study": str(self.study.dataset.get("name", "unnamed")),
            "licence": str(self.study.dataset.get("licence", "not stated")),
            "seed": self.seed,
            "labelled_option": self.labelled,
            "order": self.order,
            "labelled": described(selection.labelled, True),
            "unlabelled": described(selection.unlabelled, False),
            "validation": described(selection.val, True),
            "phantoms": self._phantom_provenance(),
            "classes": self._classes(selection),
            "preset": self.config.name,
            "device": self.precision.device.type,
            "precision": str(self.precision.dtype or "fp32").removeprefix("torch."),
            **self._before(),
        }


def _stage1_of(run: Path) -> Path:
    """The stage 1 in a run's folder, or the model folder itself."""
    stage1 = run / "stage1" / "model"
    return stage1 if stage1.is_dir() else run
