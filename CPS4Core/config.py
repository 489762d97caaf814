"""Every option of the method with its type and the values it may take.

Presets are YAML files in `CPS4Core/presets`; `load_config` reads one by name or path and applies
overrides such as `stage1.epochs=5`. Where the paper is silent the option names the choices.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from CPS4Core.errors import CPS4Error

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InputConfig(_Options):
    """The working image."""

    size: tuple[Positive, Positive]
    """Rows (superior-inferior) and columns (anterior-posterior)."""
    fit: Literal["pad", "stretch"]
    ap_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of the anterior-posterior axis that is kept, centred."""


class AugmentationConfig(_Options):
    """Random changes in training. None of them flips or turns the spine: levels are counted."""

    rotation: float
    """Degrees to either side."""
    elastic_alpha: float
    elastic_sigma: float
    elastic_probability: Share
    contrast: tuple[float, float]
    contrast_probability: Share
    scale: tuple[float, float]
    shift: Share
    """Share of the image side, to either side."""
    gamma: tuple[float, float]
    gamma_probability: Share
    bias: Annotated[float, Field(ge=0)]
    """Strength of a smooth multiplicative field."""
    noise: Annotated[float, Field(ge=0)]


class VisionConfig(_Options):
    """The vision encoder."""

    kind: Literal["timm", "conv-vit"]
    name: str
    """A timm model name; for `conv-vit` only a label."""
    pretrained: bool
    patch: Positive
    width: Positive
    depth: Positive
    heads: Positive


class TextConfig(_Options):
    """The text encoder."""

    kind: Literal["transformers", "small-bert"]
    name: str
    """A hub name or local folder for `transformers`."""
    width: Positive
    depth: Positive
    heads: Positive


class VisionLanguageConfig(_Options):
    """Both encoders and how prompts attend to patches."""

    vision: VisionConfig
    text: TextConfig
    projection: Positive
    prompt_token: Literal["cls", "class-name-mean"]
    activation: Literal["sigmoid", "cross-class"]
    scale: float
    """w of `sigmoid(w cos + b)`, learnable."""
    bias: float
    """b of `sigmoid(w cos + b)`, learnable."""
    temperature: Annotated[float, Field(gt=0)]
    """Of the softmax over the K prompts (`cross-class`)."""
    normalise: Literal["zscore", "local"]


class PromptsConfig(_Options):
    """The wording of the class prompts."""

    template: str | None = None
    """With `{class name}` in it; null takes the study's own."""
    classes: dict[str, str] = {}
    """Whole prompts for single classes, by short or full name."""


class Stage1Config(_Options):
    """Vision-language pretraining; the losses' weights and targets are those of `cps4`."""

    objective: str = "cps4"
    """How the encoders are trained: a name of CPS4Core/pretrain."""
    options: dict[str, Any] = {}
    """What this objective alone knows (its `Options`); nothing: its defaults."""
    token_weight: Annotated[float, Field(ge=0)]
    pixel_weight: Annotated[float, Field(ge=0)]
    target: Literal["any", "half", "occupancy", "full-resolution"]
    """M to B on the token grid: any overlap, at least half, its share, or the full image."""
    absent_classes: Literal["skip", "suppress"]
    """Classes not in an image give no loss, or an all-zero target in the pixel loss."""
    include_background: bool
    """Whether the background prompt counts among the classes of an image."""
    epochs: Positive
    iterations_per_epoch: Positive
    batch: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["plateau", "cosine"]
    plateau_factor: Share
    plateau_patience: Positive
    validate_every: Positive


class MapsConfig(_Options):
    """From attention to the integrated segmentation map."""

    otsu_input: Literal["activation", "cosine"]
    upsampling: Literal["bilinear", "nearest"]
    reject_below: Share
    """A class whose map never exceeds this is taken as absent."""
    integration: Literal["highest-fired", "argmax"]
    classes: Literal["all", "trained"]
    """Which classes may appear: all, or those that some labelled case of stage 1 showed."""


class NetworkConfig(_Options):
    """The segmentation network."""

    widths: list[Positive]
    normalise: Literal["zscore", "local"]


