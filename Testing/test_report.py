"""Pictures, curves and the HTML report: what a person would look for in them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from CPS4Core.errors import CPS4Error
from CPS4Core.report.comparison_picture import comparison_picture
from CPS4Core.report.curves import class_chart_svg, curves_svg
from CPS4Core.report.folders import report_sections
from CPS4Core.report.html import Figure, Section, Table, Text, cell_text, write_report
from CPS4Core.report.metrics_table import read_metrics
from CPS4Core.report.overlay import (
    display_size,
    grey_panel,
    label_panel,
    overlay,
    palette,
    spread,
)
from CPS4Core.report.prompt_map_picture import prompt_map_picture
from CPS4Core.report.qc_picture import informative_slices, qc_picture
from CPS4Core.schema import IGNORE_INDEX, built_in_schema

SCHEMA = built_in_schema("mrspineseg")
L5, L4, L4_L5 = (SCHEMA.index_of(name) for name in ("L5", "L4", "L4/L5"))


def small_case() -> tuple[np.ndarray, np.ndarray]:
    """Grey values and class indices [7, 80, 100]: a column of L4, its disc and L5 in slices 1-5."""
    grey = np.random.default_rng(0).integers(0, 200, (7, 80, 100)).astype(np.int16)
    indices = np.zeros(grey.shape, np.uint8)
    indices[1:6, 20:35, 40:60], indices[1:6, 37:42, 40:60] = L4, L4_L5
    indices[1:6, 44:60, 40:60] = L5
    return grey, indices


def is_in(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture.reshape(-1, 3) == color).all(axis=1).any())


# Overlay


def test_overlay_colors_the_label_where_it_is_and_leaves_the_rest() -> None:
    plain = Image.new("RGB", (30, 20), (100, 100, 100))
    labels = np.zeros((20, 30), np.uint8)
    labels[5:12, 10:20] = L5
    pixels = np.asarray(overlay(plain, labels, SCHEMA, opacity=0.5))
    color = np.array(SCHEMA.structures[L5 - 1].color)
    assert (pixels[labels == 0] == 100).all()
    assert (pixels[5, 10:20] == color).all() and (pixels[5:12, 19] == color).all()
    inner = pixels[6:11, 11:19].reshape(-1, 3)
    assert np.abs(inner - (100 + color) / 2).max() <= 0.5


def test_ignored_voxels_are_grey_not_a_class_color() -> None:
    grey = palette(SCHEMA)[IGNORE_INDEX]
    assert grey.std() == 0 and grey[0] > 0
    assert tuple(palette(SCHEMA)[SCHEMA.class_count - 1]) == SCHEMA.structures[-1].color


def test_display_size_keeps_millimetres_square() -> None:
    # 100 rows of 2 mm by 50 columns of 1 mm: 200 x 50 mm.
    assert display_size((100, 50), (2.0, 1.0), 400) == (100, 400)


def test_panel_has_its_window_and_keeps_classes_unmixed() -> None:
    plane = np.array([[-5, 0], [100, 500]], np.int16)
    panel = np.asarray(grey_panel(plane, (2, 2), (0, 100)))[..., 0]
    assert panel.tolist() == [[0, 0], [255, 255]]
    indices = np.array([[1, 9], [0, 9]], np.uint8)
    assert set(np.unique(label_panel(indices, (33, 57)))) == {0, 1, 9}


def test_names_are_moved_apart_in_order_and_stay_inside() -> None:
    placed = spread([5, 6, 7, 50, 99], gap=10, length=100)
    assert all(b - a >= 10 for a, b in zip(placed, placed[1:], strict=False))
    assert placed[0] >= 5 and placed[-1] <= 95 and placed[3] == 50
    assert len(spread(list(range(30)), gap=10, length=100)) == 30


# QC picture


def test_qc_picture_shows_title_colors_and_the_right_aspect(tmp_path: Path) -> None:
    grey, indices = small_case()
    path = tmp_path / "case_qc.png"
    qc_picture(grey, indices, (4.0, 1.0, 0.5), SCHEMA, path, {L5: 0.9, L4: 0.4}, "case one")
    with Image.open(path) as image:
        shown = np.asarray(image)
    for index in (L5, L4, L4_L5):
        assert is_in(shown, SCHEMA.structures[index - 1].color)
    assert not is_in(shown, SCHEMA.structures[SCHEMA.index_of("T9") - 1].color)
    qc_picture(grey, indices, (4.0, 1.0, 0.25), SCHEMA, tmp_path / "narrow.png")
    qc_picture(grey, indices, (4.0, 1.0, 2.0), SCHEMA, tmp_path / "wide.png")
    with Image.open(tmp_path / "narrow.png") as narrow, Image.open(tmp_path / "wide.png") as wide:
        assert narrow.height == shown.shape[0] and narrow.width < shown.shape[1]
        assert wide.height < shown.shape[0] and 2800 > wide.width > shown.shape[1]
    assert len(list(tmp_path.iterdir())) == 3


def test_qc_picture_of_nothing_found_and_of_one_slice(tmp_path: Path) -> None:
    grey, indices = small_case()
    qc_picture(grey, np.zeros_like(indices), (4, 1, 1), SCHEMA, tmp_path / "none.png", {})
    qc_picture(grey[2:3], indices[2:3], (4, 1, 1), SCHEMA, tmp_path / "one.png")
    qc_picture(np.zeros_like(grey), indices, (4, 1, 1), SCHEMA, tmp_path / "constant.png")
    assert len(list(tmp_path.glob("*.png"))) == 3
    with pytest.raises(ValueError, match="alike"):
        qc_picture(grey, indices[:3], (4, 1, 1), SCHEMA, tmp_path / "x.png")


def test_informative_slices_lie_in_the_column() -> None:
    _, indices = small_case()
    assert informative_slices(indices) == [1, 3, 5]
    indices[1, :, 50:] = 0
    indices[5, :, 42:] = 0  # a tenth of the column: too little to show it
    assert informative_slices(indices) == [1, 3, 4]
    indices[:] = IGNORE_INDEX
    assert informative_slices(indices) == [3]


def test_qc_picture_of_a_real_case(real_data: Path, tmp_path: Path) -> None:
    from CPS4Core.schema import schema_from_dataset_json
    from CPS4Core.volumes.reading import read_volume
    from CPS4Core.volumes.sagittal import to_sagittal

    folder = real_data / "spider-t2space"
    dataset = folder / "dataset.json"
    schema = schema_from_dataset_json(json.loads(dataset.read_text()), dataset)
    stack = to_sagittal(read_volume(folder / "imagesTr" / "spider_022_0000.nii.gz"))
    labels = to_sagittal(read_volume(folder / "labelsTr" / "spider_022.nii.gz"))
    indices = schema.to_indices(labels.array)
    qc_picture(stack.array, indices, stack.spacing, schema, tmp_path / "qc.png", None, "spider_022")
    with Image.open(tmp_path / "qc.png") as image:
        shown = np.asarray(image)
    present = [i for i in np.unique(indices) if 0 < i < schema.class_count]
    assert len(present) > 10
    assert all(is_in(shown, schema.structures[i - 1].color) for i in present)


# Other pictures


def test_prompt_maps_show_the_outline_and_the_integrated_labels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    maps = np.full((SCHEMA.class_count, 40, 30), 0.05, np.float32)
    maps[L5, 10:20, 5:15] = 0.9
    integrated = np.where(maps[L5] > 0.5, L5, 0).astype(np.uint8)
    thresholds = np.full(SCHEMA.class_count, 0.5)
    path = tmp_path / "maps.png"
    prompt_map_picture(image, maps, thresholds, integrated, SCHEMA, path)
    with Image.open(path) as shown:
        pixels = np.asarray(shown)
    assert is_in(pixels, SCHEMA.structures[L5 - 1].color)
    outline = (pixels.reshape(-1, 3) == (90, 235, 255)).all(axis=1).sum()
    thresholds[L5] = 0.95
    prompt_map_picture(image, maps, thresholds, integrated, SCHEMA, path)
    with Image.open(path) as shown:
        flat = (np.asarray(shown).reshape(-1, 3) == (90, 235, 255)).all(axis=1).sum()
    assert outline > flat + 100


def test_prompt_maps_of_own_prompts_and_of_chosen_classes(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((2, 40, 30)).astype(np.float32)
    names = ["the vertebra above the sacrum " * 5, "a disc"]
    args = (maps[0], maps, np.array([0.4, 0.5]), None, SCHEMA)
    prompt_map_picture(*args, tmp_path / "two.png", names=names)
    prompt_map_picture(*args, tmp_path / "one.png", classes=[1], names=names)
    with Image.open(tmp_path / "two.png") as two, Image.open(tmp_path / "one.png") as one:
        assert one.width < two.width
    with pytest.raises(ValueError, match="do not fit"):
        prompt_map_picture(*args, tmp_path / "x.png")  # 20 class names for 2 maps


def test_comparison_has_a_column_for_each_method(tmp_path: Path) -> None:
    grey, indices = small_case()
    wrong = np.where(indices[3] > 0, SCHEMA.index_of("T9"), 0).astype(np.uint8)
    rows = [
        ("case 1", grey[3], indices[3], {"mean teacher": wrong}),
        ("case 2", grey[4], indices[4], {"mean teacher": indices[4], "CPS4": indices[4]}),
    ]
    comparison_picture(rows, SCHEMA, tmp_path / "two.png", [(1, 1), (1, 0.5)])
    comparison_picture(rows[:1], SCHEMA, tmp_path / "one.png")
    with Image.open(tmp_path / "two.png") as two, Image.open(tmp_path / "one.png") as one:
        assert two.width > one.width and two.height > 1.8 * one.height
        assert is_in(np.asarray(one), SCHEMA.structures[SCHEMA.index_of("T9") - 1].color)


def test_many_methods_go_on_in_further_lines(tmp_path: Path) -> None:
    grey, indices = small_case()
    row = ("case", grey[3], indices[3], {f"method {i}": indices[3] for i in range(4)})
    notes = [{"method 3": "0.93"}]
    comparison_picture([row], SCHEMA, tmp_path / "one.png", notes=notes)
    comparison_picture([row], SCHEMA, tmp_path / "two.png", notes=notes, across=3)
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width < 0.6 * one.width and two.height > 1.8 * one.height
        last = np.asarray(two)[3 * two.height // 4 :, 2 * two.width // 3 :]
        assert last.std() > 10  # the sixth panel


# Curves


def test_curves_bridge_empty_cells_and_survive_an_interrupted_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,loss/total,lr,validation/mdice\n1,4.0,0.1,\n2,3.0,0.1,0.25\n3,2.5,0.1,\n"
        "2,2.9,0.1,0.5\n4,2."
    )
    columns = read_metrics(path)
    assert columns["epoch"].tolist() == [1, 2, 3, 4]
    assert columns["loss/total"].tolist() == [4.0, 2.9, 2.5, 2.0]  # the later epoch 2 counts
    np.testing.assert_array_equal(columns["validation/mdice"], [np.nan, 0.5, np.nan, np.nan])
    svg = curves_svg(columns)
    assert svg is not None
    ElementTree.fromstring(svg)
    lines = re.findall(r'<path d="([^"]*)" clip-path', svg)
    assert any(line.count("L ") == 3 for line in lines)  # four epochs, one unbroken line
    assert "Validation" in svg and "mdice" in svg and ">total<" in svg


def test_curves_of_nothing_are_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for text in ("", "epoch,loss/total\n", "epoch,loss/total\n1,\n", "a,b\n1,2\n"):
        path.write_text(text)
        assert curves_svg(read_metrics(path)) is None


def test_class_chart_is_the_same_for_the_same_numbers() -> None:
    scores = {"L5": [0.8, 0.9], "L4": [float("nan")]}
    means = {"L5": 0.85, "L4": float("nan")}
    svg = class_chart_svg(scores, means, {"L5": (92, 109, 242)})
    assert svg and "0.850" in svg and "#5c6df2" in svg and ">L4<" not in svg
    assert svg == class_chart_svg(scores, means, {"L5": (92, 109, 242)})


# The report


def write_segmentation(folder: Path) -> None:
    grey, indices = small_case()
    folder.mkdir()
    for case, sure in (("good", 0.91), ("z<b>&c", 0.125)):
        structure = {"name": "L5", "value": 2, "voxels": 1600, "volume_mm3": 3200.0}
        content = {
            "case": case,
            "seconds": 1.5,
            "model": {"method": "cps4", "fingerprint": "0123abcd"},
            "engine": "torch",
            "structures": [structure | {"confidence": sure}],
            "warnings": ["level anchor not visible"] if sure < 0.5 else [],
        }
        (folder / f"{case}.json").write_text(json.dumps(content))
        qc_picture(grey, indices, (4, 1, 1), SCHEMA, folder / f"{case}_qc.png", {L5: sure}, case)
    (folder / "cut.json").write_text('{"case": "cut", "struct')
    failed = {"failed": {"bad": "The volume is damaged"}, "finished": {"good": []}, "skipped": []}
    (folder / "summary.json").write_text(json.dumps(failed))


def write_run(folder: Path) -> None:
    (folder / "stage1").mkdir(parents=True)
    (folder / "stage2").mkdir()
    (folder / "model").mkdir()
    (folder / "stage1" / "metrics.csv").write_text("epoch,loss/total,loss/token\n1,2,1\n2,1,.5\n")
    (folder / "stage2" / "metrics.csv").write_text(
        "epoch,loss/total,validation/mdice,seconds\n1,3,0.125,2\n2,2,0.625,2\n3,2,,2\n"
    )
    (folder / "config.yaml").write_text("name: cpu\n")
    provenance = {
        "study": "phantoms",
        "seed": 17,
        "preset": "cpu",
        "labelled": [{"id": "case_007", "image": "ab"}],
        "unlabelled": [{"id": "case_008", "image": "cd"}],
        "validation": [],
    }
    model = {
        "method": "cps4",
        "encoder_weights": "vision: small, random weights",
        "schema": SCHEMA.to_dict(),
        "prompts": SCHEMA.prompts,
        "provenance": provenance,
        "metrics": {"stage2": {"epoch": 2, "validation": {"mdice": 0.625}}},
    }
    (folder / "model" / "model.json").write_text(json.dumps(model))


def write_evaluation(folder: Path) -> None:
    folder.mkdir()
    (folder / "summary.csv").write_text(
        "measure,class,mean,sd,cases\ndice,,0.5125,0.25,2\ndice_vertebrae,,0.75,,2\n"
        "dice_discs,,0.25,0.1,2\nbest_shift,,1.5,0.5,2\ndice,L5,0.875,0.1,2\ndice,L4,0.375,0.1,2\n"
    )
    (folder / "cases.csv").write_text("case,dice,error\nfine,0.925,\nworse,0.1125,\nlost,,gone\n")
    (folder / "classes.csv").write_text("case,class,dice\nfine,L5,0.875\nfine,L4,0.375\n")
    (folder / "metrics.json").write_text(
        json.dumps({"rule": "the rule", "summary": {}, "classes": {}, "schema": SCHEMA.to_dict()})
    )


def report_text(tmp_path: Path, *folders: Path, pictures: int = 40) -> str:
    output = tmp_path / "report.html"
    write_report(output, "Check", report_sections(folders, pictures))
    return output.read_text(encoding="utf-8")


def test_report_has_every_case_and_number_and_escapes_names(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "out")
    text = report_text(tmp_path, tmp_path / "out")
    for wanted in (
        "good",
        "0.910",
        "0.125",
        "level anchor not visible",
        "3.200",
        "1600",
        "0123abcd",
    ):
        assert wanted in text
    assert "z&lt;b&gt;&amp;c" in text and "z<b>" not in text
    assert "The volume is damaged" in text
    assert "cut" in text and "cannot be read" in text
    assert text.count("<img") == 2
    assert re.search(r"segmented in the last run</dt><dd>1</dd>", text)
    assert text.index("z&lt;b&gt;&amp;c") < text.index(">good<")  # the doubtful case first


def test_report_is_one_file_without_scripts_and_links(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "out")
    write_run(tmp_path / "run")
    text = report_text(tmp_path, tmp_path / "out", tmp_path / "run")
    assert "<script" not in text
    targets = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert targets and all(t.startswith(("data:image/", "#part-")) for t in targets)
    images = re.findall(r"<img [^>]*>", text)
    assert images and all(re.search(r'alt="[^"]{10,}"', image) for image in images)
    assert str(tmp_path) not in text


def test_report_of_a_run_says_what_was_trained_on_what(tmp_path: Path) -> None:
    write_run(tmp_path / "first")
    text = report_text(tmp_path, tmp_path / "first")
    for wanted in (
        "case_007",
        "case_008",
        "random weights",
        "phantoms",
        ">17<",
        "mdice 0.625",
        "best validation mean Dice 0.625 in epoch 2",
        "name: cpu",
        "A magnetic resonance image of a Sacrum.",
    ):
        assert wanted in text
    assert text.count("data:image/svg+xml") == 2
    assert "not finished" not in text


def test_report_of_an_unfinished_run_says_so(tmp_path: Path) -> None:
    write_run(tmp_path / "first")
    (tmp_path / "first" / "model" / "model.json").unlink()
    (tmp_path / "first" / "stage2" / "metrics.csv").unlink()
    text = report_text(tmp_path, tmp_path / "first")
    assert "not finished" in text and "no metrics.csv" in text


def test_report_of_an_evaluation_shows_worst_case_first(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "scores")
    text = report_text(tmp_path, tmp_path / "scores")
    for wanted in ("0.512 (0.250)", "1.500 (0.500)", "0.875", "the rule", "gone"):
        assert wanted in text
    assert text.index(">lost<") < text.index(">worse<") < text.index(">fine<")
    assert "Lowest: L4 0.375, L5 0.875." in text


def test_report_tolerates_a_partial_evaluation(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "scores")
    for name in ("metrics.json", "summary.csv"):
        (tmp_path / "scores" / name).unlink()
    text = report_text(tmp_path, tmp_path / "scores")
    assert "metrics.json is missing" in text and "summary.csv is missing" in text
    assert "Lowest: L4 0.375" in text and "worse" in text


def test_report_of_prompt_maps(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    Image.new("RGB", (20, 20)).save(folder / "case.png")
    prompts = [{"name": "L5", "peak": 0.875, "threshold": [0.25, 0.375]}]
    content = {"case": "case", "slice_shown": 4, "prompts": prompts}
    (folder / "case.json").write_text(json.dumps(content))
    (folder / "lost.json").write_text(json.dumps(content | {"case": "lost"}))
    text = report_text(tmp_path, folder)
    assert "Prompt maps of case, slice 5" in text and text.count("<img") == 1
    assert all(v in text for v in ("0.875", "0.250", "0.375", "lost.png is missing"))


def test_maps_inside_a_segmentation_folder_are_shown_too(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "out")
    (tmp_path / "out" / "maps").mkdir()
    content = {"case": "good", "prompts": [{"name": "L5", "peak": 1, "threshold": [0.5]}]}
    (tmp_path / "out" / "maps" / "good.json").write_text(json.dumps(content))
    titles = [s.title for s in report_sections([tmp_path / "out"])]
    assert titles == ["Segmentation: out", "Prompt maps: maps"]


def test_report_limits_pictures_and_says_how_many_it_leaves_out(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "out")
    text = report_text(tmp_path, tmp_path / "out", pictures=1)
    assert text.count("<img") == 1
    assert "2 further cases" in text and ">good<" in text


def test_a_folder_of_known_folders_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    write_run(tmp_path / "demo" / "run")
    write_evaluation(tmp_path / "demo" / "scores")
    (tmp_path / "demo" / "nothing").mkdir()
    titles = [s.title for s in report_sections([tmp_path / "demo"])]
    assert titles == ["Training: run", "Evaluation: scores"]


def test_unrecognised_and_missing_folders_are_errors_that_say_what_is_looked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(CPS4Error, match="metrics.csv.*summary.csv.*_qc.png.*CASE.png") as error:
        report_sections([tmp_path])
    assert str(tmp_path) in str(error.value)
    with pytest.raises(CPS4Error, match="no such folder"):
        report_sections([tmp_path / "absent"])


def test_an_older_report_is_replaced_and_any_other_file_kept(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, "First", [Section("A", [Text("one")])])
    write_report(path, "Second", [Section("A", [Text("two")])])
    assert "Second" in path.read_text()
    path.write_text("<html>my own page</html>")
    with pytest.raises(CPS4Error, match="not overwritten"):
        write_report(path, "Third", [])
    assert path.read_text() == "<html>my own page</html>"
    with pytest.raises(CPS4Error, match=r"ends in \.html"):
        write_report(tmp_path / "cases.csv", "Third", [])


def test_hostile_text_is_escaped_everywhere(tmp_path: Path) -> None:
    bad = '"><script>alert(1)</script>'
    blocks = [Text(bad), Table((bad,), [(bad,)], bad), Figure("data:image/png;base64,", bad, bad)]
    write_report(tmp_path / "r.html", bad, [Section(bad, blocks)])
    assert "<script" not in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (0.12345, "0.123"), (7, "7"), ("", "–"), (True, "yes")],
)
def test_cells(value: object, shown: str) -> None:
    assert cell_text(value) == shown


def test_the_command_writes_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from CPS4Core.cli.main import main

    write_evaluation(tmp_path / "scores")
    output = tmp_path / "new" / "report.html"
    argv = ["--quiet", "report", str(tmp_path / "scores"), "--output", str(output)]
    assert main(argv) == 0 and "Evaluation: scores" in output.read_text()
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty"), "-o", str(tmp_path / "x.html")]) == 2
    assert "Nothing to report" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()
