"""Writing volumes and named segmentations, complete or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error
from CPS4Core.schema import built_in_schema
from CPS4Core.volumes.reading import read_label_map, read_volume
from CPS4Core.volumes.writing import WRITABLE, read_segmentation, write_segmentation, write_volume


def label_map(values: tuple[int, ...] = (1, 2, 11)) -> sitk.Image:
    """Bars of 2 rows, one per value, in an oblique volume."""
    array = np.zeros((4, 2 * len(values) + 2, 6), np.uint8)
    for i, value in enumerate(values):
        array[1:3, 2 * i + 1 : 2 * i + 3, 1:4] = value
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.6, 4.4))
    image.SetOrigin((1.5, -2.5, 3.5))
    image.SetDirection((0, 0, -1, 0.8, 0.6, 0, 0.6, -0.8, 0))
    return image


def geometry(image: sitk.Image) -> np.ndarray:
    return np.concatenate([image.GetOrigin(), image.GetSpacing(), image.GetDirection()])


@pytest.mark.parametrize("extension", WRITABLE)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_volumes_come_back(tmp_path: Path, extension: str, dtype: type) -> None:
    image = sitk.GetImageFromArray((sitk.GetArrayFromImage(label_map()) * 2.5).astype(dtype))
    image.CopyInformation(label_map())
    path = tmp_path / "new folder" / f"é{extension}"
    write_volume(image, path)
    read = read_volume(path)
    assert read.GetPixelID() == image.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(geometry(read), geometry(image), atol=1e-6)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_same_volume_same_bytes(tmp_path: Path) -> None:
    write_volume(label_map(), tmp_path / "a.nii.gz")
    write_volume(label_map(), tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_packed_nifti_opens_in_another_reader(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    write_volume(label_map(), tmp_path / "a.nii.gz")
    other = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(other.dataobj).T, sitk.GetArrayFromImage(label_map()))
    world = label_map().TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose((other.affine @ [3, 2, 1, 1])[:3] * [-1, -1, 1], world, atol=1e-4)


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CPS4Error, match="Cannot write this format"):
        write_volume(label_map(), tmp_path / "a.png")
    with pytest.raises(CPS4Error, match=r"ends in \.seg\.nrrd"):
        write_segmentation(label_map(), tmp_path / "a.nrrd", built_in_schema("mrspineseg"))
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, sys
import numpy as np, SimpleITK as sitk
from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.writing import write_volume
image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 999, (9, 90, 90)).astype("i2"))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for name in sys.argv[1:]:
    try:
        write_volume(image, name)
    except CPS4Error:
        continue
    sys.exit(f"no error for {name}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the file size")
def test_a_full_disk_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    paths = [tmp_path / f"a{extension}" for extension in WRITABLE]
    for path in paths:
        path.write_text("the old one")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *map(str, paths)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert all(path.read_text() == "the old one" for path in paths)


def test_segmentation_carries_names_colours_and_codes(tmp_path: Path) -> None:
    schema = built_in_schema("mrspineseg")
    path = tmp_path / "case.seg.nrrd"
    image = label_map()
    write_segmentation(image, path, schema)
    header = path.read_bytes().split(b"\n\n")[0].decode()
    for line in (
        "space: left-posterior-superior",
        "Segment1_ID:=Segment_2",
        "Segment1_Name:=L5",
        "Segment1_LabelValue:=2",
        "Segment1_Layer:=0",
        "Segment1_Extent:=1 3 3 4 1 2",
        "Segment1_Color:=0.360784 0.427451 0.94902",
        "Segmentation_MasterRepresentation:=Binary labelmap",
    ):
        assert line in header.splitlines()
    assert (
        "~SCT^123037004^Anatomical Structure~SCT^49668003^Lumbar Vertebra 5"
        "~^^~Anatomic codes - DICOM master list~^^~^^|" in header
    )
    assert "Segment3" not in header
    assert not image.GetMetaDataKeys()
    read, segments = read_segmentation(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    assert [(s.value, s.name) for s in segments] == [(1, "S"), (2, "L5"), (11, "L5/S")]
    assert segments[1].color == (92, 109, 242) and segments[1].code == "49668003"


def test_segmentation_reads_in_slicers_own_package(tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio")
    path = tmp_path / "case.seg.nrrd"
    write_segmentation(label_map(), path, built_in_schema("mrspineseg"))
    content = slicerio.read_segmentation(str(path))
    assert content["masterRepresentation"] == "Binary labelmap"
    disc = content["segments"][2]
    assert (disc["name"], disc["labelValue"], disc["layer"]) == ("L5/S", 11, 0)
    assert disc["terminology"]["category"] == ["SCT", "123037004", "Anatomical Structure"]
    assert disc["terminology"]["type"][:2] == ["SCT", "715056000"]
    np.testing.assert_array_equal(content["voxels"].T, sitk.GetArrayFromImage(label_map()))
    np.testing.assert_allclose(
        (content["ijkToLPS"] @ [3, 2, 1, 1])[:3],
        label_map().TransformIndexToPhysicalPoint((3, 2, 1)),
    )


def test_segmentation_of_nothing_and_of_foreign_values(tmp_path: Path) -> None:
    schema = built_in_schema("mrspineseg")
    write_segmentation(label_map(()), tmp_path / "empty.seg.nrrd", schema)
    read, segments = read_segmentation(tmp_path / "empty.seg.nrrd")
    assert segments == [] and not sitk.GetArrayFromImage(read).any()
    with pytest.raises(CPS4Error, match=r"\[77\] are not in the label schema"):
        write_segmentation(label_map((1, 77)), tmp_path / "foreign.seg.nrrd", schema)
    assert not (tmp_path / "foreign.seg.nrrd").exists()


def test_values_renumbered_by_slicer_return_to_the_schema(tmp_path: Path) -> None:
    schema = built_in_schema("mrspineseg")
    path = tmp_path / "case.seg.nrrd"
    write_segmentation(label_map((2, 3)), path, schema)
    # Two segments numbered from 1 on, as Slicer writes them; L5 renamed, so its code must do.
    renumbered = sitk.ReadImage(str(path)) - 1
    stored = sitk.ReadImage(str(path))
    for key in stored.GetMetaDataKeys():
        renumbered.SetMetaData(key, stored.GetMetaData(key))
    renumbered = sitk.Cast(renumbered * sitk.Cast(stored > 0, stored.GetPixelID()), sitk.sitkUInt8)
    for key in stored.GetMetaDataKeys():
        renumbered.SetMetaData(key, stored.GetMetaData(key))
    renumbered.SetMetaData("Segment0_LabelValue", "1")
    renumbered.SetMetaData("Segment1_LabelValue", "2")
    renumbered.SetMetaData("Segment0_Name", "my vertebra")
    sitk.WriteImage(renumbered, str(path))
    read, segments = read_segmentation(path, schema)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(label_map((2, 3)))
    )
    assert [s.value for s in segments] == [2, 3]
    renumbered.SetMetaData("Segment0_Tags", "|")
    sitk.WriteImage(renumbered, str(path))
    with pytest.raises(CPS4Error, match="'my vertebra' is not in the label schema"):
        read_segmentation(path, schema)


def test_cropped_segmentation_is_padded_to_its_image(tmp_path: Path) -> None:
    image = label_map()
    path = tmp_path / "crop.seg.nrrd"
    write_segmentation(image[1:5, 1:7, 1:3], path, built_in_schema("mrspineseg"))
    read = read_label_map(path, image)
    assert read.GetSize() == image.GetSize()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    shifted = sitk.Image(image)
    shifted.SetOrigin((1.6, -2.5, 3.5))
    with pytest.raises(CPS4Error, match="does not lie on its image's grid"):
        read_label_map(path, shifted)


def write_layers(path: Path, layers: list[np.ndarray]) -> None:
    """One segment of value 1 per layer, S and L5, as Slicer stores overlapping segments."""
    image = sitk.GetImageFromArray(np.stack(layers, axis=-1).astype(np.uint8), isVector=True)
    for i, name in enumerate(("S", "L5")):
        for key, text in (("ID", name), ("Name", name), ("LabelValue", "1"), ("Layer", str(i))):
            image.SetMetaData(f"Segment{i}_{key}", text)
    sitk.WriteImage(image, str(path))


def test_layers_are_merged_unless_they_overlap(tmp_path: Path) -> None:
    schema = built_in_schema("mrspineseg")
    path = tmp_path / "layers.seg.nrrd"
    upper, lower = np.zeros((4, 6, 5)), np.zeros((4, 6, 5))
    upper[:, :3], lower[:, 3:] = 1, 1
    write_layers(path, [lower, upper])
    read, _ = read_segmentation(path, schema)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), 1 * lower + 2 * upper)
    lower[:, 2] = 1
    write_layers(path, [lower, upper])
    with pytest.raises(CPS4Error, match="'L5' overlaps"):
        read_segmentation(path, schema)


def test_ignore_label_is_kept(tmp_path: Path) -> None:
    from dataclasses import replace

    schema = replace(built_in_schema("mrspineseg"), ignore_value=20)
    write_segmentation(label_map((2, 20)), tmp_path / "a.seg.nrrd", schema)
    read, segments = read_segmentation(tmp_path / "a.seg.nrrd", schema)
    assert [s.value for s in segments] == [2, 20]
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(label_map((2, 20)))
    )
