"""Text encoders: class prompts to prompt tokens."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from CPS4Core.config import TextConfig
from CPS4Core.encoders.text_tokens import TextTokens
from CPS4Core.encoders.torchvision_import import import_transformers
from CPS4Core.errors import CPS4Error

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class TextEncoder(nn.Module):
    """A BERT and its tokenizer; prompt token: [CLS] or the mean of the class name's pieces."""

    def __init__(self, model: nn.Module, tokenizer: Any, prompt_token: str):
        super().__init__()
        self.model, self.tokenizer, self.prompt_token = model, tokenizer, prompt_token
        self.width: int = model.config.hidden_size  # type: ignore[union-attr, assignment]

    def forward(self, prompts: Sequence[str], class_names: Sequence[str]) -> Tensor:
        """K prompts -> [K, width]. `class_names` says which words of each prompt name the class."""
        return self.read(prompts, class_names).pooled(self.prompt_token)

    def read(self, texts: Sequence[str], class_names: Sequence[str]) -> TextTokens:
        """T texts, and the part of each that names what it is about -> their tokens.

        A text longer than the encoder's positions is cut.
        """
        device = next(self.model.parameters()).device
        encoded = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.model.config.max_position_embeddings,  # type: ignore[union-attr]
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        offsets = encoded.pop("offset_mapping")
        words = [[-1 if w is None else w for w in encoded.word_ids(k)] for k in range(len(texts))]
        pairs = enumerate(zip(texts, class_names, strict=True))
        named = torch.stack([_pieces_of(name, text, offsets[k]) for k, (text, name) in pairs])
        encoded = encoded.to(device)
        return TextTokens(
            self.model(**encoded, output_hidden_states=True).hidden_states,
            encoded["attention_mask"].bool(),
            named.to(device),
            torch.tensor(words, device=device),
        )

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as transformers does (safetensors and JSON)."""
        self.model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)


def _pieces_of(class_name: str, prompt: str, offsets: Tensor) -> Tensor:
    """Which word pieces lie in the class name; the whole prompt where it is not in there."""
    start = prompt.find(class_name)
    begin, end = (start, start + len(class_name)) if start >= 0 else (0, len(prompt))
    real = offsets[:, 1] > offsets[:, 0]
    inside = real & (offsets[:, 0] >= begin) & (offsets[:, 1] <= end)
    return inside if inside.any() else real


def make_text_encoder(
    options: TextConfig, prompts: Sequence[str], prompt_token: str
) -> TextEncoder:
    """The encoder that the options name: BERT from the hub or a folder, or a small new one."""
    if options.kind == "small-bert":
        return _small_bert(options, prompts, prompt_token)
    return _pretrained(options.name, prompt_token)


def load_text_encoder(folder: Path, prompt_token: str) -> TextEncoder:
    """The text encoder saved in a model folder."""
    return _pretrained(str(folder), prompt_token)


def _pretrained(name: str, prompt_token: str) -> TextEncoder:
    transformers = import_transformers()
    local = Path(name).is_dir()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local)
        model = transformers.BertModel.from_pretrained(
            name, local_files_only=local, add_pooling_layer=False
        )
    except (OSError, ValueError) as error:
        raise CPS4Error(
            f"The text encoder cannot be loaded ({str(error).splitlines()[0]})",
            path=name,
            cure="Give --allow-download to fetch it once; without a network, set "
            "vision_language.text.name to a folder with config.json, "
            "weights and tokenizer, or train with the preset cpu, which needs no weights",
        ) from error
    if not tokenizer.is_fast:
        raise CPS4Error("The text encoder's folder has no fast tokenizer", path=name)
    return TextEncoder(model, tokenizer, prompt_token)


def _small_bert(options: TextConfig, prompts: Sequence[str], prompt_token: str) -> TextEncoder:
    transformers = import_transformers()
    # Words of the prompts plus single characters: every text can be written, known words are whole.
    words = sorted({w for p in prompts for w in re.findall(r"\w+|[^\w\s]", p.lower())})
    characters = sorted(
        {c for c in "abcdefghijklmnopqrstuvwxyz0123456789.,/-()"} | set("".join(words))
    )
    vocabulary = list(
        dict.fromkeys([*_SPECIAL, *words, *characters, *(f"##{c}" for c in characters)])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(vocabulary), encoding="utf-8")
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder, do_lower_case=True)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=options.width,
        num_hidden_layers=options.depth,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=128,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    return TextEncoder(model, tokenizer, prompt_token)