class Stage2Config(_Options):
    """Semi-supervised segmentation."""

    method: str
    epochs: Positive
    iterations_per_epoch: Positive
    labelled_batch: Positive
    unlabelled_batch: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    milestones: list[Share]
    milestone_factor: Share
    validate_every: Positive
    warmup: Share
    """Share of the training in which the unlabelled slices do not teach yet."""
    ema_decay: Share
    teacher_mode: Literal["eval", "train"]
    text_weight: Annotated[float, Field(ge=0)]
    enhanced_weight: Annotated[float, Field(ge=0)]
    enhanced: Literal["sum", "agreement", "weighted", "confidence", "level"]
    """How the teacher's pseudo-label and the text map become the enhanced label."""
    enhanced_text_weight: Annotated[float, Field(ge=0)]
    enhanced_text_temperature: Annotated[float, Field(gt=0)]
    pseudo_threshold: Share
    """Pixels where the teacher is less sure teach nothing (mean teacher, and rule `level`)."""
    confidence: Share
    """Below this the `confidence` rule falls back on the teacher."""
    pseudo_labels: Literal["voxel", "decoded"]
    """Each voxel's own best class, or the levels of a whole volume decoded together: the teacher's
    pseudo-labels and the prompt maps then teach as one gap-free order along the column."""
    decode_every: Positive
    """Epochs between two decodings of the unlabelled cases."""
    decoded_text_weight: Annotated[float, Field(ge=0)]
    """Weight of the prompt maps beside the teacher in the decoding (methods with prompt maps)."""
    level_confidence: Share
    """A structure whose decoded level is less sure than this does not teach its level."""
    unsure_levels: Literal["shape", "ignore"]
    """Such a structure teaches its shape alone (vertebra, disc, background), or nothing."""
    decoded_outlines: Literal["order", "agreed"] = "order"
    """A decoded structure teaches as far as the found order favours it, or as far as the teacher
    sees its kind of tissue, too."""
    options: dict[str, Any] = {}
    """The method's own options by name; the method checks them (CPS4Core/methods)."""

    @property
    def total_steps(self) -> int:
        """Steps of the whole training, one batch each."""
        return self.epochs * self.iterations_per_epoch

    @property
    def warmup_steps(self) -> int:
        """Updates before the unlabelled slices teach."""
        return round(self.warmup * self.total_steps)

    @property
    def warmup_epochs(self) -> int:
        """Epochs that lie before that as a whole."""
        return self.warmup_steps // self.iterations_per_epoch


class PhantomsConfig(_Options):
    """Made-up scans with full labels as additional labelled cases."""

    count: Annotated[int, Field(ge=0)] = 0
    """How many varied phantoms; 0: none."""
    share: Share | None = 0.5
    """Their share of every labelled batch, in both stages; null: what `worth` gives."""
    worth: Annotated[float, Field(gt=0)] = 5
    """How many labelled cases they count as, all together: of n labelled cases' batches they are
    worth / (worth + n), so that they lead where labels are few and step back where there are many.
    At least one slice of a batch is theirs, and one is not."""
    seed: int = 0
    partial_labels: Literal["background", "marginal"] = "marginal"
    """Background that may hide structures which only the other source labels (the sacrum in a study
    without it): taken as plain background, or as background or any of those."""


class InferenceConfig(_Options):
    """How the finished model segments, unless the user says otherwise."""

    levels: Literal["raw", "decoded"] = "decoded"
    """Each voxel's best class, or all structures of a volume named jointly (CPS4Core.levels)."""


class Config(_Options):
    """A whole run."""

    name: str
    input: InputConfig
    augmentation: AugmentationConfig
    prompts: PromptsConfig = PromptsConfig()
    vision_language: VisionLanguageConfig
    stage1: Stage1Config
    maps: MapsConfig
    network: NetworkConfig
    stage2: Stage2Config
    phantoms: PhantomsConfig = PhantomsConfig()
    inference: InferenceConfig = InferenceConfig()


def preset_names() -> list[str]:
    """Presets shipped with the package."""
    folder = resources.files("CPS4Core") / "presets"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The YAML text of a shipped preset."""
    return (resources.files("CPS4Core") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def load_config(preset: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a preset by name or a YAML file by path, then apply `key.key=value` overrides.

    Raises CPS4Error for an unknown preset, an unknown option or a value that it may not take.
    """
    if str(preset) in preset_names():
        text = preset_text(str(preset))
    else:
        try:
            text = Path(preset).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CPS4Error(
                "This is neither a preset nor a readable configuration file",
                path=preset,
                cure=f"Presets: {', '.join(preset_names())}",
            ) from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CPS4Error(f"The configuration is not valid YAML ({error})", path=preset) from error
    for override in overrides:
        _override(content, override)
    return config_from_dict(content, preset)


def config_from_dict(content: Any, source: str | Path = "configuration") -> Config:
    """Check a configuration given as nested dicts; raises CPS4Error naming the option."""
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CPS4Error(f"Option {option}: {first['msg']}", path=source) from error


def complete_config(content: Any, source: str | Path) -> Config:
    """A configuration of an earlier version: options that it lacks are taken from `paper`."""
    return config_from_dict(_merged(yaml.safe_load(preset_text("paper")), content), source)


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: _merged(base.get(key), value) for key, value in changes.items()}


def config_text(config: Config) -> str:
    """The configuration as YAML, to be read back by `load_config`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _override(content: Any, override: str) -> None:
    key, separator, value = override.partition("=")
    *parents, last = key.strip().split(".")
    for stage in ("stage1", "stage2"):
        content.get(stage, {}).setdefault("options", {})
    target = content
    for part in parents:
        target = target.get(part) if isinstance(target, dict) else None
    free = parents[1:] == ["options"]  # their names are known to the method or objective alone
    if not separator or not isinstance(target, dict) or not (free or last in target):
        raise CPS4Error(
            f"Cannot set '{override}'", cure="Write option=value with an option of the preset files"
        )
    target[last] = yaml.safe_load(value)
