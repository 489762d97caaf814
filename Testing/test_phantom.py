"""Phantoms: plausible by number, exact labels, repeatable; and the study folder made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import label as components

from CPS4Core.errors import Cancelled, CPS4Error
from CPS4Core.phantom import make_phantom, write_phantom_study
from CPS4Core.progress import Progress
from CPS4Core.schema import built_in_schema
from CPS4Core.study.folder import Study

SCHEMA = built_in_schema("mrspineseg")
VALUE = {s.name: s.value for s in SCHEMA.structures}
QUIET = {"contrast": 0.0, "noise": 0.0, "bias": 0.0}


def arrays(seed: int, size: int | tuple[int, int] = 128, **options) -> tuple:
    return tuple(sitk.GetArrayFromImage(v) for v in make_phantom(seed, size, **options))


def shown(labels: np.ndarray) -> list[str]:
    """Names in a label map, upwards."""
    found = {int(v) for v in np.unique(labels)}
    ranked = sorted(SCHEMA.structures, key=lambda s: s.order or 0)
    return [s.name for s in ranked if s.value in found]


def widest_slice(labels: np.ndarray, name: str) -> np.ndarray:
    return labels[int(np.argmax((labels == VALUE[name]).sum((1, 2))))]


def test_geometry_is_sagittal_and_shared():
    image, label = make_phantom(3, (160, 128), slices=14)
    for same in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(image, same)() == getattr(label, same)()
    assert image.GetSize() == (128, 160, 14)
    column, row, between = image.GetSpacing()
    assert column == row and 310 < row * 160 < 360 and 4.4 <= between <= 5.5
    matrix = np.array(image.GetDirection()).reshape(3, 3)
    assert matrix[:, 0] @ [0, 1, 0] > 0.95  # columns go backwards
    assert matrix[:, 1] @ [0, 0, -1] > 0.95  # rows go down
    assert np.allclose(matrix @ matrix.T, np.eye(3)) and np.linalg.det(matrix) > 0
    assert np.abs(matrix).max() < 1  # slightly oblique
    assert image.GetPixelIDValue() == sitk.sitkInt16 and label.GetPixelIDValue() == sitk.sitkUInt8


def test_field_of_view_does_not_depend_on_the_size():
    small, large = (make_phantom(5, n, slices=12)[0] for n in (96, 192))
    assert small.GetSpacing()[0] * 96 == pytest.approx(large.GetSpacing()[0] * 192)
    # The same anatomy, too: its volumes agree within the coarse pixels.
    volumes = []
    for size in (96, 192):
        _, label = make_phantom(5, size, slices=12)
        ml = np.prod(label.GetSpacing()) / 1000
        volumes.append((sitk.GetArrayFromImage(label) == VALUE["L3"]).sum() * ml)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.08)


def test_same_seed_same_phantom_other_seed_other():
    first, again, other = (arrays(seed, 96, slices=12) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    counts = {arrays(seed, 64)[0].shape[0] for seed in range(8)}
    assert len(counts) > 2 and all(12 <= n <= 18 for n in counts)


@pytest.mark.parametrize("seed", range(4))
def test_levels_follow_each_other_without_a_gap(seed):
    _, labels = arrays(seed, 160, sacrum_visible=True)
    names = shown(labels)
    ranked = [s.name for s in sorted(SCHEMA.structures, key=lambda s: s.order or 0)]
    assert names == ranked[: len(names)] and "L1" in names
    kinds = [SCHEMA.structures[SCHEMA.index_of(n) - 1].kind for n in names]
    assert kinds == ["vertebra" if i % 2 == 0 else "disc" for i in range(len(names))]
    # Each lies above the one before: along a slice through the discs, seen in front of the canal.
    slice_ = widest_slice(labels, "L3/L4")
    heights = []
    for name in names[1:-1]:
        rows, cols = np.nonzero(slice_ == VALUE[name])
        if len(rows) < 8:
            continue
        front = cols <= np.percentile(cols, 40)
        heights.append(float(np.median(rows[front])))
    assert len(heights) > 8 and np.all(np.diff(heights) < 0)


def test_sizes_are_those_of_a_spine():
    _, label = make_phantom(7, 256, sacrum_visible=True)
    labels, spacing = sitk.GetArrayFromImage(label), label.GetSpacing()[0]
    slice_ = widest_slice(labels, "L3/L4")
    cols = np.nonzero((slice_ == VALUE["L3/L4"]).any(axis=0))[0]
    assert 27 < np.ptp(cols) * spacing < 46  # front to back
    middle = slice_[:, int(np.median(cols))]
    assert 20 < (middle == VALUE["L3"]).sum() * spacing < 33
    assert 4 < (middle == VALUE["L3/L4"]).sum() * spacing < 15
    ml = np.prod(label.GetSpacing()) / 1000
    assert (labels == VALUE["L3"]).sum() > (labels == VALUE["T11"]).sum()
    assert 25 < (labels == VALUE["L3"]).sum() * ml < 100
    # The spine lies in the central half from front to back.
    where = np.nonzero(np.isin(labels, [VALUE[f"L{i}"] for i in range(1, 6)]))[2]
    assert 64 < where.mean() < 192


def test_posterior_elements_carry_their_vertebra_and_the_canal_is_bright_between():
    image, labels = arrays(7, 256, sacrum_visible=True, **QUIET)
    found = 0
    for name in ("L4", "L3", "L2", "L1"):
        for slice_, signal in zip(labels, image, strict=True):
            parts, count = components(slice_ == VALUE[name])
            sizes = [int((parts == i + 1).sum()) for i in range(count)]
            if sum(s > 40 for s in sizes) != 2:
                continue
            big = [i + 1 for i in np.argsort(sizes)[-2:]]
            front, back = sorted(big, key=lambda i: np.nonzero(parts == i)[1].mean())
            row = int(np.nonzero(parts == back)[0].mean())
            edge = np.nonzero(slice_[row] == VALUE[name])[0]
            body = np.median(signal[parts == front])
            left, right = np.nonzero(parts == front)[1].max(), np.nonzero(parts == back)[1].min()
            if len(edge) and right > left + 5:
                found += signal[row, left:right].max() > 1.6 * body
    assert found >= 3


def test_edge_slices_leave_the_canal():
    _, labels = arrays(2, 160, slices=15, sacrum_visible=True)
    area = (labels == VALUE["L3"]).sum((1, 2))
    assert area.max() > 3 * min(area[0], area[-1])


@pytest.mark.parametrize("seed", range(8))
def test_hidden_sacrum_hides_the_whole_anchor(seed):
    _, hidden = arrays(seed, 96, slices=12, sacrum_visible=False)
    assert not np.isin(hidden, [VALUE["S"], VALUE["L5/S"]]).any()
    assert (hidden == VALUE["L4"]).any()
    _, visible = arrays(seed, 96, slices=12, sacrum_visible=True)
    assert (visible == VALUE["S"]).sum() > 50 and (visible == VALUE["L5/S"]).any()


def test_levels_above_t9_are_seen_but_not_labelled():
    image, labels = arrays(4, 160, sacrum_visible=False, **QUIET)
    slice_ = widest_slice(labels, "T9")
    top = np.nonzero((slice_ == VALUE["T9"]).any(axis=1))[0].min()
    cols = np.nonzero(slice_[top + 3] == VALUE["T9"])[0]
    assert top > 12
    above = image[int(np.argmax((labels == VALUE["T9"]).sum((1, 2))))][
        :top, cols.min() : cols.max()
    ]
    assert above.max() > 0.5 * np.median(image[labels == VALUE["T9"]])


def test_discs_are_bright_and_thick_or_dark_and_thin_as_asked():
    def disc(wear: float) -> tuple[float, int]:
        image, labels = arrays(6, 192, slices=12, degeneration=wear, **QUIET)
        inside = labels == VALUE["L3/L4"]
        bone = np.median(image[labels == VALUE["L3"]])
        return float(np.percentile(image[inside], 80) / bone), int(inside.sum())

    (bright, thick), (dark, thin) = disc(0.0), disc(1.0)
    assert bright > 1.1 and dark < 0.6
    assert thin < 0.75 * thick


@pytest.mark.parametrize("option", ["contrast", "noise", "bias"])
def test_looks_change_the_image_only(option):
    plain = arrays(8, 96, slices=12)
    changed = arrays(8, 96, slices=12, **{option: 2.5})
    assert np.array_equal(plain[1], changed[1])
    assert np.mean(plain[0] != changed[0]) > 0.3


def test_noise_can_be_switched_off_and_is_as_strong_as_asked():
    quiet, some, more = (arrays(9, 96, slices=12, noise=n)[0].astype(float) for n in (0, 1, 2))
    assert quiet[:, :, -3:].max() == 0  # air behind the back
    assert 0 < some[:, :, -3:].mean() < 0.6 * more[:, :, -3:].mean()


def test_other_schemas_and_bad_sizes():
    spider = built_in_schema("spider")
    _, labels = arrays(3, 96, schema="spider", slices=12)
    assert not spider.foreign_values(labels)
    known = {s.name: s.value for s in spider.structures}
    _, ours = arrays(3, 96, slices=12)
    assert np.array_equal(labels == known["L3"], ours == VALUE["L3"])
    for size in (16, (256, 64)):
        with pytest.raises(CPS4Error, match="cannot be made"):
            make_phantom(0, size)


COUNTS = {"labelled": 2, "unlabelled": 2, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_phantom_study(tmp_path_factory.mktemp("p") / "study", **COUNTS, size=64, seed=5)


def test_study_opens_with_its_splits(folder):
    study = Study.open(folder)
    assert study.schema == SCHEMA
    assert len(study.labelled) == 4 and len(study.unlabelled) == 2
    chosen = study.select()
    rows = [chosen.labelled, chosen.unlabelled, chosen.val, chosen.test]
    assert [len(r) for r in rows] == [2, 2, 1, 1]
    assert set(chosen.unlabelled) == set(study.unlabelled)
    dataset = json.loads((folder / "dataset.json").read_text())
    assert dataset["name"] == "phantom" and dataset["channel_names"] == {"0": "T2"}
    assert dataset["file_ending"] == ".nii.gz" and dataset["numTraining"] == 4
    assert dataset["labels"]["L5/S"] == VALUE["L5/S"] and dataset["cps4_schema"]
    truth = {f.name.removesuffix(".nii.gz") for f in (folder / "truth").iterdir()}
    assert truth == set(study.unlabelled)


def test_study_on_disk_is_what_was_made(folder):
    study = Study.open(folder)
    seen = set()
    for case in study.cases.values():
        path = case.label or folder / "truth" / f"{case.id}.nii.gz"
        image, label = sitk.ReadImage(str(case.image)), sitk.ReadImage(str(path))
        assert image.GetSize() == label.GetSize()
        assert np.allclose(image.GetDirection(), label.GetDirection(), atol=1e-5)
        array = sitk.GetArrayFromImage(label)
        assert array.any() and not study.schema.foreign_values(array)
        seen.add(array.tobytes())
    assert len(seen) == len(study.cases)


def test_study_resumes_after_a_stop(folder, tmp_path):
    class Stop(Progress):
        def emit(self, event):
            if event["event"] == "step" and event["step"] == 2:
                self.cancel()

    with pytest.raises(Cancelled):
        write_phantom_study(tmp_path / "s", **COUNTS, size=64, seed=5, progress=Stop())
    done = {f: f.stat().st_mtime_ns for f in (tmp_path / "s" / "imagesTr").iterdir()}
    assert len(done) == 2
    write_phantom_study(tmp_path / "s", **COUNTS, size=64, seed=5)
    assert all(f.stat().st_mtime_ns == when for f, when in done.items())
    for file in sorted((folder / "imagesTr").iterdir()):
        twin = sitk.ReadImage(str(tmp_path / "s" / "imagesTr" / file.name))
        same = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        assert np.array_equal(sitk.GetArrayFromImage(twin), same)
    assert (tmp_path / "s" / "splits.json").read_text() == (folder / "splits.json").read_text()


def test_study_refuses_a_folder_of_something_else(folder, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CPS4Error, match="something else"):
        write_phantom_study(tmp_path, **COUNTS, size=64)
    assert [f.name for f in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(CPS4Error, match="other settings"):
        write_phantom_study(folder, **COUNTS, size=64, seed=6)
    with pytest.raises(CPS4Error, match="at least one labelled"):
        write_phantom_study(tmp_path / "new", labelled=0)
