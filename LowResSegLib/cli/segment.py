"""`lowresseg segment`: scans in, a folder of results out."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from LowResSegLib.case import (
    CONFIDENCE,
    DICOM_SEG,
    LABELMAP,
    PICTURE,
    RECORD,
    SEGMENTATION,
    OutputFolder,
    Way,
    segment_case,
    spare,
)
from LowResSegLib.cli import dicom, limits, remote
from LowResSegLib.cli.batch import DONE, Result, exit_status, report_writer, run_cases, summary_table
from LowResSegLib.cli.cases import ALL, Case, frame_argument, plan_cases, shard_argument, shared
from LowResSegLib.cli.progress import progress_printer, say
from LowResSegLib.engine import choose_backend
from LowResSegLib.model import PASSES, Model, load_model
from LowResSegLib.pipeline import Progress
from LowResSegLib.report import volume_table

_ENDINGS = (SEGMENTATION, LABELMAP, PICTURE, RECORD)
_ADVICE = "give --overwrite to replace results, --skip-existing to keep them, or another folder"


def add(commands: Any) -> None:
    """Add the sub-command."""
    command = commands.add_parser(
        "segment",
        help="segment scans",
        description="Segment scans and write for each STEM.seg.nrrd (for Slicer), STEM_labels.nii.gz, STEM.png (where "
        "matplotlib is installed) and STEM.json (the run record) into a folder, all of them or none. STEM is the "
        "input's name without its ending; of a frame of a series, with _frame and its number. Files that are there "
        "already are not replaced without --overwrite. Exit status: 0 if all went well, 1 if some of several inputs "
        "failed, 2 if all did or the call makes no sense. For research use only.",
    )
    command.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        nargs="+",
        help="a scan (NIfTI, NRRD or MetaImage), a folder of scans, or DICOM: a folder or a file",
    )
    command.add_argument("-o", "--output", metavar="FOLDER", type=_folder, required=True, help="made if it is missing")
    command.add_argument("--model", metavar="NAME|FILE", default="brain", help="default: %(default)s")
    command.add_argument(
        "--backend", metavar="NAME", default="auto", help="auto (default), native, onnxruntime or numpy"
    )
    command.add_argument("--threads", metavar="N", type=threads_argument, help="at most so many; default: all cores")
    command.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    command.add_argument("--skip-existing", action="store_true", help="leave out inputs whose results are all there")
    command.add_argument(
        "--shard",
        metavar="k/N",
        type=shard_argument,
        help="every N-th input alone, from the k-th on (k from 1 to N): N calls share the work",
    )
    command.add_argument(
        "--frame",
        metavar="N|all",
        type=frame_argument,
        help="which volume of a 4-D file, counted from 0, or all, each with results of its own",
    )
    dicom.add_arguments(command)
    command.add_argument(
        "--replace-nonfinite",
        action="store_true",
        help="replace voxels that are NaN or infinite by the lowest finite value; the run record says how many",
    )
    command.add_argument(
        "--not-a-labelmap",
        action="store_true",
        help="segment scans that are taken for labelmaps, such as pictures of phantoms",
    )
    limits.add_argument(command)
    command.add_argument(
        "--passes",
        metavar="N",
        type=int,
        choices=PASSES,
        help="how often the network looks at a scan: 1, 2 or 4; fewer are faster and less steady; default: the model's",
    )
    command.add_argument(
        "--confidence",
        action="store_true",
        help=f"also write STEM{CONFIDENCE}, the probability of the labels in percent on the network's grid, and mark "
        "structures that need review",
    )
    remote.add_arguments(command)
    command.add_argument("--report", metavar="FILE", type=Path, help="append a JSON line as each input ends")
    command.add_argument(
        "--json", action="store_true", help="print the run record instead of the table; of several inputs a list"
    )
    command.add_argument(
        "--progress",
        choices=("auto", "none", "json"),
        default="auto",
        help="on standard error: a line if that is a terminal (auto, the default), nothing, or JSON lines",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    planned = plan_cases(args.input, args.frame)
    _spare_inputs(planned, args)
    cases = shared(planned, args.shard)
    several = len(args.input) > 1 or bool(args.shard) or args.frame == ALL or cases[0].path != args.input[0]
    model: Union[str, Model] = args.model
    way = remote.way(args)
    if (
        several and way is None
    ):  # loaded once, and refused before any work; of a single input the record has the time of it
        model = load_model(args.model)
        choose_backend(args.backend, model)
    with report_writer(args.report) as report, progress_printer(args.progress) as progress:
        results = run_cases(
            cases,
            lambda case: _segment(case, args, model, way, _part(progress, cases, case)),
            lambda case: args.skip_existing and _complete(args, case),
            report,
        )
        if exit_status(results) == 0:
            progress("done", 1.0)
    done = [result for result in results if result.status == DONE]
    if done and not any(name.endswith(PICTURE) for name in done[0].outputs):
        say("No picture, because matplotlib is not installed (pip install lowresseg[picture]).")
    if several:
        _print_all(args, results)
    elif done and done[0].record is not None:
        record = done[0].record
        written = f"{volume_table(record)}\n\n{record['notice']}\nwritten to {args.output}"
        print(json.dumps(record, indent=1) if args.json else written)
    elif exit_status(results) == 0:
        say(f"{cases[0].path} is left out, because its results are in {args.output} already.")
    return exit_status(results)


def _spare_inputs(cases: Sequence[Case], args: argparse.Namespace) -> None:
    """Refuse to write results over an input, such as those of x.nii over x_labels.nii.gz; also with --overwrite."""
    targets = [args.output / f"{case.stem}{ending}" for case in cases for ending in _endings(args)]
    spare([case.path for case in cases], targets)


def _print_all(args: argparse.Namespace, results: Sequence[Result]) -> None:
    if args.json:
        print(json.dumps([{**result.to_dict(), "record": result.record} for result in results], indent=1))
        return
    notices = {result.record["notice"] for result in results if result.record is not None}
    print("\n".join([summary_table(results), *notices, f"written to {args.output}"]))


def _part(progress: Progress, cases: Sequence[Case], case: Case) -> Progress:
    """Return the progress of one case of several as a part of the whole."""
    if len(cases) == 1:
        return progress
    done = cases.index(case)
    return lambda step, fraction: progress(f"{case.stem}: {step}", (done + fraction) / len(cases))


def _endings(args: argparse.Namespace) -> Sequence[str]:
    further = ((DICOM_SEG, args.dicom_seg), (CONFIDENCE, args.confidence))
    return (*_ENDINGS, *(ending for ending, wanted in further if wanted))


def _complete(args: argparse.Namespace, case: Case) -> bool:
    """Return whether all results are there; the picture alone may be missing."""
    return all(os.path.isfile(args.output / f"{case.stem}{end}") for end in _endings(args) if end != PICTURE)


def _segment(
    case: Case, args: argparse.Namespace, model: Union[str, Model], way: Optional[Way], progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """Segment a case; returns its run record and the names of its files."""
    with OutputFolder(args.output, args.overwrite, _ADVICE) as output:
        record, names = segment_case(
            case.path,
            output,
            case.stem,
            _endings(args),
            model,
            frame=case.frame,
            find=lambda path: dicom.source(args, path),
            replace_nonfinite=args.replace_nonfinite,
            progress=progress,
            options={
                "backend": args.backend,
                "threads": args.threads,
                "not_a_labelmap": args.not_a_labelmap,
                "max_memory": args.max_memory,
                "passes": args.passes,
            },
            way=way,
        )
    for warning in record["warnings"]:
        say(f"{case.path}: {warning[:1].lower()}{warning[1:]}")
    return record, names


def _folder(text: str) -> Path:
    if not text:  # an unset variable of a shell
        raise argparse.ArgumentTypeError("no folder is named")
    return Path(text)


def threads_argument(text: str) -> int:
    """The number of threads that an argument names; raises ArgumentTypeError where it names none."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)
