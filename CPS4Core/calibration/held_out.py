"""The cases on which a model may be calibrated: labelled, not trained on with it, not for tests."""

from __future__ import annotations

from collections.abc import Sequence

from CPS4Core.errors import CPS4Error
from CPS4Core.model_folder import ModelInfo
from CPS4Core.study.folder import Case, Study, case_fingerprint

PARTS = ("val", "unlabelled")


def held_out_cases(info: ModelInfo, study: Study, wanted: Sequence[str]) -> list[Case]:
    """The cases that `wanted` names, sorted by id.

    wanted: `val` (the study's validation cases), `unlabelled` (its training cases that have a label
        file but were not labelled for this model), or case ids.

    Raises CPS4Error for a test case of the study, for a case that the model was trained on with its
    label (by id and by content, as model.json's provenance has them), for unknown ones, and for a
    study without splits, of which nobody knows the test cases.
    """
    if study.splits is None:
        raise CPS4Error(
            "The study has no splits.json, so it is not known which cases are for tests",
            path=study.folder,
            cure="Make the splits with cps4 study split",
        )
    taught = info.provenance.get("labelled")
    if not isinstance(taught, list) or not taught:
        raise CPS4Error(
            "The model does not say which cases it was trained on",
            path=info.folder,
            cure="Calibrate a model by cps4 train, whose model.json names them",
        )
    ids = {case["id"] for case in taught}
    images = {case.get("image") for case in taught}
    test = {*study.splits.test, *study.test_cases}
    chosen: set[str] = set()
    for part in wanted:
        if part == "val":
            chosen |= {c for c in study.splits.val if c not in ids}
        elif part == "unlabelled":
            training = {*study.splits.train, *study.splits.unnamed}
            never = {*study.splits.always_unlabelled, *ids}
            chosen |= {c for c in training - never if study.has_label.get(c)}
        elif part in test:
            raise CPS4Error(
                f"'{part}' is a test case of the study; a calibration may not see it",
                path=study.folder,
                cure="Use --cases val,unlabelled",
            )
        elif part in study.cases and study.cases[part].label is not None:
            chosen.add(part)
        else:
            raise CPS4Error(
                f"The study has no case '{part}' with a label",
                path=study.folder,
                cure=f"Give case ids or {', '.join(PARTS)}",
            )
    cases = [study.cases[c] for c in sorted(chosen)]
    seen = [c.id for c in cases if c.id in ids or case_fingerprint(c.image) in images]
    if seen:
        raise CPS4Error(
            f"The model was trained on the labels of {', '.join(seen)}",
            path=study.folder,
            cure="Use --cases val,unlabelled, which leaves them out",
        )
    return cases
