"""The report on an evaluation: report.md and report.html, from metrics.json, per_image.parquet and figures/.

python train/report.py report            # write it again, from evaluate.py's files in the folder "report"
python train/report.py --readme          # from the measurements in checkpoints/: tables in READMEs, model cards
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import ArgumentParser, end_in_one_line, errors_in_one_line

STOPPED = "report.py: stopped"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

from chromagan.hub.checkpoints import NAMED_SOURCES
from train.evaluation.readme import (
    CLAIMS_MARKS,
    ROOT,
    claims_section,
    readme_section,
    update_readme,
    write_cards,
)
from train.evaluation.report import write_report


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="output folder of train/evaluate.py")
    parser.add_argument("--readme", action="store_true", help="write the README tables and model cards of checkpoints/")
    args = parser.parse_args(argv)
    if args.readme == (args.folder is not None):
        parser.error("give either the output folder of train/evaluate.py or --readme")
    return args


if __name__ == "__main__":
    end_in_one_line(STOPPED)
    arguments = parse_args()
    with errors_in_one_line("report.py"):
        if arguments.readme:
            for name, whole in (("README.md", False), ("checkpoints/README.md", True)):
                update_readme(ROOT / name, readme_section(every=whole))
                update_readme(ROOT / name, claims_section(evidence=whole), CLAIMS_MARKS)
            for source in NAMED_SOURCES.values():
                write_cards(source)
        else:
            write_report(arguments.folder)
