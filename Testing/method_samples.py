"""Methods and batches of made-up slices, small enough for a test."""

from __future__ import annotations

import torch
from tiny_study import tiny_config

from CPS4Core.methods.method import Batch, method_class
from CPS4Core.model_folder import make_network
from CPS4Core.schema import IGNORE_INDEX, LabelSchema, Structure

# With what an untrained network gives, so that each of a method's terms has something to teach.
UNTRAINED = {"unimatch": {"confidence": 0.0}}
KINDS = ("vertebra", "disc", "other")


def schema_of(count: int) -> LabelSchema:
    structures = tuple(
        Structure(i + 1, f"s{i}", f"structure {i}", (1, 2, 3), KINDS[i % 3], order=i)
        for i in range(count)
    )
    return LabelSchema("made", structures)


def make(name: str, schema: LabelSchema, **options):
    torch.manual_seed(0)
    config = tiny_config(f"stage2.method={name}")
    own = {"options": UNTRAINED.get(name, {})}
    stage2 = config.stage2.model_copy(update=own | options)
    return method_class(name)(make_network(config, schema), schema, stage2)


def make_batch(schema: LabelSchema) -> Batch:
    generator = torch.Generator().manual_seed(1)
    count, size = schema.class_count, (40, 32)
    labels = torch.randint(0, count, (2, *size), generator=generator)
    labels[0, 0] = IGNORE_INDEX
    soft = torch.rand(2, count, *size, generator=generator)
    text = soft.argmax(dim=1)
    text[:, 0] = IGNORE_INDEX
    images = torch.rand(4, 1, *size, generator=generator)
    return Batch(images[:2], labels, images[2:], text, soft)


def make_halfway(name: str, schema: LabelSchema, **options):
    """In training, past every warm-up and start."""
    method = make(name, schema, **options).train()
    method.after_step(method.options.total_steps // 2)
    return method
