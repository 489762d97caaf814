"""Reading volumes, label maps and folders, and what is said about those that are none."""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CPS4Core.errors import CPS4Error
from CPS4Core.volumes.dicom import VolumeWarning
from CPS4Core.volumes.reading import (
    case_id_of,
    find_inputs,
    is_dicom_folder,
    is_volume_file,
    read_label_map,
    read_volume,
)

FORMATS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".nhdr")


def volume(
    dtype: type = np.int16, shape: tuple[int, ...] = (4, 20, 15), seed: int = 0
) -> sitk.Image:
    values: np.ndarray = np.random.default_rng(seed).integers(0, 1000, shape).astype(dtype)
    image = sitk.GetImageFromArray(values, isVector=False)
    if len(shape) == 3:
        image.SetSpacing((0.5, 0.75, 4.0))
        image.SetOrigin((10.0, -20.0, 30.0))
        image.SetDirection((0, 0, -1, 1, 0, 0, 0, -1, 0))
    return image


def same(a: sitk.Image, b: sitk.Image) -> bool:
    return bool(np.array_equal(sitk.GetArrayViewFromImage(a), sitk.GetArrayViewFromImage(b)))


def write_series(
    folder: Path,
    positions: list[float],
    series: str = "1",
    description: str = "T2 sag",
    name: str = "IM",
) -> None:
    """A sagittal series: slice i at x = positions[i] mm, 100 + i but for a dark spot."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, x in enumerate(positions):
        image = sitk.Image((8, 6, 1), sitk.sitkInt16) + 100 + number
        image[4:6, 3:5, 0] = 10
        image.SetSpacing((0.5, 0.5, 4.0))
        for key, value in {
            "0008|0060": "MR",
            "0008|103e": description,
            "0010|0010": "Doe^Jane",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{series}",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.1.{series}.{number + 1}",
            "0020|0013": str(number + 1),
            "0020|0032": f"{x}\\-20\\50",
            "0020|0037": "0\\1\\0\\0\\0\\-1",
        }.items():
            image.SetMetaData(key, value)
        # Names in another order than the places.
        writer.SetFileName(str(folder / f"{name}{(number * 7) % 97:03d}.dcm"))
        writer.Execute(image)


@pytest.mark.parametrize("extension", FORMATS)
def test_formats_under_a_path_with_accents(tmp_path: Path, extension: str) -> None:
    path = tmp_path / "Müller Wirbelsäule 脊柱" / f"größe{extension}"
    path.parent.mkdir()
    image = volume()
    sitk.WriteImage(image, str(path))
    read = read_volume(path)
    assert same(read, image)
    np.testing.assert_allclose(read.GetDirection(), image.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(read.GetOrigin(), image.GetOrigin(), atol=1e-5)


def test_packed_file_beside_an_unpacked_one_of_the_same_name(tmp_path: Path) -> None:
    packed, unpacked = volume(seed=1), volume(seed=2)
    sitk.WriteImage(packed, str(tmp_path / "z.nii.gz"))
    sitk.WriteImage(unpacked, str(tmp_path / "z.nii"))
    assert same(read_volume(tmp_path / "z.nii.gz"), packed)
    assert same(read_volume(tmp_path / "z.nii"), unpacked)


def test_nifti_packed_or_not_whatever_its_name(tmp_path: Path) -> None:
    image = volume()
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    plain = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(plain)
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain))
    assert same(read_volume(tmp_path / "b.nii.gz"), image)
    assert same(read_volume(tmp_path / "c.nii"), image)


@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("extension", (".nii.gz", ".nii", ".nrrd", ".mha"))
def test_cut_off_files_are_errors(tmp_path: Path, extension: str, part: float) -> None:
    path = tmp_path / f"cut{extension}"
    sitk.WriteImage(volume(), str(path), extension != ".nii")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CPS4Error, match="cut off or damaged|not a .* file") as error:
        read_volume(path)
    assert error.value.path == path and error.value.cure


def test_packed_file_with_flipped_bits_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bits.nii.gz"
    sitk.WriteImage(volume(), str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CPS4Error, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize("extension", FORMATS)
def test_text_under_a_volumes_name(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"text{extension}"
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n" * 20
    )
    with pytest.raises(CPS4Error, match="text file"):
        read_volume(path)


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def write_packed_noise(path: Path) -> None:
    path.write_bytes(gzip.compress(np.random.default_rng(0).bytes(5000)))


def write_with(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = volume(np.float32)
        image[3, 4, 2] = value
        sitk.WriteImage(image, str(path))

    return write


def write_colour(path: Path) -> None:
    sitk.WriteImage(sitk.Image((5, 6, 7), sitk.sitkVectorUInt8, 3), str(path))


def write_complex(path: Path) -> None:
    sitk.WriteImage(sitk.Image((5, 6, 7), sitk.sitkComplexFloat32), str(path))


def write_2d(path: Path) -> None:
    sitk.WriteImage(volume(shape=(20, 15)), str(path))


def write_4d(path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([volume(), volume(seed=1)]), str(path))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.nii.gz", None, "does not exist"),
        ("a.nii.gz", write_nothing, "empty"),
        ("a.nii.gz", write_noise, "not a .nii.gz file"),
        ("a.nii.gz", write_packed_noise, "not a .nii.gz file"),
        ("a.nrrd", write_noise, "not a .nrrd file"),
        ("a.mha", write_noise, "not a .mha file"),
        ("a.nii.gz", write_with(np.nan), "1 voxels are not finite"),
        ("a.nii", write_with(-np.inf), "1 voxels are not finite"),
        ("a.nrrd", write_with(np.inf), "1 voxels are not finite"),
        ("a.nii.gz", write_colour, "3 values"),
        ("a.nrrd", write_colour, "3 values"),
        ("a.nii.gz", write_complex, "complex"),
        ("a.nii.gz", write_2d, "2D"),
        ("a.mha", write_2d, "2D"),
        ("a.nii.gz", write_4d, "4D series with 2 frames"),
        ("a.mha", write_4d, "4D series with 2 frames"),
        ("a.png", write_noise, "Not a known volume format"),
        ("a.dcm", write_noise, "single DICOM file"),
    ],
)
def test_what_is_no_volume(
    tmp_path: Path, name: str, write: Callable[[Path], None] | None, message: str
) -> None:
    path = tmp_path / name
    if write:
        write(path)
    with pytest.raises(CPS4Error, match=message) as error:
        read_volume(path)
    assert error.value.path == path


def test_big_endian_nifti(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    values[1, 2, 3] = np.nan
    for name, content in (("bad", values), ("good", np.nan_to_num(values))):
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(">f4")
        image = nibabel.Nifti1Image(content, np.eye(4), header)
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    with pytest.raises(CPS4Error, match="1 voxels are not finite"):
        read_volume(tmp_path / "bad.nii.gz")
    read = sitk.GetArrayFromImage(read_volume(tmp_path / "good.nii.gz"))
    np.testing.assert_array_equal(read.T, np.nan_to_num(values))


def test_sheared_header_is_named(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    affine = np.array([[0, 0, 4.4, 1], [-0.3, 0.05, 0, 2], [0, -0.3, 0, 3], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(np.zeros((5, 6, 7), np.int16), affine)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "sheared.nii.gz")
    with pytest.raises(CPS4Error, match="right angles"):
        read_volume(tmp_path / "sheared.nii.gz")


@pytest.mark.parametrize("extension", (".nii.gz", ".nrrd", ".mha"))
def test_single_slice_and_single_frame(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    sitk.WriteImage(volume()[:, :, 1:2], str(path))
    assert read_volume(path).GetSize() == (15, 20, 1)
    sitk.WriteImage(sitk.JoinSeries([volume()]), str(path))
    assert same(read_volume(path), volume())


def test_label_maps_become_integers(tmp_path: Path) -> None:
    image = volume()
    labels = sitk.Cast(image > 500, sitk.sitkFloat32) * 3
    path = tmp_path / "label.nii.gz"
    sitk.WriteImage(labels, str(path))
    read = read_label_map(path, image)
    assert "integer" in read.GetPixelIDTypeAsString()
    assert same(read, labels)
    assert read.GetOrigin() == image.GetOrigin() and read.GetDirection() == image.GetDirection()
    labels[2, 2, 2] = 1.5
    sitk.WriteImage(labels, str(path))
    with pytest.raises(CPS4Error, match="fractional values, such as 1.5"):
        read_label_map(path)


@pytest.mark.parametrize("what", ["size", "spacing", "origin", "direction"])
def test_label_of_another_geometry_is_refused(tmp_path: Path, what: str) -> None:
    image, labels = volume(), volume(np.uint8)
    if what == "size":
        labels = labels[:, :, :3]
    elif what == "spacing":
        labels.SetSpacing((0.5, 0.76, 4.0))
    elif what == "origin":
        labels.SetOrigin((10.0, -20.5, 30.0))
    else:
        labels.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    path = tmp_path / "label.mha"
    sitk.WriteImage(labels, str(path))
    with pytest.raises(CPS4Error, match=f"its {what} is"):
        read_label_map(path, image)
    assert same(read_label_map(path), labels)


def test_rounding_of_the_header_is_no_other_geometry(tmp_path: Path) -> None:
    image, labels = volume(), volume(np.uint8)
    labels.SetSpacing((0.50001, 0.75, 4.0))
    labels.SetOrigin((10.0001, -20.0, 30.0))
    sitk.WriteImage(labels, str(tmp_path / "label.mha"))
    read = read_label_map(tmp_path / "label.mha", image)
    assert read.GetSpacing() == image.GetSpacing() and read.GetOrigin() == image.GetOrigin()


def test_dicom_series_is_sorted_by_position(tmp_path: Path) -> None:
    folder = tmp_path / "Série 1"
    write_series(folder, [-8.0, 4.0, -4.0, 0.0])
    (folder / "notes.txt").write_text("not an image")
    assert is_dicom_folder(folder) and not is_dicom_folder(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_volume(folder)
    assert image.GetSize() == (8, 6, 4) and image.GetSpacing() == (0.5, 0.5, 4.0)
    for value, x in ((100, -8.0), (101, 4.0), (102, -4.0), (103, 0.0)):
        assert image[image.TransformPhysicalPointToIndex((x, -20.0, 50.0))] == value
    assert not image.GetMetaDataKeys()


def test_largest_of_several_series_is_taken_and_named(tmp_path: Path) -> None:
    write_series(tmp_path, [0.0, 4.0], series="1", description="localiser", name="a")
    write_series(tmp_path, [0.0, 4.0, 8.0], series="2", description="T2 sagittal", name="b")
    with pytest.warns(VolumeWarning, match="2 image stacks.*'T2 sagittal' with 3 slices"):
        assert read_volume(tmp_path).GetSize() == (8, 6, 3)


@pytest.mark.parametrize(
    ("positions", "message"),
    [([0.0, 4.0, 12.0, 16.0], "gaps"), ([0.0, 0.0, 4.0, 4.0], "at one place")],
)
def test_uneven_dicom_slices_are_refused(
    tmp_path: Path, positions: list[float], message: str
) -> None:
    write_series(tmp_path, positions)
    with pytest.raises(CPS4Error, match=message):
        read_volume(tmp_path)


def test_damaged_dicom_file_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    write_series(tmp_path, [0.0, 4.0, 8.0, 12.0])
    file = tmp_path / "IM007.dcm"
    file.write_bytes(file.read_bytes()[:200])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CPS4Error, match="gaps"):
            read_volume(tmp_path)


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(CPS4Error, match="No readable DICOM image"):
        read_volume(tmp_path)


def test_case_ids() -> None:
    assert case_id_of("a/spider_005_0000.nii.gz") == "spider_005"
    assert case_id_of("a/1.2_t2.mha") == "1.2_t2"
    assert case_id_of(Path("x/Case7.SEG.NRRD")) == "Case7"


def test_find_inputs_in_files_folders_and_dicom_folders(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("b_0000.nii.gz", "a.mha", "a.seg.nrrd", ".hidden.nii.gz", "readme.txt"):
        (flat / name).touch()
    write_series(tmp_path / "studies" / "s1.2", [0.0, 4.0])
    write_series(tmp_path / "studies" / "s2", [0.0, 4.0])
    (tmp_path / "one.nrrd").touch()
    found = find_inputs([flat, tmp_path / "studies", tmp_path / "one.nrrd", flat / "a.mha"])
    assert [case_id for case_id, _ in found] == ["a", "b", "s1.2", "s2", "one"]
    assert dict(found)["b"] == flat / "b_0000.nii.gz"
    assert find_inputs([tmp_path / "studies" / "s2"]) == [("s2", tmp_path / "studies" / "s2")]
    assert is_volume_file(flat / "a.mha") and not is_volume_file(flat / "readme.txt")


def test_find_inputs_walks_a_dicom_tree(tmp_path: Path) -> None:
    """Patient, study, series, as archives export them: with the same names for every patient."""
    disk = tmp_path / "disk"
    for series in ("P1/ST1/SE1", "P1/ST1/SE2", "P2/ST1/SE1", "P3"):
        write_series(disk / series, [0.0, 4.0])
    write_series(disk / ".trash" / "SE1", [0.0, 4.0])
    (disk / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (disk / "P1" / "report.pdf").touch()
    (disk / "P1" / "old_result.nii.gz").touch()
    (disk / "extra.mha").touch()
    found = find_inputs([disk])
    assert found == [
        ("P1_ST1_SE1", disk / "P1/ST1/SE1"),
        ("P1_ST1_SE2", disk / "P1/ST1/SE2"),
        ("P2_ST1_SE1", disk / "P2/ST1/SE1"),
        ("P3", disk / "P3"),
        ("extra", disk / "extra.mha"),
    ]
    assert find_inputs([disk / "P2" / "ST1"]) == [("SE1", disk / "P2/ST1/SE1")]
    write_series(disk / "P3" / "more", [0.0, 4.0])
    assert [case for case, _ in find_inputs([disk / "P3"])] == ["P3", "more"]
    with pytest.raises(CPS4Error, match="case name 'SE1'"):
        find_inputs([disk / "P1" / "ST1", disk / "P2" / "ST1"])


@pytest.mark.skipif(os.name != "posix", reason="links folders")
def test_a_link_that_leads_back_up_is_no_endless_walk(tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "s", [0.0, 4.0])
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "twice").symlink_to(tmp_path / "a" / "s")
    found = find_inputs([tmp_path])
    assert len(found) == 1 and found[0][1].resolve() == tmp_path / "a" / "s"


def test_find_inputs_refuses_doubles_and_nothing(tmp_path: Path) -> None:
    for name in ("x/a.nii.gz", "y/a_0000.mha", "empty/readme.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(CPS4Error, match="case name 'a'"):
        find_inputs([tmp_path / "x", tmp_path / "y"])
    with pytest.raises(CPS4Error, match="holds no volume"):
        find_inputs([tmp_path / "empty"])
    with pytest.raises(CPS4Error, match="does not exist"):
        find_inputs([tmp_path / "missing"])
    with pytest.raises(CPS4Error, match="No input"):
        find_inputs([])
