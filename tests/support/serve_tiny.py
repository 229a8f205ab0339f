"""`python -m tests.support.serve_tiny [OPTIONS]`: `manage.py serve` with another application."""

import os
import sys

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.tiny_settings"
    django.setup()
    from nanobanana.management.commands.serve import Command

    Command.application = os.environ.get("TINY_APPLICATION", "tests.support.tiny_asgi:application")
    Command().run_from_argv(["manage.py", "serve", *sys.argv[1:]])
