#!/usr/bin/env python
"""The command line of nanobanana: `python manage.py help` lists the commands."""

import os
import sys

STOPPED = 130  # the exit code of what Ctrl-C ended


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))  # the sentence says which variable; a traceback would hide it
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)  # noqa: T201
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
