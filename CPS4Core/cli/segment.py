"""`cps4 segment`: label maps of new scans."""

from __future__ import annotations

import argparse
from pathlib import Path

from CPS4Core.progress import Progress

HELP = "segment volumes with a trained model: label map, confidences and a QC picture per case"
EXAMPLE = """
cps4 segment scan.nii.gz --output predictions --model runs/first
cps4 segment new_scans/ dicom_series/ --output predictions --model runs/first --segmentation
Run the same command again to go on after an interruption; finished cases are skipped.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="volumes (NIfTI, NRRD, MHA), DICOM series, or folders of them (DICOM however deep)",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for CASE.nii.gz, CASE.json, CASE_qc.png and summary.json",
    )
    parser.add_argument(
        "--model",
        "-m",
        type=Path,
        metavar="DIR",
        help="model or run folder of cps4 train, or the name of an installed model (default: the "
        "installed one, see cps4 info)",
    )
    parser.add_argument(
        "--format",
        choices=("nii.gz", "nrrd", "mha"),
        default="nii.gz",
        help="of the label maps (default: nii.gz)",
    )
    parser.add_argument(
        "--segmentation",
        action="store_true",
        help="also CASE.seg.nrrd, which 3D Slicer opens with names and colours",
    )
    parser.add_argument(
        "--maps", action="store_true", help="also the prompt maps, in DIR/maps as cps4 maps"
    )
    parser.add_argument(
        "--levels",
        choices=("raw", "decoded"),
        help="decoded: name all structures jointly, by one gap-free order along the spine; raw: "
        "each voxel's best class (default: the model's own, decoded for preset best and cpu)",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also DIR/uncertainty/CASE: how doubtful each voxel's label is, 8-bit (255 is 1)",
    )
    parser.add_argument("--no-qc", action="store_true", help="no QC pictures")
    parser.add_argument("--overwrite", action="store_true", help="make finished cases again")
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)"
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="on a CPU, auto takes OpenVINO if it is installed",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def run(args: argparse.Namespace, progress: Progress) -> int:
    """Segment; 0 if every case went well, 1 if one failed."""
    from CPS4Core.inference.segment import Options, segment_volumes

    options = Options(
        file_format=args.format,
        segmentation=args.segmentation,
        qc=not args.no_qc,
        maps=args.maps,
        device=args.device,
        engine=args.engine,
        threads=args.threads,
        overwrite=args.overwrite,
        levels=args.levels,
        uncertainty=args.uncertainty,
    )
    return segment_volumes(args.inputs, args.output, args.model, options, progress).exit_code
