"""Command line: python -m chromagan list | colorize | export | publish | space.

Exit status 0, 2 for a usage error, 130 for Ctrl-C, 1 for any other.
"""

import os
import sys


def main(argv: list[str] | None = None) -> int:
    try:
        from chromagan.cli.commands import run  # here, since it takes seconds, in which Ctrl-C is to be heard too

        status = run(argv)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("chromagan: stopped: what was finished by then is there, and nothing is half-written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `chromagan list | head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
